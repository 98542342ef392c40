"""Fold batch normalisation into coordinates and biases: stage `alq` to stage `folded`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from qkeras import QActivation

from qmodel.alq.layers import alq_layers
from qmodel.alq.quantizer import alq, coordinate_fraction
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.networks import BIAS_BITS, Network, average_length, build

COORDINATE_BITS = 8
HEADROOM = 1.25  # coordinates may grow by this factor while the folded network is trained on


def fold(
    model: keras.Model,
    spec: Network,
    coordinate_bits: int = COORDINATE_BITS,
    bias_limits: dict[str, int] | None = None,
) -> keras.Model:
    """Build the folded stage of a model in stage `alq`: the same function up to rounding of coordinates and biases.

    gamma / sigma goes into the coordinates (its sign into the signs), the rest into the bias; the division of an
    average over time goes into the coordinates behind it.
    Args: model: stage alq of `spec`; bias_limits: most bits per bias of every layer, which the file's budget counted.
    Returns: stage folded, kernels on the fixed-point grid.
    Source: number contract, "Frozen network".
    """
    folded, quantizers, activation = {}, {}, _activation(model)
    for layer, values in _folded(model, coordinate_bits, bias_limits or {}):
        formats = {"coordinate_bits": values.coordinate_bits, "coordinate_fraction": values.fraction}
        folded[layer.name], quantizers[layer.name] = values, alq(**layer.quantizer.get_config() | formats)
    result = build(
        spec,
        "folded",
        weight_quantizer=quantizers.get,
        activation_bits=activation.bits,
        bias_fractions={name: values.bias_fraction for name, values in folded.items()},
        bias_bits=bias_limits,
    )
    for layer in alq_layers(result):
        values = folded[layer.name]
        layer.bias.assign(values.bias)
        # Signs belong to the unrounded coordinates; set_planes then rounds these.
        kernel, coordinates = values.kernel.astype(np.float32), values.coordinates.astype(np.float32)
        layer.set_planes(layer.quantizer.signs(kernel, coordinates), ops.convert_to_tensor(coordinates))
    return result


def bias_bits(model: keras.Model, coordinate_bits: int = COORDINATE_BITS) -> dict[str, int]:
    """Bits per bias that the frozen file would need for every layer, were the model in stage `alq` folded as it is."""
    return {layer.name: values.bias_bits for layer, values in _folded(model, coordinate_bits, {})}


class _Folded(NamedTuple):
    """What one layer's weights become, before rounding, and the formats that they are rounded to."""

    kernel: np.ndarray
    coordinates: np.ndarray
    bias: np.ndarray
    coordinate_bits: int
    fraction: int  # binary places of the coordinates
    bias_fraction: int  # of the bias: the accumulator's

    @property
    def bias_bits(self) -> int:
        """Bits of the largest bias, in two's complement."""
        return int(np.rint(np.abs(self.bias).max() * 2.0**self.bias_fraction)).bit_length() + 1


def _activation(model: keras.Model):
    """The quantised activation, alike everywhere in a model."""
    return next(layer.activation for layer in model.layers if isinstance(layer, QActivation))


def _folded(
    model: keras.Model, coordinate_bits: int, bias_limits: dict[str, int]
) -> Iterator[tuple[keras.layers.Layer, _Folded]]:
    """Every ALQ layer of a model in stage `alq` with its folded values; biases too wide for their limit cost places."""
    source_fraction, activation, last = INPUT_FORMAT.fraction, _activation(model), model.layers[-1].name
    norms = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    for layer in alq_layers(model):
        kernel = ops.convert_to_numpy(layer.quantized_kernel()).astype(np.float64)
        coordinates = ops.convert_to_numpy(layer.coordinates).astype(np.float64)
        bias = ops.convert_to_numpy(layer.bias).astype(np.float64) if layer.use_bias else np.zeros(kernel.shape[-1])
        norm = norms.get(layer.name.replace("conv", "norm").replace("dense", "norm_dense"))
        if norm is not None:
            gamma, beta, mean, variance = (ops.convert_to_numpy(w).astype(np.float64) for w in norm.weights)
            scale = gamma / np.sqrt(variance + norm.epsilon)
            bias = beta + (bias - mean) * scale
            kernel, coordinates = kernel * scale, coordinates * np.abs(scale)[:, None, None]
        if layer.name == last:
            kernel, coordinates = kernel / average_length(model), coordinates / average_length(model)
        # Sums over time are wide numbers: one bit less for what multiplies them keeps float32 exact.
        bits = coordinate_bits - (layer.name == last and average_length(model) > 1)
        fraction = coordinate_fraction(float(coordinates.max()) * HEADROOM, bits)
        values = _Folded(kernel, coordinates, bias, bits, fraction, source_fraction + fraction)
        while values.bias_bits > bias_limits.get(layer.name, BIAS_BITS):
            values = values._replace(fraction=values.fraction - 1, bias_fraction=values.bias_fraction - 1)
        yield layer, values
        source_fraction = activation.bits - activation.integer


def settle(model: keras.Model) -> None:
    """Put kernels, coordinates and biases exactly on their grids: what is stored is then what the forward pass uses."""
    for layer in alq_layers(model):
        layer.coordinates.assign(layer.quantizer.round_coordinates(layer.coordinates.value))
        layer.kernel.assign(layer.quantized_kernel())
        layer.bias.assign(layer.quantized_bias())
