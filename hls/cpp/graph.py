"""The stages of a frozen network as nodes of hls4ml's graph."""

from __future__ import annotations

from hls4ml.model.graph import ModelGraph
from hls4ml.model.types import RoundingMode, SaturationMode

from hls.area import DEVICES, device_of
from hls.cpp.layers import (
    ALQActivation,
    ALQAdd,
    ALQConcatenate,
    ALQFork,
    ALQPlanes,
    ALQPool,
    ALQTimeSum,
    precision,
)
from hls.folding import Folding, fold
from hls.plan import Plan
from qmodel.frozen import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concatenate,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    TimeSum,
)

LIKE = "xc7z020"  # what a part that `hls.area` does not know is folded like


def default_folding(network: FrozenNetwork, part: str) -> Folding:
    """One sample per clock cycle where engines and the part's LUTs allow it, else as fast as they do."""
    device = device_of(part) or LIKE
    return fold(network, lut_budget=DEVICES[device].luts, part=device)


def project_plan(network: FrozenNetwork, folding: Folding | None, part: str) -> Plan:
    """The plan behind a project for any part. Args: folding: default `default_folding(network, part)`."""
    folding = default_folding(network, part) if folding is None else folding
    return Plan.of(network, folding, device_of(part) or LIKE)


KINDS = {
    PlaneLayer: ALQPlanes,
    MaxPool: ALQPool,
    AveragePool: ALQPool,
    TimeSum: ALQTimeSum,
    Activation: ALQActivation,
    Add: ALQAdd,
    Concatenate: ALQConcatenate,
}


def stage_attributes(plan: Plan, source: str) -> list[dict]:
    """hls4ml's description of every stage, its inputs by name; what several stages read is forked first.

    Args: source: name of the network's input.
    """
    network, layers, descriptions = plan.network, iter(plan.layers), []
    names = {INPUT: source, **{index: stage.name for index, stage in enumerate(network.stages)}}
    read: dict[tuple[int, int], str] = {}  # (stage, which of its sources) -> name of the tensor

    def hand_on(index: int) -> None:
        readers = network.readers(index)
        if len(readers) == 1:
            read[readers[0]] = names[index]
        elif readers:
            outputs = [f"{names[index]}_to{number}" for number in range(1, len(readers) + 1)]
            read.update(zip(readers, outputs))
            descriptions.append(
                {"name": f"{names[index]}_fork", "class_name": ALQFork.__name__, "inputs": [names[index]],
                 "outputs": outputs}
            )  # fmt: skip

    hand_on(INPUT)
    for index, stage in enumerate(network.stages):
        inputs = [read[index, number] for number in range(len(stage.sources))]
        description: dict = {"name": stage.name, "stage": stage, "class_name": KINDS[type(stage.layer)].__name__}
        if isinstance(stage.layer, PlaneLayer):
            description["plan"] = next(layers)
        descriptions.append({**description, "inputs": inputs, "outputs": [stage.name]})
        hand_on(index)
    return descriptions


def replace_stages(model: ModelGraph, network: FrozenNetwork) -> None:
    """Replace everything behind the input of an hls4ml graph by the stages of a frozen network."""
    source = model.graph[model.inputs[0]]
    # What a caller's floating point becomes; the kernels only see its integers.
    entering = precision(network.input_format)
    entering.rounding_mode, entering.saturation_mode = RoundingMode.RND_CONV, SaturationMode.SAT
    source.get_output_variable().type.precision = entering
    model.graph.clear()
    model.output_vars.clear()
    model.graph[source.name] = source
    model.register_output_variable(source.outputs[0], source.get_output_variable())
    model.outputs = [network.stages[-1].name]
    plan = project_plan(network, None, model.config.get_config_value("Part"))
    for description in stage_attributes(plan, source.outputs[0]):
        name, inputs, outputs = description["name"], description.pop("inputs"), description.pop("outputs")
        model.graph[name] = model.make_node(description["class_name"], name, description, inputs, outputs)
