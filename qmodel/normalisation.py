"""Absorb batch normalisation and averages into coordinates and biases, and put weights on their grids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops
from keras.src.ops import numpy as keras_numpy
from qkeras import QActivation, quantized_bits

from qmodel.alq.layers import ALQConv1D, ALQDense, SumPooling1D, TimeSum, alq_layers
from qmodel.alq.quantizer import alq, coordinate_fraction
from qmodel.arrays import Array
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.freeze import TRANSPARENT, activation_format
from qmodel.graph import Step, graph_of
from qmodel.rebuild import Rebuild

COORDINATE_BITS = 8
HEADROOM = 1.25  # coordinates may grow by this factor while the absorbed network is trained on
ROUNDED_BITS = 8  # of a normalisation that no layer took up
BIAS_BITS = 24  # of QKeras' bias quantizer, whose step is that of the accumulator

_PASS_SCALE = (  # a positive factor before them is the same factor behind them
    *TRANSPARENT,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.ZeroPadding1D,
    keras.layers.MaxPooling1D,
    keras.layers.GlobalMaxPooling1D,
)
_AVERAGES = (keras.layers.GlobalAveragePooling1D, keras.layers.AveragePooling1D)


def absorb(
    model: keras.Model,
    coordinate_bits: int = COORDINATE_BITS,
    input_format: Format = INPUT_FORMAT,
    bias_limits: Mapping[str, int] | None = None,
) -> keras.Model:
    """The model with fixed-point coordinates and biases and without normalisations: what is trained on, then frozen.

    The same function up to the rounding of coordinates and biases. gamma / sigma of a BatchNormalization goes into the
    coordinates of the ALQ layer before it (its sign into the signs), the rest into the bias; where there is none, it
    becomes a depthwise ALQConv1D of one tap. An average over a number of steps that is no power of two becomes a sum,
    whose division goes into the coordinates behind it.
    Args: model: functional or sequential, nested ones too, of ALQ layers and what `freeze` takes;
        coordinate_bits: width of the coordinates; input_format: of the windows, as for `freeze`; bias_limits: most bits
        per bias, by layer, which a budget in bytes counted: where a bias needs more, coordinates lose binary places.
    Returns: a functional model, its layers named as before, kernels on the fixed-point grid.
    Raises: InputError: a layer that cannot be absorbed, by name.
    Source: number contract, "Frozen network".
    """
    return _Absorb(model, coordinate_bits, input_format, bias_limits or {}).build()


def bias_bits(model: keras.Model, coordinate_bits: int = COORDINATE_BITS) -> dict[str, int]:
    """Bits per bias that the frozen file would need for every ALQ layer, were the model absorbed as it is."""
    absorbing = _Absorb(model, coordinate_bits, INPUT_FORMAT, {})
    absorbing.build()
    return absorbing.bias_bits


@dataclass(frozen=True)
class _Held:
    """A tensor of the new model: its binary places, its largest magnitude (None: wide sums), and by what it must be
    multiplied to be the old one."""

    tensor: Array
    fraction: int
    reach: float | None = None
    scale: float = 1.0


def _fraction_behind(step: Step, fractions: list[int], steps: int | None) -> int:
    """Binary places of what a step gives. Args: steps: time steps that enter."""
    operation = step.operation
    if isinstance(operation, (ALQConv1D, ALQDense)):
        if getattr(operation.activation, "bits", None):
            return activation_format(operation.activation, step.name).fraction
        return fractions[0] + (operation.quantizer.coordinate_fraction or 0)
    if isinstance(operation, QActivation):
        return activation_format(operation.activation, step.name).fraction
    if isinstance(operation, keras.layers.GlobalAveragePooling1D):
        return fractions[0] + (int(steps) - 1).bit_length()
    if isinstance(operation, keras.layers.AveragePooling1D):
        return fractions[0] + (int(operation.pool_size[0]) - 1).bit_length()
    return max(fractions)


class _Absorb(Rebuild):
    def __init__(
        self, model: keras.Model, coordinate_bits: int, input_format: Format, bias_limits: Mapping[str, int]
    ) -> None:
        super().__init__(model)
        self.bits, self.input_format, self.bias_limits = coordinate_bits, input_format, bias_limits
        self.bias_bits: dict[str, int] = {}  # needed, by layer

    def begin(self, tensor: Array) -> _Held:
        return _Held(tensor, self.input_format.fraction, -self.input_format.low * self.input_format.step)

    def end(self, held: _Held) -> Array:
        return self.scaled(held, "output").tensor

    def take(self, step: Step, held: list[_Held]) -> _Held:
        operation, kind = step.operation, type(step.operation)
        if kind in (ALQConv1D, ALQDense):
            return self.weighted(step, held[0])
        if kind is keras.layers.BatchNormalization:
            factor, offset = _normalisation(operation)
            return self.depthwise(step.name, held[0], factor * held[0].scale, offset)
        if kind in _AVERAGES and (average := self.average(step, held[0])) is not None:
            return average
        same = len({one.scale for one in held}) == 1
        through = kind in _PASS_SCALE or (kind in (keras.layers.Concatenate, keras_numpy.Concatenate) and same)
        if not through:
            held = [self.scaled(one, step.name) for one in held]
        before = held[0].tensor.shape[1] if len(held[0].tensor.shape) == 3 else None
        fraction = _fraction_behind(step, [one.fraction for one in held], before)
        reach = None if any(one.reach is None for one in held) else max(one.reach for one in held)
        if kind is QActivation:
            form = activation_format(operation.activation, step.name)
            reach = max(-form.low, form.high) * form.step
        elif kind in (keras.layers.Add, keras_numpy.Add, TimeSum, SumPooling1D):
            reach = None
        return _Held(self.clone(step, [one.tensor for one in held]), fraction, reach, held[0].scale)

    def also(self, step: Step, held: dict) -> None:
        norm = self.norm_behind(step)
        if norm is not None:
            held[norm.output] = held[step.output]

    def norm_behind(self, step: Step) -> Step | None:
        """The normalisation that alone reads an ALQ layer, which takes it up."""
        readers = self.graph.readers(step.output)
        plain = type(step.operation) in (ALQConv1D, ALQDense)
        plain = plain and step.operation.activation in (None, keras.activations.linear)
        one = len(readers) == 1 and type(readers[0].operation) is keras.layers.BatchNormalization
        return readers[0] if plain and one and step.output != self.graph.output else None

    def scaled(self, held: _Held, name: str) -> _Held:
        """The old tensor itself: the factor becomes a layer where no coordinates take it up."""
        if held.scale == 1:
            return held
        channels = held.tensor.shape[-1]
        return self.depthwise(f"{name}_scale", held, np.full(channels, held.scale), np.zeros(channels))

    def average(self, step: Step, held: _Held) -> _Held | None:
        """A sum in place of an average that is no shift; None: it stays."""
        layer, whole = step.operation, int(held.tensor.shape[1])
        globally = isinstance(layer, keras.layers.GlobalAveragePooling1D)
        size = whole if globally else int(layer.pool_size[0])
        if size & (size - 1) == 0:
            return None
        if globally:
            tensor = TimeSum(name=self.name(step.name))(held.tensor)
            if layer.keepdims:
                tensor = keras.layers.Reshape((1, tensor.shape[-1]), name=self.name(f"{step.name}_step"))(tensor)
        else:
            if layer.padding != "valid":
                raise InputError(
                    f"{step.name}: an average with padding 'same' divides by another number at the ends: put "
                    "ZeroPadding1D before it and use padding 'valid'"
                )
            tensor = SumPooling1D(size, int(layer.strides[0]), name=self.name(step.name))(held.tensor)
        reach = None if held.reach is None else held.reach * size
        return _Held(tensor, held.fraction, reach, held.scale / size)

    def depthwise(self, name: str, held: _Held, factor: np.ndarray, offset: np.ndarray) -> _Held:
        """factor * x + offset, channel by channel."""
        channels, tensor = len(factor), held.tensor
        fraction = coordinate_fraction(float(np.abs(factor).max()) * HEADROOM, self.bits)
        layer = ALQConv1D(
            channels, 1, groups=channels, name=self.name(name),
            kernel_quantizer=alq(1, coordinate_bits=self.bits, coordinate_fraction=fraction),
            bias_quantizer=_bias_quantizer(held.fraction + fraction),
        )  # fmt: skip
        flat = len(tensor.shape) == 2
        if flat:
            tensor = keras.layers.Reshape((1, channels), name=self.name(f"{name}_step"))(tensor)
        output = layer(tensor)
        _set(layer, factor.reshape(1, 1, channels), np.abs(factor).reshape(channels, 1, 1), offset)
        if flat:
            output = keras.layers.Flatten(name=self.name(f"{name}_flat"))(output)
        fraction += held.fraction
        if held.reach is None:
            return _Held(output, fraction)
        # Its range is known, so it is rounded here; or the sums of the next layer would not fit float32.
        reach = float((np.abs(factor) * held.reach + np.abs(offset)).max())
        integer = int(np.ceil(np.log2(max(reach, 2.0**-8))))
        rounded = quantized_bits(ROUNDED_BITS, integer, alpha=1.0)
        output = QActivation(rounded, name=self.name(f"{name}_round"))(output)
        return _Held(output, ROUNDED_BITS - 1 - integer, 2.0**integer)

    def weighted(self, step: Step, held: _Held) -> _Held:
        """An ALQ layer with everything that it takes up."""
        layer, norm = step.operation, self.norm_behind(step)
        kernel = ops.convert_to_numpy(layer.quantized_kernel()).astype(np.float64)
        coordinates = ops.convert_to_numpy(layer.coordinates).astype(np.float64)
        bias = ops.convert_to_numpy(layer.bias).astype(np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
        if norm is not None:
            factor, offset = _normalisation(norm.operation)
            bias = offset + bias * factor
            kernel, coordinates = kernel * factor, coordinates * np.abs(factor)[:, None, None]
        if held.scale != 1:
            kernel, coordinates = kernel * held.scale, coordinates * held.scale
        quantizer = layer.quantizer
        if norm is not None or held.scale != 1 or quantizer.coordinate_fraction is None:
            # Sums over time are wide numbers: one bit less for what multiplies them keeps float32 exact.
            bits = self.bits - (held.scale != 1)
            fraction = coordinate_fraction(float(coordinates.max()) * HEADROOM, bits)
            while _bits(bias, held.fraction + fraction) > self.bias_limits.get(step.name, BIAS_BITS):
                fraction -= 1
            quantizer = alq(**quantizer.get_config() | {"coordinate_bits": bits, "coordinate_fraction": fraction})
        fraction = held.fraction + quantizer.coordinate_fraction
        self.bias_bits[step.name] = _bits(bias, fraction)
        config = layer.get_config() | {
            "name": self.name(step.name),
            "use_bias": layer.use_bias or norm is not None,
            "kernel_quantizer": quantizer,
            "bias_quantizer": _bias_quantizer(fraction, self.bias_limits.get(step.name, BIAS_BITS)),
        }
        new = type(layer).from_config(config)
        output = new(held.tensor)
        _set(new, kernel, coordinates, bias)
        new.trainable = layer.trainable
        if getattr(layer.activation, "bits", None):
            form = activation_format(layer.activation, step.name)
            return _Held(output, form.fraction, max(-form.low, form.high) * form.step)
        return _Held(output, fraction)


def _normalisation(norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """Factor and offset of every channel in evaluation mode."""
    if norm.axis not in (-1, len(norm.input.shape) - 1):
        raise InputError(f"{norm.name}: a normalisation must be of channels (axis -1), received axis {norm.axis}")
    mean, variance = (ops.convert_to_numpy(w).astype(np.float64) for w in (norm.moving_mean, norm.moving_variance))
    gamma = ops.convert_to_numpy(norm.gamma).astype(np.float64) if norm.scale else np.ones_like(mean)
    beta = ops.convert_to_numpy(norm.beta).astype(np.float64) if norm.center else np.zeros_like(mean)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    return factor, beta - mean * factor


def _bits(bias: np.ndarray, fraction: int) -> int:
    """Two's complement bits of the largest bias."""
    return int(np.rint(np.abs(bias).max() * 2.0**fraction)).bit_length() + 1


def _bias_quantizer(fraction: int, bits: int = BIAS_BITS) -> quantized_bits:
    return quantized_bits(bits, bits - 1 - fraction, alpha=1.0)


def _set(layer: keras.layers.Layer, kernel: np.ndarray, coordinates: np.ndarray, bias: np.ndarray) -> None:
    if layer.use_bias:
        layer.bias.assign(bias)
    # Signs belong to the unrounded coordinates; set_planes then rounds these.
    kernel, coordinates = kernel.astype(np.float32), coordinates.astype(np.float32)
    layer.set_planes(layer.quantizer.signs(kernel, coordinates), ops.convert_to_tensor(coordinates))


def settle(model: keras.Model, input_format: Format = INPUT_FORMAT) -> None:
    """Put kernels, coordinates and biases exactly on their grids: what is stored is then what the forward pass uses.

    A bias without a quantizer goes onto its accumulator's grid, which follows from the layers before it.
    Args: input_format: of the windows, as for `freeze`.
    Raises: InputError: a kernel assigned by hand that the coordinates do not give.
    """
    for layer in alq_layers(model):
        layer.check_planes()
        layer.coordinates.assign(layer.quantizer.round_coordinates(layer.coordinates.value))
        layer.kernel.assign(layer.quantized_kernel())
        if layer.use_bias:
            layer.bias.assign(layer.quantized_bias())
    free = [x for x in alq_layers(model) if x.use_bias and not x.bias_quantizer]
    if not any(x.quantizer.coordinate_fraction is not None for x in free):
        return
    graph = graph_of(model)
    fractions, shapes = {0: input_format.fraction}, {0: graph.shape}
    for step in graph.steps:
        layer, shape = step.operation, shapes[step.inputs[0]]
        own = [fractions[i] for i in step.inputs]
        if layer in free and layer.quantizer.coordinate_fraction is not None:
            fraction = own[0] + layer.quantizer.coordinate_fraction
            bias = ops.convert_to_numpy(layer.bias).astype(np.float64)
            layer.bias.assign(np.rint(bias * 2.0**fraction) * 2.0**-fraction)
        fractions[step.output] = _fraction_behind(step, own, shape[0] if len(shape) == 2 else None)
        shapes[step.output] = step.shape
