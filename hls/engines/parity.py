"""Parity: every engine against the golden model, on every layer and every window, exactly."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hls.engines.csim import CSimulation
from hls.engines.engine import Engine
from hls.folding import needed_steps
from qmodel.errors import InputError
from qmodel.files import write_json
from qmodel.frozen import FrozenNetwork

WINDOWS_PER_STEP = 64


@dataclass(frozen=True)
class Difference:
    """Where an engine first leaves the golden model; `lsb` is received minus expected in units of the layer's step.

    received: NaN where the engine gave nothing.
    """

    engine: str
    window: int
    layer: str
    time_step: int
    filter: int
    expected: int
    received: float
    lsb: float

    def __str__(self) -> str:
        what = "nothing" if math.isnan(self.received) else f"{self.received:g}"
        off = "" if math.isnan(self.lsb) else f" ({self.lsb:+g} LSB)"
        return (
            f"{self.engine} differs first in window {self.window}, layer {self.layer}, filter {self.filter}, "
            f"time step {self.time_step}: {what} instead of {self.expected}{off}"
        )


@dataclass(frozen=True)
class ParityReport:
    """Verdict of `compare`: what was compared, how many integers differ, and the first that does.

    mismatches: integers that differ, over all engines, layers and windows; per_layer: the same by engine and layer,
    without the layers that an engine does not show; first: the earliest window's earliest layer that differs, per
    engine; logits: what every engine gave, (window, logit).
    """

    identity: str
    windows: int
    integers: int
    mismatches: int
    per_layer: dict[str, dict[str, int]]
    first: dict[str, Difference]
    logits: dict[str, np.ndarray] = field(repr=False)

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
        """Write as JSON, without the logits."""
        content = {key: value for key, value in asdict(self).items() if key != "logits"}
        write_json(path, content | {"equal": self.equal})
        return Path(path)


def compare(network: FrozenNetwork, engines: Sequence[Engine], x: np.ndarray, progress: bool = False) -> ParityReport:
    """Compare engines with the golden model on every layer that they show and every window.

    Args: engines: their names differ; x: input integers, shape (batch, time); progress: show a bar.
    Raises: InputError: no engine, no window, engines of one name, or an engine that gives another number of stages or
        values, or no logits.
    """
    x = np.asarray(x)
    if not engines or not len(x):
        raise InputError(f"parity needs at least one engine and one window, received {len(engines)} and {len(x)}")
    names = [engine.name for engine in engines]
    if len(set(names)) != len(names):
        raise InputError(f"parity needs engines of different names, received {', '.join(names)}")
    per_layer: dict[str, dict[str, int]] = {name: {} for name in names}
    first: dict[str, Difference] = {}
    logits: dict[str, list[np.ndarray]] = {name: [] for name in names}
    integers, needed = 0, needed_steps(network)
    with tqdm(total=len(x) * len(engines), desc="parity", unit="window", disable=not progress) as bar:
        for start in range(0, len(x), WINDOWS_PER_STEP):
            part = x[start : start + WINDOWS_PER_STEP]
            golden = network.trace(part)
            for name, engine in zip(names, engines):
                received = _checked(name, network, golden, engine.trace(part))
                logits[name].append(received[len(golden) - 1].reshape(len(part), -1))
                wrong = {index: _differs(golden[index], values, needed[index]) for index, values in received.items()}
                for index, mask in wrong.items():
                    layer = network.stages[index].name
                    per_layer[name][layer] = per_layer[name].get(layer, 0) + int(mask.sum())
                    integers += mask.size
                if name not in first and any(mask.any() for mask in wrong.values()):
                    first[name] = _first(name, network, start, golden, received, wrong)
                bar.update(len(part))
    mismatches = sum(sum(layers.values()) for layers in per_layer.values())
    joined = {name: np.concatenate(parts) for name, parts in logits.items()}
    return ParityReport(network.identity, len(x), integers, mismatches, per_layer, first, joined)


def difference(
    network: FrozenNetwork, name: str, x: np.ndarray, received: Sequence[np.ndarray | None]
) -> Difference | None:
    """The first place where an engine's trace of input integers (batch, time) is not the golden one; None: it is."""
    golden = network.trace(x)
    values = _checked(name, network, golden, received)
    needed = needed_steps(network)
    wrong = {index: _differs(golden[index], given, needed[index]) for index, given in values.items()}
    if not any(mask.any() for mask in wrong.values()):
        return None
    return _first(name, network, 0, golden, values, wrong)


def _differs(expected: np.ndarray, given: np.ndarray, needed: int) -> np.ndarray:
    """Where values (window, time, channel) differ. A simulation ends with the last logit, so what an engine did not
    give (NaN) counts only among the first `needed` time steps, those that some output depends on."""
    wrong = expected != given
    wrong[:, needed:] &= ~np.isnan(given[:, needed:])
    return wrong


def _checked(
    name: str, network: FrozenNetwork, golden: Sequence[np.ndarray], received: Sequence[np.ndarray | None]
) -> dict[int, np.ndarray]:
    """What an engine showed, by stage, in the shape of the golden model."""
    if len(received) != len(golden):
        raise InputError(f"{name} gives {len(received)} layers, the network has {len(golden)}")
    arrays = {}
    for index, (stage, expected, values) in enumerate(zip(network.stages, golden, received)):
        if values is None:
            continue
        given = np.asarray(values)
        if given.size != expected.size:
            raise InputError(
                f"{name}, layer {stage.name}: expected values of shape {expected.shape}, received {given.shape}"
            )
        arrays[index] = given.reshape(expected.shape)
    if len(golden) - 1 not in arrays:
        raise InputError(f"{name} shows no logits")
    return arrays


def _first(
    name: str,
    network: FrozenNetwork,
    start: int,
    golden: Sequence[np.ndarray],
    received: dict[int, np.ndarray],
    wrong: dict[int, np.ndarray],
) -> Difference:
    windows = [np.flatnonzero(mask.reshape(len(mask), -1).any(1)) for mask in wrong.values()]
    window = min(int(found[0]) for found in windows if len(found))
    layer = next(index for index, mask in wrong.items() if mask[window].any())
    time_step, channel = (int(i) for i in np.argwhere(wrong[layer][window])[0])
    expected = golden[layer][window, time_step, channel].item()
    value = received[layer][window, time_step, channel].item()
    return Difference(
        name, start + window, network.stages[layer].name, time_step, channel, expected, value, value - expected
    )


def frames_are_independent(simulation: CSimulation, x: np.ndarray) -> bool:
    """Whether nothing of one frame reaches the next: all frames back to back, and each three times, as alone.

    Args: x: input integers, shape (batch, time).
    """
    x = np.asarray(x, np.int64).reshape(len(x), -1)
    last = np.arange(1, x.shape[1] + 1) == x.shape[1]

    def logits(frames: np.ndarray) -> np.ndarray:
        values, _ = simulation.stream(frames.reshape(-1), np.tile(last, len(frames)), len(frames))
        return values.reshape(len(frames), -1)

    alone = np.concatenate([logits(frame[None]) for frame in x])
    thrice = np.repeat(x, 3, axis=0)
    return np.array_equal(logits(x), alone) and np.array_equal(logits(thrice), np.repeat(alone, 3, axis=0))
