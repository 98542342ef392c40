"""C++ text that hls4ml writes for our layers: configuration structs and function calls."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate

from hls.cpp.layers import ALQMaxPool, ALQPlanes, ALQTimeSum
from hls.cpp.tables import EngineTables, sum_bits, unit_size
from hls.plan import LayerPlan
from qmodel.fixed_point import Format
from qmodel.frozen import MaxPool, Stage

PLANES_CONFIG = """struct config{index} : alq::plane_config {{
    static const unsigned in_length = {in_length};
    static const unsigned out_length = {out_length};
    static const unsigned n_channels = {channels};
    static const unsigned n_filters = {filters};
    static const unsigned n_taps = {taps};
    static const unsigned stride = {stride};
    static const unsigned pad_left = {pad_left};
    static const bool kernelwise = {kernelwise};
    static const unsigned n_groups = {groups};
    static const unsigned group_size = {group_size};
    static const unsigned unit = {unit};
    static const unsigned n_engines = {engines};
    static const unsigned n_lanes = {lanes};
    static const unsigned n_chunks = {chunks};
    static const unsigned n_slots = {slots};
    static const unsigned n_seats = {seats};
    static const bool in_signed = {in_signed};
    static const int in_bits = {in_bits};
    static const int sum_bits = {sum_bits};
    static const int coordinate_bits = {coordinate_bits};
    static const int accumulator_bits = {accumulator_bits};
    static const bool logits = {logits};
    static const int out_bits = {out_bits};
    static const int shift = {shift};
}};
"""

POOL_CONFIG = """struct config{index} : alq::pool_config {{
    static const unsigned in_length = {in_length};
    static const unsigned out_length = {out_length};
    static const unsigned n_channels = {channels};
    static const unsigned size = {size};
    static const unsigned stride = {stride};
    static const bool in_signed = {in_signed};
    static const int in_bits = {in_bits};
    static const int out_bits = {out_bits};
}};
"""


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _shift(source: Format, coordinate: Format, output: Format, accumulator_bits: int) -> int:
    """Bits to drop. Beyond either width every positive accumulator rounds to zero, or saturates."""
    return min(max(source.fraction + coordinate.fraction - output.fraction, -output.bits), accumulator_bits)


def planes_config(index: int, plan: LayerPlan, engines: EngineTables) -> str:
    """Configuration of a plane layer."""
    stage, layer = plan.stage, plan.layer
    source, output = stage.input_format, layer.output
    accumulator_bits = layer.accumulator_bits(source)
    return PLANES_CONFIG.format(
        index=index,
        in_length=stage.input_length,
        out_length=stage.output_length,
        channels=layer.channels,
        filters=layer.filters,
        taps=layer.taps,
        stride=layer.stride,
        pad_left=layer.padding[0],
        kernelwise=_boolean(layer.kernelwise),
        groups=layer.groups,
        group_size=layer.group_size,
        unit=unit_size(layer),
        engines=plan.folding.engines,
        lanes=plan.folding.lanes,
        chunks=plan.chunks,
        slots=engines.slots,
        seats=engines.seat_count,
        in_signed=_boolean(source.signed),
        in_bits=source.bits,
        sum_bits=sum_bits(layer, source),
        coordinate_bits=layer.coordinate_format.bits,
        accumulator_bits=accumulator_bits,
        logits=_boolean(output is None),
        out_bits=stage.output_format.bits,
        shift=0 if output is None else _shift(source, layer.coordinate_format, output, accumulator_bits),
    )


def pool_config(index: int, stage: Stage) -> str:
    """Configuration of a pooling layer."""
    maximum = isinstance(stage.layer, MaxPool)
    return POOL_CONFIG.format(
        index=index,
        in_length=stage.input_length,
        out_length=stage.output_length,
        channels=stage.input_channels,
        size=stage.layer.size if maximum else stage.input_length,
        stride=stage.layer.stride if maximum else 1,
        in_signed=_boolean(stage.input_format.signed),
        in_bits=stage.input_format.bits,
        out_bits=stage.output_format.bits,
    )


class PlanesConfig(LayerConfigTemplate):
    """Configuration struct of a plane layer."""

    def __init__(self):
        super().__init__(ALQPlanes)

    def format(self, node):
        """C++ text."""
        return planes_config(node.index, node.get_attr("plan"), node.engine_tables)


class PoolConfig(LayerConfigTemplate):
    """Configuration struct of a pooling layer."""

    def __init__(self):
        super().__init__((ALQMaxPool, ALQTimeSum))

    def format(self, node):
        """C++ text."""
        return pool_config(node.index, node.get_attr("stage"))


class PlanesCall(FunctionCallTemplate):
    """Call of the plane convolution."""

    def __init__(self):
        super().__init__(ALQPlanes, include_header=["nnet_utils/alq_planes.h"])

    def format(self, node):
        """C++ text."""
        return (
            "alq::plane_convolution<{input_t}, {output_t}, {config}>"
            "({input}, {output}, {name}_signs, {name}_planes, {name}_seats);"
        ).format(**self._default_function_params(node))


class PoolCall(FunctionCallTemplate):
    """Call of max pooling or of the sum over time."""

    def __init__(self):
        super().__init__((ALQMaxPool, ALQTimeSum), include_header=["nnet_utils/alq_pooling.h"])

    def format(self, node):
        """C++ text."""
        function = "max_pool" if isinstance(node, ALQMaxPool) else "time_sum"
        return ("alq::" + function + "<{input_t}, {output_t}, {config}>({input}, {output});").format(
            **self._default_function_params(node)
        )


TEMPLATES = (PlanesConfig, PlanesCall, PoolConfig, PoolCall)
