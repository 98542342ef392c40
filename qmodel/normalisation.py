"""Fold batch normalisation into coordinates and biases: stage `alq` to stage `folded`."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from qkeras import QActivation

from qmodel.alq.layers import alq_layers
from qmodel.alq.quantizer import alq, coordinate_fraction
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.networks import Network, average_length, build

COORDINATE_BITS = 8
HEADROOM = 1.25  # coordinates may grow by this factor while the folded network is trained on


def fold(model: keras.Model, spec: Network, coordinate_bits: int = COORDINATE_BITS) -> keras.Model:
    """Build the folded stage of a model in stage `alq`: the same function up to rounding of coordinates and biases.

    gamma / sigma goes into the coordinates (its sign into the signs), the rest into the bias; the division of an
    average over time goes into the coordinates behind it.
    Args: model: stage alq of `spec`.
    Returns: stage folded, kernels on the fixed-point grid.
    Source: number contract, "Frozen network".
    """
    folded, quantizers, biases, source_fraction = {}, {}, {}, INPUT_FORMAT.fraction
    activation = next(layer.activation for layer in model.layers if isinstance(layer, QActivation))  # alike everywhere
    norms = {layer.name: layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)}
    last = model.layers[-1].name
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
        quantizers[layer.name] = alq(
            **layer.quantizer.get_config() | {"coordinate_bits": bits, "coordinate_fraction": fraction}
        )
        biases[layer.name] = source_fraction + fraction
        folded[layer.name] = (kernel, coordinates, bias)
        source_fraction = activation.bits - activation.integer
    result = build(
        spec, "folded", weight_quantizer=quantizers.get, activation_bits=activation.bits, bias_fractions=biases
    )
    for layer in alq_layers(result):
        kernel, coordinates, bias = folded[layer.name]
        layer.bias.assign(bias)
        # Signs belong to the unrounded coordinates; set_planes then rounds these.
        kernel, coordinates = kernel.astype(np.float32), coordinates.astype(np.float32)
        layer.set_planes(layer.quantizer.signs(kernel, coordinates), ops.convert_to_tensor(coordinates))
    return result


def settle(model: keras.Model) -> None:
    """Put kernels, coordinates and biases exactly on their grids: what is stored is then what the forward pass uses."""
    for layer in alq_layers(model):
        layer.coordinates.assign(layer.quantizer.round_coordinates(layer.coordinates.value))
        layer.kernel.assign(layer.quantized_kernel())
        layer.bias.assign(layer.quantized_bias())
