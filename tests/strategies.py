"""Random frozen networks and inputs for property-based tests of every engine."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qmodel.fixed_point import Format
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
    TimeSum,
)
from qmodel.frozen.network import output_of


def random_plane_layer(rng, channels, filters, taps, *, stride=1, padding=(0, 0), grouping="channelwise", subchannels=2,
                       max_planes=3, coordinate_bits=8, coordinate_fraction=6, output=Format(6, 3, False),
                       dilation=1, channel_groups=1):  # fmt: skip
    """A layer with random planes; a group may have none."""
    fan = channels // channel_groups
    groups = {"channelwise": 1, "pixelwise": taps, "kernelwise": fan, "subchannels": subchannels}[grouping]
    counts = rng.integers(0, max_planes + 1, filters * groups)
    owner = np.repeat(np.arange(filters * groups), counts)
    size = taps * fan // groups
    coordinate_format = Format(coordinate_bits, coordinate_fraction, False)
    return PlaneLayer(
        channels=channels, filters=filters, taps=taps, stride=stride, padding=padding,
        kernelwise=grouping == "kernelwise", groups=groups,
        plane_filter=owner // groups, plane_group=owner % groups,
        coordinates=rng.integers(0, coordinate_format.high + 1, len(owner)),
        signs=rng.random((len(owner), size)) < 0.5,
        bias=rng.integers(-2000, 2000, filters),
        coordinate_format=coordinate_format, output=output, dilation=dilation, channel_groups=channel_groups,
    )  # fmt: skip


@st.composite
def frozen_networks(draw, max_blocks=3, max_filters=6):
    """Networks of one to `max_blocks` convolutions (pools between them), then a dense layer or sum and dense layer."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.integers(16, 60))
    input_format = Format(draw(st.integers(2, 10)), draw(st.integers(0, 6)), True)
    layers, channels, steps, fraction = [], 1, length, input_format.fraction
    for _ in range(draw(st.integers(1, max_blocks))):
        taps = draw(st.integers(1, min(7, steps)))
        stride = draw(st.integers(1, 3))
        padding = (draw(st.integers(0, taps - 1)), draw(st.integers(0, taps - 1)))
        filters = draw(st.integers(1, max_filters))
        grouping = draw(st.sampled_from(["channelwise", "pixelwise", "kernelwise", "subchannels"]))
        divisors = [d for d in range(1, taps * channels + 1) if taps * channels % d == 0]
        coordinate_fraction = draw(st.integers(0, 9))
        output = Format(draw(st.integers(1, 8)), draw(st.integers(-2, fraction + coordinate_fraction)), False)
        layer = random_plane_layer(
            rng, channels, filters, taps, stride=stride, padding=padding, grouping=grouping,
            subchannels=draw(st.sampled_from(divisors)), max_planes=draw(st.integers(0, 4)),
            coordinate_bits=draw(st.integers(1, 9)), coordinate_fraction=coordinate_fraction, output=output,
        )  # fmt: skip
        layers.append(layer)
        channels, fraction, steps = filters, output.fraction, layer.output_length(steps)
        size = draw(st.integers(1, min(4, steps)))
        if size > 1:
            pool = MaxPool(size, draw(st.integers(1, size)))
            layers.append(pool)
            steps = pool.output_length(steps)
    if draw(st.booleans()):
        layers.append(TimeSum())
        steps = 1
    classes = draw(st.integers(1, 5))
    layers.append(random_plane_layer(rng, channels, classes, steps, max_planes=3, output=None))
    return FrozenNetwork(length, input_format, tuple(layers))


def random_inputs(network, rng, windows=2):
    """Windows over the full range of the input format, the first at its extremes so that saturation is met."""
    low, high = network.input_format.low, network.input_format.high
    shape = (network.input_length, network.input_channels) if network.input_channels > 1 else (network.input_length,)
    x = rng.integers(low, high + 1, (windows, *shape))
    x[0] = rng.choice([low, high], shape)
    return x


@st.composite
def frozen_graphs(draw, max_stages=6, max_channels=6, max_length=24):
    """Graphs of every kind of stage: several input channels, branches that meet in additions and concatenations."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    start = Tensor(
        draw(st.integers(4, max_length)),
        draw(st.integers(1, 3)),
        Format(draw(st.integers(2, 8)), 3, draw(st.booleans())),
    )
    tensors = {INPUT: start}
    layers, sources = [], []

    def add(layer, *own):
        layers.append(layer)
        sources.append(own)
        tensors[len(layers) - 1] = output_of(layer, tuple(tensors[s] for s in own))

    for _ in range(draw(st.integers(1, max_stages))):
        at = draw(st.integers(INPUT, len(layers) - 1))
        here = tensors[at]
        wide = here.format.bits > 16
        kind = (
            "activation"
            if wide
            else draw(st.sampled_from(["planes", "planes", "max", "average", "activation", "join"]))
        )
        if kind == "planes":
            add(_drawn_planes(draw, rng, here, max_channels), at)
        elif kind in ("max", "average"):
            size = draw(st.integers(1, min(4, here.length)))
            stride = draw(st.integers(1, size))
            padding = (draw(st.integers(0, size - 1)), draw(st.integers(0, size - 1)))
            shift = draw(st.integers(0, 2))
            add(MaxPool(size, stride, padding) if kind == "max" else AveragePool(size, stride, padding, shift), at)
        elif kind == "activation":
            fraction = here.format.fraction - draw(st.integers(-2, max(0, here.format.bits - 2)))
            add(Activation(Format(draw(st.integers(1, 6)), fraction, draw(st.booleans()))), at)
        else:
            alike = [i for i, t in tensors.items() if t.length == here.length and t.format.bits <= 16]
            others = draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2))
            together = [at, *others]
            same = len({tensors[i].channels for i in together}) == 1
            joined = sum(tensors[i].channels for i in together)
            if same and draw(st.booleans()):
                add(Add(), *together)
            elif joined <= 4 * max_channels:
                add(Concatenate(), *together)
    # What nothing reads yet ends in one vector of sums, and that in a dense layer; or one stage leaves as it is.
    read = {s for own in sources for s in own}
    loose = [i for i in tensors if i not in read]
    if len(loose) > 1 or draw(st.booleans()):
        ends = []
        for i in loose:
            if tensors[i].length > 1 or tensors[i].format.bits > 20:
                add(TimeSum(), i)
                i = len(layers) - 1
            ends.append(i)
        if len(ends) > 1:
            add(Concatenate(), *ends)
        here = tensors[len(layers) - 1] if layers else start
        add(random_plane_layer(rng, here.channels, draw(st.integers(1, 4)), here.length, output=None), len(layers) - 1)
    if not layers:
        add(Activation(Format(4, 2, False)), INPUT)
    return FrozenNetwork(start.length, start.format, tuple(layers), start.channels, tuple(sources))


def _drawn_planes(draw, rng, here, max_channels):
    """A plane layer that fits a tensor: any grouping, dilation, channel groups, output."""
    taps = draw(st.integers(1, min(4, here.length)))
    dilation = draw(st.integers(1, max(1, (here.length - 1) // max(1, taps - 1)))) if taps > 1 else 1
    span = (taps - 1) * dilation + 1
    runs = draw(st.sampled_from([d for d in range(1, here.channels + 1) if here.channels % d == 0]))
    filters = runs * draw(st.integers(1, max(1, max_channels // runs)))
    weights = taps * here.channels // runs
    coordinate_fraction = draw(st.integers(0, 6))
    finest = here.format.fraction + coordinate_fraction
    output = draw(st.sampled_from([None, "unsigned", "unsigned", "signed"]))
    if output is not None:
        output = Format(draw(st.integers(1, 7)), draw(st.integers(finest - 8, finest)), output == "signed")
    return random_plane_layer(
        rng, here.channels, filters, taps, stride=draw(st.integers(1, 3)),
        padding=(draw(st.integers(0, span - 1)), draw(st.integers(0, span - 1))),
        grouping=draw(st.sampled_from(["channelwise", "pixelwise", "kernelwise", "subchannels"])),
        subchannels=draw(st.sampled_from([d for d in range(1, weights + 1) if weights % d == 0])),
        max_planes=2, coordinate_bits=draw(st.integers(1, 6)), coordinate_fraction=coordinate_fraction,
        output=output, dilation=dilation, channel_groups=runs,
    )  # fmt: skip
