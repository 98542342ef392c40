"""A network under a folding, held as one value: what every engine walks through, and what follows from that.

Estimates, tables, the Verilog generator, FIFO depths and simulations all read a `Plan`; nothing is dealt out twice.

Between two FIFOs lies a segment: the input or a plane layer at its head, then pools and sums, which never wait. Between
two modules runs a stream of beats: a time step of C channels is dealt out over the engines of the layer that made it,
so a beat holds one value per engine, and which channel that is (or none) depends on the beat's number alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from hls.area import DEVICES, layer_area, multipliers, rotates, tree_levels
from hls.folding import (
    Folding,
    FrameSchedule,
    LayerFolding,
    check,
    check_part,
    chunks,
    deal,
    fold,
    followers,
    newest_step,
    schedule,
    share_multipliers,
)
from qmodel.frozen import (
    INPUT,
    Add,
    AveragePool,
    Concatenate,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    Stage,
    TimeSum,
)

PIPELINE_STAGES = 6  # of the arithmetic in front of and behind the adder tree (alq_layer.v)
JOIN_STAGES = 1  # of alq_join.v
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
        return [channel for beat in self.channels if (channel := beat[lane]) is not None]


def serial(channels: int) -> Beats:
    """Channels one after the other: how samples enter and outputs leave."""
    return Beats(tuple((channel,) for channel in range(channels)))


def parallel(channels: int) -> Beats:
    """All channels of a time step at once: how they leave a join."""
    return Beats((tuple(range(channels)),))


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

    stage: Stage[PlaneLayer]
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

    def row_group(self, index: int, plane: int) -> int:
        """Group of a filter's plane, counted through the groups of all channel groups."""
        run = index // (self.layer.filters // self.layer.channel_groups)
        return run * self.layer.groups + int(self.layer.plane_group[plane])

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
    def own_sums(self) -> bool:
        """Whether every engine adds up all x of its words itself; else the line buffer keeps the window's sum."""
        layer = self.layer
        return layer.groups > 1 or layer.channel_groups > 1 or layer.dilation > 1 or self.rotate

    @property
    def tree_bits(self) -> int:
        """Width of the sum of a word's values."""
        return self.stage.input_format.bits + (self.folding.lanes - 1).bit_length()

    @cached_property
    def term_bits(self) -> int:
        """Width of what the multiplier takes (a sum of +-x), whatever the input."""
        lanes, whole = self.folding.lanes, self.layer.group_size
        low, high = self.stage.input_format.low, self.stage.input_format.high
        if self.own_sums or self.chunks == 1:  # every term is a sum of +-x
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
    """From FIFOs to FIFOs: a head that waits for its input, then stages that never wait.

    Args: head: a plane layer, or None; index: of the head in the network's stages (plane layer or join), else None;
        join: an addition or concatenation as head; padded: a pool as head whose padding comes in between its input's
        time steps (it is the first of `after`); with none of them what enters goes straight on.
        sources: FIFOs that it reads, as (segment, which of its buffers); none: the network's input.
        after: index and stage of each pool, sum or activation; entering: order of the channels of every source;
        leaving: order in which the channels leave; buffers: a FIFO for every reader, none where the input goes straight
        into the first layer.
    """

    head: LayerPlan | None
    index: int | None
    join: Stage | None
    padded: Stage | None
    sources: tuple[tuple[int, int], ...]
    after: tuple[tuple[int, Stage], ...]
    entering: tuple[Beats, ...]
    leaving: Beats
    buffers: tuple[Buffer, ...]


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
        return cls(network, folding, part, budget, _segments(network, folding, part, budget))

    @property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The plane layers, in order."""
        return tuple(segment.head for segment in self.segments if segment.head)

    @cached_property
    def schedule(self) -> FrameSchedule:
        """Cycles of a frame in the Verilog core."""
        return schedule(self.network, [layer.cycles for layer in self.layers])

    @property
    def buffers(self) -> list[Buffer]:
        """All FIFOs, segment by segment."""
        return [buffer for segment in self.segments for buffer in segment.buffers]

    @property
    def lanes(self) -> int:
        """Weights that the core takes per clock cycle."""
        return sum(entry.engines * entry.lanes for entry in self.folding.layers)


def _multipliers(network: FrozenNetwork, folding: Folding, part: str, budget: int) -> list[bool]:
    """Which plane layers multiply with blocks: those where it saves most LUTs."""
    saved = []
    for (stage, after), entry in zip(followers(network), folding.layers):
        block, adders = (layer_area(stage, *entry, after, part, multiplier).luts for multiplier in (True, False))
        saved.append(adders - block)
    return share_multipliers([entry.engines for entry in folding.layers], saved, budget)


@dataclass
class _Draft:
    """A segment while it is put together."""

    head: LayerPlan | None = None
    index: int | None = None
    join: Stage | None = None
    padded: Stage | None = None
    sources: list[tuple[int, int]] = field(default_factory=list)
    after: list[tuple[int, Stage]] = field(default_factory=list)
    entering: list[Beats] = field(default_factory=list)
    leaving: Beats = Beats(((0,),))
    readers: list[int | None] = field(default_factory=list)  # segments, None: the output


def _segments(network: FrozenNetwork, folding: Folding, part: str, budget: int) -> tuple[Segment, ...]:
    """Stages in segments: whatever waits begins one, and so does what reads a tensor that others read as well."""
    drafts = [_Draft(leaving=serial(network.input_channels), entering=[serial(network.input_channels)])]
    of_stage = {INPUT: 0}  # segment in which a stage ends
    entries = iter(zip(folding.layers, _multipliers(network, folding, part, budget)))
    operands = DEVICES[part].adder_operands
    for index, stage in enumerate(network.stages):
        layer = stage.layer
        before = [drafts[of_stage[source]] for source in stage.sources]
        padded = isinstance(layer, (MaxPool, AveragePool)) and any(layer.padding)
        waits = padded or isinstance(layer, (PlaneLayer, Add, Concatenate))
        if not waits and len(network.readers(stage.sources[0])) == 1:
            before[0].after.append((index, stage))
            of_stage[index] = of_stage[stage.sources[0]]
            continue
        draft = _Draft(entering=[one.leaving for one in before], leaving=before[0].leaving)
        for source in stage.sources:
            readers = drafts[of_stage[source]].readers
            draft.sources.append((of_stage[source], len(readers)))
            readers.append(len(drafts))
        if isinstance(layer, PlaneLayer):
            entry, multiplier = next(entries)
            hands = deal(layer, entry.engines)
            draft.head = LayerPlan(stage, entry, draft.entering[0], hands, operands, multiplier)
            draft.index, draft.leaving = index, draft.head.leaving
        elif isinstance(layer, (Add, Concatenate)):
            draft.index, draft.join, draft.leaving = index, stage, parallel(stage.output_channels)
        else:
            draft.after.append((index, stage))
            draft.padded = stage if padded else None
        of_stage[index] = len(drafts)
        drafts.append(draft)
    drafts[-1].readers.append(None)
    ahead, segments = most_ahead(network), []
    for number, draft in enumerate(drafts):
        straight = number == 0 and not draft.after and len(draft.readers) == 1
        straight = straight and (reader := draft.readers[0]) is not None and drafts[reader].head is not None
        buffers = [] if straight else [
            _buffer(network, draft, None if reader is None else drafts[reader], (number, place), ahead)
            for place, reader in enumerate(draft.readers)
        ]  # fmt: skip
        segments.append(
            Segment(
                draft.head, draft.index, draft.join, draft.padded, tuple(draft.sources), tuple(draft.after),
                tuple(draft.entering), draft.leaving, tuple(buffers),
            )
        )  # fmt: skip
    return tuple(segments)


def most_ahead(network: FrozenNetwork) -> dict[tuple[int, int], int]:
    """Time steps that a source of a join is ahead of what the join takes, at most; by (stage, which of its sources).

    Counted in data alone: when the network's input step arrives that makes the join's step n possible, so many steps of
    the source exist, of which n are taken. A FIFO that holds them cannot lock the branches up against each other.
    """
    needs = {INPUT: np.arange(network.input_length)}  # per output step, the last input step that it depends on
    ahead = {}
    for index, stage in enumerate(network.stages):
        own = [needs[source] for source in stage.sources]
        if len(own) == 1:
            needs[index] = own[0][newest_step(stage)]
            continue
        needs[index] = np.max(own, axis=0)
        for number, need in enumerate(own):
            existing = np.searchsorted(need, needs[index], side="right")
            ahead[index, number] = int((existing - np.arange(len(need))).max())
    return ahead


def _beat_cycles(network: FrozenNetwork, draft: _Draft) -> tuple[np.ndarray, int]:
    """Cycles of a frame at full speed after which a beat enters the FIFO, int64 (beat,); and cycles of the frame."""
    if draft.head:
        step, cycles, times = draft.head.beat_cycles, draft.head.cycles, draft.head.stage.output_length
    else:
        cycles = len(draft.leaving.channels)
        step = np.arange(cycles)
        if draft.join or draft.after:
            first = draft.join or draft.after[0][1]
            times = first.input_length + (sum(first.layer.padding) if draft.padded else 0)
        else:
            times = network.input_length
    alive = np.arange(times)
    for _, stage in draft.after:
        if isinstance(stage.layer, (MaxPool, AveragePool)):
            alive = alive[np.arange(stage.output_length) * stage.layer.stride + stage.layer.size - 1]
        elif isinstance(stage.layer, TimeSum):
            alive = alive[-1:]
    return (alive[:, None] * cycles + step).reshape(-1), times * cycles


def _buffer(
    network: FrozenNetwork,
    draft: _Draft,
    reader: _Draft | None,
    place: tuple[int, int],
    ahead: dict[tuple[int, int], int],
) -> Buffer:
    """The FIFO in front of a reader: room for what is still in the pipeline when `room` falls, for what the reader's
    padding holds up (it cannot take the next frame's first time steps while it works on zeros), and in front of a join
    for what this branch is ahead of the other one."""
    latency = (PIPELINE_STAGES + draft.head.levels if draft.head else 0) + len(draft.after) + 2
    latency += JOIN_STAGES if draft.join else 0
    at, frame = _beat_cycles(network, draft)
    at = np.concatenate([at, at + frame])  # frames follow each other without a gap
    margin = int((np.searchsorted(at, at + latency) - np.arange(len(at))).max()) + 1
    steps = 1
    if reader is not None and reader.head:
        steps += reader.head.layer.padding[1]
    elif reader is not None and reader.padded:
        steps += sum(reader.padded.layer.padding)
    elif reader is not None and reader.join and reader.index is not None:
        steps += 1 + ahead[reader.index, reader.sources.index(place)]
    wanted = margin + len(draft.leaving.channels) * steps
    last = draft.after[-1][1] if draft.after else draft.head.stage if draft.head else draft.join
    bits = last.output_format.bits if last else network.input_format.bits
    return Buffer(draft.leaving.lanes * bits, max(FIFO_WORDS, 1 << (wanted - 1).bit_length()), margin)
