"""Signal quality of ten-second windows: whether there is an ECG to classify, and if not, why.

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

import numpy as np

from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES

SAMPLING_RATE_HZ = 360
REASONS = ("missing", "flat", "saturated", "noise")
GOOD = "good"
MISSING_LIMIT = 0.2
FLAT_SPAN_UNITS, FLAT_LIMIT = 4, 0.5  # 200 ADC units per mV
CLIPPED_RUN_S, CLIPPED_LIMIT = 0.014, 0.05
HIGH_HZ, LOW_HZ, ECG_HZ = 40.0, 0.5, 1.0
HIGH_LIMIT, LOW_LIMIT = 0.5, 0.95

_TAPER = np.hanning(WINDOW_SAMPLES)
_FREQUENCY = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLING_RATE_HZ)
_BANDS = tuple(
    slice(*np.searchsorted(_FREQUENCY, edges))
    for edges in ((0, LOW_HZ), (ECG_HZ, HIGH_HZ), (HIGH_HZ, SAMPLING_RATE_HZ))
)
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


def assess(windows: np.ndarray, missing: np.ndarray | None = None, clipped: np.ndarray | None = None) -> Quality:
    """Quality of windows at 360 Hz.

    Args: windows: int16, shape (window, 3600), 200 ADC units per mV; missing: share of each window's samples that were
        not given, none if None; clipped: share at an end of the recorder's range, where that is known from the samples
        before resampling, beside what the windows themselves show.
    Raises: InputError: wrong shape.
    """
    windows = np.asarray(windows)
    if windows.ndim != 2 or windows.shape[1] != WINDOW_SAMPLES:
        raise InputError(f"windows must have the shape (window, {WINDOW_SAMPLES}), received {windows.shape}")
    own = np.array([clipped_samples(window, SAMPLING_RATE_HZ).mean() for window in windows])
    clipped = own if clipped is None else np.maximum(own, clipped)
    seconds = windows.reshape(len(windows), WINDOW_SAMPLES // SAMPLING_RATE_HZ, SAMPLING_RATE_HZ).astype(np.int32)
    flat = (np.ptp(seconds, axis=2) < FLAT_SPAN_UNITS).mean(1)
    measures = np.stack(
        [
            np.zeros(len(windows)) if missing is None else np.asarray(missing) / MISSING_LIMIT,
            flat / FLAT_LIMIT,
            np.asarray(clipped) / CLIPPED_LIMIT,
            np.array([_noise(window) for window in windows]),
        ],
        axis=1,
    ).reshape(len(windows), len(REASONS))
    # A window may fail in several ways; the first in the order of REASONS is its cause.
    failed = measures >= 1
    reason = np.where(failed.any(1), np.array(REASONS)[failed.argmax(1)], GOOD)
    return Quality(np.clip(1 - measures.max(1, initial=0), 0, 1), reason)


def _noise(window: np.ndarray) -> float:
    """Larger of the two noise measures of int16 (sample,), each divided by its limit; 0 where there is no power.

    One window at a time and free of its offset: sums of floats must not depend on what else is in a batch.
    """
    x = window.astype(np.int64) - int(window[0])
    power = np.abs(np.fft.rfft((x - x.mean()) * _TAPER)) ** 2
    whole = power.sum()
    if whole == 0:
        return 0.0
    low, ecg, high = (power[band].sum() for band in _BANDS)
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
