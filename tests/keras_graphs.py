"""Random Keras models of supported layers, for property-based tests of everything from Keras to the core."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers
from qkeras import QActivation, quantized_bits, quantized_relu

from qmodel.alq.layers import ALQConv1D, ALQDense, SumPooling1D, TimeSum, alq_layers
from qmodel.alq.quantizer import alq
from qmodel.normalisation import settle

GROUPINGS = ("channelwise", "pixelwise", "kernelwise")


def keras_graph(seed, most_layers=4, most_channels=4):
    """A functional model with branches, on grids, with random weights: inputs (batch, time, channel) of one to three
    channels; ends in logits, one vector or one per time step.

    Not a strategy of hypothesis itself: Keras' layers draw from Python's generator, which strategies may not.
    """
    random = np.random.default_rng(seed)

    def integers(low, high):
        return int(random.integers(low, high + 1))

    def one_of(values):
        return values[integers(0, len(values) - 1)]

    start = keras.Input((integers(6, 14), integers(1, 3)))
    tensors, read = [start], set()

    def quantizer(grouping="channelwise"):
        return alq(integers(1, 2), grouping, coordinate_bits=5, coordinate_fraction=4)

    def taken(number):
        read.add(number)
        return tensors[number]

    def activation():
        if random.random() < 0.5:
            return QActivation(quantized_relu(integers(2, 5), 2))
        return QActivation(quantized_bits(integers(3, 5), 2, alpha=1))

    for _ in range(integers(1, most_layers)):
        number = integers(0, len(tensors) - 1)
        steps, channels = tensors[number].shape[1:]
        kind = one_of(["conv", "conv", "maximum", "average", "sum", "join"])
        if kind == "conv":
            groups = one_of([g for g in range(1, channels + 1) if channels % g == 0])
            stride = integers(1, 2)
            dilation = integers(1, 2) if stride == 1 else 1
            taps = integers(1, min(3, max(1, (steps - 1) // dilation)))
            layer = ALQConv1D(
                groups * integers(1, max(1, most_channels // groups)), taps, strides=stride,
                padding=one_of(["valid", "same", "causal"]), dilation_rate=dilation, groups=groups,
                kernel_quantizer=quantizer(one_of(GROUPINGS)), use_bias=random.random() < 0.5,
            )  # fmt: skip
            made = activation()(layer(taken(number)))
        elif kind == "join":
            alike = [i for i, t in enumerate(tensors) if t.shape[1] == steps]
            other = one_of(alike)
            same = tensors[other].shape[-1] == channels
            if not same and channels + tensors[other].shape[-1] > 2 * most_channels:
                continue
            both = [taken(number), taken(other)]
            adds = same and random.random() < 0.5
            made = activation()(layers.Add()(both) if adds else layers.Concatenate()(both))
        else:
            size = one_of([s for s in (2, 3, 4) if s <= steps] or [1])
            if size == 1 or (kind == "average" and size == 3):
                continue
            stride = integers(1, size)
            if kind == "maximum":
                padding = one_of(["valid", "same"])
                made = layers.MaxPooling1D(size, stride, padding=padding)(taken(number))
            elif kind == "average":
                made = activation()(layers.AveragePooling1D(size, stride)(taken(number)))
            else:
                made = activation()(SumPooling1D(size, stride)(taken(number)))
        tensors.append(made)
    loose = [t for i, t in enumerate(tensors) if i not in read] or [tensors[-1]]
    if len(loose) == 1 and random.random() < 0.5:
        end = ALQDense(integers(1, 3), kernel_quantizer=quantizer())(loose[0])  # on every time step
    else:
        heads = [one_of([TimeSum, layers.GlobalMaxPooling1D])()(t) for t in loose]
        joined = heads[0] if len(heads) == 1 else layers.Concatenate()(heads)
        end = ALQDense(integers(1, 3), kernel_quantizer=quantizer())(joined)
    return on_grids(keras.Model(start, end), random)


def on_grids(model, random):
    """The model itself, with random weights and biases on their grids."""
    for layer in alq_layers(model):
        layer.kernel.assign(random.normal(0, 0.5, layer.kernel.shape))
        layer.sketch()
        if layer.use_bias:
            layer.bias.assign(random.normal(0, 1, layer.bias.shape))
    settle(model)
    return model
