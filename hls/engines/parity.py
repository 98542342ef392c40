"""Parity: every engine against the golden model, on every layer and every window, exactly."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hls.engines.csim import CSimulation
from qmodel.files import write_json
from qmodel.frozen import FrozenNetwork

Trace = Callable[[np.ndarray], Sequence[np.ndarray]]
WINDOWS_PER_STEP = 64


@dataclass(frozen=True)
class Difference:
    """Where an engine first leaves the golden model; `lsb` is received minus expected in units of the layer's step."""

    engine: str
    window: int
    layer: str
    time_step: int
    filter: int
    expected: int
    received: float
    lsb: float

    def __str__(self) -> str:
        return (
            f"{self.engine} differs first in window {self.window}, layer {self.layer}, filter {self.filter}, "
            f"time step {self.time_step}: {self.received:g} instead of {self.expected} ({self.lsb:+g} LSB)"
        )


@dataclass(frozen=True)
class ParityReport:
    """Verdict of `compare`: what was compared, how many integers differ, and the first that does.

    mismatches: integers that differ, over all engines, layers and windows; per_layer: the same by engine and layer;
    first: the earliest window's earliest layer that differs, per engine.
    """

    identity: str
    windows: int
    integers: int
    mismatches: int
    per_layer: dict[str, dict[str, int]]
    first: dict[str, Difference]

    @property
    def equal(self) -> bool:
        """Whether every integer of every engine is the golden one."""
        return self.mismatches == 0

    def __str__(self) -> str:
        engines = ", ".join(self.per_layer)
        head = f"golden model = {engines}" if self.equal else "PARITY BROKEN"
        counts = f"{self.windows} windows, {self.integers} integers compared, {self.mismatches} mismatches"
        return "\n".join([f"{head}: {counts}", *map(str, self.first.values())])

    def save(self, path: str | os.PathLike) -> Path:
        """Write as JSON."""
        write_json(path, asdict(self) | {"equal": self.equal})
        return Path(path)


def compare(
    network: FrozenNetwork, engines: Mapping[str, Trace], x: np.ndarray, progress: bool = False
) -> ParityReport:
    """Compare engines with the golden model on every layer and window.

    Args: engines: by name, a function that takes input integers (batch, time) and gives every stage's integers, one
        array per stage of `network` with batch * time * channel values (a CSimulation's `trace`, a Keras model's);
        x: input integers, shape (batch, time); progress: show a bar.
    Raises: ValueError: no engine, no window, or an engine that gives another number of stages or values.
    """
    x = np.asarray(x)
    if not engines or not len(x):
        raise ValueError(f"parity needs at least one engine and one window, received {len(engines)} and {len(x)}")
    per_layer = {name: dict.fromkeys((stage.name for stage in network.stages), 0) for name in engines}
    first: dict[str, Difference] = {}
    integers = 0
    with tqdm(total=len(x) * len(engines), desc="parity", unit="window", disable=not progress) as bar:
        for start in range(0, len(x), WINDOWS_PER_STEP):
            part = x[start : start + WINDOWS_PER_STEP]
            golden = network.trace(part)
            for name, trace in engines.items():
                received = _checked(name, network, golden, trace(part))
                wrong = [a != b for a, b in zip(golden, received)]
                for stage, mask in zip(network.stages, wrong):
                    per_layer[name][stage.name] += int(mask.sum())
                    integers += mask.size
                if name not in first and any(mask.any() for mask in wrong):
                    first[name] = _first(name, network, start, golden, received, wrong)
                bar.update(len(part))
    mismatches = sum(sum(layers.values()) for layers in per_layer.values())
    return ParityReport(network.identity, len(x), integers, mismatches, per_layer, first)


def _checked(name: str, network: FrozenNetwork, golden, received) -> list[np.ndarray]:
    if len(received) != len(golden):
        raise ValueError(f"{name} gives {len(received)} layers, the network has {len(golden)}")
    arrays = []
    for stage, expected, given in zip(network.stages, golden, received):
        given = np.asarray(given)
        if given.size != expected.size:
            raise ValueError(
                f"{name}, layer {stage.name}: expected values of shape {expected.shape}, received {given.shape}"
            )
        arrays.append(given.reshape(expected.shape))
    return arrays


def _first(name: str, network: FrozenNetwork, start: int, golden, received, wrong) -> Difference:
    windows = [np.flatnonzero(mask.reshape(len(mask), -1).any(1)) for mask in wrong]
    window = min(int(found[0]) for found in windows if len(found))
    layer = next(i for i, mask in enumerate(wrong) if mask[window].any())
    time_step, channel = (int(i) for i in np.argwhere(wrong[layer][window])[0])
    expected, value = (
        golden[layer][window, time_step, channel].item(),
        received[layer][window, time_step, channel].item(),
    )
    return Difference(
        name, start + window, network.stages[layer].name, time_step, channel, expected, value, value - expected
    )


def frames_are_independent(simulation: CSimulation, x: np.ndarray) -> bool:
    """Whether nothing of one frame reaches the next: all frames back to back, and each three times, as alone.

    Args: x: input integers, shape (batch, time).
    """
    x = np.asarray(x, np.int64)
    last = np.arange(1, x.shape[1] + 1) == x.shape[1]

    def logits(frames: np.ndarray) -> np.ndarray:
        values, _ = simulation.stream(frames.reshape(-1), np.tile(last, len(frames)), len(frames))
        return values.reshape(len(frames), -1)

    alone = np.concatenate([logits(frame[None]) for frame in x])
    thrice = np.repeat(x, 3, axis=0)
    return np.array_equal(logits(x), alone) and np.array_equal(logits(thrice), np.repeat(alone, 3, axis=0))
