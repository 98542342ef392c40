"""Our layers in hls4ml's graph."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from hls4ml.backends.fpga.fpga_types import StaticWeightVariableDefinition
from hls4ml.model.attributes import Attribute
from hls4ml.model.layers import Layer
from hls4ml.model.types import FixedPrecisionType, IntegerPrecisionType, NamedType, WeightVariable

from hls.cpp.tables import EngineTables, cpp_tables, engine_tables
from hls.plan import LayerPlan
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.frozen import Stage


def precision(form: Format) -> FixedPrecisionType:
    """hls4ml's name of a format."""
    return FixedPrecisionType(width=form.bits, integer=form.bits - form.fraction, signed=form.signed)


class HLSTableType(NamedType):
    """Element type of a table. The kernels define it, so hls4ml has nothing to write.

    The name starts with HLS because that is how hls4ml marks types that it need not convert.
    """

    def definition_cpp(self) -> str:
        """Nothing."""
        return ""


class Table(WeightVariable, StaticWeightVariableDefinition):
    """A constant C++ array of several dimensions, one text per entry of the first."""

    def __init__(self, name: str, type_name: str, data: np.ndarray, texts: list[str]) -> None:
        width = IntegerPrecisionType(1, signed=False)
        super().__init__(name, type_name, width, data)
        self.type: NamedType = HLSTableType(type_name, width)
        self.texts = texts
        self.weight_class = "WeightVariable"
        self.storage = "register"

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def definition_cpp(self, name_suffix: str = "", as_reference: bool = False) -> str:
        """C++ declaration."""
        dimensions = "".join(f"[{size}]" for size in self.shape)
        return f"static const {self.type.name} {self.name}{name_suffix}{dimensions}"


class _StageLayer(Layer):
    """A stage of a frozen network."""

    _expected_attributes = [Attribute("stage", value_type=Stage)]  # noqa: RUF012 (hls4ml's convention)

    def initialize(self) -> None:
        """Declare the output: its exact format, and a beat of all channels per time step."""
        stage = self.get_attr("stage")
        shape = [stage.output_length, stage.output_channels]
        self.add_output_variable(shape, precision=precision(stage.output_format))


class ALQPlanes(_StageLayer):
    """Convolution or dense layer with sign planes; attributes: stage, plan."""

    _expected_attributes = [Attribute("plan", value_type=LayerPlan)]  # noqa: RUF012

    @cached_property
    def engine_tables(self) -> EngineTables:
        """What the layer's engines read."""
        return engine_tables(self.get_attr("plan"))

    def initialize(self) -> None:
        """Declare output and tables."""
        super().initialize()
        # Text files that replace constants in C simulation would only slow down what is already a constant.
        self.model.config.writer_config["WriteWeightsTxt"] = False
        for name, table in cpp_tables(self.engine_tables).items():
            self.set_attr(name, Table(f"{self.name}_{name}", *table))


class ALQKerasLayer(Layer):
    """Stands for a Keras layer of ours until the whole model is frozen; attribute: out_shape."""

    def initialize(self) -> None:
        """Declare an output of the right shape; its format is known once the model is frozen."""
        self.add_output_variable(self.get_attr("out_shape"), precision=precision(INPUT_FORMAT))


class ALQPool(_StageLayer):
    """Maximum or sum over time windows; attribute: stage."""


class ALQTimeSum(_StageLayer):
    """Sum over time; attribute: stage."""


class ALQActivation(_StageLayer):
    """Requantisation by itself; attribute: stage."""


class ALQAdd(_StageLayer):
    """Sum of several streams; attribute: stage."""


class ALQConcatenate(_StageLayer):
    """Channels of several streams side by side; attribute: stage."""


class ALQFork(Layer):
    """One stream for each of several readers."""

    def initialize(self) -> None:
        """Declare one output per reader, all like the input."""
        source = self.get_input_variable()
        for number, name in enumerate(self.outputs, 1):
            self.add_output_variable(
                source.shape, out_name=name, var_name=f"layer{{index}}_to{number}", precision=source.type.precision
            )


LAYERS = (ALQPlanes, ALQPool, ALQTimeSum, ALQActivation, ALQAdd, ALQConcatenate, ALQFork, ALQKerasLayer)
