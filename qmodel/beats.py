"""From per-step integer logits to beats: when each is, and of what kind. Part of the number contract.

A time step is 24 samples, 67 ms. Its score is the largest beat logit less that of "none". A beat is where the score
reaches the threshold and is larger than in the three steps before and not smaller than in the three after: the
refractory rule, since ventricles cannot answer twice within 0.27 s. Its kind is the largest sum of a kind's logits over
the beat's step and its neighbours. All of it is integers: NumPy, C++ and Verilog agree bit for bit. NumPy alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEP_SAMPLES = 24
KINDS = ("N", "S", "V")
REFRACTORY_STEPS = 4
TOLERANCE_S = 0.15  # ANSI/AAMI EC57: a detected beat matches an annotated one within 150 ms


class Beats(NamedTuple):
    """step: int64 (beat,), of the logits; kind: int64 (beat,), index into KINDS; score: int64 (beat,)."""

    step: np.ndarray
    kind: np.ndarray
    score: np.ndarray

    @property
    def sample(self) -> np.ndarray:
        """Middle of every beat's step in samples at 360 Hz from the first step's beginning."""
        return self.step * STEP_SAMPLES + STEP_SAMPLES // 2


def decode(logits: np.ndarray, threshold: int = 0, offsets: tuple[int, int, int] = (0, 0, 0)) -> Beats:
    """Beats of consecutive steps. Args: logits: (step, 4 or more): none, N, S, V; threshold, offsets: same unit.

    Source: number contract; refractory rule of Pan and Tompkins, IEEE Trans. Biomed. Eng. 32:230, 1985 (200 ms there).
    """
    kinds = logits[:, 1:4]
    score = kinds.max(1) - logits[:, 0]
    low = np.iinfo(np.int64).min if score.dtype.kind == "i" else -np.inf
    reach = REFRACTORY_STEPS - 1
    padded = np.pad(score, reach, constant_values=low)
    views = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    before, after = views[:, :reach].max(1), views[:, reach + 1 :].max(1)
    step = np.flatnonzero((score >= threshold) & (score > before) & (score >= after))
    sums = kind_sums(logits, step) + np.array(offsets)
    return Beats(step, sums.argmax(1) if len(step) else np.zeros(0, np.int64), score[step])


def kind_sums(logits: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Sums of each kind's logits over a beat's step and its neighbours, shape (beat, kind)."""
    around = np.pad(logits[:, 1:4], ((1, 1), (0, 0)))
    return around[step] + around[step + 1] + around[step + 2]


def by_timing(beats: Beats, sums: np.ndarray, at: np.ndarray, gain: int, fibrillating: np.ndarray) -> Beats:
    """Beats whose kind, N or S, is told by their timing too; ventricular ones stay. Integers throughout.

    A beat is supraventricular where its sum for S less that for N, within four gains either way, and what its timing is
    worth are above nothing together, and where its rhythm is calm: intervals that change by less than 12 % in the
    median over 21 beats, or no atrial fibrillation around it, in which no beat is early. Timing: its interval against
    the median of the eight before it, the mean of 120 around it, and the mean of all; each tenth below, after the
    first, is worth `gain`, up to three. Where it is early by the first of them, the pause behind it counts alike, each
    tenth above.
    Args: sums: `kind_sums`, int64; at: R waves (`refine`); gain: in the unit of the logits, 0: kinds as they are;
        fibrillating: bool (beat,).
    Sources: intervals as de Chazal et al., IEEE Trans. Biomed. Eng. 51:1196, 2004; limits: chosen on MIT-BIH's DS1 and
    on svdb, each by a network that had met neither its persons nor MIT-BIH's.
    """
    number = len(beats.step)
    if not gain or number < 3:
        return beats
    gaps = np.diff(np.asarray(at, np.int64))  # gaps[i - 1] ends at beat i
    changes = np.abs(np.diff(gaps))  # changes[i - 2]: of the gap that ends at beat i against the one before
    ends = np.concatenate([[0], np.cumsum(gaps)])
    early = beats.kind == KINDS.index("S")

    def tenths(percent: int, interval: int) -> int:
        """What per cent of an interval are worth, both times the same number of intervals."""
        return min(max(percent * gain // (10 * interval), 0), MOST_TENTHS * gain) if interval else 0

    for i in np.flatnonzero(beats.kind != KINDS.index("V")):
        worth = 0
        usual = _twice_median(gaps[max(0, i - 9) : i - 1]) if i >= 2 else _twice_median(gaps)
        if i >= 2:
            first, last = max(0, i - LOCAL_BEATS // 2), min(len(gaps), i + LOCAL_BEATS // 2)
            own, around, whole = int(gaps[i - 1]), int(ends[last] - ends[first]), int(ends[-1])
            for mean, count in ((usual, 2), (around, last - first), (whole, len(gaps))):
                worth += tenths(EARLY_PERCENT * mean - 100 * own * count, mean)
            if 200 * own < EARLY_PERCENT * usual and i < len(gaps):
                worth += tenths(200 * int(gaps[i]) - 100 * usual, usual)
        restless = _twice_median(changes[max(0, i - 12) : i + 9])
        calm = 25 * restless < 3 * usual or not fibrillating[i]
        leaning = min(max(int(sums[i, 1]) - int(sums[i, 0]), -MOST_LEANING * gain), MOST_LEANING * gain)
        early[i] = calm and leaning + worth > 0
    kind = np.where(beats.kind == KINDS.index("V"), beats.kind, early.astype(np.int64))
    return beats._replace(kind=kind)


EARLY_PERCENT = 90  # of a usual interval: what is shorter is early
MOST_TENTHS, MOST_LEANING = 3, 4  # gains: what one measure of timing, and the network's own opinion, are worth at most
LOCAL_BEATS = 120


def _twice_median(values: np.ndarray) -> int:
    """Twice the median, a whole number; 0 of nothing."""
    ordered = np.sort(values)
    half = len(ordered) // 2
    return int(ordered[half] + ordered[-half - 1]) if len(ordered) else 0


def refine(signal: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """Beats moved to the R wave: the sample farthest from the mean of 0.2 s around the step's middle, in 67 ms of it.

    Integers throughout. Args: signal: int (sample,), 360 Hz; sample: of every beat, in order. Returns: int64 (beat,).
    """
    signal, sample = np.asarray(signal, np.int64), np.asarray(sample, np.int64)
    place = sample[:, None] + np.arange(-_AROUND, _AROUND + 1)
    inside = (place >= 0) & (place < len(signal))
    part = np.where(inside, signal[np.clip(place, 0, max(0, len(signal) - 1))], 0)
    number = inside.sum(1, keepdims=True)
    far = np.where(inside, np.abs(number * part - part.sum(1, keepdims=True)), -1)
    near = slice(_AROUND - STEP_SAMPLES, _AROUND + STEP_SAMPLES + 1)
    return sample - STEP_SAMPLES + far[:, near].argmax(1)


_AROUND = 36  # samples on each side of a beat's step that tell its baseline


def match(reference: np.ndarray, found: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of annotated and detected beats no further apart than `tolerance`, nearest first, each in one pair.

    Args: reference, found: samples in order of time. Returns: indices of reference and of found, shape (pair,) each.
    """
    if not len(reference) or not len(found):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    right = np.searchsorted(found, reference)
    candidates = []
    for side in (-2, -1, 0, 1):
        place = right + side
        inside = np.flatnonzero((place >= 0) & (place < len(found)))
        far = np.abs(found[place[inside]] - reference[inside])
        near = far <= tolerance
        candidates.append(np.stack([far[near], inside[near], place[inside][near]], axis=1))
    pairs = np.concatenate(candidates)
    pairs = pairs[np.lexsort((pairs[:, 2], pairs[:, 1], pairs[:, 0]))]
    used_reference, used_found = np.zeros(len(reference), bool), np.zeros(len(found), bool)
    kept = []
    for _, i, j in pairs:
        i, j = int(i), int(j)
        if not used_reference[i] and not used_found[j]:
            used_reference[i] = used_found[j] = True
            kept.append((i, j))
    kept.sort()
    return (np.array([i for i, _ in kept], np.int64), np.array([j for _, j in kept], np.int64))
