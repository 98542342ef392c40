"""Folding: how many engines and lanes every plane layer gets, so that all layers of the pipeline take the same time.

A layer has `engines` parallel plane engines. Its filters are dealt out to them (`deal`); an engine walks through its
filters' planes one after the other and takes `lanes` weights of one plane per clock cycle, so a plane costs
`chunks` = ceil(group size / lanes) cycles and one output time step costs (`step_cycles`)

    max over engines of sum over its filters of max(1, planes of the filter) * chunks

cycles: a filter without planes takes the time of one plane, in which its bias leaves.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from hls.area import DEVICES, frame_area, layer_area, multipliers
from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer, Stage

LATENCY_SHARE = 5 / 3  # of the cycles between frames: 6,000 cycles for a frame of 3,600 samples
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
    load = np.zeros(engines, np.int64)
    hands: list[list[int]] = [[] for _ in range(engines)]
    for index in np.argsort(-visits, kind="stable"):
        engine = int(load.argmin())
        hands[engine].append(int(index))
        load[engine] += visits[index]
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


def check_chain(network: FrozenNetwork) -> None:
    """Raise FoldingError where the network is more than what a chain of one input channel and version 1 can hold."""
    if network.file_bytes[4] != 1 and not dataclasses.replace(network, metadata=None).file_bytes[4] == 1:
        raise FoldingError(
            "hardware so far takes chains of one input channel: no branches, dilation, channel groups, average or "
            "padded pools, activations of their own"
        )


def check(network: FrozenNetwork, folding: Folding) -> None:
    """Raise FoldingError, with the legal values, where `folding` does not fit the network."""
    check_chain(network)
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


class Schedule(NamedTuple):
    """Cycle counts of a folded network.

    frame: first sample taken to last logit given, without the registers of the arithmetic pipeline (at most
    REGISTER_CYCLES per plane layer); between_frames: from one frame's first sample to the next one's;
    layers: busy cycles per frame of every plane layer.
    """

    frame: int
    between_frames: int
    layers: tuple[int, ...]


def schedule(network: FrozenNetwork, step_cycles: Sequence[int]) -> Schedule:
    """Cycles of a frame that arrives at one sample per cycle.

    Output step n of a layer with c cycles per step starts when its last input has arrived and step n - 1 is done:
    end[n] = max(arrival[n], end[n - 1]) + c.
    Args: step_cycles: c of every plane layer.
    """
    costs = iter(step_cycles)
    arrival = np.arange(1, network.input_length + 1)
    busy = []
    for stage in network.stages:
        layer, steps = stage.layer, np.arange(stage.output_length)
        if isinstance(layer, PlaneLayer):
            cost = next(costs)
            newest = np.minimum(steps * layer.stride + layer.taps - 1 - layer.padding[0], stage.input_length - 1)
            start = arrival[np.maximum(newest, 0)]
            arrival = np.maximum.accumulate(start - steps * cost) + (steps + 1) * cost
            busy.append(cost * stage.output_length)
        elif isinstance(layer, MaxPool):
            arrival = arrival[steps * layer.stride + layer.size - 1]
        else:
            arrival = arrival[-1:]
    return Schedule(int(arrival[-1]), max(network.input_length, *busy), tuple(busy))


class _Option(NamedTuple):
    folding: LayerFolding
    cycles: int  # per output step
    luts: float  # with multipliers
    adders: float  # LUTs more when the engines multiply with adders


def followers(network: FrozenNetwork) -> list[tuple[Stage, tuple[Stage, ...]]]:
    """Every plane stage with the pools and sums between it and the next one."""
    pairs: list[tuple[Stage, tuple[Stage, ...]]] = []
    for stage in network.stages:
        if isinstance(stage.layer, PlaneLayer):
            pairs.append((stage, ()))
        elif pairs:
            pairs[-1] = (pairs[-1][0], (*pairs[-1][1], stage))
    return pairs


def _options(stage: Stage, after: tuple[Stage, ...], last: bool, part: str) -> list[_Option]:
    """Foldings of a layer that no other one with as few engines beats in cycles and LUTs alike."""
    layer, options = stage.layer, []
    least = int(filter_visits(layer).sum()) + 1
    for engines in legal_engines(layer, last):
        load = busiest(layer, engines)
        if load >= least:
            continue  # more engines, no faster
        least = load
        for lanes in legal_lanes(layer):
            luts, adders = (layer_area(stage, engines, lanes, after, part, block).luts for block in (True, False))
            options.append(
                _Option(LayerFolding(engines, lanes), load * chunks(layer, lanes), luts, (adders - luts) / engines)
            )
    options.sort(key=lambda option: (option.folding.engines, option.cycles, option.luts))
    kept: list[_Option] = []
    for option in options:
        beaten = (k.cycles <= option.cycles and k.luts <= option.luts for k in kept)
        if not any(beaten):  # those kept so far have no more engines
            kept.append(option)
    return kept


_Choice = tuple[_Option, ...]  # one option per plane layer


def _cheapest(table: list[list[_Option]], limits: list[int], dsp_budget: int, price: float) -> _Choice | None:
    """Least LUTs + price * cycles per step, every layer inside its limit; engines beyond the budget pay for adders."""
    adders = max(option.adders for options in table for option in options)
    best: dict[int, tuple[float, _Choice]] = {0: (0.0, ())}
    for options, limit in zip(table, limits):
        following: dict[int, tuple[float, _Choice]] = {}
        for used, (cost, chosen) in best.items():
            for option in options:
                if option.cycles > limit:
                    continue
                total = used + option.folding.engines
                value = cost + option.luts + price * option.cycles
                if total not in following or value < following[total][0]:
                    following[total] = (value, (*chosen, option))
        best = following
    if not best:
        return None
    return min((cost + adders * max(0, used - dsp_budget), chosen) for used, (cost, chosen) in best.items())[1]


def _folding(choice: _Choice) -> Folding:
    return Folding(tuple(option.folding for option in choice))


def _schedule(network: FrozenNetwork, choice: _Choice) -> Schedule:
    return schedule(network, [option.cycles for option in choice])


def estimated_luts(
    network: FrozenNetwork, folding: Folding, part: str = "xc7z020", dsp_budget: int | None = None
) -> float:
    """LUTs of the whole core (estimated). Args: dsp_budget: see `hls.area.multipliers`."""
    total, free = frame_area(part).luts, multipliers(part, dsp_budget)
    for (stage, after), entry in zip(followers(network), folding.layers):
        multiplier = entry.engines <= free
        free -= entry.engines if multiplier else 0
        total += layer_area(stage, *entry, after, part, multiplier).luts
    return total


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
    """The cheapest balanced folding that takes a new frame every `target_cycles`, or the fastest within `lut_budget`.

    Every layer gets the fewest LUTs (estimated, `hls.area`) that do its output steps in `target_cycles`; the layers
    that work on after the last sample are then made faster until first sample to last logit takes at most 5/3 of that,
    or the least the network can do.
    Args: target_cycles: cycles between frames, default one per input sample or, where the network is too slow for
        that, the least it can do; lut_budget: if the folding for the target needs more, the target is relaxed until
        it fits; dsp_budget: see `hls.area.multipliers`, one per engine.
    Raises: FoldingError: unknown part, a given target below one cycle per sample or out of reach, a budget too small
        for the smallest folding.
    """
    check_part(part)
    check_chain(network)
    target = network.input_length if target_cycles is None else target_cycles
    if target < network.input_length:
        raise FoldingError(
            f"target_cycles must be at least {network.input_length}, one cycle per input sample, received {target}"
        )
    stages = network.plane_stages
    if not stages:
        raise FoldingError("a folding needs at least one layer with weights, received none")
    dsp_budget = multipliers(part, dsp_budget)
    table = [_options(stage, after, stage is stages[-1], part) for stage, after in followers(network)]

    def for_target(cycles: float) -> _Choice | None:
        limits = [int(cycles // stage.output_length) for stage in stages]

        def quick(choice: _Choice | None) -> bool:
            if choice is None:
                return False
            return _schedule(network, choice).frame + REGISTER_CYCLES * len(stages) <= LATENCY_SHARE * cycles

        free = _cheapest(table, limits, dsp_budget, 0)
        if free is None or quick(free):
            return free
        quickest = _cheapest(table, limits, dsp_budget, 1e6)
        if not quick(quickest):
            return quickest
        price = _bisect(1e-3, 1e6, lambda price: quick(_cheapest(table, limits, dsp_budget, price)), 1.02)
        return _cheapest(table, limits, dsp_budget, price)

    def good(cycles: float) -> _Choice | None:
        choice = for_target(cycles)
        if choice is None or lut_budget is None:
            return choice
        return choice if estimated_luts(network, _folding(choice), part, dsp_budget) <= lut_budget else None

    choice = good(target)
    if choice is not None:
        return _folding(choice)
    if lut_budget is None and target_cycles is not None:
        fastest = _schedule(network, tuple(min(options, key=lambda o: o.cycles) for options in table))
        raise FoldingError(
            f"a frame every {target} cycles is out of reach: the fastest folding of all needs "
            f"{fastest.between_frames} cycles between frames and {fastest.frame} per frame"
        )
    slowest = 2.0 * sum(stage.output_length * max(o.cycles for o in options) for stage, options in zip(stages, table))
    slowest = max(slowest, 2.0 * target)
    if good(slowest) is None:
        smallest = frame_area(part).luts + sum(min(option.luts for option in options) for options in table)
        raise FoldingError(f"the smallest folding needs about {smallest:.0f} LUTs (estimated), budget {lut_budget}")
    choice = for_target(_bisect(target, slowest, lambda cycles: good(cycles) is not None, 1.005))
    assert choice is not None  # _bisect returns what was good
    return _folding(choice)
