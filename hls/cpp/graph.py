"""The stages of a frozen network as nodes of hls4ml's graph."""

from __future__ import annotations

from hls4ml.model.graph import ModelGraph

from hls.area import DEVICES, device_of
from hls.cpp.layers import ALQMaxPool, ALQPlanes, ALQTimeSum, precision
from hls.folding import Folding, fold
from hls.plan import Plan
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer

LIKE = "xc7z020"  # what a part that `hls.area` does not know is folded like


def default_folding(network: FrozenNetwork, part: str) -> Folding:
    """One sample per clock cycle where engines and the part's LUTs allow it, else as fast as they do."""
    device = device_of(part) or LIKE
    return fold(network, lut_budget=DEVICES[device].luts, part=device)


def project_plan(network: FrozenNetwork, folding: Folding | None, part: str) -> Plan:
    """The plan behind a project for any part. Args: folding: default `default_folding(network, part)`."""
    folding = default_folding(network, part) if folding is None else folding
    return Plan.of(network, folding, device_of(part) or LIKE)


def stage_attributes(plan: Plan) -> list[dict]:
    """hls4ml's description of every stage."""
    layers, descriptions = iter(plan.layers), []
    for stage in plan.network.stages:
        description: dict = {"name": stage.name, "stage": stage}
        if isinstance(stage.layer, PlaneLayer):
            description |= {"class_name": ALQPlanes.__name__, "plan": next(layers)}
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
    plan = project_plan(network, None, model.config.get_config_value("Part"))
    for description in stage_attributes(plan):
        name = description["name"]
        model.graph[name] = model.make_node(description["class_name"], name, description, [previous])
        previous = name
