"""Signals that are no ECG, ten seconds at 360 Hz: what a network must learn to refuse, and what refusal is tested on.

Sines and their sums, noise in a band, pulse waves (of pressure or light), random walks, EEG-like rhythms, square waves
and sweeps. Generated from their formulas alone; training and tests draw from different seeds.
Sources: pulse wave as two lobes, Allen, Physiol. Meas. 28:R1, 2007; EEG as 1/f noise with an alpha rhythm of 8 to 13 Hz
that waxes and wanes, Niedermeyer and Lopes da Silva, Electroencephalography, 5th edition.
"""

from __future__ import annotations

import numpy as np

from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.fixed_point import WINDOW_SAMPLES

KINDS = ("sine", "sines", "band noise", "pulse wave", "random walk", "eeg", "square", "sweep")
_TIME = np.arange(WINDOW_SAMPLES) / SAMPLING_RATE_HZ
_FREQUENCY = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLING_RATE_HZ)


def make(kind: str, random: np.random.Generator, clear: bool = False) -> np.ndarray:
    """A window of a kind, float32 (sample,), zero mean and unit deviation.

    Args: kind: one of KINDS; clear: no noise in the band of ventricular fibrillation, from which it differs in nothing
        that a window shows: to learn that it is no ECG would be to miss a cardiac arrest.
    """
    signal = _MAKERS[kind](random)
    while clear and kind in ("band noise", "eeg") and like_fibrillation(signal):
        signal = _MAKERS[kind](random)
    if kind not in ("sine", "square") or random.random() < 0.5:
        signal = signal + random.standard_normal(WINDOW_SAMPLES) * signal.std() * random.choice([0, 0.02, 0.1])
    if kind != "random walk" and random.random() < 0.3:
        sway = np.sin(2 * np.pi * random.uniform(0.05, 0.4) * _TIME + random.uniform(0, 6.3))
        signal = signal + random.uniform(0, 0.6) * signal.std() * sway
    signal = signal - signal.mean()
    return (signal * random.choice([-1, 1]) / max(signal.std(), 1e-9)).astype(np.float32)


def like_fibrillation(signal: np.ndarray) -> bool:
    """Whether two thirds of the power lie between 2.5 and 8 Hz."""
    power = np.abs(np.fft.rfft(signal - signal.mean())) ** 2
    return bool(power[(_FREQUENCY > 2.5) & (_FREQUENCY < 8)].sum() > 2 / 3 * power.sum())


def _sine(random: np.random.Generator) -> np.ndarray:
    return np.sin(2 * np.pi * np.exp(random.uniform(np.log(0.2), np.log(40))) * _TIME + random.uniform(0, 6.3))


def _sines(random: np.random.Generator) -> np.ndarray:
    return np.asarray(sum(random.uniform(0.2, 1) * _sine(random) for _ in range(random.integers(2, 6))))


def _noise(low: float, high: float, slope: float, random: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(random.standard_normal(WINDOW_SAMPLES))
    spectrum *= (low <= _FREQUENCY) & (high >= _FREQUENCY)
    return np.fft.irfft(spectrum / np.maximum(_FREQUENCY, 0.1) ** slope, WINDOW_SAMPLES)


def _band_noise(random: np.random.Generator) -> np.ndarray:
    low = np.exp(random.uniform(np.log(0.2), np.log(15)))
    return _noise(low, low + np.exp(random.uniform(np.log(0.5), np.log(60))), random.choice([0, 0, 0.5, 1]), random)


def _pulse_wave(random: np.random.Generator) -> np.ndarray:
    """Upstroke and notch: two bells a beat, each a fifth to a third of the beat long."""
    interval, swing = random.uniform(0.4, 1.4), random.uniform(0, 0.06)
    second, late = random.uniform(0.15, 0.7), random.uniform(0.22, 0.4)
    width, width_2 = random.uniform(0.1, 0.18), random.uniform(0.1, 0.2)
    signal, place = np.zeros(WINDOW_SAMPLES), random.uniform(-1, 0)
    while place < 11:
        own = interval * (1 + random.normal(0, swing))
        phase = (_TIME - place) / own
        signal += np.exp(-(((phase - 0.2) / width) ** 2)) + second * np.exp(-(((phase - 0.2 - late) / width_2) ** 2))
        place += own
    return signal


def _random_walk(random: np.random.Generator) -> np.ndarray:
    steps = random.standard_normal(WINDOW_SAMPLES)
    if random.random() < 0.3:
        steps *= random.random(WINDOW_SAMPLES) < random.uniform(0.01, 0.2)
    return np.cumsum(steps)


def _eeg(random: np.random.Generator) -> np.ndarray:
    low = random.uniform(0.3, 1.5)
    background = _noise(low, random.uniform(30, 70), random.uniform(0.5, 1.2), random)
    centre = random.choice([random.uniform(8, 13), random.uniform(1, 4), random.uniform(4, 8), random.uniform(13, 30)])
    rhythm = _noise(centre - 0.8, centre + 0.8, 0, random)
    return background / background.std() + random.uniform(0, 2.5) * rhythm / rhythm.std()


def _square(random: np.random.Generator) -> np.ndarray:
    rate, duty = np.exp(random.uniform(np.log(0.3), np.log(8))), random.uniform(0.15, 0.85)
    phase = (rate * _TIME + random.random()) % 1
    return (phase < duty).astype(float) if random.random() < 0.5 else np.minimum(phase / duty, (1 - phase) / (1 - duty))


def _sweep(random: np.random.Generator) -> np.ndarray:
    first, last = np.exp(random.uniform(np.log(0.3), np.log(20), 2))
    return np.sin(2 * np.pi * (first * _TIME + (last - first) * _TIME**2 / 20) + random.uniform(0, 6.3))


_MAKERS = {
    "sine": _sine,
    "sines": _sines,
    "band noise": _band_noise,
    "pulse wave": _pulse_wave,
    "random walk": _random_walk,
    "eeg": _eeg,
    "square": _square,
    "sweep": _sweep,
}
