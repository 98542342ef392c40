"""Synthetic ECG: per-class rhythms and beat shapes, for tests and for where no records can be had.

A beat is a sum of Gaussian waves (P, Q, R, S, T); a class is a rhythm of such beats: its rate, irregularity, premature
beats, pauses, and waves between the beats. It shows what the classes are named after and no more: no figure measured on
it says anything about patients.
Source: Gaussian waves as in McSharry et al., IEEE Trans. Biomed. Eng. 50(3):289-294, 2003.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb

from qmodel.data.fragments import CLASSES, Windows
from qmodel.data.mitdb import RECORD_SAMPLES, SAMPLING_RATE_HZ, DataError
from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES

SOURCE = "synthetic"
PERSONS = 10
LEADS = ("MLII", "V1")
ADC_UNITS_PER_MV = 200
ADC_ZERO = 1024

# Waves of each kind of beat: (mV, seconds after the R peak, width in seconds), and its annotation symbol.
_BEATS: dict[str, tuple[str, list[tuple[float, float, float]]]] = {
    "none": ("", []),
    "normal": (
        "N",
        [(0.15, -0.17, 0.022), (-0.1, -0.028, 0.008), (1.1, 0, 0.011), (-0.2, 0.03, 0.009), (0.3, 0.26, 0.05)],
    ),
    "without P": ("N", [(-0.1, -0.028, 0.008), (1.1, 0, 0.011), (-0.2, 0.03, 0.009), (0.25, 0.24, 0.045)]),
    "atrial": (
        "A",
        [(-0.1, -0.12, 0.018), (-0.1, -0.028, 0.008), (1.1, 0, 0.011), (-0.2, 0.03, 0.009), (0.3, 0.25, 0.05)],
    ),
    "ventricular": ("V", [(1.5, 0, 0.035), (-0.6, 0.09, 0.035), (-0.5, 0.3, 0.06)]),
    "fusion": ("F", [(0.12, -0.15, 0.022), (1.25, 0, 0.022), (-0.45, 0.06, 0.022), (-0.12, 0.28, 0.055)]),
    "left block": ("L", [(0.15, -0.2, 0.022), (0.65, -0.025, 0.022), (0.7, 0.035, 0.024), (-0.35, 0.3, 0.06)]),
    "right block": ("R", [(0.15, -0.18, 0.022), (0.8, -0.01, 0.011), (-0.55, 0.05, 0.028), (0.25, 0.29, 0.05)]),
    "pre-excited": (
        "N",
        [(0.15, -0.12, 0.02), (0.4, -0.045, 0.02), (1.0, 0, 0.015), (-0.2, 0.04, 0.014), (-0.2, 0.27, 0.05)],
    ),
    "paced": ("/", [(1.2, -0.07, 0.0015), (0.9, 0.01, 0.04), (-0.4, 0.1, 0.03), (-0.45, 0.32, 0.065)]),
    "flutter wave": ("!", [(1.2, 0, 0.055), (-0.9, 0.12, 0.05)]),
    "P wave": ("", [(0.15, 0, 0.022)]),
    "blocked P wave": ("x", [(0.15, 0, 0.022)]),
}
_KINDS = {name: i for i, name in enumerate(_BEATS)}
_SYMBOLS = [symbol for symbol, _ in _BEATS.values()]
_MAX_WAVES = 5
_WAVES = np.array([waves + [(0.0, 0.0, 1.0)] * (_MAX_WAVES - len(waves)) for _, waves in _BEATS.values()])


@dataclass
class _Rhythm:
    """Beats of some windows: R times in seconds, shape (window, beat), their kinds, and what lies between, in mV."""

    times: np.ndarray
    kinds: np.ndarray
    background: np.ndarray | float = 0.0  # (window, sample)


class _Generator:
    """Draws rhythms: `windows` signals of `samples` samples each."""

    def __init__(self, windows: int, samples: int, random: np.random.Generator):
        self.windows, self.samples, self.random = windows, samples, random
        self.seconds = samples / SAMPLING_RATE_HZ

    def uniform(self, low: float, high: float) -> np.ndarray:
        """One number per window, shape (window, 1)."""
        return self.random.uniform(low, high, (self.windows, 1))

    def integers(self, low: int, high: int) -> np.ndarray:
        """One integer from low to high per window, shape (window, 1)."""
        return self.random.integers(low, high + 1, (self.windows, 1))

    def intervals(self, slowest: float, fastest: float, irregularity: float = 0.02) -> np.ndarray:
        """Seconds from beat to beat, shape (window, beat), at one rate per window between two rates per minute."""
        beats = int(self.seconds * fastest / 60 * 1.3) + 4
        noise = self.random.standard_normal((self.windows, beats)).clip(-3, 3)
        breathing = np.sin(np.arange(beats) * self.uniform(0.8, 1.6) + self.uniform(0, 2 * np.pi))
        return 60 / self.uniform(slowest, fastest) * (1 + irregularity * (noise + breathing))

    def rhythm(self, intervals: np.ndarray, kinds: np.ndarray | str, background: np.ndarray | float = 0.0) -> _Rhythm:
        """Start somewhere in the first interval and add up the others."""
        times = np.cumsum(intervals, axis=1) - intervals[:, :1] * (1 + self.random.random((self.windows, 1)))
        if isinstance(kinds, str):
            kinds = np.full(times.shape, _KINDS[kinds])
        return _Rhythm(times, kinds, background)

    def sinus(self, kind: str = "normal", slowest: float = 60, fastest: float = 95) -> _Rhythm:
        """Every beat of one kind."""
        return self.rhythm(self.intervals(slowest, fastest), kind)

    def premature(self, kind: str, periods: tuple[int, int], pause: float, early: tuple[float, float]) -> _Rhythm:
        """Sinus rhythm in which one beat of each period comes early, or on time, and is of another kind.

        Args: periods: smallest and largest number of beats from one such beat to the next; pause: how much of the
            time won is waited for afterwards; early: smallest and largest coupling, as a share of the interval.
        """
        intervals = self.intervals(60, 95)
        period = self.integers(*periods)
        place = self.random.integers(1, period)
        odd = np.arange(intervals.shape[1]) % period == place
        coupling = self.random.uniform(*early, intervals.shape)
        after = np.roll(odd, 1, axis=1)
        won = np.roll(1 - coupling, 1, axis=1)
        intervals = intervals * np.where(odd, coupling, 1) * np.where(after, 1 + pause * won, 1)
        return self.rhythm(intervals, np.where(odd, _KINDS[kind], _KINDS["normal"]))

    def ventricular_runs(self) -> _Rhythm:
        """Sinus rhythm with runs of fast ventricular beats."""
        intervals = self.intervals(65, 95)
        place = np.arange(intervals.shape[1] * 3) % (self.integers(3, 5) + 40)
        run = (place >= self.integers(2, 4)) & (place < self.integers(10, 24))
        fast = 60 / self.uniform(130, 200)
        return self.rhythm(
            np.where(run, fast, np.tile(intervals, 3)), np.where(run, _KINDS["ventricular"], _KINDS["normal"])
        )

    def atrial_flutter(self) -> _Rhythm:
        """A sawtooth at about 300 per minute, every second to fourth wave conducted."""
        wave_rate = self.uniform(4.2, 5.6)
        waves = self.integers(2, 4)
        beats = int(self.seconds * 5.6 / 2) + 4
        phase = 2 * np.pi * wave_rate * self._time() + self.uniform(0, 2 * np.pi)
        sawtooth = sum(np.sin(harmonic * phase) / harmonic for harmonic in (1, 2, 3))
        intervals = np.repeat(waves / wave_rate, beats, axis=1)
        intervals *= 1 + 0.005 * self.random.standard_normal(intervals.shape)
        return self.rhythm(intervals, "without P", self.uniform(0.1, 0.2) * sawtooth)

    def atrial_fibrillation(self) -> _Rhythm:
        """Fine irregular waves of 4 to 9 Hz and intervals without any order."""
        beats = int(self.seconds * 130 / 60 * 1.5) + 8
        shape = 20.0  # of the gamma distribution: standard deviation 22 % of the mean
        intervals = self.random.gamma(shape, 60 / self.uniform(70, 130) / shape, (self.windows, beats)).clip(0.3, 2)
        time = self._time()
        waves = sum(
            np.sin(2 * np.pi * self.uniform(4, 9) * time + self.uniform(0, 2 * np.pi)) * self.uniform(0.3, 1)
            for _ in range(5)
        )
        return self.rhythm(intervals, "without P", self.uniform(0.03, 0.07) * waves)

    def second_degree_block(self) -> _Rhythm:
        """P waves go on regularly; the PR interval grows until a P wave is not conducted."""
        atrial = self.rhythm(self.intervals(60, 90, 0.01), "P wave")
        period = self.integers(2, 4)
        place = np.arange(atrial.times.shape[1]) % period
        dropped = place == period - 1
        ventricular = atrial.times + 0.18 + 0.05 * place
        return _Rhythm(
            np.concatenate([atrial.times, ventricular], axis=1),
            np.concatenate(
                [
                    np.where(dropped, _KINDS["blocked P wave"], _KINDS["P wave"]),
                    np.where(dropped, _KINDS["none"], _KINDS["without P"]),
                ],
                axis=1,
            ),
        )

    def _time(self) -> np.ndarray:
        return np.arange(self.samples)[None, :] / SAMPLING_RATE_HZ


# For each class: its rhythm annotation, and what draws it.
_RHYTHMS: dict[str, tuple[str, Callable[[_Generator], _Rhythm]]] = {
    "NSR": ("(N", lambda g: g.sinus()),
    "APB": ("(N", lambda g: g.premature("atrial", periods=(4, 8), pause=0.2, early=(0.55, 0.75))),
    "AFL": ("(AFL", _Generator.atrial_flutter),
    "AFIB": ("(AFIB", _Generator.atrial_fibrillation),
    "SVTA": ("(SVTA", lambda g: g.sinus("without P", 150, 220)),
    "WPW": ("(PREX", lambda g: g.sinus("pre-excited")),
    "PVC": ("(N", lambda g: g.premature("ventricular", periods=(4, 8), pause=1.0, early=(0.5, 0.7))),
    "Bigeminy": ("(B", lambda g: g.premature("ventricular", periods=(2, 2), pause=1.0, early=(0.5, 0.7))),
    "Trigeminy": ("(T", lambda g: g.premature("ventricular", periods=(3, 3), pause=1.0, early=(0.5, 0.7))),
    "VT": ("(VT", _Generator.ventricular_runs),
    "IVR": ("(IVR", lambda g: g.sinus("ventricular", 35, 65)),
    "VFL": ("(VFL", lambda g: g.sinus("flutter wave", 180, 260)),
    "Fusion": ("(N", lambda g: g.premature("fusion", periods=(2, 6), pause=0.0, early=(0.92, 1.0))),
    "LBBBB": ("(N", lambda g: g.sinus("left block")),
    "RBBBB": ("(N", lambda g: g.sinus("right block")),
    "SDHB": ("(BII", _Generator.second_degree_block),
    "PR": ("(P", lambda g: g.rhythm(g.intervals(60, 80, 0.002), "paced")),
}


def synthetic_windows(per_class: int = 40, seed: int = 0) -> Windows:
    """Make ten-second windows of the 17 classes, taken in turn from ten synthetic persons.

    Args: per_class: windows of each class; seed: the same seed gives the same windows.
    Returns: windows ordered by class, signals int16, shape (17 * per_class, 3600), 360 Hz, 200 ADC units per mV.
    Raises: InputError: per_class < 1.
    """
    if per_class < 1:
        raise InputError(f"per_class must be at least 1, received {per_class}.")
    persons = np.arange(per_class) % PERSONS
    signals = []
    for label, name in enumerate(CLASSES):
        random = np.random.default_rng([seed, label])
        _, draw = _RHYTHMS[name]
        clean = _render(draw(_Generator(per_class, WINDOW_SAMPLES, random)), persons, WINDOW_SAMPLES, seed)
        signals.append(_to_adc(clean + _noise(clean.shape, random)))
    labels = np.repeat(np.arange(len(CLASSES), dtype=np.int64), per_class)
    place = np.arange(per_class, dtype=np.int64) // PERSONS * len(CLASSES)
    return Windows(
        np.concatenate(signals),
        labels,
        np.tile(np.array([f"synthetic-{person}" for person in range(PERSONS)])[persons], len(CLASSES)),
        (np.tile(place, len(CLASSES)) + labels) * WINDOW_SAMPLES,
        np.full(len(labels), LEADS[0]),
        source=SOURCE,
    )


def write_record(
    folder: str | os.PathLike,
    name: str,
    segments: Sequence[tuple[str, int]] = (("NSR", RECORD_SAMPLES),),
    seed: int = 0,
    leads: tuple[str, str] = LEADS,
    sampling_rate_hz: int = SAMPLING_RATE_HZ,
) -> Path:
    """Write a synthetic WFDB record: name.hea, name.dat (format 212) and name.atr (beats and rhythms).

    Args: segments: classes and how many samples of each, one after the other; leads: names of the two leads;
        sampling_rate_hz: what the header says (the signal is made at 360 Hz).
    Returns: path of the header.  Raises: DataError: an unknown class or an empty segment.
    """
    for label, samples in segments:
        if label not in CLASSES or samples < 1:
            raise DataError(
                f"A segment must be one of {', '.join(CLASSES)} and at least 1 sample, received {(label, samples)!r}."
            )
    random = np.random.default_rng(seed)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    clean, marks, start = [], [], 0
    for label, samples in segments:
        note, draw = _RHYTHMS[label]
        rhythm = draw(_Generator(1, samples, random))
        clean.append(_render(rhythm, np.zeros(1, int), samples, seed)[0])
        beats = np.rint(rhythm.times[0] * SAMPLING_RATE_HZ).astype(int)
        marks.append((start, "+", note))
        marks += [
            (start + sample, _SYMBOLS[kind], "")
            for sample, kind in zip(beats.tolist(), rhythm.kinds[0])
            if _SYMBOLS[kind] and 0 <= sample < samples
        ]
        start += samples
    first = np.concatenate(clean)
    signals = _to_adc(np.stack([first, -0.5 * first]) + _noise((2, start), random))
    wfdb.wrsamp(
        name,
        fs=sampling_rate_hz,
        units=["mV"] * 2,
        sig_name=list(leads),
        d_signal=signals.T.astype(np.int64),
        fmt=["212"] * 2,
        adc_gain=[ADC_UNITS_PER_MV] * 2,
        baseline=[ADC_ZERO] * 2,
        write_dir=str(folder),
    )
    places, symbols, notes = zip(*sorted(marks, key=lambda mark: mark[0]))
    wfdb.wrann(name, "atr", np.array(places), list(symbols), aux_note=list(notes), write_dir=str(folder))
    return folder / f"{name}.hea"


def _render(rhythm: _Rhythm, persons: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Add up the waves of all beats, shaped by each window's person; mV, shape (window, sample)."""
    random = np.random.default_rng([seed, len(CLASSES)])  # the same persons for every class
    heights = np.exp(0.12 * random.standard_normal((PERSONS, 1, _MAX_WAVES)))[persons]
    gains = random.uniform(0.7, 1.3, PERSONS)[persons]
    widths = random.uniform(0.9, 1.15, (PERSONS, 1, 1))[persons]
    waves = _WAVES[rhythm.kinds]  # (window, beat, wave, 3)
    centres = (rhythm.times[:, :, None] + waves[..., 1]) * SAMPLING_RATE_HZ
    sigmas = waves[..., 2] * widths * SAMPLING_RATE_HZ
    signal = np.zeros((len(persons), samples))
    reach = np.arange(-100, 101)  # samples: more than three widths of the widest wave
    for row, height, centre, sigma in zip(signal, waves[..., 0] * heights, centres, sigmas):
        seen = (height != 0) & (centre > -reach[-1]) & (centre < samples + reach[-1])
        at = np.rint(centre[seen]).astype(int)[:, None] + reach
        shape = height[seen][:, None] * np.exp(-0.5 * ((at - centre[seen][:, None]) / sigma[seen][:, None]) ** 2)
        inside = (at >= 0) & (at < samples)
        row += np.bincount(at[inside], shape[inside], minlength=samples)
    return (signal + rhythm.background) * gains[:, None]


def _noise(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Wandering baseline (breathing, movement) and muscle noise, mV, shape (signal, sample)."""
    signals, samples = shape
    time = np.arange(samples) / SAMPLING_RATE_HZ
    wander = np.zeros(shape)
    for frequency, height in ((0.08, 0.08), (0.17, 0.06), (0.31, 0.05)):
        phase = random.uniform(0, 2 * np.pi, (signals, 1))
        wander += random.uniform(0.2, 1, (signals, 1)) * height * np.sin(2 * np.pi * frequency * time + phase)
    return wander + random.uniform(0.005, 0.03, (signals, 1)) * random.standard_normal(shape)


def _to_adc(signals: np.ndarray) -> np.ndarray:
    """Convert mV to the 11-bit ADC units of MIT-BIH."""
    return np.rint(signals * ADC_UNITS_PER_MV + ADC_ZERO).clip(0, 2047).astype(np.int16)
