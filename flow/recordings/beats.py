"""Beats of one lead at 360 Hz, and what follows from them: rate, premature beats, pauses.

Found by the network that ships for persons never met, which tells types; where it is not there, by
wfdb.processing.XQRS, which finds beats and tells no types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from flow.recordings.choices import NETWORK
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.recording import ADC_UNITS_PER_MV, Samples

UNTYPED = "Q"  # a beat whose type is not told: WFDB's symbol for one that is not classified
PREMATURE = {"S": "supraventricular", "V": "ventricular"}
TYPES = {"N": "normal", "S": "supraventricular premature", "V": "ventricular", "F": "fusion", UNTYPED: "type not told"}
LONGEST_RR_S = 10.0  # further apart than a window is no interval between two beats, but a stretch without an ECG
LEARNING_S = 1.0  # at each end of a stretch, where a detector has not settled or not heard enough
CHUNK_S = 600  # heard at once by XQRS, whose time grows with what it keeps
OVERLAP_S = 10

Detector = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Beats:
    """Beats in order of time; sample: int64 (beat,), at 360 Hz, near the R wave; kind: str (beat,), keys of TYPES;
    usable_s: seconds of signal in which beats were looked for; gaps: bool (beat,), whether something is missing between
    a beat and the one before it (True for the first); typed: whether types are told; by: what found them."""

    sample: np.ndarray
    kind: np.ndarray
    gaps: np.ndarray
    usable_s: float
    typed: bool
    by: str

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def rr_s(self) -> np.ndarray:
        """Seconds from the beat before; NaN where that is not known. float64 (beat,)."""
        steps = np.diff(self.sample, prepend=0) / SAMPLING_RATE_HZ
        return np.where(self.gaps | (steps > LONGEST_RR_S), np.nan, steps)

    def rate_bpm(self, start_s: float, end_s: float) -> float | None:
        """Heart rate between two times: of the mean of the intervals that end there; None with fewer than two.

        The median would tell one of two intervals where they take turns, as in bigeminy.
        """
        at = self.sample / SAMPLING_RATE_HZ
        rr = self.rr_s[(at >= start_s) & (at < end_s)]
        rr = rr[~np.isnan(rr)]
        return None if len(rr) < 2 else float(60 / rr.mean())

    def number(self, start_s: float, end_s: float) -> int:
        """Beats between two times."""
        at = self.sample / SAMPLING_RATE_HZ
        return int(((at >= start_s) & (at < end_s)).sum())

    def summary(self) -> dict:
        """Figures of the whole recording, ready for JSON: None where beats or their types do not tell.

        Keys: beats, by_type, mean, lowest and highest heart rate (of eight intervals in a row), premature beats an
        hour, the longest pause and when it begins, who found the beats.
        """
        rr = self.rr_s
        given = rr[~np.isnan(rr)]
        eight = _running(rr, 8)
        pause = int(np.nanargmax(rr)) if len(given) else None
        hours = self.usable_s / 3600
        premature: dict[str, float] | None = None
        if self.typed and hours > 0:
            premature = {word: round(float((self.kind == kind).sum() / hours), 2) for kind, word in PREMATURE.items()}
        return {
            "beats": len(self),
            "by_type": {kind: int((self.kind == kind).sum()) for kind in TYPES if (self.kind == kind).any()},
            "heart_rate_bpm": round(float(60 / given.mean()), 2) if len(given) else None,
            "lowest_heart_rate_bpm": round(float(60 / eight.max()), 2) if len(eight) else None,
            "highest_heart_rate_bpm": round(float(60 / eight.min()), 2) if len(eight) else None,
            "premature_per_hour": premature,
            "longest_pause_s": None if pause is None else round(float(rr[pause]), 4),
            "longest_pause_at_s": None if pause is None else round(float(self.sample[pause - 1] / SAMPLING_RATE_HZ), 4),
            "usable_s": round(self.usable_s, 3),
            "found_by": self.by,
        }


def _running(rr: np.ndarray, number: int) -> np.ndarray:
    """Means of so many intervals in a row, none of them unknown; of all where there are fewer."""
    given = rr[~np.isnan(rr)]
    if len(given) < number:
        return given.mean(keepdims=True) if len(given) else given
    sums = np.convolve(np.nan_to_num(rr), np.ones(number), "valid") / number
    known = np.convolve(np.isnan(rr).astype(int), np.ones(number, int), "valid") == 0
    return sums[known] if known.any() else given.mean(keepdims=True)


def xqrs(signal_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beats by wfdb.processing.XQRS, all of type UNTYPED: samples int64 (beat,), types str (beat,).

    In parts that overlap, so that the time stays proportional to the length.
    """
    from wfdb.processing import XQRS

    found, chunk, overlap = list[int](), CHUNK_S * SAMPLING_RATE_HZ, OVERLAP_S * SAMPLING_RATE_HZ
    for start in range(0, len(signal_mv), chunk):
        first = max(start - overlap, 0)
        part = np.asarray(signal_mv[first : start + chunk + overlap], np.float64)
        if len(part) < 2 * SAMPLING_RATE_HZ or np.ptp(part) == 0:
            continue
        detector = XQRS(sig=part, fs=SAMPLING_RATE_HZ)
        try:
            detector.detect(verbose=False)
        except (ValueError, IndexError, ZeroDivisionError):
            continue  # nothing in it that could be learnt from
        own = np.asarray(detector.qrs_inds, np.int64) + first
        found += own[(own >= start) & (own < start + chunk)].tolist()
    samples = np.unique(np.array(found, np.int64))
    return samples, np.full(len(samples), UNTYPED)


def by_network(signal_mv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beats by the shipped network that answers every step, in integers: samples int64 (beat,), types str (beat,)."""
    from qmodel import models, reading
    from qmodel.beats import KINDS, refine
    from qmodel.fixed_point import MAX_ADC_MAGNITUDE, WINDOW_SAMPLES

    network = models.load(NETWORK)
    units = np.rint(ADC_UNITS_PER_MV * np.asarray(signal_mv, np.float64))
    units -= np.rint(np.median(units))
    signal = np.clip(units, -MAX_ADC_MAGNITUDE, MAX_ADC_MAGNITUDE - 1).astype(np.int16)
    ahead = max(0, WINDOW_SAMPLES - len(signal))  # a page that listens has less than a window at first
    signal = np.pad(signal, (ahead, 0), mode="edge") if len(signal) else np.zeros(WINDOW_SAMPLES, np.int16)
    found = reading.beats_of(reading.record_steps(network.run, signal), signal, reading.Constants.of(network))
    own = found.sample >= ahead
    return refine(signal, found.sample[own]) - ahead, np.array(KINDS)[found.kind[own]]


@lru_cache(maxsize=1)
def detector() -> tuple[Detector, bool, str]:
    """What finds beats here: the function, whether it tells types, and its name."""
    from qmodel import models

    if NETWORK in models.names():
        return by_network, True, f"network {NETWORK}"
    return xqrs, False, "wfdb XQRS"


def find(samples: Samples, unusable: np.ndarray | None = None) -> Beats:
    """Beats of a lead.

    Args: unusable: bool (sample,), where the signal is missing, flat, saturated or noise: beats there are not told, nor
        intervals across it; by default where samples are missing.
    """
    run, typed, name = detector()
    bad = samples.missing if unusable is None else samples.missing | unusable
    sample, kind = run(samples.signal_mv)
    sample, kind = np.asarray(sample, np.int64), np.asarray(kind, dtype="<U1")
    if len(sample):
        kept = ~bad[np.clip(sample, 0, len(bad) - 1)]
        sample, kind = sample[kept], kind[kept]
    before = np.concatenate([[0], np.cumsum(bad)])
    # Single samples that are missing are bridged; a tenth of a second may hide a beat.
    lost = np.diff(before[sample], prepend=0) > SAMPLING_RATE_HZ / 10 if len(sample) else np.zeros(0, bool)
    if len(lost):
        lost[0] = True
    return Beats(sample, kind, lost, float((~bad).sum() / SAMPLING_RATE_HZ), typed, name)
