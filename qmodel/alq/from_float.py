"""From a trained Keras model in floating point to one of ALQ layers and QKeras activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from qkeras import QActivation, quantized_bits, quantized_relu
from qkeras.base_quantizer import BaseQuantizer

from qmodel.alq.layers import ALQConv1D, ALQDense
from qmodel.alq.quantizer import alq
from qmodel.arrays import Array
from qmodel.errors import InputError
from qmodel.graph import Step
from qmodel.rebuild import Rebuild

_SHARED = ("padding", "dilation_rate", "strides", "use_bias", "kernel_initializer", "kernel_regularizer",
           "bias_regularizer", "activity_regularizer")  # fmt: skip


def from_float(
    model: keras.Model,
    bits: int = 2,
    grouping: str = "channelwise",
    activation_bits: int = 6,
    activation_integer: int = 2,
    weight_quantizer: Callable[[str], alq] | None = None,
) -> keras.Model:
    """The model with ALQ kernels, sketched from its own, and quantised ReLUs: what `ALQTrainer` or `fit` trains on.

    Conv1D, DepthwiseConv1D, SeparableConv1D and Dense become ALQ layers, ReLUs (layers or `activation="relu"`) become
    QActivation(quantized_relu). Between the two convolutions of a separable one comes a QActivation(quantized_bits) of
    two bits more, saturating at +-2**activation_integer. A softmax at the end is left out, so that the model gives
    logits. All else stays, with its weights; `qmodel.normalisation.absorb` takes up normalisations and averages
    afterwards.
    Args: model: functional or sequential; bits, grouping: of the kernels (dense ones are channelwise where the grouping
        is of taps); activation_bits, activation_integer: of the ReLUs, which saturate at 2**activation_integer;
        weight_quantizer: layer name -> quantizer, in place of bits and grouping.
    Raises: InputError: an activation that is no ReLU.
    """
    relu = quantized_relu(activation_bits, activation_integer)
    return _FromFloat(model, bits, grouping, relu, weight_quantizer).build()


class _FromFloat(Rebuild):
    def __init__(
        self,
        model: keras.Model,
        bits: int,
        grouping: str,
        relu: BaseQuantizer,
        weight_quantizer: Callable[[str], BaseQuantizer] | None,
    ) -> None:
        super().__init__(model)
        self.bits, self.grouping, self.relu, self.weight_quantizer = bits, grouping, relu, weight_quantizer

    def quantizer(self, name: str, dense: bool) -> alq:
        if self.weight_quantizer is not None:
            return self.weight_quantizer(name)
        of_taps = self.grouping in ("pixelwise", "kernelwise")
        return alq(self.bits, "channelwise" if dense and of_taps else self.grouping)

    def take(self, step: Step, held: list) -> Array:
        layer, kind = step.operation, type(step.operation)
        if kind is keras.layers.ReLU or kind in (keras.layers.Activation, keras.layers.Softmax):
            return self.activated(step, held[0], getattr(layer, "activation", None), kind)
        made = {
            keras.layers.Conv1D: self.convolution,
            keras.layers.Dense: self.dense,
            keras.layers.DepthwiseConv1D: self.depthwise,
            keras.layers.SeparableConv1D: self.separable,
        }.get(kind)
        if made is None:
            return self.clone(step, held)
        return self.activated(step, made(step, held[0]), layer.activation, kind)

    def activated(self, step: Step, tensor: Array, activation: Any, kind: type) -> Array:
        """The activation of a layer, or that is the layer."""
        layer = step.operation
        if kind is keras.layers.ReLU:
            if float(layer.negative_slope) or float(layer.threshold):
                raise InputError(f"{step.name}: a ReLU has no slope or threshold here: use keras.layers.ReLU()")
            activation = keras.activations.relu
        elif kind is keras.layers.Softmax:
            activation = keras.activations.softmax
        if activation in (None, keras.activations.linear):
            return tensor
        if activation is keras.activations.softmax and step.output == self.graph.output:
            return tensor
        if activation not in (keras.activations.relu, keras.activations.relu6):
            raise InputError(
                f"{step.name}: the activation {getattr(activation, '__name__', activation)} has no frozen form: use "
                "relu; a sigmoid or tanh at the end: leave it out and train on the logits"
            )
        own = kind in (keras.layers.ReLU, keras.layers.Activation)
        return QActivation(self.relu, name=self.name(step.name if own else f"{step.name}_relu"))(tensor)

    def place(
        self, name: str, layer: keras.layers.Layer, tensor: Array, kernel: np.ndarray, bias: Array | None
    ) -> Array:
        """Call a new ALQ layer and sketch its kernel."""
        output = layer(tensor)
        layer.set_weights([kernel] if bias is None else [kernel, ops.convert_to_numpy(bias)])
        return output

    def shared(self, layer: keras.layers.Layer) -> dict:
        config = layer.get_config()
        return {key: config[key] for key in _SHARED if key in config}

    def convolution(self, step: Step, tensor: Array) -> Array:
        layer = step.operation
        new = ALQConv1D(
            layer.filters, layer.kernel_size[0], groups=layer.groups, name=self.name(step.name),
            kernel_quantizer=self.quantizer(step.name, False), data_format=layer.data_format, **self.shared(layer),
        )  # fmt: skip
        return self.place(step.name, new, tensor, ops.convert_to_numpy(layer.kernel), layer.bias)

    def dense(self, step: Step, tensor: Array) -> Array:
        layer = step.operation
        new = ALQDense(
            layer.units, name=self.name(step.name), kernel_quantizer=self.quantizer(step.name, True),
            **self.shared(layer),
        )  # fmt: skip
        return self.place(step.name, new, tensor, ops.convert_to_numpy(layer.kernel), layer.bias)

    def depthwise(self, step: Step, tensor: Array, name: str | None = None, bias: bool = True) -> Array:
        layer = step.operation
        name, channels = name or step.name, tensor.shape[-1]
        # Keras' kernel is (tap, channel, multiplier), and so is the order of its outputs.
        kernel = ops.convert_to_numpy(layer.kernel if hasattr(layer, "kernel") else layer.depthwise_kernel)
        kernel = kernel.reshape(kernel.shape[0], 1, -1)
        new = ALQConv1D(
            kernel.shape[-1], kernel.shape[0], strides=layer.strides[0], padding=layer.padding,
            dilation_rate=layer.dilation_rate[0], groups=channels, use_bias=bias and layer.use_bias,
            data_format=layer.data_format, name=self.name(name), kernel_quantizer=self.quantizer(name, False),
        )  # fmt: skip
        return self.place(name, new, tensor, kernel, layer.bias if bias and layer.use_bias else None)

    def separable(self, step: Step, tensor: Array) -> Array:
        layer = step.operation
        tensor = self.depthwise(step, tensor, f"{step.name}_depthwise", bias=False)
        # Without it the sums of the second product need more bits than float32 holds.
        between = quantized_bits(self.relu.bits + 2, self.relu.integer, alpha=1.0)
        tensor = QActivation(between, name=self.name(f"{step.name}_between"))(tensor)
        kernel = ops.convert_to_numpy(layer.pointwise_kernel)
        new = ALQConv1D(
            layer.filters, 1, use_bias=layer.use_bias, name=self.name(step.name),
            kernel_quantizer=self.quantizer(step.name, False),
        )  # fmt: skip
        return self.place(step.name, new, tensor, kernel, layer.bias)
