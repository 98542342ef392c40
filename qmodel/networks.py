"""The networks, each in two stages that share their layer names.

`float`   convolution, batch normalisation, ReLU, pool in floating point
`alq`     the same with ALQ kernels and QKeras activations; batch normalisation still there
`qmodel.normalisation.absorb` makes what is frozen of the second. A baseline with any other QKeras weight quantizer is
`build(..., "alq", weight_quantizer=...)`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import keras
from qkeras import QActivation, QConv1D, QDense, quantized_relu

from qmodel.alq.layers import ALQConv1D, ALQDense
from qmodel.alq.quantizer import alq
from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES

if TYPE_CHECKING:
    from qmodel.recipe import Recipe
    from qmodel.training_data import TrainingSet

STAGES = ("float", "alq")
# Activations follow a normalisation and seldom reach 4. A float network needs 8, but one trained with [0, 8) at half
# the resolution told two windows of 100 fewer than with [0, 4), on each of two validation folds.
ACTIVATION_INTEGER_BITS = 2


@dataclass(frozen=True)
class Block:
    """Convolution, normalisation, ReLU and max pool; sizes in time steps, padding on each side, no pool if 1.

    dilation: time steps between two taps.
    """

    filters: int
    taps: int
    stride: int
    padding: tuple[int, int]
    pool: int
    pool_stride: int
    dilation: int = 1


@dataclass(frozen=True)
class Network:
    """Blocks on a window, then either flatten or average over time, dense layers with ReLU, logits.

    per_step: the logits are those of every time step: a convolution of one tap in place of what follows the blocks.
    """

    blocks: tuple[Block, ...]
    average: bool
    hidden: tuple[int, ...]
    classes: int = 17
    input_length: int = WINDOW_SAMPLES
    dropout: float = 0.2
    per_step: bool = False
    channels: int = 1


def same(filters: int, taps: int, stride: int, pool: int, dilation: int = 1) -> Block:
    """A block whose padding keeps the length (divided by the stride); pools do not overlap."""
    total = (taps - 1) * dilation + 1 - stride
    return Block(filters, taps, stride, (total // 2, total - total // 2), pool, pool, dilation)


def stream(*contexts: Block, outputs: int) -> Network:
    """A network that answers every time step of 24 samples (67 ms): two blocks on a beat's shape, then contexts."""
    front = (same(8, 16, 2, 4), same(16, 7, 1, 3))
    return Network((*front, *contexts), average=False, hidden=(), classes=outputs, dropout=0.0, per_step=True)


NETWORKS = {
    # Sun et al., ICAICE 2021 (arXiv 2202.12943), Table 1.
    "paper": Network(
        blocks=(
            Block(8, 16, 2, (7, 7), 8, 4),
            Block(12, 12, 2, (5, 5), 4, 2),
            Block(32, 9, 1, (4, 4), 5, 2),
            Block(64, 7, 1, (3, 3), 4, 2),
            Block(64, 5, 1, (2, 2), 2, 2),
            Block(64, 3, 1, (1, 1), 2, 2),
            Block(72, 3, 1, (1, 1), 2, 2),
        ),
        average=False,
        hidden=(64,),
    ),
    # Sized for a stream of one sample per cycle: each layer's work divided by its decimation stays near 150 lanes.
    # Strides and pools divide 3600 without rest, so that a beat at the very end of a window reaches the sum. The two
    # convolutions of nine taps compare beats 2.3 s apart at steps of 133 ms: a premature beat is a matter of timing.
    "compact": Network(
        blocks=(
            same(8, 16, 2, 4),
            same(16, 7, 1, 2),
            same(24, 7, 1, 3),
            same(24, 9, 1, 1),
            same(32, 9, 1, 3),
            same(64, 3, 1, 1),
        ),
        average=True,
        hidden=(),
        dropout=0.0,
    ),
    # For tests and tutorials: everything of the others in a size that trains and simulates in seconds.
    "tiny": Network(blocks=(same(4, 8, 4, 4), Block(6, 5, 1, (2, 2), 3, 2), same(8, 3, 1, 2)), average=True, hidden=()),
}

WeightQuantizer = Callable[[str], object]


def network(name: str) -> Network:
    """A network by name. Raises: InputError: unknown name."""
    if name not in NETWORKS:
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, received {name!r}")
    return NETWORKS[name]


LEAST_STEPS = 8  # before the average: enough that a window's parts are told apart


def fitted(spec: Network, samples: int, channels: int, classes: int) -> Network:
    """The network for windows of another length, with other leads and classes; the same one for its own.

    Blocks pool and stride less where a window is too short for them, so that at least LEAST_STEPS time steps are left,
    or as many as the network has of its own windows.
    Raises: InputError: too short even so.
    """
    least = min(LEAST_STEPS, _lengths(spec.blocks, spec.input_length)[-1])
    blocks: list[Block] = []
    for block in spec.blocks:
        even = block.padding == same(block.filters, block.taps, block.stride, block.pool, block.dilation).padding
        while _lengths((*blocks, block), samples)[-1] < least and max(block.pool, block.stride) > 1:
            if block.pool > 1:
                pool = block.pool - 1
                block = replace(block, pool=pool, pool_stride=min(block.pool_stride, pool))
            else:
                stride = block.stride - 1
                padding = same(block.filters, block.taps, stride, 1, block.dilation).padding if even else block.padding
                block = replace(block, stride=stride, padding=padding)
        blocks.append(block)
    if _lengths(tuple(blocks), samples)[-1] < 1:
        raise InputError(f"a window of {samples} samples is too short for this network: choose a longer one, or "
                         "another --network")  # fmt: skip
    return replace(spec, blocks=tuple(blocks), input_length=samples, channels=channels, classes=classes)


def for_data(name: str, data: TrainingSet) -> Network:
    """A network by name, fitted to the windows and classes that it learns from. Raises: InputError: as `fitted`."""
    samples, *leads = data.signals.shape[1:]
    return fitted(network(name), samples, leads[0] if leads else 1, data.targets.shape[1])


def _lengths(blocks: tuple[Block, ...], length: int) -> list[int]:
    """Time steps after every block; 0 or less: the window is too short."""
    found = []
    for block in blocks:
        length = (length + sum(block.padding) - (block.taps - 1) * block.dilation - 1) // block.stride + 1
        length = (length - block.pool) // block.pool_stride + 1 if block.pool > 1 else length
        found.append(length)
    return found


def weights(spec: Network) -> int:
    """Weights and biases of a network as it is frozen."""
    number, channels = 0, spec.channels
    for block in spec.blocks:
        number += (block.taps * channels + 1) * block.filters
        channels = block.filters
    if spec.per_step:
        return number + (channels + 1) * spec.classes
    if not spec.average:
        channels *= _lengths(spec.blocks, spec.input_length)[-1]
    for units in (*spec.hidden, spec.classes):
        number += (channels + 1) * units
        channels = units
    return number


def budget_for(recipe: Recipe, data: TrainingSet) -> int:
    """A recipe's byte budget for the network that is fitted to these windows: as many bytes a weight."""
    fit = for_data(recipe.network, data)
    return -(-recipe.budget_bytes * weights(fit) // weights(network(recipe.network)))


def build(
    spec: Network,
    stage: str = "float",
    *,
    weight_quantizer: WeightQuantizer | None = None,
    activation_bits: int = 4,
    bias_quantizer: object | None = None,
) -> keras.Model:
    """Build one stage of a network.

    Args:
        spec: the network; stage: float or alq.
        weight_quantizer: layer name -> QKeras quantizer of its kernel; default `alq()` for every layer.
        activation_bits: width of the quantised activations (stage alq).
        bias_quantizer: if given, layers have biases of it in place of normalisations (stage alq).
    Input shape: (batch, time, channel), standard deviations. Output shape: (batch, class), logits, or
        (batch, time, class).
    Raises: InputError: unknown stage.
    """
    if stage not in STAGES:
        raise InputError(f"stage must be one of {', '.join(STAGES)}, received {stage!r}")
    quantizer = weight_quantizer or (lambda name: alq())

    def weighted(name: str, conv: Block | None, units: int, use_bias: bool) -> keras.layers.Layer:
        sizes: dict = {"units": units}
        if conv:
            sizes = {"filters": units, "kernel_size": conv.taps, "strides": conv.stride, "dilation_rate": conv.dilation}
        if stage == "float":
            plain = keras.layers.Conv1D if conv else keras.layers.Dense
            return plain(**sizes, use_bias=use_bias, kernel_initializer="he_normal", name=name)
        kernel_quantizer = quantizer(name)
        if isinstance(kernel_quantizer, alq):
            kind = ALQConv1D if conv else ALQDense
        else:
            kind = QConv1D if conv else QDense
        return kind(
            **sizes, use_bias=use_bias, kernel_quantizer=kernel_quantizer, bias_quantizer=bias_quantizer, name=name
        )

    def activation(name: str) -> keras.layers.Layer:
        if stage == "float":
            return keras.layers.ReLU(name=name)
        return QActivation(quantized_relu(activation_bits, ACTIVATION_INTEGER_BITS), name=name)

    normal = bias_quantizer is None
    layers: list[keras.layers.Layer] = [keras.layers.Input((spec.input_length, spec.channels), name="window")]
    for i, block in enumerate(spec.blocks, 1):
        if any(block.padding):
            layers.append(keras.layers.ZeroPadding1D(block.padding, name=f"pad{i}"))
        layers.append(weighted(f"conv{i}", block, block.filters, use_bias=not normal))
        if normal:
            layers.append(keras.layers.BatchNormalization(momentum=0.98, name=f"norm{i}"))
        layers.append(activation(f"relu{i}"))
        if block.pool > 1:
            layers.append(keras.layers.MaxPooling1D(block.pool, block.pool_stride, name=f"pool{i}"))
    if spec.per_step:
        layers.append(weighted(f"conv{len(spec.blocks) + 1}", same(spec.classes, 1, 1, 1), spec.classes, use_bias=True))
        return keras.Sequential(layers, name=stage)
    if spec.average:
        layers.append(keras.layers.GlobalAveragePooling1D(name="average"))
    else:
        layers.append(keras.layers.Flatten(name="flatten"))
    for i, units in enumerate(spec.hidden, 1):
        layers.append(weighted(f"dense{i}", None, units, use_bias=not normal))
        if normal:
            layers.append(keras.layers.BatchNormalization(momentum=0.98, name=f"norm_dense{i}"))
        layers.append(activation(f"relu_dense{i}"))
    if spec.dropout:
        layers.append(keras.layers.Dropout(spec.dropout, name="dropout"))
    layers.append(weighted(f"dense{len(spec.hidden) + 1}", None, spec.classes, use_bias=True))
    return keras.Sequential(layers, name=stage)
