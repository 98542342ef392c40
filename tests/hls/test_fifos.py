"""FIFO depths: a cycle model of the C++ pipeline is as fast with them as with endless FIFOs."""

from __future__ import annotations

from collections import deque

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hls.fifos import MARGIN, SMALLEST, fifo_depths
from hls.folding import Folding, LayerFolding
from hls.plan import Plan, most_ahead
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.frozen import INPUT, Add, FrozenNetwork, MaxPool, PlaneLayer
from tests.hls.projects import foldings
from tests.strategies import frozen_networks, random_plane_layer


class Fifo:
    """Beats of one clock cycle can be read in the next."""

    def __init__(self, depth):
        self.depth, self.held, self.entering = depth, 0, 0

    def settle(self):
        self.held, self.entering = self.held + self.entering, 0


def process(stage, cycles, frames):
    """The clock cycles of a stage as the kernel has them: what each one reads and writes."""
    layer, length = stage.layer, stage.input_length
    for _ in range(frames):
        if isinstance(layer, PlaneLayer):
            left = layer.padding[0]
            position = min(left, layer.taps)
            for _ in range(layer.taps - position):
                yield left <= position < left + length, False
                position += 1
            for _ in range(stage.output_length):
                for cycle in range(cycles):
                    take = cycle < layer.stride
                    yield take and left <= position < left + length, cycle == cycles - 1
                    position += take
        elif isinstance(layer, MaxPool):
            for step in range(length):
                done = step - layer.size + 1
                yield True, done >= 0 and done % layer.stride == 0
        else:
            for step in range(length):
                yield True, step == length - 1


def finishing_times(plan, depths, frames=3, sample_every=1):
    """Clock cycle in which each output beat leaves, samples entering every `sample_every` cycles."""
    fifos = [Fifo(depth) for depth in depths]
    network, layers, work = plan.network, iter(plan.layers), []
    for stage in network.stages:
        cycles = next(layers).kernel_cycles if isinstance(stage.layer, PlaneLayer) else 1
        work.append(deque(process(stage, cycles, frames)))
    to_send, times, clock = network.input_length * frames, [], 0
    while any(work):
        room = [fifo.held < fifo.depth for fifo in fifos]
        available = [fifo.held > 0 for fifo in fifos]
        if to_send and room[0] and clock % sample_every == 0:
            fifos[0].entering += 1
            to_send -= 1
        for i, steps in enumerate(work):
            if not steps:
                continue
            reads, writes = steps[0]
            last = i == len(work) - 1
            if (reads and not available[i]) or (writes and not last and not room[i + 1]):
                continue
            steps.popleft()
            fifos[i].held -= reads
            if writes and last:
                times.append(clock)
            elif writes:
                fifos[i + 1].entering += 1
        for fifo in fifos:
            fifo.settle()
        clock += 1
    return times


@settings(max_examples=40, deadline=None)
@given(frozen_networks(), st.data())
def test_as_fast_as_endless_fifos(network, data):
    plan = Plan.of(network, data.draw(foldings(network)))
    depths = [depth for (depth,) in fifo_depths(plan)]
    assert min(depths) >= SMALLEST
    # Samples no faster than the slowest stage, as a balanced pipeline is fed; faster ones would fill any FIFO.
    slowest = max(-(-layer.stage.output_length * layer.kernel_cycles // network.input_length) for layer in plan.layers)
    endless = [10**9] * len(depths)
    assert finishing_times(plan, depths, sample_every=slowest) == finishing_times(plan, endless, sample_every=slowest)


def test_depths_of_a_known_network():
    """Taps that span the input: the whole next frame may gather while the engines work."""
    rng = np.random.default_rng(0)
    layers = (
        random_plane_layer(rng, 1, 2, 3, max_planes=1),
        MaxPool(2, 2),
        random_plane_layer(rng, 2, 4, 4, max_planes=1, output=None),
    )
    network = FrozenNetwork(10, INPUT_FORMAT, layers)
    plan = Plan.of(network, Folding((LayerFolding(2, 3), LayerFolding(1, 1))))
    assert [layer.kernel_cycles for layer in plan.layers] == [1, 32]
    assert fifo_depths(plan) == [(3,), (2,), (5,)]


def test_a_branch_that_waits_has_room_for_what_the_other_is_ahead():
    """conv1 needs time step n + 4 for its step n, so five steps of the skip connection exist when the first sum can be
    made; with the last sample the last five steps of the convolution become possible at once."""
    rng = np.random.default_rng(0)
    conv = random_plane_layer(rng, 2, 2, 5, padding=(0, 4), output=INPUT_FORMAT._replace(signed=False))
    network = FrozenNetwork(12, INPUT_FORMAT, (conv, Add()), 2, ((INPUT,), (INPUT, 0)))
    assert most_ahead(network) == {(1, 0): 5, (1, 1): 5}
    plan = Plan.of(network, Folding((LayerFolding(1, 1),)))
    assert fifo_depths(plan)[1] == (5 + MARGIN, 5 + MARGIN)
