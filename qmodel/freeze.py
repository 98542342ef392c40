"""From a Keras model to the frozen network of integers, proved against Keras, and its layer outputs for parity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from keras.src.ops import numpy as keras_numpy
from qkeras import QActivation, quantized_bits, quantized_relu
from qkeras.base_quantizer import BaseQuantizer

from qmodel.alq.layers import ALQConv1D, ALQDense, SumPooling1D, TimeSum, alq_layers, kernels_on_grid
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, Format, requantise
from qmodel.frozen import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    Concatenate,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    Tensor,
)
from qmodel.frozen import TimeSum as FrozenTimeSum
from qmodel.frozen.network import output_of
from qmodel.graph import Graph, Step, graph_of

FLOAT32_EXACT = 1 << 24  # float32 holds every integer up to this magnitude
PROOF_WINDOWS = 6

# Nothing happens in them in evaluation mode.
TRANSPARENT = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.AlphaDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)

_ABSORB = "call qmodel.normalisation.absorb(model)"
_FROM_FLOAT = "make ALQ layers of it: qmodel.from_float.from_float(model)"
_LEAVE_OUT = "leave it out: the network gives logits, whose order is the same"
_ONE_DIMENSION = "networks have one dimension, time: use the 1-D layer on (time, channel)"
_RECURRENT = "recurrent layers have no frozen form: use dilated or causal convolutions"
WAYS_OUT = {
    "BatchNormalization": f"{_ABSORB}, which folds it into coordinates and biases",
    "GlobalAveragePooling1D": f"an average of steps that are no power of two: {_ABSORB}, which makes a TimeSum of it",
    "AveragePooling1D": f"an average of steps that are no power of two: {_ABSORB}, which makes a SumPooling1D of it",
    "ReLU": "use QActivation(quantized_relu(bits, integer))",
    "LeakyReLU": "use QActivation(quantized_relu(bits, integer)): activations are ReLU, or quantized_bits without one",
    "PReLU": "use QActivation(quantized_relu(bits, integer)): activations are ReLU, or quantized_bits without one",
    "ELU": "use QActivation(quantized_relu(bits, integer)): activations are ReLU, or quantized_bits without one",
    "Activation": "use QActivation(quantized_relu(bits, integer)); a softmax at the end: leave it out",
    "Softmax": _LEAVE_OUT,
    "Conv1D": _FROM_FLOAT,
    "Dense": _FROM_FLOAT,
    "DepthwiseConv1D": _FROM_FLOAT,
    "SeparableConv1D": _FROM_FLOAT,
    "QConv1D": "use ALQConv1D of qmodel.alq.layers, which keeps the coordinates of its kernel",
    "QDense": "use ALQDense of qmodel.alq.layers, which keeps the coordinates of its kernel",
    "QDepthwiseConv1D": "use ALQConv1D(groups=channels) of qmodel.alq.layers",
    "QSeparableConv1D": "use ALQConv1D(groups=channels), then ALQConv1D(filters, 1), of qmodel.alq.layers",
    "Conv1DTranspose": "there is no layer that makes more time steps: use dense layers as decoder",
    "UpSampling1D": "there is no layer that makes more time steps: use dense layers as decoder",
    "Cropping1D": "slice the windows before the network, or use valid padding",
    "GetItem": "slices have no frozen form: slice the windows before the network",
    "Multiply": "products of two tensors have no frozen form: use additions or concatenations",
    "Attention": "products of two tensors have no frozen form: use additions or concatenations",
    "MultiHeadAttention": "products of two tensors have no frozen form: use additions or concatenations",
    "LayerNormalization": "statistics of a window have no frozen form: use BatchNormalization and absorb it",
    "GroupNormalization": "statistics of a window have no frozen form: use BatchNormalization and absorb it",
    "Lambda": "its function cannot be read: use layers",
    "Embedding": "inputs are numbers on a grid, not symbols: use an ALQDense on one-hot inputs",
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN", "Bidirectional", "RNN", "ConvLSTM1D"), _RECURRENT),
    **dict.fromkeys(
        ("Conv2D", "QConv2D", "Conv3D", "DepthwiseConv2D", "SeparableConv2D", "MaxPooling2D", "AveragePooling2D"),
        _ONE_DIMENSION,
    ),
}


class Tap(NamedTuple):
    """Where Keras holds what a stage gives: the number of its tensor, zeros around it, the layer's name."""

    tensor: int
    padding: tuple[int, int]
    name: str


def freeze(
    model: keras.Model, input_format: Format = INPUT_FORMAT, metadata: Mapping[str, object] | None = None
) -> FrozenNetwork:
    """The frozen network that computes the model's evaluation mode, bit for bit; that is proved before it is returned.

    Args: model: functional or sequential, nested ones too, on an input (time, channel) or (feature,), of ALQConv1D,
        ALQDense, QActivation (quantized_relu, quantized_bits), MaxPooling1D, AveragePooling1D over a power of two,
        SumPooling1D, TimeSum, global pools, ZeroPadding1D, Add (or `a + b`), Concatenate, Flatten and what does nothing
        in evaluation mode; its weights on their grids (`qmodel.normalisation.settle`).
        metadata: what the file tells of its use (`FrozenNetwork`).
    Raises: InputError: something else, with the layer's name and what to use instead; coordinates in floating point,
        weights off their grid, sums that float32 does not hold.
    """
    network, taps, graph = _freeze(model, input_format, metadata)
    _prove(model, network, taps, graph)
    return network


@dataclass
class _Value:
    """A tensor of the Keras graph in terms of stages.

    source: stage or INPUT; tensor: what it gives; flat: Keras holds it as (batch, time * channel); padding: zeros
    around it that a later layer takes up; alone: nothing else reads it so far.
    """

    source: int
    tensor: Tensor
    flat: bool
    padding: tuple[int, int] = (0, 0)
    alone: bool = True

    @property
    def steps(self) -> int:
        """Time steps with their padding."""
        return self.tensor.length + sum(self.padding)


class _Freezer:
    """Walks a graph and collects stages."""

    def __init__(self, graph: Graph, input_format: Format) -> None:
        self.graph = graph
        self.layers: list = []
        self.sources: list[tuple[int, ...]] = []
        self.taps: list[Tap] = []
        flat = len(graph.shape) == 1
        # Features one after the other are time steps of one channel: a dense layer then is one of their taps.
        length, channels = (graph.shape[0], 1) if flat else graph.shape
        self.input = Tensor(length, channels, input_format)
        self.values = {0: _Value(INPUT, self.input, flat)}

    def stage(self, step: Step, layer: Any, *values: _Value, padding: tuple[int, int] = (0, 0)) -> _Value:
        """Append a stage that reads values."""
        tensor = output_of(layer, tuple(value.tensor for value in values))
        self.layers.append(layer)
        self.sources.append(tuple(value.source for value in values))
        self.taps.append(Tap(step.output, padding, step.name))
        return _Value(len(self.layers) - 1, tensor, len(step.shape) == 1, padding)

    def walk(self) -> None:
        """All steps."""
        for step in self.graph.steps:
            try:
                value = self.take(step, [self.values[i] for i in step.inputs])
            except InputError as error:
                said = str(error)
                raise InputError(said if said.startswith(f"{step.name}:") else f"{step.name}: {said}") from None
            if math.prod(step.shape) != value.steps * value.tensor.channels:
                raise InputError(f"{step.name}: {step.kind} gives {step.shape}, which {value} does not account for")
            value.alone = value.alone and len(self.graph.readers(step.output)) == 1
            self.values[step.output] = value
        padding = self.values[self.graph.output].padding
        if any(padding):
            raise InputError(f"padding {padding} at the end of the model has no frozen form: leave it out")

    def take(self, step: Step, values: list[_Value]) -> _Value:
        """What one step makes of its inputs."""
        operation, kind = step.operation, type(step.operation)
        policy = getattr(operation, "compute_dtype", "float32")
        if policy != "float32":
            raise InputError(
                f"computes in {policy}, whose sums are not exact: build the model under "
                "keras.config.set_dtype_policy('float32') and copy the weights"
            )
        joins = (keras.layers.Add, keras.layers.Concatenate, keras_numpy.Add, keras_numpy.Concatenate)
        if kind in joins:
            return self.join(step, values)
        if len(values) != 1:
            raise InputError(f"{step.kind} of several tensors has no frozen form{_way_out(step.kind)}")
        value = values[0]
        if kind in TRANSPARENT or (kind is keras.layers.Activation and step.operation.activation is _linear):
            return replace(value)
        if kind in (keras.layers.Flatten, keras.layers.Reshape):
            return self.reshape(step, value)
        if kind is keras.layers.ZeroPadding1D:
            left, right = (int(size) for size in operation.padding)
            return replace(value, padding=(value.padding[0] + left, value.padding[1] + right))
        if kind is QActivation:
            return self.activation(step, operation.activation, value)
        if kind in (ALQConv1D, ALQDense):
            after = self.stage(step, self.planes(operation, value), value)
            if operation.activation not in (None, _linear):
                after = self.activation(step, operation.activation, after)
            return after
        if kind in POOLS:
            return self.pool(step, value)
        raise InputError(f"{step.kind} has no frozen form{_way_out(step.kind)}")

    def join(self, step: Step, values: list[_Value]) -> _Value:
        """Addition or concatenation."""
        operation = step.operation
        addition = isinstance(operation, (keras.layers.Add, keras_numpy.Add))
        if len(values) < 2:
            raise InputError(
                f"{step.kind} with a constant has no frozen form: put it into the bias of the layer before"
            )
        if len({value.padding for value in values}) != 1:
            raise InputError("its inputs are padded differently: put the padding behind it")
        if not addition:
            axis = operation.axis
            rank = len(step.shape)
            if axis not in (-1, rank):
                raise InputError(f"concatenation must be of channels (axis -1), received axis {axis}")
            if values[0].flat and any(value.tensor.length > 1 for value in values):
                raise InputError("tensors of several time steps are concatenated behind Flatten: flatten behind it")
        shapes = {(value.steps, value.tensor.channels) for value in values}
        if addition and len(shapes) != 1:
            raise InputError(f"an addition needs inputs of one shape, received {sorted(shapes)}")
        return self.stage(step, Add() if addition else Concatenate(), *values, padding=values[0].padding)

    def reshape(self, step: Step, value: _Value) -> _Value:
        """Flatten, and the shapes of the same integers that a stage can tell."""
        if any(value.padding):
            raise InputError("padding before it has no frozen form: leave it out, or pad before the convolution")
        if getattr(step.operation, "data_format", None) == "channels_first":
            raise InputError("data_format must be channels_last, received channels_first")
        length, channels = value.tensor.length, value.tensor.channels
        if len(step.shape) == 1 or step.shape == (length, channels):
            return replace(value, flat=len(step.shape) == 1)
        if value.source == INPUT and value.alone and not self.layers and len(step.shape) == 2:
            # The frame holds the same samples in the same order.
            self.input = Tensor(*step.shape, self.input.format)
            return _Value(INPUT, self.input, False)
        raise InputError(
            f"{step.kind} from {(length, channels)} to {step.shape} has no frozen form: only Flatten, and reshaping "
            "the input, keep what a time step is"
        )

    def activation(self, step: Step, quantizer: BaseQuantizer, value: _Value) -> _Value:
        """Requantisation: of the layer before where nothing else reads that, else a stage of its own."""
        form = activation_format(quantizer, step.name)
        layer = self.layers[value.source] if value.source != INPUT else None
        if isinstance(layer, PlaneLayer) and layer.output is None and value.alone:
            self.layers[value.source] = replace(layer, output=form)
            self.taps[value.source] = Tap(step.output, value.padding, step.name)
            return replace(value, tensor=value.tensor._replace(format=form), flat=len(step.shape) == 1)
        return self.stage(step, Activation(form), value, padding=value.padding)

    def pool(self, step: Step, value: _Value) -> _Value:
        """Pools and sums over time."""
        operation, kind = step.operation, type(step.operation)
        if getattr(operation, "data_format", "channels_last") == "channels_first":
            raise InputError("data_format must be channels_last, received channels_first")
        left, right = value.padding
        whole = value.steps
        if kind is TimeSum:
            return self.stage(step, FrozenTimeSum(), value)  # zeros around it add nothing
        if kind in (keras.layers.GlobalAveragePooling1D, keras.layers.GlobalMaxPooling1D):
            size, stride = whole, whole
        elif kind is SumPooling1D:
            size, stride = operation.pool_size, operation.strides
        else:
            size, stride = int(operation.pool_size[0]), int(operation.strides[0])
        if getattr(operation, "padding", "valid") == "same":
            more = _same(whole, size, stride)
            if any(more) and kind is keras.layers.AveragePooling1D:
                raise InputError(
                    "an average with padding 'same' divides by another number at the ends: put ZeroPadding1D"
                    f"({more}) before it and use padding 'valid'"
                )
            left, right = left + more[0], right + more[1]
        if kind in (keras.layers.MaxPooling1D, keras.layers.GlobalMaxPooling1D):
            if any(value.padding) and value.tensor.format.signed:
                raise InputError("zeros before a maximum of signed values have no frozen form: use padding='same'")
            return self.stage(step, MaxPool(size, stride, (left, right)), value)
        shift = 0
        if kind is not SumPooling1D:
            shift = size.bit_length() - 1
            if size != 1 << shift:
                raise InputError(f"{step.kind} over {size} steps has no frozen form{_way_out(step.kind)}")
        return self.stage(step, AveragePool(size, stride, (left, right), shift), value)

    def planes(self, layer: Any, value: _Value) -> PlaneLayer:
        """The plane layer of an ALQ layer, without its activation."""
        quantizer = layer.quantizer
        if quantizer.coordinate_bits is None or quantizer.coordinate_fraction is None:
            raise InputError(
                f"coordinates must be fixed point with a set fraction, received {quantizer}: {_ABSORB}, which sets it"
            )
        kernel = ops.convert_to_numpy(layer.kernel)
        left, right = value.padding
        channels, taps, stride, dilation, runs = value.tensor.channels, 1, 1, 1, 1
        if isinstance(layer, ALQConv1D):
            taps, stride, dilation, runs = kernel.shape[0], layer.strides[0], layer.dilation_rate[0], layer.groups
            span = (taps - 1) * dilation + 1
            more = {"valid": (0, 0), "causal": (span - 1, 0), "same": _same(value.steps, span, stride)}[layer.padding]
            left, right = left + more[0], right + more[1]
        elif value.flat:
            taps = value.tensor.length
            if left or right:
                raise InputError("padding before a dense layer has no frozen form: leave it out")
        coordinates = ops.convert_to_numpy(layer.coordinates)
        if not np.array_equal(kernel, ops.convert_to_numpy(layer.quantized_kernel())):
            raise InputError(
                "the kernel is not on the grid of its coordinates: call qmodel.normalisation.settle(model) first"
            )
        integers = _integers(coordinates, quantizer.coordinate_fraction, "coordinates")
        signs = ops.convert_to_numpy(quantizer.signs(kernel, coordinates)) > 0  # (filter, group, plane, weight)
        # Largest coordinate first: a reader of the table sees the coarse shape before its corrections.
        order = np.argsort(-integers, axis=-1, kind="stable")
        integers = np.take_along_axis(integers, order, -1)
        signs = np.take_along_axis(signs, order[..., None], -2)
        plane_filter, plane_group, plane = np.nonzero(integers)
        source = value.tensor.format
        fraction = source.fraction + quantizer.coordinate_fraction
        bias = ops.convert_to_numpy(layer.quantized_bias()) if layer.use_bias else np.zeros(kernel.shape[-1])
        frozen = PlaneLayer(
            channels=channels,
            filters=kernel.shape[-1],
            taps=taps,
            stride=stride,
            padding=(left, right),
            kernelwise=quantizer.grouping == "kernelwise" and isinstance(layer, ALQConv1D),
            groups=integers.shape[1],
            plane_filter=plane_filter,
            plane_group=plane_group,
            coordinates=integers[plane_filter, plane_group, plane],
            signs=signs[plane_filter, plane_group, plane],
            bias=_integers(bias, fraction, "bias"),
            coordinate_format=Format(quantizer.coordinate_bits, quantizer.coordinate_fraction, False),
            output=None,
            dilation=dilation,
            channel_groups=runs,
        )
        # Keras multiplies by whole weights, so no sum of products, in whatever order, is larger than this.
        largest = np.abs(frozen.weights).sum((0, 1)) * max(-source.low, source.high) + np.abs(frozen.bias)
        if largest.max() > FLOAT32_EXACT:
            raise InputError(
                f"{frozen.filters} filters of {frozen.taps} taps have sums up to {largest.max()}; Keras adds exactly "
                f"up to {FLOAT32_EXACT}: put QActivation(quantized_bits(bits, integer, alpha=1)) before it, or use "
                "fewer coordinate or activation bits"
            )
        return frozen


_linear = keras.activations.linear
POOLS = (
    TimeSum,
    SumPooling1D,
    keras.layers.MaxPooling1D,
    keras.layers.AveragePooling1D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalAveragePooling1D,
)


def _way_out(kind: str) -> str:
    return (
        f": {WAYS_OUT[kind]}" if kind in WAYS_OUT else f"; docs/networks.md lists what has, and {_ABSORB} for the rest"
    )


def _same(steps: int, size: int, stride: int) -> tuple[int, int]:
    """Zeros left and right that Keras' padding 'same' adds."""
    total = max(0, (-(-steps // stride) - 1) * stride + size - steps)
    return total // 2, total - total // 2


def activation_format(quantizer: BaseQuantizer, name: str) -> Format:
    """Format of a QKeras activation, tried on its whole range.

    Raises: InputError: no quantized_relu or quantized_bits, or one that does something else than to round and saturate.
    """
    if isinstance(quantizer, quantized_relu):
        form = Format(int(quantizer.bits), int(quantizer.bits) - int(quantizer.integer), False)
    elif isinstance(quantizer, quantized_bits) and quantizer.alpha in (None, 1):
        keep = bool(quantizer.keep_negative)
        form = Format(int(quantizer.bits), int(quantizer.bits) - int(quantizer.integer) - keep, keep)
    else:
        said = getattr(quantizer, "__name__", quantizer)
        raise InputError(
            f"{name}: activations must be quantized_relu(bits, integer) or quantized_bits(bits, integer, alpha=1), "
            f"received {said}"
        )
    if form.bits > 16:
        raise InputError(f"{name}: activations have at most 16 bits, received {form.bits}")
    # Every boundary between two levels, ties too, and beyond both ends.
    eighths = np.arange((form.low - 3) * 8, (form.high + 3) * 8 + 1)
    given = ops.convert_to_numpy(quantizer(ops.convert_to_tensor((eighths * form.step / 8).astype(np.float32))))
    wanted = requantise(eighths, form.fraction + 3, form) * form.step
    wrong = np.flatnonzero(given != wanted)
    if len(wrong):
        at = wrong[len(wrong) // 2]
        raise InputError(
            f"{name}: {quantizer} must round half to even to multiples of {form.step:g} and saturate at "
            f"{form.low * form.step:g} and {form.high * form.step:g}; of {eighths[at] * form.step / 8:g} it makes "
            f"{given[at]:g}: leave out relu_upper_bound, slopes, sigmoids and symmetric ranges"
        )
    return form


def _integers(values: np.ndarray, fraction: int, what: str) -> np.ndarray:
    scaled = np.asarray(values, np.float64) * 2.0**fraction
    if not np.array_equal(scaled, np.rint(scaled)):
        raise InputError(f"{what} must be multiples of 2**-{fraction}: call qmodel.normalisation.settle(model) first")
    return scaled.astype(np.int64)


def _freeze(
    model: keras.Model, input_format: Format, metadata: Mapping[str, object] | None
) -> tuple[FrozenNetwork, list[Tap], Graph]:
    graph = graph_of(model)
    freezer = _Freezer(graph, input_format)
    freezer.walk()
    start = freezer.input
    network = FrozenNetwork(
        start.length, input_format, tuple(freezer.layers), start.channels, tuple(freezer.sources), metadata
    )
    for stage, tap in zip(network.stages, freezer.taps):
        largest = max(-stage.output_format.low, stage.output_format.high)
        if not isinstance(stage.layer, PlaneLayer) and largest > FLOAT32_EXACT:
            raise InputError(
                f"{tap.name}: its sums need {stage.output_format.bits} bits; Keras adds exactly up to {FLOAT32_EXACT}: "
                "put a QActivation before it, or use fewer bits"
            )
    return network, freezer.taps, graph


def _trace(network: FrozenNetwork, taps: list[Tap], graph: Graph, x: np.ndarray) -> tuple[list[np.ndarray], object]:
    """Integers of every stage in Keras, and what its graph gives in the end."""
    inputs = (network.frames(x) * network.input_format.step).astype(np.float32).reshape(len(x), *graph.shape)
    with kernels_on_grid([step.operation for step in graph.steps if isinstance(step.operation, (ALQConv1D, ALQDense))]):
        values = graph.run(inputs)
    outputs = []
    for stage, tap in zip(network.stages, taps):
        left, right = tap.padding
        shape = (len(x), stage.output_length + left + right, stage.output_channels)
        held = ops.convert_to_numpy(values[tap.tensor]).reshape(shape)
        what = f"{tap.name} ({stage.name} in the frozen network): outputs in Keras"
        outputs.append(_integers(held[:, left : shape[1] - right], stage.output_format.fraction, what))
    return outputs, values[graph.output]


def proof_windows(network: FrozenNetwork, windows: int = PROOF_WINDOWS) -> np.ndarray:
    """Input integers (window, time, channel): all lowest, all highest, both by turns and at random, then noise."""
    low, high = network.input_format.low, network.input_format.high
    random = np.random.default_rng(0)
    x = random.integers(low, high + 1, (windows, network.input_length, network.input_channels))
    x[0], x[1] = low, high
    x[2] = np.where(np.arange(network.input_length) % 2, low, high)[:, None]
    x[3] = random.choice([low, high], x[3].shape)
    return x


def _prove(model: keras.Model, network: FrozenNetwork, taps: list[Tap], graph: Graph) -> None:
    """Compare Keras in evaluation mode with the golden model. Raises: InputError: the first stage that differs."""
    x = proof_windows(network)
    stages, whole = _trace(network, taps, graph, x)
    for stage, tap, ours, theirs in zip(network.stages, taps, network.trace(x), stages):
        wrong = np.argwhere(ours != theirs)
        if len(wrong):
            window, step, channel = map(int, wrong[0])
            raise InputError(
                f"{tap.name}: Keras and the frozen network ({stage.name}) differ in {len(wrong)} of {ours.size} "
                f"values, first at time step {step}, channel {channel}: {theirs[window, step, channel]} and "
                f"{ours[window, step, channel]} steps of {stage.output_format.step:g}. Please report this model"
            )
    inputs = (x * network.input_format.step).astype(np.float32).reshape(len(x), *graph.shape)
    with kernels_on_grid(alq_layers(model)):
        given = ops.convert_to_numpy(model(inputs, training=False))
    if not np.array_equal(given, ops.convert_to_numpy(whole)):
        raise InputError(
            f"{model.name}: the model gives something else than its graph of layers does: its call is overridden, so "
            "it cannot be followed; write it with the functional API"
        )


def keras_tracer(model: keras.Model, network: FrozenNetwork) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function that gives the Keras model's outputs at every stage of its frozen network, as integers.

    It takes integers of the input format (batch, time[, channel]) and returns what FrozenNetwork.trace does.
    Raises: InputError: a model of another network; later: an output that is not a multiple of its stage's step.
    """
    own, taps, graph = _freeze(model, network.input_format, network.metadata)
    if own.identity != network.identity:
        raise InputError(f"{model.name} is not the model of the network {network.identity[:12]}: freeze it again")
    return lambda x: _trace(network, taps, graph, x)[0]


def keras_trace(model: keras.Model, network: FrozenNetwork, x: np.ndarray) -> list[np.ndarray]:
    """`keras_tracer(model, network)(x)`; take the tracer for more than one call."""
    return keras_tracer(model, network)(x)
