"""Random frozen networks and inputs for property-based tests of every engine."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer, TimeSum


def random_plane_layer(rng, channels, filters, taps, *, stride=1, padding=(0, 0), grouping="channelwise", subchannels=2,
                       max_planes=3, coordinate_bits=8, coordinate_fraction=6, output=Format(6, 3, False)):  # fmt: skip
    """A layer with random planes; a group may have none."""
    groups = {"channelwise": 1, "pixelwise": taps, "kernelwise": channels, "subchannels": subchannels}[grouping]
    counts = rng.integers(0, max_planes + 1, filters * groups)
    owner = np.repeat(np.arange(filters * groups), counts)
    size = taps * channels // groups
    coordinate_format = Format(coordinate_bits, coordinate_fraction, False)
    return PlaneLayer(
        channels=channels, filters=filters, taps=taps, stride=stride, padding=padding,
        kernelwise=grouping == "kernelwise", groups=groups,
        plane_filter=owner // groups, plane_group=owner % groups,
        coordinates=rng.integers(0, coordinate_format.high + 1, len(owner)),
        signs=rng.random((len(owner), size)) < 0.5,
        bias=rng.integers(-2000, 2000, filters),
        coordinate_format=coordinate_format, output=output,
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
    x = rng.integers(low, high + 1, (windows, network.input_length))
    x[0] = rng.choice([low, high], network.input_length)
    return x
