"""QKeras layers whose kernel is quantised by `alq` and which keep the coordinates as weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from keras.saving import register_keras_serializable
from qkeras import QConv1D, QDense
from qkeras.quantizers import get_quantizer

from qmodel.alq import basis
from qmodel.alq.quantizer import PACKAGE, alq
from qmodel.arrays import Array
from qmodel.errors import InputError

if TYPE_CHECKING:  # it is always mixed into a layer of QKeras
    from qkeras import QConv1D as _Mixed
else:
    _Mixed = object


class _Told(keras.Variable):
    """A variable whose layer is told when it is assigned by hand, not by a compiled training step."""

    tell: Callable[[], None]

    def assign(self, value: Any) -> Any:
        """Assign and tell."""
        assigned = super().assign(value)
        if tf.executing_eagerly():
            self.tell()
        return assigned


class ALQLayer(_Mixed):
    """Keeps `coordinates`, shape (filter, group, plane), non-negative; a pruned plane has coordinate 0.

    A kernel that is assigned by hand gets coordinates of its own, as at build, unless these were trained or pruned
    since they were fitted: then the layer refuses to compute until it is said what to keep (`check_planes`).
    """

    def __init__(
        self,
        *args: Any,
        kernel_quantizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        quantizer = get_quantizer(kernel_quantizer) if kernel_quantizer is not None else alq()
        if not isinstance(quantizer, alq):
            raise InputError(f"{type(self).__name__} needs an `alq` kernel quantizer, received {quantizer}")
        super().__init__(*args, kernel_quantizer=quantizer, **kwargs)
        if getattr(self, "data_format", None) == "channels_first":
            raise InputError(
                f"{self.name}: data_format must be channels_last, received channels_first: permute the input instead"
            )
        # QKeras clips weights to [-1, 1] by default; coordinates adapt to the kernel, so nothing is clipped here.
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        # Set by a trainer that itself keeps the kernel on the grid: the forward pass then takes it as it is.
        self.kernel_on_grid = False
        self._fitted = np.empty(0)  # coordinates as last fitted to the kernel
        self._left: np.ndarray | None = None  # trained coordinates whose kernel was then assigned by hand
        self._setting = False  # kernel and coordinates are being set together

    @property
    def quantizer(self) -> alq:
        """The kernel's quantizer."""
        return self.kernel_quantizer_internal

    def build(self, input_shape: tuple) -> None:
        super().build(input_shape)
        kernel_shape = tuple(self.kernel.shape)
        self.coordinates = self.add_weight(
            name="coordinates",
            shape=(kernel_shape[-1], self.quantizer.groups(kernel_shape), self.quantizer.bits),
            initializer=lambda shape, dtype=None: self.quantizer.sketch(keras.ops.convert_to_tensor(self.kernel)),
            constraint=keras.constraints.NonNeg(),
        )
        self._remember()
        for variable, tell in ((self.kernel, self._follow), (self.coordinates, self._keep)):
            variable.__class__ = _Told
            variable.tell = tell

    def sketch(self) -> None:
        """Fit the coordinates to the present kernel and move the kernel onto their grid."""
        coordinates = self.quantizer.round_coordinates(self.quantizer.sketch(self.kernel.value))
        self.set_planes(self.quantizer.signs(self.kernel.value, coordinates), coordinates)
        if tf.executing_eagerly():
            self._remember()

    def set_planes(self, signs: Array, coordinates: Array) -> None:
        """Set the coordinates (filter, group, plane), rounded, and the kernel to what they and the signs give."""
        rounded = self.quantizer.round_coordinates(coordinates)
        weights = basis.reconstruct(signs, rounded)
        with self._together():
            self.coordinates.assign(rounded)
            self.kernel.assign(basis.from_groups(weights, tuple(self.kernel.shape), self.quantizer.grouping))

    def _remember(self) -> None:
        """Hold the coordinates as those that were fitted to the kernel."""
        self._fitted = keras.ops.convert_to_numpy(self.coordinates)

    def _follow(self) -> None:
        """The kernel was assigned by hand: fit the coordinates anew, or hold against them that they were trained."""
        if self._setting or self._given():
            return
        coordinates = keras.ops.convert_to_numpy(self.coordinates)
        if np.array_equal(coordinates, self._fitted):
            self.coordinates.assign(self.quantizer.sketch(self.kernel.value))
            self._remember()
        else:
            self._left = coordinates

    def _keep(self) -> None:
        """The coordinates were assigned by hand: they are meant for the kernel as it is."""
        self._left = None

    @contextmanager
    def _together(self) -> Iterator[None]:
        """Inside, kernel and coordinates are set together, so neither follows the other."""
        self._setting, before = True, self._setting
        try:
            yield
        finally:
            self._setting, self._left = before, None

    def _given(self) -> bool:
        """Whether the kernel is one that the coordinates give."""
        kernel = keras.ops.convert_to_numpy(self.kernel)
        return np.array_equal(kernel, keras.ops.convert_to_numpy(self.quantizer(kernel, self.coordinates.value)))

    def check_planes(self) -> None:
        """Nothing, if the planes are those of the kernel.

        Raises: InputError: the kernel was assigned by hand behind trained or pruned coordinates, which do not give it.
        """
        if self._left is None:
            return
        with tf.init_scope():  # what the variables hold, also while a model is being compiled
            coordinates = keras.ops.convert_to_numpy(self.coordinates)
            if np.array_equal(coordinates, self._left) and not self._given():
                raise InputError(
                    f"{self.name}: its kernel was assigned by hand after its coordinates were trained or pruned: call "
                    "its sketch() to fit new ones, or layer.coordinates.assign(layer.coordinates) to keep these"
                )
        self._left = None

    def quantized_kernel(self) -> Array:
        """The kernel that the forward pass uses, on the grid of the coordinates. Raises: as `check_planes`."""
        if self.kernel_on_grid:
            return keras.ops.convert_to_tensor(self.kernel)
        self.check_planes()
        return self.quantizer(self.kernel, self.coordinates)

    def quantized_bias(self) -> Array | None:
        """The bias that the forward pass uses; None without one."""
        if not self.use_bias:
            return None
        return (
            self.bias_quantizer_internal(self.bias) if self.bias_quantizer else keras.ops.convert_to_tensor(self.bias)
        )

    def save_own_variables(self, store: Any) -> None:
        # Keras' convolution and dense layers store kernel and bias alone.
        keras.layers.Layer.save_own_variables(self, store)

    def load_own_variables(self, store: Any) -> None:
        with self._together():
            if len(store.keys()) != len(self.weights) - 1:
                keras.layers.Layer.load_own_variables(self, store)
                return
            # Of a layer in floating point: its kernel has no planes yet.
            self.kernel.assign(store["0"])
            if self.use_bias:
                self.bias.assign(store["1"])
            self.sketch()

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Kernel, bias, coordinates; without the coordinates (of a layer in floating point) they are sketched."""
        with self._together():
            if len(weights) != len(self.weights) - 1:
                super().set_weights(weights)
                return
            self.kernel.assign(weights[0])
            if self.use_bias:
                self.bias.assign(weights[1])
            self.sketch()

    def call(self, inputs: Array) -> Array:
        outputs = self._product(inputs, keras.ops.cast(self.quantized_kernel(), inputs.dtype))
        if self.use_bias:
            outputs = outputs + keras.ops.cast(self.quantized_bias(), outputs.dtype)
        return self.activation(outputs) if self.activation is not None else outputs


@register_keras_serializable(package=PACKAGE)
class ALQConv1D(ALQLayer, QConv1D):
    """`QConv1D` with an `alq` kernel and coordinates of its own.

    Args: as QConv1D, padding may be causal; groups: of channels, as many as channels make it depthwise;
        kernel_quantizer: an `alq` (default two planes, channelwise).
    Input shape: (batch, time, channel). Output shape: (batch, time, filter).
    Raises: InputError: another kernel quantizer, channels first.
    Example: `ALQConv1D(8, 16, strides=2, kernel_quantizer=alq(bits=3))`
    """

    def _product(self, inputs: Array, kernel: Array) -> Array:
        padding = self.padding
        if padding == "causal":
            left = (self.kernel_size[0] - 1) * self.dilation_rate[0]
            inputs, padding = keras.ops.pad(inputs, ((0, 0), (left, 0), (0, 0))), "valid"
        return keras.ops.conv(inputs, kernel, self.strides[0], padding, None, self.dilation_rate[0])


@register_keras_serializable(package=PACKAGE)
class ALQDense(ALQLayer, QDense):
    """`QDense` with an `alq` kernel and coordinates of its own.

    Args: as QDense; kernel_quantizer: an `alq` (default two planes, channelwise = one group per unit).
    Input shape: (batch, ..., input). Output shape: (batch, ..., unit).
    Raises: InputError: another kernel quantizer.
    Example: `ALQDense(17, kernel_quantizer=alq(bits=2, grouping="subchannels", subchannels=4))`
    """

    def _product(self, inputs: Array, kernel: Array) -> Array:
        return keras.ops.matmul(inputs, kernel)


@register_keras_serializable(package=PACKAGE)
class TimeSum(keras.layers.Layer):
    """Sum over time: global average pooling whose division the next layer's coordinates absorb.

    Input shape: (batch, time, channel). Output shape: (batch, channel).
    """

    def call(self, inputs: Array) -> Array:
        return keras.ops.sum(inputs, axis=1)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], input_shape[2])


@register_keras_serializable(package=PACKAGE)
class SumPooling1D(keras.layers.Layer):
    """Sum over windows of time: average pooling whose division the next layer's coordinates absorb.

    Args: pool_size: time steps of a window; strides: between two of them, default `pool_size`.
    Input shape: (batch, time, channel). Output shape: (batch, window, channel); an unfinished window is dropped.
    """

    def __init__(self, pool_size: int, strides: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides = int(pool_size), int(strides or pool_size)

    def call(self, inputs: Array) -> Array:
        steps = (inputs.shape[1] - self.pool_size) // self.strides + 1
        last = (steps - 1) * self.strides + 1
        return sum(inputs[:, i : i + last : self.strides] for i in range(self.pool_size))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        return (input_shape[0], (input_shape[1] - self.pool_size) // self.strides + 1, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size, "strides": self.strides}


def alq_layers(model: keras.Model) -> list[ALQLayer]:
    """The ALQ layers of a model in its order, those of nested models included."""
    return [layer for layer in model._flatten_layers() if isinstance(layer, ALQLayer)]


@contextmanager
def kernels_on_grid(layers: Iterable[ALQLayer]) -> Iterator[None]:
    """Inside, the layers take their kernels as they are: for who knows that they lie on their grids."""
    layers = list(layers)
    before = [layer.kernel_on_grid for layer in layers]
    for layer in layers:
        layer.kernel_on_grid = True
    try:
        yield
    finally:
        for layer, value in zip(layers, before):
            layer.kernel_on_grid = value
