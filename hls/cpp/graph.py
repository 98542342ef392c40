"""The stages of a frozen network as nodes of hls4ml's graph."""

from __future__ import annotations

from hls4ml.model.graph import ModelGraph

from hls.area import PARTS
from hls.cpp.layers import ALQMaxPool, ALQPlanes, ALQTimeSum, precision
from hls.folding import Folding, fold
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer


def default_folding(network: FrozenNetwork, part: str) -> Folding:
    """One sample per clock cycle where engines and the part's LUTs allow it, else as fast as they do."""
    device = next((name for name in PARTS if part.startswith(name)), "xc7z020")
    return fold(network, lut_budget=PARTS[device].luts, part=device)


def stage_attributes(network: FrozenNetwork, folding: Folding) -> list[dict]:
    """hls4ml's description of every stage."""
    entries, descriptions = iter(folding.layers), []
    for stage in network.stages:
        description: dict = {"name": stage.name, "stage": stage}
        if isinstance(stage.layer, PlaneLayer):
            description |= {"class_name": ALQPlanes.__name__, "folding": next(entries)}
        else:
            pool = isinstance(stage.layer, MaxPool)
            description["class_name"] = (ALQMaxPool if pool else ALQTimeSum).__name__
        descriptions.append(description)
    return descriptions


def replace_stages(model: ModelGraph, network: FrozenNetwork) -> None:
    """Replace everything behind the input of an hls4ml graph by the stages of a frozen network."""
    source = model.graph[model.inputs[0]]
    source.get_output_variable().type.precision = precision(network.input_format)
    model.graph.clear()
    model.output_vars.clear()
    model.graph[source.name] = source
    model.register_output_variable(source.outputs[0], source.get_output_variable())
    model.outputs = [network.stages[-1].name]
    previous = source.outputs[0]
    folding = default_folding(network, model.config.get_config_value("Part"))
    for description in stage_attributes(network, folding):
        name = description["name"]
        model.graph[name] = model.make_node(description["class_name"], name, description, [previous])
        previous = name
