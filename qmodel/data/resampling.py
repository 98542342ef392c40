"""Rate conversion that keeps its state: samples in stretches of any length give the same as all at once, bit for bit.

A windowed sinc (Kaiser, beta 5, ten zero crossings a side) below half the lower rate, linear phase, no delay; every
phase passes a constant unchanged. Source: Crochiere and Rabiner, Multirate Digital Signal Processing, 1983.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

SAMPLING_RATE_HZ = 360
LONGEST_LINE_S = 2.0  # gaps up to this are bridged by a line, longer ones hold the value before them
CROSSINGS, BETA = 10, 5.0
BLOCK = 4096  # outputs at once: bounds memory
FINEST = 10_000  # denominator of the ratio of rates: a millisecond a day


class Bridge:
    """Fills gaps: a stretch without values is bridged once its end is known, or held where it is long.

    Args: rate_hz: of the samples.
    """

    def __init__(self, rate_hz: float) -> None:
        self._limit = int(LONGEST_LINE_S * rate_hz)
        self._last: float | None = None
        self._waiting = 0  # samples without a value that have not been given yet
        self._held = False  # the gap that is open has become a long one

    def feed(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take samples, NaN where there is none; give filled ones, float64, and where they were missing, bool."""
        values = np.asarray(values, np.float64)
        absent = np.isnan(values)
        edges = np.flatnonzero(np.diff(absent)) + 1
        filled, missing = list[np.ndarray](), list[np.ndarray]()
        for start, stop in zip([0, *edges], [*edges, len(values)]):
            if start == stop:
                continue
            if absent[start]:
                self._open(stop - start, filled, missing)
            else:
                self._close(values[start:stop], filled, missing)
        empty = np.zeros(0)
        return np.concatenate([empty, *filled]), np.concatenate([empty.astype(bool), *missing])

    def flush(self) -> tuple[np.ndarray, np.ndarray]:
        """What is still waiting, held."""
        number, self._waiting = self._waiting, 0
        return np.full(number, 0.0 if self._last is None else self._last), np.ones(number, bool)

    def _open(self, number: int, filled: list[np.ndarray], missing: list[np.ndarray]) -> None:
        self._waiting += number
        if self._last is not None and (self._held or self._waiting > self._limit):
            self._held = True
            filled.append(np.full(self._waiting, self._last))
            missing.append(np.ones(self._waiting, bool))
            self._waiting = 0

    def _close(self, values: np.ndarray, filled: list[np.ndarray], missing: list[np.ndarray]) -> None:
        if self._waiting:
            last = values[0] if self._last is None else self._last
            steps = np.arange(1, self._waiting + 1) / (self._waiting + 1)
            filled.append(last + (values[0] - last) * steps)
            missing.append(np.ones(self._waiting, bool))
        filled.append(values)
        missing.append(np.zeros(len(values), bool))
        self._last, self._waiting, self._held = float(values[-1]), 0, False


class Resampler:
    """Resamples one signal without gaps; before its first and after its last sample it is held.

    Args: from_hz, to_hz: rates, both above 0.
    """

    def __init__(self, from_hz: float, to_hz: float = SAMPLING_RATE_HZ) -> None:
        ratio = Fraction(to_hz).limit_denominator(1000) / Fraction(from_hz).limit_denominator(1000)
        ratio = ratio.limit_denominator(FINEST)
        self.up, self.down = ratio.numerator, ratio.denominator
        self._same = ratio == 1
        cut = min(1.0, self.up / self.down)
        self._reach = int(np.ceil(CROSSINGS / cut))
        taps = np.arange(-self._reach + 1, self._reach + 1)
        times = taps[None, :] - np.arange(self.up)[:, None] / self.up
        shape = np.sqrt(np.maximum(1 - (times * cut / CROSSINGS) ** 2, 0))
        table = np.sinc(cut * times) * np.i0(BETA * shape) * (np.abs(times) * cut <= CROSSINGS)
        self._table = table / table.sum(1, keepdims=True)
        self._buffer = np.zeros(0)
        self._first = 0  # input sample at the buffer's beginning
        self._taken = 0  # input samples so far
        self._given = 0  # output samples so far

    def feed(self, values: np.ndarray) -> np.ndarray:
        """Take input samples, give the output samples that they complete: float32."""
        values = np.asarray(values, np.float64)
        if self._same:
            self._taken += len(values)
            self._given += len(values)
            return values.astype(np.float32)
        if not len(values):
            return np.zeros(0, np.float32)
        if not self._taken:
            self._buffer = np.full(self._reach, values[0])
            self._first = -self._reach
        self._buffer = np.concatenate([self._buffer, values])
        self._taken += len(values)
        # Output m lies at input m * down / up and needs `reach` samples beyond its floor.
        return self._outputs(self._taken - 1 - self._reach)

    def flush(self) -> np.ndarray:
        """The rest, the last sample held: as many output samples in all as the input's duration has."""
        if self._same or not self._taken:
            return np.zeros(0, np.float32)
        self._buffer = np.concatenate([self._buffer, np.full(self._reach + 1, self._buffer[-1])])
        return self._outputs(self._taken - 1)

    def sources(self, outputs: np.ndarray) -> np.ndarray:
        """Input sample at or before each of these output samples, int64."""
        return outputs.astype(np.int64) * self.down // self.up

    def _outputs(self, last: int) -> np.ndarray:
        """Outputs from the next to the last that lies at or before input sample `last` (and before the one after)."""
        stop = max(self._given, ((last + 1) * self.up + self.down - 1) // self.down)
        parts = []
        for start in range(self._given, stop, BLOCK):
            at = np.arange(start, min(start + BLOCK, stop), dtype=np.int64) * self.down
            whole, phase = at // self.up - self._first, at % self.up
            views = np.lib.stride_tricks.sliding_window_view(self._buffer, 2 * self._reach)
            parts.append(np.einsum("ij,ij->i", views[whole - self._reach + 1], self._table[phase]).astype(np.float32))
        self._given = stop
        keep = max(self._given * self.down // self.up - self._reach - self._first, 0)
        self._buffer, self._first = self._buffer[keep:], self._first + keep
        return np.concatenate([np.zeros(0, np.float32), *parts])


class Converter:
    """Bridge and resampler of one signal. Args: from_hz: its rate; to_hz: of what is given."""

    def __init__(self, from_hz: float, to_hz: float = SAMPLING_RATE_HZ) -> None:
        self._bridge, self._resampler = Bridge(from_hz), Resampler(from_hz, to_hz)
        self._missing = np.zeros(0, bool)
        self._first = 0  # input sample of the first mark that is kept
        self._given = 0

    def feed(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take samples, NaN where there is none. Returns: float32 (sample,) at the other rate; bool, where missing."""
        filled, missing = self._bridge.feed(values)
        return self._marked(self._resampler.feed(filled), missing)

    def flush(self) -> tuple[np.ndarray, np.ndarray]:
        """The rest, when no sample will follow."""
        filled, missing = self._bridge.flush()
        given = self._resampler.feed(filled)
        return self._marked(np.concatenate([given, self._resampler.flush()]), missing)

    def _marked(self, given: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._missing = np.concatenate([self._missing, missing])
        at = self._resampler.sources(np.arange(self._given, self._given + len(given)))
        marks = self._missing[np.minimum(at - self._first, len(self._missing) - 1)] if len(at) else np.zeros(0, bool)
        self._given += len(given)
        keep = int(self._resampler.sources(np.array([self._given]))[0]) - self._first
        keep = min(max(keep, 0), max(len(self._missing) - 1, 0))
        self._missing, self._first = self._missing[keep:], self._first + keep
        return given, marks


def resample(signal: np.ndarray, from_hz: float, to_hz: float = SAMPLING_RATE_HZ) -> np.ndarray:
    """Resample one signal, float32 (sample,); NaN are bridged by a line, long gaps hold the value before them.

    At the same rate the samples stay what they are.
    """
    converter = Converter(from_hz, to_hz)
    return np.concatenate([converter.feed(signal)[0], converter.flush()[0]])
