"""C++ text that hls4ml writes for our layers: configuration structs and function calls."""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
from hls4ml.model.layers import Layer

from hls.cpp.layers import ALQActivation, ALQAdd, ALQConcatenate, ALQFork, ALQPlanes, ALQPool, ALQTimeSum
from hls.cpp.tables import EngineTables, sum_bits, unit_size
from hls.plan import LayerPlan
from qmodel.fixed_point import Format
from qmodel.frozen import Activation, MaxPool, Stage, TimeSum

PLANES_CONFIG = """struct config{index} : alq::plane_config {{
    static const unsigned in_length = {in_length};
    static const unsigned out_length = {out_length};
    static const unsigned n_channels = {channels};
    static const unsigned n_filters = {filters};
    static const unsigned n_taps = {taps};
    static const unsigned dilation = {dilation};
    static const unsigned n_span = {span};
    static const unsigned n_fan = {fan};
    static const unsigned stride = {stride};
    static const unsigned pad_left = {pad_left};
    static const bool kernelwise = {kernelwise};
    static const unsigned run_groups = {run_groups};
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
    static const bool out_signed = {out_signed};
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
    static const unsigned pad_left = {pad_left};
    static const unsigned pad_right = {pad_right};
    static const bool maximum = {maximum};
    static const bool in_signed = {in_signed};
    static const int in_bits = {in_bits};
    static const int out_bits = {out_bits};
}};
"""

FORK_CONFIG = """struct config{index} : alq::joining_config {{
    static const unsigned in_length = {length};
}};
"""

JOINING_CONFIG = """struct config{index} : alq::joining_config {{
    static const unsigned in_length = {length};
    static const unsigned n_channels = {channels};
    static const int fraction = {fraction};
    static const bool in_signed = {in_signed};
    static const int in_bits = {in_bits};
    static const bool out_signed = {out_signed};
    static const int out_bits = {out_bits};
    static const int shift = {shift};
}};
"""


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _shift(fraction: int, output: Format, bits: int) -> int:
    """Bits to drop. Beyond either width every positive accumulator rounds to zero, or saturates."""
    return min(max(fraction - output.fraction, -output.bits), bits)


def planes_config(index: int, plan: LayerPlan, engines: EngineTables) -> str:
    """Configuration of a plane layer."""
    stage, layer = plan.stage, plan.layer
    source, output = stage.input_format, layer.output
    accumulator_bits = layer.accumulator_bits(source)
    fraction = source.fraction + layer.coordinate_format.fraction
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
        dilation=layer.dilation,
        span=layer.span,
        fan=layer.fan,
        run_groups=layer.groups,
        groups=layer.channel_groups * layer.groups,
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
        out_signed=_boolean(stage.output_format.signed),
        out_bits=stage.output_format.bits,
        shift=0 if output is None else _shift(fraction, output, accumulator_bits),
    )


def pool_config(index: int, stage: Stage) -> str:
    """Configuration of a pooling layer; a sum over time is a pool of all its steps."""
    layer = stage.layer
    whole = isinstance(layer, TimeSum)
    left, right = (0, 0) if whole else layer.padding
    return POOL_CONFIG.format(
        index=index,
        in_length=stage.input_length,
        out_length=stage.output_length,
        channels=stage.input_channels,
        size=stage.input_length if whole else layer.size,
        stride=1 if whole else layer.stride,
        pad_left=left,
        pad_right=right,
        maximum=_boolean(isinstance(layer, MaxPool)),
        in_signed=_boolean(stage.input_format.signed),
        in_bits=stage.input_format.bits,
        out_bits=stage.output_format.bits,
    )


def joining_config(index: int, stage: Stage) -> str:
    """Configuration of an addition, a concatenation or an activation."""
    source, output = stage.input_format, stage.output_format
    bits = source.bits + (not source.signed)
    return JOINING_CONFIG.format(
        index=index,
        length=stage.input_length,
        channels=stage.output_channels,
        fraction=output.fraction,
        in_signed=_boolean(source.signed),
        in_bits=source.bits,
        out_signed=_boolean(output.signed),
        out_bits=output.bits,
        shift=_shift(source.fraction, output, bits) if isinstance(stage.layer, Activation) else 0,
    )


class PlanesConfig(LayerConfigTemplate):
    """Configuration struct of a plane layer."""

    def __init__(self) -> None:
        super().__init__(ALQPlanes)

    def format(self, node: Layer) -> str:
        """C++ text."""
        return planes_config(node.index, node.get_attr("plan"), node.engine_tables)


class PoolConfig(LayerConfigTemplate):
    """Configuration struct of a pooling layer."""

    def __init__(self) -> None:
        super().__init__((ALQPool, ALQTimeSum))

    def format(self, node: Layer) -> str:
        """C++ text."""
        return pool_config(node.index, node.get_attr("stage"))


class JoiningConfig(LayerConfigTemplate):
    """Configuration struct of an addition, a concatenation or an activation."""

    def __init__(self) -> None:
        super().__init__((ALQAdd, ALQConcatenate, ALQActivation))

    def format(self, node: Layer) -> str:
        """C++ text."""
        return joining_config(node.index, node.get_attr("stage"))


class ForkConfig(LayerConfigTemplate):
    """Configuration struct of a fork."""

    def __init__(self) -> None:
        super().__init__(ALQFork)

    def format(self, node: Layer) -> str:
        """C++ text."""
        length = node.get_input_variable().shape[0]
        return FORK_CONFIG.format(index=node.index, length=length)


class PlanesCall(FunctionCallTemplate):
    """Call of the plane convolution."""

    def __init__(self) -> None:
        super().__init__(ALQPlanes, include_header=["nnet_utils/alq_planes.h"])

    def format(self, node: Layer) -> str:
        """C++ text."""
        return (
            "alq::plane_convolution<{input_t}, {output_t}, {config}>"
            "({input}, {output}, {name}_signs, {name}_planes, {name}_seats);"
        ).format(**self._default_function_params(node))


class StageCall(FunctionCallTemplate):
    """Call of a stage with one source that has no tables."""

    FUNCTIONS = {ALQPool: "pool", ALQTimeSum: "time_sum", ALQActivation: "activation"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(tuple(self.FUNCTIONS), include_header=["nnet_utils/alq_pooling.h", "nnet_utils/alq_joining.h"])

    def format(self, node: Layer) -> str:
        """C++ text."""
        function = self.FUNCTIONS[next(kind for kind in self.FUNCTIONS if isinstance(node, kind))]
        return ("alq::" + function + "<{input_t}, {output_t}, {config}>({input}, {output});").format(
            **self._default_function_params(node)
        )


class JoinCall(FunctionCallTemplate):
    """Call of an addition or a concatenation."""

    def __init__(self) -> None:
        super().__init__((ALQAdd, ALQConcatenate), include_header=["nnet_utils/alq_joining.h"])

    def format(self, node: Layer) -> str:
        """C++ text."""
        function = "add" if isinstance(node, ALQAdd) else "concatenate"
        output = node.get_output_variable()
        sources = ", ".join(node.get_input_variable(name).name for name in node.inputs)
        return f"alq::{function}<{output.type.name}, config{node.index}>({output.name}, {sources});"


class ForkCall(FunctionCallTemplate):
    """Call of a fork."""

    def __init__(self) -> None:
        super().__init__(ALQFork, include_header=["nnet_utils/alq_joining.h"])

    def format(self, node: Layer) -> str:
        """C++ text."""
        source = node.get_input_variable()
        targets = ", ".join(node.get_output_variable(name).name for name in node.outputs)
        return f"alq::fork<{source.type.name}, config{node.index}>({source.name}, {targets});"


TEMPLATES = (PlanesConfig, PlanesCall, PoolConfig, JoiningConfig, ForkConfig, StageCall, JoinCall, ForkCall)
