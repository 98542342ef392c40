"""A table of what ALQ made of a model, layer by layer: weights, bits, bytes, work."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from qmodel.alq.layers import ALQConv1D, alq_layers
from qmodel.alq.trainer import LayerState


class LayerSummary(NamedTuple):
    """One layer; multiplications and additions per window (one multiplication per plane and output time step)."""

    name: str
    weights: int
    groups: int
    average_bits: float
    bytes: float
    pruned_groups: float
    multiplications: int
    additions: int


def summarise(model: keras.Model) -> list[LayerSummary]:
    """Summaries of a model's ALQ layers in its order. `bytes` is the layer's bit stream in the frozen file / 8."""
    rows = []
    for layer in alq_layers(model):
        state = LayerState(layer)
        counts = state.plane_counts()
        planes = int(counts.sum())
        steps = int(np.prod(layer.output.shape[1:-1])) if isinstance(layer, ALQConv1D) else 1
        weights = int(np.prod(layer.kernel.shape))
        rows.append(
            LayerSummary(
                name=layer.name,
                weights=weights,
                groups=counts.size,
                average_bits=planes * state.group_size / weights,
                bytes=state.stored_bits() / 8,
                pruned_groups=float((counts == 0).mean()),
                multiplications=planes * steps,
                additions=planes * state.group_size * steps,
            )
        )
    return rows


def alq_summary(model: keras.Model, print_line: Callable[[str], object] = print) -> list[LayerSummary]:
    """Print the table of `summarise` with a line of totals, as `model.summary()` does, and return its rows."""
    rows = summarise(model)
    weights = sum(row.weights for row in rows)
    groups = sum(row.groups for row in rows)
    total = LayerSummary(
        name="total",
        weights=weights,
        groups=groups,
        average_bits=sum(row.average_bits * row.weights for row in rows) / weights,
        bytes=sum(row.bytes for row in rows),
        pruned_groups=sum(row.pruned_groups * row.groups for row in rows) / groups,
        multiplications=sum(row.multiplications for row in rows),
        additions=sum(row.additions for row in rows),
    )
    print_line(
        f"{'layer':<12}{'weights':>9}{'groups':>8}{'bits':>7}{'bytes':>9}{'pruned':>8}{'multiply':>11}{'add':>13}"
    )
    for row in [*rows, total]:
        print_line(
            f"{row.name:<12}{row.weights:>9,}{row.groups:>8,}{row.average_bits:>7.2f}{row.bytes:>9,.0f}"
            f"{row.pruned_groups:>8.1%}{row.multiplications:>11,}{row.additions:>13,}"
        )
    return rows
