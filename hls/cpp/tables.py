"""The tables of a plane layer's engines: sign words, plane table and the order of the results."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd
from typing import NamedTuple

import numpy as np

from hls.plan import LayerPlan
from qmodel.fixed_point import Format
from qmodel.frozen import PlaneLayer


class PlaneEntry(NamedTuple):
    """One plane in an engine's plane table; `starts` and `ends` mark a filter's first and last one."""

    group: int
    starts: bool
    ends: bool
    coordinate: int
    bias: int


class EngineTables(NamedTuple):
    """What the engines of one layer read.

    signs: bool, shape (engine, slot * chunk, lane), True = +1; planes: per engine one PlaneEntry per slot;
    seats: (engine, results that the engine gives after it) of every filter.
    """

    signs: np.ndarray
    planes: tuple[tuple[PlaneEntry, ...], ...]
    seats: tuple[tuple[int, int], ...]

    @property
    def slots(self) -> int:
        """Planes per engine, the idle ones of the less busy engines included."""
        return len(self.planes[0])

    @property
    def seat_count(self) -> int:
        """Filters of the engine that has most of them."""
        return 1 + max(position for _, position in self.seats)


def engine_tables(plan: LayerPlan) -> EngineTables:
    """The planes of a layer as its engines walk through them.

    A filter without planes takes one slot whose coordinate is zero. Every engine has as many slots as the busiest one,
    and at least so many that the `stride` time steps of the next output arrive meanwhile.
    """
    layer, slots = plan.layer, plan.kernel_visits
    engines, lanes = plan.folding
    idle = PlaneEntry(0, False, False, 0, 0)
    seats = [(0, 0)] * layer.filters
    signs = np.zeros((engines, slots, plan.chunks * lanes), bool)
    planes = []
    for engine, (hand, walk) in enumerate(zip(plan.hands, plan.walks)):
        for place, index in enumerate(hand):
            seats[index] = (engine, len(hand) - 1 - place)
        row = []
        for slot, (index, plane, first, last) in enumerate(walk):
            group, coordinate = 0, 0
            if plane is not None:
                group, coordinate = plan.row_group(index, plane), int(layer.coordinates[plane])
                signs[engine, slot, : layer.group_size] = layer.signs[plane]
            row.append(PlaneEntry(group, first, last, coordinate, int(layer.bias[index])))
        planes.append((*row, *[idle] * (slots - len(row))))
    return EngineTables(signs.reshape(engines, slots * plan.chunks, lanes), tuple(planes), tuple(seats))


class CppTable(NamedTuple):
    """A constant C++ array: element type, values (their shape is the array's), text of each entry of the first axis."""

    type_name: str
    values: np.ndarray
    texts: list[str]


def cpp_tables(tables: EngineTables) -> dict[str, CppTable]:
    """The three tables of a layer as C++: signs, planes, seats."""

    def braces(parts: Iterable[str]) -> str:
        return "\n    {" + ", ".join(parts) + "}"

    def entry(plane: PlaneEntry) -> str:
        starts, ends = ("true" if flag else "false" for flag in (plane.starts, plane.ends))
        return f"{{{plane.group}, {starts}, {ends}, {plane.coordinate}, {plane.bias}}}"

    signs = [braces(braces("01"[bit] for bit in word) for word in engine) for engine in tables.signs.tolist()]
    planes = [braces(map(entry, engine)) for engine in tables.planes]
    seats = [f"{{{engine}, {position}}}" for engine, position in tables.seats]
    coordinates = np.array([[plane.coordinate for plane in engine] for engine in tables.planes])
    return {
        "signs": CppTable("alq::sign", tables.signs, signs),
        "planes": CppTable("alq::plane", coordinates, planes),
        "seats": CppTable("alq::seat", np.arange(len(seats)), seats),
    }


def unit_size(layer: PlaneLayer) -> int:
    """Weights of one time step that always belong to the same group."""
    return 1 if layer.kernelwise else gcd(layer.fan, layer.group_size)


def sum_bits(layer: PlaneLayer, source: Format) -> int:
    """Two's complement width of the sum of a group's inputs under any signs."""
    return int(layer.group_size * max(-source.low, source.high)).bit_length() + 1
