"""Signal quality of windows: whether there is an ECG to classify, and if not, why.

Four measures, each divided by the limit at which a window is no longer usable; the index is one minus the largest, so
1 is clean and 0 unusable.

missing    share of samples the recorder did not give
flat       share of seconds that span less than 0.02 mV: lead off (fSQI; Hayn's "empty lead")
saturated  share of samples that stand at an end of the range: amplifier or converter at its limit
noise      power above 40 Hz against 1 to 40 Hz (muscle, mains, white noise), and below 0.5 Hz against all
           (movement; basSQI), whichever is nearer its limit

A window of fibrillation or flutter is not mistaken for noise: neither measure asks for QRS complexes. In exchange,
movement in the band of the ECG itself is not seen.
Sources: Clifford et al., Physiol. Meas. 33:1419, 2012 (fSQI, basSQI, spectral ratios); Hayn et al., Physiol. Meas.
33:1449, 2012 (constancy, range). Limits: set on the MIT-BIH windows, see results/abstain.json.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qmodel.errors import InputError

SAMPLING_RATE_HZ = 360
REASONS = ("missing", "flat", "saturated", "noise")
GOOD = "good"
MISSING_LIMIT = 0.2
FLAT_SPAN_UNITS, FLAT_LIMIT = 4, 0.5  # 200 ADC units per mV
CLIPPED_RUN_S, CLIPPED_LIMIT = 0.014, 0.05
HIGH_HZ, LOW_HZ, ECG_HZ = 40.0, 0.5, 1.0
HIGH_LIMIT, LOW_LIMIT = 0.5, 0.95

# Movement below 0.5 Hz is told from an ECG where a window resolves a quarter of that; in shorter ones nothing is said.
SHORTEST_FOR_LOW_S = 8.0


@lru_cache(maxsize=8)
def _bands(samples: int, rate_hz: float) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Taper of a window, and the places of low, ECG and high frequencies in its spectrum."""
    frequency = np.fft.rfftfreq(samples, 1 / rate_hz)
    edges = ((0, LOW_HZ), (ECG_HZ, HIGH_HZ), (HIGH_HZ, rate_hz))
    return np.hanning(samples), tuple(slice(*np.searchsorted(frequency, pair)) for pair in edges)


_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Quality:
    """index: float64, shape (window,), 1 clean to 0 unusable; reason: str (window,), "good" or one of REASONS."""

    index: np.ndarray
    reason: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """Bool, shape (window,)."""
        return self.reason == GOOD


def assess(
    windows: np.ndarray,
    missing: np.ndarray | None = None,
    clipped: np.ndarray | None = None,
    rate_hz: float = SAMPLING_RATE_HZ,
) -> Quality:
    """Quality of windows; of several leads the worst counts.

    Args: windows: int16, shape (window, sample) or (window, sample, lead), 200 ADC units per mV; missing: share of each
        window's samples that were not given, none if None; clipped: share at an end of the recorder's range, where that
        is known from the samples before resampling, beside what the windows themselves show; rate_hz: of the samples.
    Raises: InputError: wrong shape.
    """
    windows = np.asarray(windows)
    if windows.ndim not in (2, 3) or not windows.shape[1]:
        raise InputError(f"windows must have the shape (window, sample) or with leads, received {windows.shape}")
    leads = [windows] if windows.ndim == 2 else [windows[:, :, i] for i in range(windows.shape[2])]
    own = np.max([_measures(lead, rate_hz) for lead in leads], axis=0)
    if missing is not None:
        own[:, 0] = np.asarray(missing) / MISSING_LIMIT
    if clipped is not None:
        own[:, 2] = np.maximum(own[:, 2], np.asarray(clipped) / CLIPPED_LIMIT)
    # A window may fail in several ways; the first in the order of REASONS is its cause.
    failed = own >= 1
    reason = np.where(failed.any(1), np.array(REASONS)[failed.argmax(1)], GOOD)
    return Quality(np.clip(1 - own.max(1, initial=0), 0, 1), reason)


def _measures(windows: np.ndarray, rate_hz: float) -> np.ndarray:
    """The measures of one lead's windows (window, sample), each divided by its limit: float64 (window, REASONS)."""
    samples = windows.shape[1]
    second = min(round(rate_hz), samples)
    seconds = windows[:, : samples // second * second].reshape(len(windows), samples // second, second)
    flat = (np.ptp(seconds.astype(np.int32), axis=2) < FLAT_SPAN_UNITS).mean(1)
    clipped = np.array([clipped_samples(window, rate_hz).mean() for window in windows])
    noise = np.array([_noise(window, rate_hz) for window in windows])
    columns = [np.zeros(len(windows)), flat / FLAT_LIMIT, clipped / CLIPPED_LIMIT, noise]
    return np.stack(columns, axis=1).reshape(len(windows), len(REASONS))


def _noise(window: np.ndarray, rate_hz: float) -> float:
    """Larger of the two noise measures of int16 (sample,), each divided by its limit; 0 where there is no power.

    One window at a time and free of its offset: sums of floats must not depend on what else is in a batch.
    """
    taper, bands = _bands(len(window), rate_hz)
    x = window.astype(np.int64) - int(window[0])
    power = np.abs(np.fft.rfft((x - x.mean()) * taper)) ** 2
    whole = power.sum()
    if whole == 0:
        return 0.0
    low, ecg, high = (power[band].sum() for band in bands)
    if len(window) < SHORTEST_FOR_LOW_S * rate_hz:
        low = 0.0
    return float(max(high / max(ecg, _TINY) / HIGH_LIMIT, low / whole / LOW_LIMIT))


def clipped_samples(signal: np.ndarray, sampling_rate_hz: float) -> np.ndarray:
    """Bool (sample,): where a signal rests at its own largest or smallest value for 14 ms or longer.

    No heart does that to the last bit of a converter; an amplifier at its limit does.
    Args: signal: as it was sampled, any unit, NaN allowed.
    """
    run = max(4, round(CLIPPED_RUN_S * sampling_rate_hz))
    signal = np.asarray(signal)
    given = signal[~np.isnan(signal)] if signal.dtype.kind == "f" else signal
    if not len(given) or given.min() == given.max():
        return np.zeros(len(signal), bool)
    clipped = np.zeros(len(signal), bool)
    for end in (given.min(), given.max()):
        # Runs of samples at the end of the range: where they start and stop.
        edges = np.diff(np.concatenate([[False], signal == end, [False]]).astype(np.int8))
        for start, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)):
            if stop - start >= run:
                clipped[start:stop] = True
    return clipped
