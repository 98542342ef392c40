"""Training for persons never met: batches of all databases with partial labels, made rhythms, recorders that differ.

One network answers every time step of 67 ms: which beat (none, normal, supraventricular, ventricular) and how much the
step speaks for each of the 17 classes; a window's class is the sum over its steps. A loss per task, masked where the
labels are silent: cross entropy of the annotated steps, and minus the logarithm of the probability that lies inside
the set of classes which the labels leave possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import fft
from tqdm import tqdm

from qmodel import made_rhythms, not_ecg
from qmodel.data.databases import CLASSES_OF_RHYTHM
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.partial import BEAT_TARGETS, MASKED, STEPS, Tracks, step_targets
from qmodel.fixed_point import INPUT_FORMAT, WINDOW_SAMPLES


@dataclass(frozen=True)
class PeopleRecipe:
    """What training draws, and how it changes it.

    Args: batch: windows; made, beats, foreign: share of a batch that is made rhythms, that is drawn for its beats, and
        that is no ECG; the rest is drawn for its class. class_power, person_power: of `_weights`. beat_weights: of the
        beat loss by target, not_early_weight: of steps that must not be supraventricular. rhythm_weight: of the class
        loss. invert: share of windows turned upside down; recorders: others' band, baseline and noise; second_leads:
        train on them too; mixed_leads: share of windows that are a weighted sum of two leads, as of one between them.
    """

    batch: int = 16
    made: float = 0.28
    beats: float = 0.3
    foreign: float = 0.06
    class_power: float = 0.5
    person_power: float = 0.6
    beat_weights: tuple[float, ...] = (0.5, 1.0, 3.0, 2.0)
    not_early_weight: float = 0.5
    rhythm_weight: float = 0.15
    invert: float = 0.1
    recorders: bool = True
    second_leads: bool = True
    mixed_leads: float = 0.3


NOT_EARLY = len(BEAT_TARGETS)  # target of a step that may be anything but a supraventricular premature beat
TARGET_SETS = np.vstack([np.eye(len(BEAT_TARGETS)), [name != "S" for name in BEAT_TARGETS]]).astype(np.float32)


class PeopleBatch(NamedTuple):
    """inputs float32 (window, sample, 1) on the input grid; beats int8 (window, step), index into TARGET_SETS
    or MASKED; allowed bool (window, class)."""

    inputs: np.ndarray
    beats: np.ndarray
    allowed: np.ndarray


@dataclass(frozen=True)
class MadePool:
    """Made windows: signals int8 on a grid of 1/16 deviations (window, sample), beats (window, step), allowed bool
    (window, class), person (window,)."""

    signals: np.ndarray
    beats: np.ndarray
    allowed: np.ndarray
    person: np.ndarray


def make_pool(tracks: Tracks, number: int, seed: int = 0) -> MadePool:
    """Made rhythms from the windows of sinus rhythm, every person as likely as another.

    Returns: about `number` windows; fewer where windows show no regular beats.
    """
    random = np.random.default_rng(seed)
    only_sinus = tracks.allowed.any(1) & ~tracks.allowed[:, [i for i, c in enumerate(CLASSES) if c not in _SINUS]].any(
        1
    )
    sinus = np.flatnonzero(only_sinus & tracks.allowed[:, CLASSES.index("NSR")])
    persons, inverse = np.unique(tracks.window_person[sinus], return_inverse=True)
    by_person = [sinus[inverse == i] for i in range(len(persons))]
    wide = _ventricular_beats(tracks)
    kinds = list(made_rhythms.SHARES)
    shares = np.array([made_rhythms.SHARES[kind] for kind in kinds], float)
    signals, beats, allowed, owners = [], [], [], []
    for _ in tqdm(range(number), desc="Made rhythms", mininterval=10):
        place, own = random.integers(len(persons)), None
        if random.random() < SYNTHETIC_SHARE:
            owner, person = SYNTHETIC, made_rhythms.synthetic_person(random)
        else:
            owner, window = persons[place], random.choice(by_person[place])
            signal = tracks.cut(window).astype(np.float64)
            person = made_rhythms.person_of((signal - signal.mean()) / max(signal.std(), 1e-6))
            own = wide.get(int(tracks.window_track[window]))
        if person is None:
            continue
        kind = random.choice(kinds, p=shares / shares.sum())
        if kind in _TOLD_BY_P and not person.p_wave.any():
            continue
        beat = None
        if own is not None and random.random() < 0.7:
            beat = made_rhythms.Beat(own.shape / max(signal.std(), 1e-6), own.centre)
        made = made_rhythms.make(person, kind, random, beat)
        deviation = made.signal.std()
        if deviation < 1e-3:
            continue
        signals.append(np.clip(np.rint((made.signal - made.signal.mean()) / deviation * 16), -128, 127).astype(np.int8))
        beats.append(step_targets(made.beats))
        # Fibrillation of the ventricles is no class of its own: what is nearest, as in databases.CLASSES_OF_RHYTHM.
        allowed.append(np.isin(CLASSES, CLASSES_OF_RHYTHM["(VF"] if kind == "VF" else (kind,)))
        owners.append(owner)
    return MadePool(np.array(signals), np.array(beats), np.array(allowed), np.array(owners))


SYNTHETIC = "synthetic"  # person of windows that are made of nobody's beats
SYNTHETIC_SHARE = 0.18
_TOLD_BY_P = ("SDHB", "SVTA")
_SINUS = ("NSR", "LBBBB", "RBBBB", "WPW", "PVC", "APB", "Fusion")


def _ventricular_beats(tracks: Tracks) -> dict[int, made_rhythms.Beat]:
    """Median ventricular beat of every track that has five of them, in ADC units."""
    found = {}
    before, after = 60, 130
    for track in np.flatnonzero(tracks.track_has_beats):
        part = slice(tracks.beat_first[track], tracks.beat_first[track] + tracks.beat_count[track])
        at = tracks.beat_at[part][tracks.beat_kind[part] == 2]
        if len(at) < 5:
            continue
        first = tracks.track_first[track]
        signal = tracks.signals[first : first + tracks.track_samples[track]].astype(np.float32)
        centres = []
        for p in at[:80]:
            low, high = max(0, p - 30), min(len(signal), p + 30)
            piece = signal[low:high]
            centres.append(low + int(np.abs(piece - np.median(piece)).argmax()))
        beat = made_rhythms.median_beat(signal, np.array(centres), before, after)
        if beat is not None:
            found[int(track)] = beat
    return found


class Sampler:
    """Draws augmented batches from the windows and made rhythms of some persons.

    Args: tracks: all; windows: indices that may be drawn; made: pool, of which the persons of `windows` are used.
    """

    def __init__(self, tracks: Tracks, windows: np.ndarray, made: MadePool | None, recipe: PeopleRecipe) -> None:
        self.tracks, self.recipe = tracks, recipe
        if not recipe.second_leads:
            windows = windows[_first_lead(tracks)[tracks.window_track[windows]]]
        person = tracks.window_person[windows]
        allowed = tracks.allowed[windows]
        said = np.flatnonzero(allowed.any(1))
        self.by_class = windows[said]
        self.class_weights = _weights(_keys(allowed[said]), person[said], recipe.class_power, recipe.person_power)
        has_beats = np.flatnonzero(tracks.track_has_beats[tracks.window_track[windows]])
        self.by_beats = windows[has_beats]
        kinds = np.array([_rare(tracks, w) for w in self.by_beats])
        self.beat_weights = _weights(kinds, person[has_beats], recipe.class_power, 0.5)
        if made is not None:
            self.made_windows = np.flatnonzero(np.isin(made.person, [SYNTHETIC, *np.unique(person)]))
        self.made = made
        self.other_lead = _other_lead(tracks)

    def batches(self, number: int, random: np.random.Generator) -> Iterator[PeopleBatch]:
        """That many batches."""
        recipe = self.recipe
        made = round(recipe.batch * recipe.made) if self.made is not None else 0
        beats = round(recipe.batch * recipe.beats)
        foreign = round(recipe.batch * recipe.foreign)
        own = recipe.batch - made - beats - foreign
        chosen_class = _systematic(self.class_weights, number * own, random)
        chosen_beats = _systematic(self.beat_weights, number * beats, random)
        random.shuffle(chosen_class)
        random.shuffle(chosen_beats)
        for i in range(number):
            windows = np.concatenate(
                [
                    self.by_class[chosen_class[i * own : (i + 1) * own]],
                    self.by_beats[chosen_beats[i * beats : (i + 1) * beats]],
                ]
            )
            signals, targets, allowed = self._real(windows, random)
            if made:
                picked = random.choice(self.made_windows, made)
                signals = np.concatenate([signals, self.made.signals[picked].astype(np.float32) / 16])
                targets = np.concatenate([targets, self.made.beats[picked]])
                allowed = np.concatenate([allowed, self.made.allowed[picked]])
            allowed = np.pad(allowed, ((0, 0), (0, 1)))  # no ECG is none
            if foreign:
                kinds = random.choice(not_ecg.KINDS, foreign)
                signals = np.concatenate([signals, [not_ecg.make(kind, random, clear=True) for kind in kinds]])
                targets = np.concatenate([targets, np.zeros((foreign, STEPS), np.int8)])
                allowed = np.concatenate([allowed, np.tile(np.arange(len(CLASSES) + 1) == len(CLASSES), (foreign, 1))])
            yield PeopleBatch(augment(signals, random, recipe), targets, allowed)

    def _real(self, windows: np.ndarray, random: np.random.Generator):
        tracks = self.tracks
        signals = np.empty((len(windows), WINDOW_SAMPLES), np.float32)
        targets = np.empty((len(windows), STEPS), np.int8)
        for row, window in enumerate(windows):
            shift = int(random.integers(tracks.window_earlier[window], tracks.window_later[window] + 1))
            signals[row] = tracks.cut(window, shift)
            other = self.other_lead[tracks.window_track[window]]
            if other >= 0 and random.random() < self.recipe.mixed_leads:
                angle = random.uniform(-0.5, 0.5) * np.pi
                signals[row] = np.cos(angle) * signals[row] + np.sin(angle) * tracks.cut(window, shift, other)
            targets[row] = step_targets(tracks.beats(window, shift))
        allowed = tracks.allowed[windows]
        # In atrial fibrillation there are no atrial beats that could come early, wherever its beats lie.
        only_fibrillation = (allowed.sum(1) == 1) & allowed[:, CLASSES.index("AFIB")]
        targets[only_fibrillation & (targets == MASKED).all(1)] = NOT_EARLY
        return signals, targets, allowed


def _first_lead(tracks: Tracks) -> np.ndarray:
    keys = np.char.add(np.char.add(tracks.track_database.astype(str), "/"), tracks.track_record.astype(str))
    first = np.zeros(len(keys), bool)
    first[np.unique(keys, return_index=True)[1]] = True
    return first


def _other_lead(tracks: Tracks) -> np.ndarray:
    """Of every track one that holds another lead of its record; -1 where there is none. int64 (track,)."""
    keys = np.char.add(np.char.add(tracks.track_database.astype(str), "/"), tracks.track_record.astype(str))
    other = np.full(len(keys), -1)
    same = keys[1:] == keys[:-1]  # leads of a record stand behind each other
    other[:-1][same] = np.flatnonzero(same) + 1
    other[1:][same] = np.flatnonzero(same)
    return other


def _keys(allowed: np.ndarray) -> np.ndarray:
    return allowed @ (1 << np.arange(allowed.shape[1]))


def _rare(tracks: Tracks, window: int) -> int:
    _, kinds = tracks.beats(window)
    return int((kinds == 1).any()) + 2 * int((kinds == 2).any())


def _weights(keys: np.ndarray, person: np.ndarray, class_power: float, person_power: float) -> np.ndarray:
    """How likely each window is drawn: by its key (what is said of it), and by its person within the key.

    A key is drawn in proportion to the number of persons who have it to the power `class_power`; a person within it in
    proportion to their windows to the power 1 - `person_power`.
    """
    _, key = np.unique(keys, return_inverse=True)
    pairs = np.char.add(np.char.add(key.astype(str), " "), person.astype(str))
    _, first, pair, count = np.unique(pairs, return_index=True, return_inverse=True, return_counts=True)
    persons = np.bincount(key[first])
    weight = count[pair].astype(float) ** -person_power
    sums = np.bincount(key, weight)
    return weight / sums[key] * persons[key].astype(float) ** class_power


def _systematic(weights: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    order = random.permutation(len(weights))
    ends = np.cumsum(weights[order])
    return order[np.searchsorted(ends, (np.arange(number) + random.random()) / number * ends[-1], side="right")]


_FREQUENCY = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / SAMPLING_RATE_HZ).astype(np.float32)
_TIME = np.arange(WINDOW_SAMPLES, dtype=np.float32) / SAMPLING_RATE_HZ


def augment(signals: np.ndarray, random: np.random.Generator, recipe: PeopleRecipe) -> np.ndarray:
    """Another recorder: band, baseline, mains, noise, polarity; standardised, then on the input grid.

    Args: signals: float32 (window, sample), any scale. Returns: float32 (window, sample, 1).
    """
    x = _standard(signals)
    batch = len(x)

    def some(share: float) -> np.ndarray:
        return (random.random((batch, 1)) < share).astype(np.float32)

    def normal(scale: float) -> np.ndarray:
        return np.abs(random.normal(0, scale, (batch, 1))).astype(np.float32)

    if recipe.recorders:
        rows = np.flatnonzero(random.random(batch) < 0.6)  # the others keep their band
        low = np.exp(random.uniform(np.log(0.05), np.log(1.2), (len(rows), 1))).astype(np.float32)
        high = np.exp(random.uniform(np.log(12), np.log(60), (len(rows), 1))).astype(np.float32)
        # A single pole keeps its phase, as an amplifier's, or has none, as a filter run both ways.
        angle = np.arctan2(low, _FREQUENCY) * (random.random((len(rows), 1)) < 0.5)
        # How a lead weighs slow waves against fast ones differs as much: a slope of up to 3 dB an octave.
        tilt = np.maximum(_FREQUENCY / 8, 0.02) ** random.uniform(-0.5, 0.5, (len(rows), 1)).astype(np.float32)
        response = _FREQUENCY / np.hypot(_FREQUENCY, low) * np.exp(1j * angle) / (1 + (_FREQUENCY / high) ** 4) * tilt
        x[rows] = _standard(fft.irfft(fft.rfft(x[rows]) * response.astype(np.complex64), WINDOW_SAMPLES))
        turns = random.uniform(0.05, 0.5, (batch, 1)).astype(np.float32)
        x += some(0.5) * normal(0.25) * np.sin(6.2832 * (turns * _TIME + random.random((batch, 1)).astype(np.float32)))
        noise = _coloured_noise()[random.integers(NOISES, size=batch)]
        x += some(0.4) * normal(0.25) * np.roll(noise, random.integers(WINDOW_SAMPLES), axis=1)
    x += random.standard_normal(x.shape, np.float32) * normal(0.05)
    x *= 1 - 2 * some(recipe.invert)
    x = _standard(x) * np.exp(random.normal(0, 0.08, (batch, 1))).astype(np.float32)
    grid = np.clip(np.rint(x / INPUT_FORMAT.step), INPUT_FORMAT.low, INPUT_FORMAT.high) * INPUT_FORMAT.step
    return grid.astype(np.float32)[..., None]


NOISES = 256  # windows of coloured noise that are drawn from, rolled anew each time


@cache
def _coloured_noise() -> np.ndarray:
    """Noise of power 1/f and 1/f**2 above 1 Hz, as of muscle and electrodes: float32 (window, sample)."""
    random = np.random.default_rng(0)
    spectrum = fft.rfft(random.standard_normal((NOISES, WINDOW_SAMPLES)).astype(np.float32))
    slope = np.where(np.arange(NOISES) % 2, 1.0, 0.5)[:, None]
    return _standard(fft.irfft(spectrum / np.maximum(_FREQUENCY, 1.0) ** slope, WINDOW_SAMPLES))


def _standard(x: np.ndarray) -> np.ndarray:
    x = x - x.mean(1, keepdims=True)
    return (x / np.maximum(x.std(1, keepdims=True), 1e-6)).astype(np.float32)


# What a network answers at every step --------------------------------------------------------------------------------

NOT_AN_ECG = "not an ECG"
RHYTHM_OUTPUTS = (*CLASSES, NOT_AN_ECG)
OUTPUTS = len(BEAT_TARGETS) + len(RHYTHM_OUTPUTS)
