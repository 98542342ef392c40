"""Folding: how many engines and lanes every plane layer gets, so that all layers of the pipeline take the same time.

A layer has `engines` parallel plane engines. Its filters are dealt out to them (`deal`); an engine walks through its
filters' planes one after the other and takes `lanes` weights of one plane per clock cycle, so a plane costs
`chunks` = ceil(group size / lanes) cycles and one output time step costs (`step_cycles`)

    max over engines of sum over its filters of max(1, planes of the filter) * chunks

cycles: a filter without planes takes the time of one plane, in which its bias leaves.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hls.area import DEVICES, frame_area, layer_area, multipliers
from qmodel.errors import InputError
from qmodel.frozen import INPUT, Activation, FrozenNetwork, PlaneLayer, Stage, TimeSum

LATENCY_SHARE = 5 / 3  # of the cycles between frames: 6,000 cycles for a frame of 3,600 samples
LATENCY_LUTS = 0.03  # of a core's LUTs: what may be spent on latency once the frames follow each other fast enough
CYCLE_PRICES = np.geomspace(0.02, 100, 32)  # LUTs that a cycle of latency is worth, tried one after the other
PRICE_STEPS = 16  # that the prices of flip-flops and block RAM may be raised, starting from these
FIRST_PRICES = np.array([1.0, 0.02, 10.0])  # LUTs per LUT, flip-flop and BRAM36
REGISTER_CYCLES = 15  # at most, from a layer's window to the next layer's: adder tree, multiplier, pool, FIFO


class FoldingError(InputError):
    """A folding that the network or the part does not allow; the message lists what is allowed."""


class LayerFolding(NamedTuple):
    """Parallelism of one plane layer: engines side by side, and weights that each takes per clock cycle."""

    engines: int
    lanes: int


class Folding(NamedTuple):
    """One entry per plane layer of the network (`network.plane_stages`)."""

    layers: tuple[LayerFolding, ...]


def filter_visits(layer: PlaneLayer) -> np.ndarray:
    """Planes that an engine walks through for every filter, at least one; int64, shape (filter,)."""
    return np.maximum(layer.plane_counts.sum(1), 1)


def deal(layer: PlaneLayer, engines: int) -> tuple[tuple[int, ...], ...]:
    """Filters of every engine, ascending: the filter with the most planes goes to the engine with the fewest so far.

    Ties go to the lower filter and the lower engine, so the result depends on the plane counts alone.
    Source: longest processing time first; Graham, SIAM J. Appl. Math. 17(2), 1969.
    """
    _check_engines(layer, engines, "layer")
    visits = filter_visits(layer)
    loads = [(0, engine) for engine in range(engines)]  # a heap: the least loaded one first
    hands: list[list[int]] = [[] for _ in range(engines)]
    for index in np.argsort(-visits, kind="stable").tolist():
        load, engine = loads[0]
        hands[engine].append(index)
        heapq.heapreplace(loads, (load + int(visits[index]), engine))
    return tuple(tuple(sorted(hand)) for hand in hands)


def chunks(layer: PlaneLayer, lanes: int) -> int:
    """Cycles that one plane takes: ceil(group size / lanes)."""
    return -(-layer.group_size // lanes)


def busiest(layer: PlaneLayer, engines: int) -> int:
    """Planes of the engine that has most of them."""
    visits = filter_visits(layer)
    return max(int(visits[list(hand)].sum()) for hand in deal(layer, engines))


def step_cycles(layer: PlaneLayer, folding: LayerFolding) -> int:
    """Cycles of one output time step (module docstring)."""
    return busiest(layer, folding.engines) * chunks(layer, folding.lanes)


def legal_lanes(layer: PlaneLayer) -> list[int]:
    """Lane numbers that waste nothing: for every number of chunks the smallest that reaches it, ascending."""
    return sorted({-(-layer.group_size // count) for count in range(1, layer.group_size + 1)})


def legal_engines(layer: PlaneLayer, last: bool = False) -> list[int]:
    """Engine numbers: up to one per filter; the last layer has one, which gives its logits out in order."""
    return [1] if last else list(range(1, layer.filters + 1))


def check_part(part: str) -> None:
    """Raise FoldingError for a part that is none of `hls.area.DEVICES`."""
    if part not in DEVICES:
        raise FoldingError(f"part must be one of {sorted(DEVICES)}, received {part!r}")


def check(network: FrozenNetwork, folding: Folding) -> None:
    """Raise FoldingError, with the legal values, where `folding` does not fit the network."""
    stages = network.plane_stages
    if not stages:
        raise FoldingError("a folding needs at least one layer with weights, received none")
    if len(folding.layers) != len(stages):
        raise FoldingError(
            f"a folding has one entry per plane layer ({', '.join(stage.name for stage in stages)}), "
            f"received {len(folding.layers)}"
        )
    for position, (stage, entry) in enumerate(zip(stages, folding.layers)):
        _check_engines(stage.layer, entry.engines, stage.name, position == len(stages) - 1)
        legal = legal_lanes(stage.layer)
        if entry.lanes not in legal:
            raise FoldingError(f"{stage.name}: lanes must be one of {legal}, received {entry.lanes}")


def _check_engines(layer: PlaneLayer, engines: int, name: str, last: bool = False) -> None:
    legal = legal_engines(layer, last)
    if engines not in legal:
        reason = " (the last layer gives its logits out in order)" if last else ""
        raise FoldingError(f"{name}: engines must be {legal[0]} to {legal[-1]}{reason}, received {engines}")


def smallest(network: FrozenNetwork) -> Folding:
    """One engine of one lane per layer: the smallest core, and still far faster than 360 samples a second."""
    return Folding(tuple(LayerFolding(1, 1) for _ in network.plane_stages))


class FrameSchedule(NamedTuple):
    """Cycle counts of a folded network.

    frame: first sample taken to last logit given, without the registers of the arithmetic pipeline (at most
    REGISTER_CYCLES per plane layer); between_frames: from one frame's first sample to the next one's;
    layers: busy cycles per frame of every plane layer.
    """

    frame: int
    between_frames: int
    layers: tuple[int, ...]


def newest_step(stage: Stage) -> np.ndarray:
    """The last time step of its input that every output step of a stage with one source depends on; int, (step,)."""
    layer, steps = stage.layer, np.arange(stage.output_length)
    if isinstance(layer, Activation):
        return steps
    if isinstance(layer, TimeSum):
        return np.array([stage.input_length - 1])
    reach = layer.span if isinstance(layer, PlaneLayer) else layer.size
    return np.clip(steps * layer.stride + reach - 1 - layer.padding[0], 0, stage.input_length - 1)


def needed_steps(network: FrozenNetwork) -> list[int]:
    """Time steps of every stage that the network's output depends on: from the first to the last one."""
    needed = [0] * len(network.stages)
    needed[-1] = network.output.length
    for index in reversed(range(len(network.stages))):
        stage = network.stages[index]
        for source in stage.sources:
            if source != INPUT:
                last = needed[index] if len(stage.sources) > 1 else int(newest_step(stage)[needed[index] - 1]) + 1
                needed[source] = max(needed[source], last)
    return needed


def schedule(network: FrozenNetwork, step_cycles: Sequence[int]) -> FrameSchedule:
    """Cycles of a frame that arrives at one sample per cycle.

    Output step n of a layer with c cycles per step starts when its last input has arrived and step n - 1 is done:
    end[n] = max(arrival[n], end[n - 1]) + c.
    Args: step_cycles: c of every plane layer.
    """
    costs = iter(step_cycles)
    arrivals = {INPUT: np.arange(1, network.input_length + 1) * network.input_channels}
    busy = []
    for index, stage in enumerate(network.stages):
        own = [arrivals[source] for source in stage.sources]
        arrival = own[0][newest_step(stage)] if len(own) == 1 else np.max(own, axis=0)
        if isinstance(stage.layer, PlaneLayer):
            steps, cost = np.arange(stage.output_length), next(costs)
            arrival = np.maximum.accumulate(arrival - steps * cost) + (steps + 1) * cost
            busy.append(cost * stage.output_length)
        arrivals[index] = arrival
    return FrameSchedule(int(arrivals[index][-1]), max(network.input.values, *busy), tuple(busy))


def followers(network: FrozenNetwork) -> list[tuple[Stage, tuple[Stage, ...]]]:
    """Every plane stage with the pools and sums between it and the next one."""
    pairs: list[tuple[Stage, tuple[Stage, ...]]] = []
    for stage in network.stages:
        if isinstance(stage.layer, PlaneLayer):
            pairs.append((stage, ()))
        elif pairs:
            pairs[-1] = (pairs[-1][0], (*pairs[-1][1], stage))
    return pairs


class _Options(NamedTuple):
    """Foldings of one layer, every one with multipliers and, after all of those, with adders in their place.

    engines, lanes, cycles (of an output step), dsps: int64, shape (option,); area: LUTs, flip-flops and block RAM of
    the layer, float64, shape (option, 3).
    """

    engines: np.ndarray
    lanes: np.ndarray
    cycles: np.ndarray
    dsps: np.ndarray
    area: np.ndarray


_Choice = tuple[int, ...]  # index of an option per plane layer


def _options(stage: Stage, after: tuple[Stage, ...], last: bool, part: str) -> _Options:
    """Foldings of a layer, without those of more engines that are no faster."""
    layer = stage.layer
    visits = filter_visits(layer)
    whole, largest = int(visits.sum()), int(visits.max())
    foldings, cycles, least = [], [], whole + 1
    for engines in legal_engines(layer, last):
        if max(-(-whole // engines), largest) >= least:
            continue  # no dealing can be faster
        load = busiest(layer, engines)
        if load >= least:
            continue
        least = load
        for lanes in legal_lanes(layer):
            foldings.append((engines, lanes))
            cycles.append(load * chunks(layer, lanes))
    areas = [layer_area(stage, *entry, after, part, block) for block in (True, False) for entry in foldings]
    engines, lanes = np.array(foldings * 2).T
    return _Options(
        engines,
        lanes,
        np.array(cycles * 2),
        np.array([area.dsps for area in areas]),
        np.array([(area.luts, area.ffs, area.bram36) for area in areas]),
    )


def share_multipliers(engines: Sequence[int], saved: Sequence[float], budget: int) -> list[bool]:
    """Which layers get multipliers for their engines, so that most LUTs are saved within a budget of multipliers.

    Args: engines: of every layer; saved: LUTs that its multipliers save.
    """
    best: list[tuple[float, tuple[bool, ...]]] = [(0.0, ())] * (budget + 1)
    for number, value in zip(engines, saved):
        following = [(total, (*given, False)) for total, given in best]
        for used in range(number, budget + 1):
            total, given = best[used - number]
            if total + value > following[used][0]:
                following[used] = (total + value, (*given, True))
        best = following
    return list(max(best, key=lambda entry: entry[0])[1])


class _Search:
    """Choices among the foldings of all layers of a network for a part."""

    def __init__(self, network: FrozenNetwork, part: str, dsp_budget: int):
        stages = network.plane_stages
        self.network, self.dsp_budget = network, dsp_budget
        self.layers = [_options(stage, after, stage is stages[-1], part) for stage, after in followers(network)]
        self.frame = frame_area(part)
        self.registers = REGISTER_CYCLES * len(stages)

    def cheapest(self, limits: Sequence[int], prices: np.ndarray, cycle_prices: np.ndarray) -> _Choice | None:
        """Least area * prices + cycles of a step * cycle_prices, every layer inside its limit of cycles of a step.

        Over the layers one after the other, the best choice for every number of multipliers used so far.
        """
        best: dict[int, tuple[float, _Choice]] = {0: (0.0, ())}
        for layer, limit, cycle_price in zip(self.layers, limits, cycle_prices):
            cost = layer.area @ prices + cycle_price * layer.cycles
            cost[(layer.cycles > limit) | (layer.dsps > self.dsp_budget)] = np.inf
            order = np.argsort(cost, kind="stable")
            order = order[np.isfinite(cost[order])]
            used_here, first = np.unique(layer.dsps[order], return_index=True)
            following: dict[int, tuple[float, _Choice]] = {}
            for used, (total, chosen) in best.items():
                for dsps, index in zip(used_here.tolist(), order[first].tolist()):
                    value = total + cost[index]
                    if used + dsps <= self.dsp_budget and value < following.get(used + dsps, (np.inf,))[0]:
                        following[used + dsps] = (value, (*chosen, index))
            best = following
        return min(best.values())[1] if best else None

    def area(self, choice: _Choice) -> np.ndarray:
        """LUTs, flip-flops and block RAM of the whole core (estimated)."""
        own = [layer.area[index] for layer, index in zip(self.layers, choice)]
        return np.sum(own, axis=0) + np.array(self.frame[:3])

    def cycles(self, choice: _Choice) -> list[int]:
        """Cycles of an output step of every layer."""
        return [int(layer.cycles[index]) for layer, index in zip(self.layers, choice)]

    def latency(self, cycles: Sequence[int]) -> int:
        """First sample to last logit, the registers of the arithmetic included as far as they may go."""
        return schedule(self.network, cycles).frame + self.registers

    def within(self, limits: Sequence[int], most: np.ndarray, cycle_prices: np.ndarray) -> _Choice | None:
        """The fewest LUTs inside all limits: flip-flops and block RAM get a price, raised until they fit."""
        prices = np.array([1.0, 0.0, 0.0])
        for _ in range(PRICE_STEPS):
            choice = self.cheapest(limits, prices, cycle_prices)
            if choice is None:
                return None
            over = self.area(choice) > most
            if not over[1:].any():
                return None if over[0] else choice
            prices = np.where(over, np.maximum(2 * prices, FIRST_PRICES), prices)
            prices[0] = 1.0
        return None

    def limits(self, target: float) -> list[int]:
        """Most cycles of an output step of every layer for a frame every `target` cycles."""
        return [int(target // stage.output_length) for stage in self.network.plane_stages]

    def smallest(self, target: float, most: np.ndarray) -> _Choice | None:
        """The fewest LUTs for a frame every `target` cycles inside the limits of area; None: there is none."""
        return self.within(self.limits(target), most, np.zeros(len(self.layers)))

    def for_target(self, target: float, most: np.ndarray) -> _Choice | None:
        """As `smallest`, with what more LUTs buy in latency (`fold`)."""
        base, limits = self.smallest(target, most), self.limits(target)
        if base is None:
            return None
        # A cycle less of a layer's step is worth what it saves of the latency here; or the same in every layer, since
        # what it saves changes on the way.
        cycles = self.cycles(base)
        latency = self.latency(cycles)
        worth = []
        for position, step in enumerate(cycles):
            more = max(1, step // 8)
            slower = [*cycles[:position], step + more, *cycles[position + 1 :]]
            worth.append((self.latency(slower) - latency) / more)
        found = {base: (self.area(base)[0], latency)}
        for price in CYCLE_PRICES:
            for weights in (np.array(worth), np.ones(len(worth))):
                choice = self.within(limits, most, price * weights)
                if choice is not None and choice not in found:
                    found[choice] = (self.area(choice)[0], self.latency(self.cycles(choice)))
        afford = [choice for choice, (luts, _) in found.items() if luts <= (1 + LATENCY_LUTS) * found[base][0]]
        best = min(afford, key=lambda choice: found[choice][0] * found[choice][1])
        if found[best][1] <= LATENCY_SHARE * target:
            return best
        quick = [choice for choice, (_, latency) in found.items() if latency <= LATENCY_SHARE * target]
        return min(quick or [min(found, key=lambda c: found[c][1])], key=lambda choice: found[choice][0])


def estimated_luts(
    network: FrozenNetwork, folding: Folding, part: str = "xc7z020", dsp_budget: int | None = None
) -> float:
    """LUTs of the whole core (estimated). Args: dsp_budget: see `hls.area.multipliers`."""
    pairs = list(zip(followers(network), folding.layers))
    luts = [
        [layer_area(stage, *entry, after, part, block).luts for block in (True, False)]
        for (stage, after), entry in pairs
    ]
    engines = [entry.engines for entry in folding.layers]
    saved = [without - block for block, without in luts]
    given = share_multipliers(engines, saved, multipliers(part, dsp_budget))
    return frame_area(part).luts + sum(own[0] if block else own[1] for own, block in zip(luts, given))


def _bisect(low: float, high: float, good: Callable[[float], bool], ratio: float) -> float:
    """Least value between `low` (not good) and `high` (good) within a factor `ratio`."""
    while high > low * ratio:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if good(middle) else (middle, high)
    return high


def fold(
    network: FrozenNetwork,
    target_cycles: int | None = None,
    lut_budget: int | None = None,
    part: str = "xc7z020",
    dsp_budget: int | None = None,
) -> Folding:
    """The cheapest balanced folding that takes a new frame every `target_cycles`, or the fastest that fits.

    Every layer gets the fewest LUTs (estimated, `hls.area`) that do its output steps in `target_cycles`. Then a few
    more LUTs, at most 3 %, buy latency (first sample to last logit) as long as the product of both gets smaller; and as
    many as it takes to end within 5/3 of the target, or with the least latency the network can have. LUTs, flip-flops,
    block RAM and multipliers of the part are limits alike.
    Args: target_cycles: cycles between frames, default one per input sample or, where network or part are too slow or
        small for that, the least they can do; lut_budget: if the folding for the target needs more, the target is
        relaxed until it fits; dsp_budget: see `hls.area.multipliers`, one per engine.
    Raises: FoldingError: unknown part, a given target below one cycle per sample or out of reach, a part or a budget
        too small for the smallest folding.
    """
    check_part(part)
    target = network.input.values if target_cycles is None else target_cycles
    if target < network.input.values:
        raise FoldingError(
            f"target_cycles must be at least {network.input.values}, one cycle per input sample, received {target}"
        )
    stages = network.plane_stages
    if not stages:
        raise FoldingError("a folding needs at least one layer with weights, received none")
    device = DEVICES[part]
    search = _Search(network, part, multipliers(part, dsp_budget))
    luts = device.luts if lut_budget is None else min(device.luts, lut_budget)
    most = np.array([luts, device.ffs, device.bram36], float)

    def folding(choice: _Choice) -> Folding:
        taken = zip(search.layers, choice)
        return Folding(tuple(LayerFolding(int(o.engines[index]), int(o.lanes[index])) for o, index in taken))

    choice = search.for_target(target, most)
    if choice is not None:
        return folding(choice)
    if lut_budget is None and target_cycles is not None:
        fastest = schedule(network, [int(layer.cycles.min()) for layer in search.layers])
        if fastest.between_frames <= target:
            unbounded = search.for_target(target, np.full(3, np.inf))
            needs = zip(("LUTs", "flip-flops", "BRAM36"), search.area(unbounded), most) if unbounded else ()
            over = ", ".join(f"{value:.0f} of {limit:.0f} {name}" for name, value, limit in needs if value > limit)
            raise FoldingError(f"a frame every {target} cycles needs more than {part} has (estimated): {over}")
        raise FoldingError(
            f"a frame every {target} cycles is out of reach: the fastest folding of all needs "
            f"{fastest.between_frames} cycles between frames and {fastest.frame} per frame"
        )
    steps = zip(stages, search.layers)
    slowest = max(2.0 * sum(stage.output_length * int(layer.cycles.max()) for stage, layer in steps), 2.0 * target)
    if search.smallest(slowest, most) is None:
        least = search.area(tuple(int(layer.area[:, 0].argmin()) for layer in search.layers))
        limit = f"budget {lut_budget}" if lut_budget is not None else f"{part} has {device.luts}"
        raise FoldingError(
            f"the smallest folding needs about {least[0]:.0f} LUTs, {least[1]:.0f} flip-flops and {least[2]:g} BRAM36 "
            f"(estimated), {limit}"
        )
    found = _bisect(target, slowest, lambda cycles: search.smallest(cycles, most) is not None, 1.005)
    choice = search.for_target(found, most)
    assert choice is not None  # _bisect returns what was good
    return folding(choice)
