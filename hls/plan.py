"""A network under a folding, held as one value: what every engine walks through, and what follows from that.

Estimates, tables, the Verilog generator, FIFO depths and simulations all read a `Plan`; nothing is dealt out twice.

Between two FIFOs lies a segment: the input or a plane layer at its head, then pools and sums, which never wait. Between
two modules runs a stream of beats: a time step of C channels is dealt out over the engines of the layer that made it,
so a beat holds one value per engine, and which channel that is (or none) depends on the beat's number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hls.area import DEVICES, layer_area, multipliers, rotates, tree_levels
from hls.folding import (
    Folding,
    LayerFolding,
    Schedule,
    check,
    check_part,
    chunks,
    deal,
    fold,
    followers,
    schedule,
    share_multipliers,
)
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer, Stage

PIPELINE_STAGES = 6  # of the arithmetic in front of and behind the adder tree (alq_layer.v)
FIFO_WORDS = 16  # the smallest FIFO: less would save no LUT


class Visit(NamedTuple):
    """One step of an engine's walk: a plane of a filter, or none where the filter's bias leaves alone; `first` and
    `last` mark the filter's ends."""

    filter: int
    plane: int | None
    first: bool
    last: bool


@dataclass(frozen=True)
class Beats:
    """Order in which a time step's channels travel: channels[beat][lane], None where a lane is empty."""

    channels: tuple[tuple[int | None, ...], ...]

    @property
    def lanes(self) -> int:
        """Values side by side."""
        return len(self.channels[0])

    def lane(self, lane: int) -> list[int]:
        """Channels that travel in one lane, in order."""
        return [beat[lane] for beat in self.channels if beat[lane] is not None]


INPUT_BEATS = Beats(((0,),))


def walk(layer: PlaneLayer, filters: tuple[int, ...]) -> tuple[Visit, ...]:
    """What the engine of some filters walks through."""
    starts = np.searchsorted(layer.plane_filter, [(index, index + 1) for index in filters]).tolist()
    steps = []
    for index, (start, stop) in zip(filters, starts):
        planes: list[int | None] = list(range(start, stop)) or [None]
        last = len(planes) - 1
        steps += [Visit(index, plane, at == 0, at == last) for at, plane in enumerate(planes)]
    return tuple(steps)


@dataclass(frozen=True, eq=False)
class LayerPlan:
    """One plane layer under its folding.

    Args: entering: order in which its input's channels arrive; hands: filters of every engine (`hls.folding.deal`);
        operands: that one level of the adder tree takes; multiplier: whether its engines have DSP blocks.
    """

    stage: Stage
    folding: LayerFolding
    entering: Beats
    hands: tuple[tuple[int, ...], ...]
    operands: int
    multiplier: bool

    @property
    def layer(self) -> PlaneLayer:
        """The layer itself."""
        return self.stage.layer

    @cached_property
    def walks(self) -> tuple[tuple[Visit, ...], ...]:
        """What every engine walks through for one output step."""
        return tuple(walk(self.layer, hand) for hand in self.hands)

    @property
    def visits(self) -> int:
        """Steps of the busiest engine's walk."""
        return max(map(len, self.walks))

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Visits after which a beat leaves: some engine has ended a filter."""
        return tuple(sorted({at for walk in self.walks for at, step in enumerate(walk) if step.last}))

    @cached_property
    def leaving(self) -> Beats:
        """Order in which the filters leave."""
        return Beats(
            tuple(
                tuple(walk[at].filter if at < len(walk) and walk[at].last else None for walk in self.walks)
                for at in self.ends
            )
        )

    @property
    def chunks(self) -> int:
        """Cycles of one plane."""
        return chunks(self.layer, self.folding.lanes)

    @property
    def cycles(self) -> int:
        """Cycles of one output step of the Verilog core, which takes its input meanwhile (`hls.folding`)."""
        return self.visits * self.chunks

    @property
    def kernel_visits(self) -> int:
        """Steps of every C++ engine's walk, which also takes the `stride` time steps of the next output meanwhile."""
        return max(self.visits, -(-self.layer.stride // self.chunks))

    @property
    def kernel_cycles(self) -> int:
        """Cycles of one output step of the C++ kernels."""
        return self.kernel_visits * self.chunks

    @property
    def levels(self) -> int:
        """Registers of the adder tree."""
        return tree_levels(self.folding.lanes, self.operands)

    @property
    def rotate(self) -> bool:
        """Whether the window is read from a rotating line buffer."""
        return rotates(self.layer, self.folding.lanes, self.entering.lanes)

    @property
    def tree_bits(self) -> int:
        """Width of the sum of a word's values."""
        return self.stage.input_format.bits + (self.folding.lanes - 1).bit_length()

    @cached_property
    def term_bits(self) -> int:
        """Width of what the multiplier takes (a sum of +-x), whatever the input."""
        lanes, whole = self.folding.lanes, self.layer.group_size
        low, high = self.stage.input_format.low, self.stage.input_format.high
        if self.layer.groups > 1 or self.rotate or self.chunks == 1:  # every term is a sum of +-x
            reach = min(lanes, whole) * max(high, -low)
            bits = signed_bits(-reach, reach)
        else:
            bits = signed_bits(
                min(2 * lanes * low, 2 * lanes * low - whole * high),
                max(2 * lanes * high, 2 * lanes * high - whole * low),
            )
        return max(bits, self.tree_bits + 2)

    @property
    def beat_cycles(self) -> np.ndarray:
        """Cycles of one output step after which a beat leaves; int64, shape (beat,)."""
        return np.array(self.ends, np.int64) * self.chunks + self.chunks - 1


def signed_bits(low: int, high: int) -> int:
    """Two's complement width of the integers from `low` to `high`."""
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


class Buffer(NamedTuple):
    """A FIFO between two layers: bits of a beat, beats it holds, beats before its end at which it asks to stop."""

    width: int
    depth: int
    margin: int

    @property
    def bits(self) -> int:
        """Memory bits."""
        return self.width * self.depth


@dataclass(frozen=True, eq=False)
class Segment:
    """From one FIFO to the next: the input (no `head`) or a plane layer, then pools and sums, which never wait.

    Args: index: of the head in the network's stages; after: index and stage of each pool or sum; buffer: the FIFO
        behind it, None where the input goes straight into the first layer.
    """

    head: LayerPlan | None
    index: int | None
    after: tuple[tuple[int, Stage], ...]
    buffer: Buffer | None

    @property
    def leaving(self) -> Beats:
        """Order in which the channels leave."""
        return self.head.leaving if self.head else INPUT_BEATS


@dataclass(frozen=True, eq=False)
class Plan:
    """A network under a folding, for a device (module docstring). Make it with `Plan.of`."""

    network: FrozenNetwork
    folding: Folding
    part: str
    dsp_budget: int
    segments: tuple[Segment, ...]

    @classmethod
    def of(
        cls,
        network: FrozenNetwork,
        folding: Folding | None = None,
        part: str = "xc7z020",
        dsp_budget: int | None = None,
    ) -> Plan:
        """Deal a network's planes out to the engines of a folding.

        Args: folding: default `hls.folding.fold`; part: one of `hls.area.DEVICES`; dsp_budget: see
            `hls.area.multipliers`.
        Raises: FoldingError: no layer with weights, an unknown part, or a folding that does not fit the network.
        """
        check_part(part)
        folding = fold(network, part=part, dsp_budget=dsp_budget) if folding is None else folding
        check(network, folding)
        budget = multipliers(part, dsp_budget)
        layers = _layers(network, folding, part, budget)
        return cls(network, folding, part, budget, _segments(network, layers))

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The plane layers, in order."""
        return tuple(segment.head for segment in self.segments if segment.head)

    @cached_property
    def schedule(self) -> Schedule:
        """Cycles of a frame in the Verilog core."""
        return schedule(self.network, [layer.cycles for layer in self.layers])

    @property
    def buffers(self) -> list[Buffer]:
        """The FIFO behind every plane layer (behind the pools and sums that follow it)."""
        return [segment.buffer for segment in self.segments if segment.head and segment.buffer]

    @property
    def lanes(self) -> int:
        """Weights that the core takes per clock cycle."""
        return sum(entry.engines * entry.lanes for entry in self.folding.layers)


def _layers(network: FrozenNetwork, folding: Folding, part: str, budget: int) -> list[LayerPlan]:
    """Plans of the plane layers. Multipliers go where they save most LUTs."""
    pairs = list(zip(followers(network), folding.layers))
    saved = []
    for (stage, after), entry in pairs:
        block, adders = (layer_area(stage, *entry, after, part, multiplier).luts for multiplier in (True, False))
        saved.append(adders - block)
    given = share_multipliers([entry.engines for entry in folding.layers], saved, budget)
    layers, beats = [], INPUT_BEATS
    for ((stage, _), entry), multiplier in zip(pairs, given):
        hands = deal(stage.layer, entry.engines)
        layers.append(LayerPlan(stage, entry, beats, hands, DEVICES[part].adder_operands, multiplier))
        beats = layers[-1].leaving
    return layers


def _segments(network: FrozenNetwork, layers: list[LayerPlan]) -> tuple[Segment, ...]:
    heads: list[tuple[LayerPlan | None, int | None, list[tuple[int, Stage]]]] = [(None, None, [])]
    following = iter(layers)
    for index, stage in enumerate(network.stages):
        if isinstance(stage.layer, PlaneLayer):
            heads.append((next(following), index, []))
        else:
            heads[-1][2].append((index, stage))
    next_layers = [head for head, _, _ in heads[1:]] + [None]
    segments = []
    for (head, index, after), next_layer in zip(heads, next_layers):
        padding = next_layer.layer.padding[1] if next_layer else 0
        stages = [stage for _, stage in after]
        buffer = _buffer(network, head, stages, padding) if head or after else None
        segments.append(Segment(head, index, tuple(after), buffer))
    return tuple(segments)


def _beat_cycles(network: FrozenNetwork, head: LayerPlan | None, after: list[Stage]) -> tuple[np.ndarray, int]:
    """Cycles of a frame at full speed after which a beat enters the FIFO, int64 (beat,); and cycles of the frame."""
    if head:
        step, cycles, times = head.beat_cycles, head.cycles, head.stage.output_length
    else:
        step, cycles, times = np.zeros(1, np.int64), 1, network.input_length
    alive = np.arange(times)
    for stage in after:
        if isinstance(stage.layer, MaxPool):
            alive = alive[np.arange(stage.output_length) * stage.layer.stride + stage.layer.size - 1]
        else:
            alive = alive[-1:]
    return (alive[:, None] * cycles + step).reshape(-1), times * cycles


def _buffer(network: FrozenNetwork, head: LayerPlan | None, after: list[Stage], padding_after: int) -> Buffer:
    """The FIFO behind a segment: room for what is still in the pipeline when `room` falls, and for what the next
    layer's padding holds up (it cannot take the next frame's first time steps while it works on zeros)."""
    leaving = head.leaving if head else INPUT_BEATS
    latency = (PIPELINE_STAGES + head.levels if head else 0) + len(after) + 2
    at, frame = _beat_cycles(network, head, after)
    at = np.concatenate([at, at + frame])  # frames follow each other without a gap
    margin = int((np.searchsorted(at, at + latency) - np.arange(len(at))).max()) + 1
    wanted = margin + len(leaving.channels) * (1 + padding_after)
    bits = after[-1].output_format.bits if after else head.stage.output_format.bits if head else 0
    return Buffer(leaving.lanes * bits, max(FIFO_WORDS, 1 << (wanted - 1).bit_length()), margin)
