"""From a folded Keras model to the frozen network of integers, and its layer outputs as integers for parity."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops
from qkeras import QActivation, quantized_relu

from qmodel.alq.layers import ALQConv1D, ALQDense, TimeSum
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer
from qmodel.frozen import TimeSum as FrozenTimeSum

FLOAT32_EXACT = 1 << 24  # float32 holds every integer up to this magnitude


def freeze(model: keras.Model, input_format: Format = INPUT_FORMAT) -> FrozenNetwork:
    """The frozen network that computes the model's evaluation mode, bit for bit.

    Args: model: a chain of ZeroPadding1D, ALQConv1D, ALQDense, QActivation(quantized_relu), MaxPooling1D, Flatten,
        TimeSum and Dropout on an input (time, 1), its weights on their grids (`qmodel.normalisation.settle`).
    Raises: ValueError: another layer, coordinates in floating point, weights off their grid, or accumulators that
        float32 does not hold.
    """
    length = int(model.input_shape[1])
    layers: list = []
    padding, source, steps = (0, 0), input_format, length
    pending: dict | None = None  # a plane layer whose activation may follow

    def finish(output: Format | None) -> None:
        nonlocal pending, source, steps
        if pending is None:
            return
        layer = PlaneLayer(**pending, output=output)
        # Keras multiplies by whole weights, so no sum of products, in whatever order, is larger than this.
        largest = np.abs(layer.weights).sum((0, 1)) * max(-source.low, source.high) + np.abs(layer.bias)
        if largest.max() > FLOAT32_EXACT:
            raise ValueError(
                f"{layer.filters} filters of {layer.taps} taps have sums up to {largest.max()}; Keras adds exactly up "
                f"to {FLOAT32_EXACT}: use fewer coordinate or activation bits"
            )
        steps, source, pending = layer.output_length(steps), layer.output_format(source, steps), None
        layers.append(layer)

    for layer in model.layers:
        if isinstance(layer, QActivation):
            if pending is None:
                raise ValueError(f"{layer.name}: an activation must follow a convolution or dense layer")
            finish(_activation_format(layer))
            continue
        if isinstance(layer, (ALQConv1D, ALQDense)):
            finish(None)
            pending = _planes(layer, padding, steps, source.fraction)
            padding = (0, 0)
            continue
        if isinstance(layer, (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.Flatten)):
            continue
        if isinstance(layer, keras.layers.ZeroPadding1D):
            padding = tuple(int(p) for p in layer.padding)
            continue
        finish(None)
        if isinstance(layer, keras.layers.MaxPooling1D):
            if layer.padding != "valid":
                raise ValueError(f"{layer.name}: pooling must not pad, received padding {layer.padding!r}")
            frozen = MaxPool(int(layer.pool_size[0]), int(layer.strides[0]))
        elif isinstance(layer, TimeSum):
            frozen = FrozenTimeSum()
        else:
            raise ValueError(f"{layer.name}: {type(layer).__name__} has no frozen form; build the folded stage first")
        source, steps = frozen.output_format(source, steps), frozen.output_length(steps)
        layers.append(frozen)
    finish(None)
    return FrozenNetwork(length, input_format, tuple(layers))


def _activation_format(layer: QActivation) -> Format:
    activation = layer.activation
    if not isinstance(activation, quantized_relu) or activation.negative_slope or activation.use_sigmoid:
        raise ValueError(f"{layer.name}: activations must be quantized_relu, received {activation}")
    return Format(int(activation.bits), int(activation.bits) - int(activation.integer), False)


def _planes(layer, padding: tuple[int, int], steps: int, source_fraction: int) -> dict:
    """The fields of a PlaneLayer, all but its output."""
    quantizer = layer.quantizer
    if quantizer.coordinate_bits is None or quantizer.coordinate_fraction is None:
        raise ValueError(f"{layer.name}: coordinates must be fixed point with a set fraction, received {quantizer}")
    if isinstance(layer, ALQConv1D):
        if layer.padding != "valid" or layer.dilation_rate[0] != 1 or layer.groups != 1:
            raise ValueError(f"{layer.name}: only valid padding without dilation or channel groups can be frozen")
        taps, channels, stride = layer.kernel.shape[0], layer.kernel.shape[1], layer.strides[0]
    else:
        if layer.kernel.shape[0] % steps:
            raise ValueError(f"{layer.name}: {layer.kernel.shape[0]} inputs are not a multiple of {steps} time steps")
        taps, channels, stride = steps, layer.kernel.shape[0] // steps, 1
    coordinates = ops.convert_to_numpy(layer.coordinates)
    kernel = ops.convert_to_numpy(layer.kernel)
    if not np.array_equal(kernel, ops.convert_to_numpy(layer.quantized_kernel())):
        raise ValueError(f"{layer.name}: the kernel is not on the grid of its coordinates: call settle(model) first")
    integers = _integers(coordinates, quantizer.coordinate_fraction, f"{layer.name}: coordinates")
    signs = ops.convert_to_numpy(quantizer.signs(kernel, coordinates)) > 0  # (filter, group, plane, weight)
    # Largest coordinate first: a reader of the table sees the coarse shape before its corrections.
    order = np.argsort(-integers, axis=-1, kind="stable")
    integers = np.take_along_axis(integers, order, -1)
    signs = np.take_along_axis(signs, order[..., None], -2)
    plane_filter, plane_group, plane = np.nonzero(integers)
    fraction = source_fraction + quantizer.coordinate_fraction
    bias = ops.convert_to_numpy(layer.quantized_bias()) if layer.use_bias else np.zeros(kernel.shape[-1])
    return {
        "channels": channels,
        "filters": kernel.shape[-1],
        "taps": taps,
        "stride": stride,
        "padding": padding,
        "kernelwise": quantizer.grouping == "kernelwise" and isinstance(layer, ALQConv1D),
        "groups": integers.shape[1],
        "plane_filter": plane_filter,
        "plane_group": plane_group,
        "coordinates": integers[plane_filter, plane_group, plane],
        "signs": signs[plane_filter, plane_group, plane],
        "bias": _integers(bias, fraction, f"{layer.name}: bias"),
        "coordinate_format": Format(quantizer.coordinate_bits, quantizer.coordinate_fraction, False),
    }


def _integers(values: np.ndarray, fraction: int, what: str) -> np.ndarray:
    scaled = np.asarray(values, np.float64) * 2.0**fraction
    if not np.array_equal(scaled, np.rint(scaled)):
        raise ValueError(f"{what} must be multiples of 2**-{fraction}: call settle(model) first")
    return scaled.astype(np.int64)


def keras_trace(model: keras.Model, network: FrozenNetwork, x: np.ndarray) -> list[np.ndarray]:
    """Outputs of the Keras model at every stage of its frozen network, as integers.

    Args: x: integers of the input format (batch, time). Returns: as FrozenNetwork.trace: int64 (batch, time, channel).
    Raises: ValueError: an output that is not a multiple of its stage's step.
    """
    kinds = (QActivation, keras.layers.MaxPooling1D, TimeSum)
    kept = [layer.output for layer in model.layers if isinstance(layer, kinds)]
    if network.plane_stages[-1].layer.output is None:
        kept.append(model.layers[-1].output)
    tapped = keras.Model(model.inputs[0], kept)
    inputs = (x * network.input_format.step).astype(np.float32)[..., None]
    outputs = []
    for value, stage in zip(tapped(inputs, training=False), network.stages, strict=True):
        values = _integers(ops.convert_to_numpy(value), stage.output_format.fraction, f"{stage.name} in Keras")
        outputs.append(values.reshape(len(x), stage.output_length, stage.output_channels))
    return outputs
