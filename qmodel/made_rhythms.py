"""Rhythms made of a person's own beats, for training: where few persons have a rhythm, many can be given it.

The median beat of a window of sinus rhythm (P wave, QRS complex and T wave) is placed anew as another rhythm would:
atrial waves that go on while QRS complexes drop out, flutter waves with conduction of one in two to four, chains of the
person's ventricular beats, and so on. Sinus rhythm is made as well, at many rates, so that no network can tell a rhythm
by its having been made. Between the beats lies what the person's median beat leaves of the window. Never tested on.
Sources: rates and intervals of Surawicz and Knilans, Chou's Electrocardiography in Clinical Practice, 6th edition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt

from qmodel.data.mitdb import SAMPLING_RATE_HZ as RATE
from qmodel.fixed_point import WINDOW_SAMPLES

# How many windows of each kind, in a set of a hundred.
SHARES = {
    "NSR": 20, "APB": 5, "PVC": 5, "AFIB": 10, "AFL": 12, "SVTA": 8, "SDHB": 12, "IVR": 7, "VT": 7, "Bigeminy": 4,
    "Trigeminy": 4, "VFL": 3, "VF": 5,
}  # fmt: skip
_BAND = butter(2, [5, 25], "band", fs=RATE, output="sos")
_TIME = np.arange(WINDOW_SAMPLES) / RATE


class Made(NamedTuple):
    """A made window: samples float32 (sample,), its beats' samples and kinds (index into databases.BEATS).

    beats: None where the rhythm has none that could be told.
    """

    signal: np.ndarray
    beats: tuple[np.ndarray, np.ndarray] | None


class Beat(NamedTuple):
    """Shape of a beat: samples and the index of its R wave."""

    shape: np.ndarray
    centre: int


def r_waves(signal: np.ndarray) -> np.ndarray:
    """Samples of the R (or largest QRS) waves by energy of the filtered derivative."""
    energy = np.convolve(np.diff(sosfiltfilt(_BAND, signal), prepend=0) ** 2, np.ones(30) / 30, "same")
    peaks, _ = find_peaks(energy, distance=int(0.25 * RATE), height=np.percentile(energy, 98) * 0.25)
    found = []
    for peak in peaks:
        first, last = max(0, peak - 30), min(len(signal), peak + 30)
        part = signal[first:last]
        found.append(first + int(np.abs(part - np.median(part)).argmax()))
    return np.array(found, int)


def median_beat(signal: np.ndarray, at: np.ndarray, before: int, after: int) -> Beat | None:
    """Median of the beats, its ends brought to zero; None: fewer than four lie whole in the window."""
    whole = at[(at >= before) & (at + after <= len(signal))]
    if len(whole) < 4:
        return None
    shape = np.median([signal[p - before : p + after] for p in whole], axis=0)
    shape = shape - np.linspace(shape[0], shape[-1], len(shape))
    ends = np.arange(len(shape))
    return Beat((shape * np.minimum(1, np.minimum(ends, ends[::-1]) / 12)).astype(np.float32), before)


def ventricular_beat(height: float, random: np.random.Generator) -> Beat:
    """A wide beat without P wave, its T wave against it."""
    samples, centre = int(random.uniform(0.42, 0.62) * RATE), 0.14
    time, width = np.arange(samples) / RATE - centre, random.uniform(0.045, 0.085)
    shape = np.exp(-((time / width) ** 2))
    shape -= random.uniform(0.2, 0.7) * np.exp(
        -(((time - random.uniform(0.16, 0.26)) / random.uniform(0.07, 0.11)) ** 2)
    )
    shape -= random.uniform(0, 0.5) * np.exp(-(((time + random.uniform(0.05, 0.1)) / 0.03) ** 2))
    shape *= random.choice([-1, 1], p=[0.45, 0.55]) * height * random.uniform(0.6, 1.8)
    shape[:20] *= np.linspace(0, 1, 20)
    shape[-20:] *= np.linspace(1, 0, 20)
    return Beat(shape.astype(np.float32), int(centre * RATE))


class Person(NamedTuple):
    """What a window of sinus rhythm gives: whole beat, QRS and T wave alone, P wave, residue, interval (samples)."""

    beat: Beat
    qrs: Beat
    p_wave: np.ndarray
    residue: np.ndarray
    interval: float


def person_of(signal: np.ndarray) -> Person | None:
    """Take a window of sinus rhythm, float (sample,), apart; None: no regular beats are found."""
    at = r_waves(signal)
    if len(at) < 6:
        return None
    gaps = np.diff(at)
    interval = float(np.median(gaps))
    if np.median(np.abs(gaps - interval)) > 0.15 * interval:
        return None
    before, after = int(0.06 * RATE), int(min(0.42 * RATE, 0.6 * interval))
    early = int(min(0.24 * RATE, 0.35 * interval))
    qrs, beat = median_beat(signal, at, before, after), median_beat(signal, at, early, after)
    if qrs is None or beat is None or early <= before + 10:
        return None
    p_wave = beat.shape[: early - before].copy()
    p_wave -= np.linspace(p_wave[0], p_wave[-1], len(p_wave))
    residue = signal.astype(np.float32).copy()
    for p in at:
        _place(residue, beat.shape, p - early, -1.0)
    limit = 0.5 * np.abs(qrs.shape).max()
    return Person(beat, qrs, p_wave, np.clip(residue - np.median(residue), -limit, limit), interval)


def synthetic_person(random: np.random.Generator) -> Person:
    """A person of five bells (P, Q, R, S, T), as in the dynamical model of McSharry et al., IEEE TBME 50:289, 2003.

    One in three has a QRS complex alone, of up to four lobes: what a lead far from the atria, a narrow band or a
    simulator leaves of a beat. Rhythms that P waves tell are not made of it.
    """
    if random.random() < 1 / 3:
        return _bare_person(random)
    waves = (
        (random.uniform(0.04, 0.25), random.uniform(-0.2, -0.13), random.uniform(0.018, 0.035)),
        (-random.uniform(0, 0.2), -random.uniform(0.02, 0.035), random.uniform(0.007, 0.012)),
        (1.0, 0.0, random.uniform(0.008, 0.016)),
        (-random.uniform(0, 0.4), random.uniform(0.02, 0.04), random.uniform(0.007, 0.014)),
        (
            random.uniform(0.05, 0.5) * random.choice([1, 1, 1, -1]),
            random.uniform(0.2, 0.32),
            random.uniform(0.03, 0.07),
        ),
    )
    early, before, after = int(0.24 * RATE), int(0.06 * RATE), int(0.42 * RATE)
    time = np.arange(-early, after) / RATE
    shape = np.asarray(sum(height * np.exp(-0.5 * ((time - place) / width) ** 2) for height, place, width in waves))
    shape = (3 * shape).astype(np.float32)
    p_wave = waves[0][0] * np.exp(-0.5 * ((time[: early - before] - waves[0][1]) / waves[0][2]) ** 2)
    qrs = shape[early - before :].copy()
    qrs[:12] *= np.linspace(0, 1, 12)
    return Person(
        Beat(shape, early),
        Beat(qrs, before),
        (3 * p_wave).astype(np.float32),
        np.zeros(WINDOW_SAMPLES, np.float32),
        random.uniform(0.5, 1.3) * RATE,
    )


def _bare_person(random: np.random.Generator) -> Person:
    early, before, after = int(0.24 * RATE), int(0.1 * RATE), int(0.42 * RATE)
    time = np.arange(-early, after) / RATE
    width = random.uniform(0.015, 0.05)
    lobes = np.cos(2 * np.pi * time * random.uniform(0.1, 0.45) / width + random.uniform(-0.8, 0.8))
    shape = np.exp(-0.5 * (time / width) ** 2) * lobes
    shape += random.choice([0.0, 0.0, random.uniform(-0.2, 0.3)]) * np.exp(-0.5 * ((time - 0.27) / 0.05) ** 2)
    shape = (3 * random.choice([1, 1, -1]) * shape / np.abs(shape).max()).astype(np.float32)
    return Person(
        Beat(shape, early),
        Beat(shape[early - before :], before),
        np.zeros(early - before, np.float32),
        np.zeros(WINDOW_SAMPLES, np.float32),
        random.uniform(0.5, 1.3) * RATE,
    )


def _place(signal: np.ndarray, shape: np.ndarray, first: float, gain: float) -> None:
    first = round(first)
    low, high = max(0, first), min(len(signal), first + len(shape))
    if high > low:
        signal[low:high] += gain * shape[low - first : high - first]


def make(person: Person, kind: str, random: np.random.Generator, ventricular: Beat | None = None) -> Made:
    """A window of a rhythm. Args: kind: a key of SHARES; ventricular: the person's own such beat, None: one is made."""
    height = float(np.abs(person.qrs.shape).max())
    signal = _background(person, height, random)
    if kind in ("VFL", "VF"):
        _ventricular_waves(signal, kind == "VF", height, random)
        return Made(signal.astype(np.float32), None)
    beats: list[tuple[float, int]] = []
    wide = ventricular or ventricular_beat(height, random)

    def put(where: float, beat: Beat, letter: int, spread: float = 0.06) -> None:
        _place(signal, beat.shape, where - beat.centre, 1 + random.normal(0, spread))
        beats.append((where, letter))

    own = person.interval / RATE
    where = random.uniform(-0.5, 0.8) * RATE
    stop = WINDOW_SAMPLES + RATE

    if kind in ("NSR", "APB", "PVC"):
        interval = random.choice([own * random.uniform(0.85, 1.15), random.uniform(0.5, 1.35)])
        swing, slow, phase = random.uniform(0, 0.12), random.uniform(0.1, 0.35), random.uniform(0, 6.3)
        rare = random.uniform(2, 8) * RATE if kind != "NSR" else -1.0
        again = random.random() < 0.3
        while where < stop:
            put(where, person.beat, 0)
            following = interval * (1 + swing * np.sin(6.28 * slow * where / RATE + phase) + random.normal(0, 0.012))
            if 0 <= rare <= where:
                early = random.uniform(0.5, 0.8)
                if kind == "PVC":
                    put(where + early * following * RATE, wide, 2)
                    where += following * RATE * random.choice([2.0, early + random.uniform(0.9, 1.2)])
                else:
                    put(where + early * following * RATE, person.beat if random.random() < 0.5 else person.qrs, 1)
                    where += (early + random.uniform(0.95, 1.3)) * following * RATE
                rare = where + random.uniform(1.5, 4) * RATE if again else -1.0
                continue
            where += following * RATE
    elif kind == "SDHB":
        _heart_block(signal, person, wide, put, random)
    elif kind == "AFL":
        rate = random.uniform(3.7, 5.6)
        _flutter_waves(signal, rate, height * random.uniform(0.06, 0.3), random)
        ratios, varies = (2, 3, 4, 5), random.random() < 0.45
        ratio = random.choice(ratios, p=[0.4, 0.15, 0.4, 0.05])
        while where < stop:
            put(where, person.qrs, 0)
            where += (random.choice(ratios[:3]) if varies else ratio) / rate * RATE * (1 + random.normal(0, 0.005))
    elif kind == "AFIB":
        mean, spread = random.uniform(0.42, 1.1), random.uniform(0.13, 0.3)
        waves = sum(np.sin(2 * np.pi * random.uniform(4.5, 9) * _TIME + random.uniform(0, 6)) for _ in range(3))
        signal += np.asarray(height * random.uniform(0, 0.06) * waves).astype(np.float32)
        while where < stop:
            put(where, person.qrs, 0, 0.1)
            where += max(0.3, mean * (1 + random.normal(0, spread))) * RATE
    elif kind in ("SVTA", "VT", "IVR"):
        interval = {"SVTA": (0.28, 0.48), "VT": (0.27, 0.52), "IVR": (0.6, 1.5)}[kind]
        fast, spread = random.uniform(*interval), {"SVTA": 0.01, "VT": 0.02, "IVR": 0.03}[kind]
        beat, letter = (person.qrs, 1) if kind == "SVTA" else (wide, 2)
        # Half of the windows hold a beginning or an end of it, as most that are found do.
        first, last = 0.0, float(stop)
        if random.random() < 0.5:
            length = random.uniform(0.55, 0.9) * WINDOW_SAMPLES
            first = random.choice([0.0, WINDOW_SAMPLES - length])
            last = first + length
        while where < stop:
            inside = first <= where < last
            put(where, beat if inside else person.beat, letter if inside else 0, 0.04)
            where += RATE * (fast * (1 + random.normal(0, spread)) if inside else own * (1 + random.normal(0, 0.03)))
    else:  # Bigeminy, Trigeminy
        normal, interval = 1 if kind == "Bigeminy" else 2, own * random.uniform(0.8, 1.15)
        early, pause = random.uniform(0.45, 0.8), random.uniform(0.9, 1.15)
        place = random.integers(0, normal + 1)
        while where < stop:
            if place % (normal + 1) < normal:
                put(where, person.beat, 0)
                last_normal = place % (normal + 1) == normal - 1
                where += interval * RATE * (early if last_normal else 1) * (1 + random.normal(0, 0.015))
            else:
                put(where, wide, 2)
                where += interval * RATE * (2 - early) * pause * (1 + random.normal(0, 0.015))
            place += 1
    within = sorted((round(p), letter) for p, letter in beats if 0 <= p < WINDOW_SAMPLES - 0.5)
    at, letters = zip(*within, strict=True) if within else ((), ())
    return Made(signal.astype(np.float32), (np.array(at, np.int64), np.array(letters, np.int8)))


def _background(person: Person, height: float, random: np.random.Generator) -> np.ndarray:
    signal = random.standard_normal(WINDOW_SAMPLES).astype(np.float32) * height * random.uniform(0.005, 0.03)
    sway = np.sin(2 * np.pi * random.uniform(0.1, 0.4) * _TIME + random.uniform(0, 6))
    signal += (height * random.uniform(0, 0.12) * sway).astype(np.float32)
    if random.random() < 0.7:
        residue = np.roll(person.residue, random.integers(WINDOW_SAMPLES))
        signal += random.uniform(0.3, 1.0) * (residue[::-1] if random.random() < 0.5 else residue)
    return signal


def _flutter_waves(signal: np.ndarray, rate: float, height: float, random: np.random.Generator) -> None:
    phase = (rate * _TIME + random.uniform(0, 1)) % 1
    up = random.uniform(0.15, 0.85)  # share of the cycle in which a saw tooth climbs
    tooth = np.where(phase < up, phase / up, (1 - phase) / (1 - up)) - 0.5
    sine = 0.5 * np.sin(2 * np.pi * phase)
    mix = random.uniform(0, 1)
    signal += (2 * height * (mix * tooth + (1 - mix) * sine)).astype(np.float32)


def _ventricular_waves(signal: np.ndarray, fibrillation: bool, height: float, random: np.random.Generator) -> None:
    """Waves of ventricular flutter, each like the last, or of fibrillation, whose rate and height wander.

    180 to 420 a minute; fibrillation is the sum of two such sources, as of wave fronts that come and go.
    Source: Clayton, Murray and Campbell, Med. Biol. Eng. Comput. 33:123, 1995 (3 to 7 Hz, coarse and fine).
    """
    slow = np.exp(random.uniform(np.log(3.0), np.log(7.0)))
    wave = np.zeros(WINDOW_SAMPLES)
    for source in range(2 if fibrillation else 1):
        wander, sway = (random.uniform(0.04, 0.2), random.uniform(0.3, 0.9)) if fibrillation else (0.015, 0.1)
        rate = slow * (1 + wander * _slow_noise(1.5, random)) * (random.uniform(0.8, 1.25) if source else 1)
        phase = 2 * np.pi * (np.cumsum(rate) / RATE + random.random())
        shape = np.sin(phase) + random.uniform(0, 0.5) * np.sin(2 * phase + random.uniform(0, 2 * np.pi))
        wave += (random.uniform(0.2, 0.9) if source else 1) * np.exp(sway * _slow_noise(0.8, random)) * shape
    signal += (height * random.uniform(0.3, 1.2) * wave).astype(np.float32)


def _slow_noise(highest_hz: float, random: np.random.Generator) -> np.ndarray:
    """Noise below a frequency, unit deviation, float64 (sample,)."""
    spectrum = np.fft.rfft(random.standard_normal(WINDOW_SAMPLES))
    spectrum[np.fft.rfftfreq(WINDOW_SAMPLES, 1 / RATE) > highest_hz] = 0
    noise = np.fft.irfft(spectrum, WINDOW_SAMPLES)
    return noise / noise.std()


def _heart_block(
    signal: np.ndarray, person: Person, wide: Beat, put: Callable[..., object], random: np.random.Generator
) -> None:
    """P waves that go on at their rate while QRS complexes drop out, lengthen (Wenckebach) or go their own way."""
    cycle = random.uniform(0.55, 1.05) * RATE
    offset = len(person.p_wave) + random.uniform(-0.02, 0.08) * RATE  # from a P wave's beginning to the R wave
    gain = random.uniform(0.8, 1.6)
    where = random.uniform(-1, 0.5) * RATE
    form = random.choice(["wenckebach", "mobitz", "two", "sudden", "complete"], p=[0.4, 0.12, 0.25, 0.11, 0.12])
    if form == "complete":
        beat = wide if random.random() < 0.4 else person.qrs
        ventricle, interval = where, random.uniform(1.1, 1.9) * RATE
        while ventricle < WINDOW_SAMPLES + RATE:
            put(ventricle, beat, 2 if beat is wide else 0)
            ventricle += interval * (1 + random.normal(0, 0.01))
    ratios: dict[str, int] = {
        "two": 2, "wenckebach": int(random.integers(3, 7)), "mobitz": int(random.integers(3, 6)),
    }  # fmt: skip
    ratio = ratios.get(form, 99)
    longer = random.uniform(0.03, 0.1) * RATE if form == "wenckebach" else 0.0
    count, drops = random.integers(0, ratio if ratio < 99 else 1), random.uniform(1.5, 8) * RATE
    while where < WINDOW_SAMPLES + RATE:
        _place(signal, person.p_wave, where, gain * random.uniform(0.9, 1.1))
        dropped = count % ratio == ratio - 1
        if form == "sudden" and drops <= where < drops + random.integers(1, 3) * cycle:
            dropped = True
        if form != "complete" and not dropped:
            # The largest step of a Wenckebach period is its first, so R waves come closer together.
            steps = count % ratio
            put(where + offset + longer * steps * (1 - 0.08 * steps), person.qrs, 0)
        where += cycle * (1 + random.normal(0, 0.015))
        count += 1
