"""What one fold may train on: its training fragments, and the database's other windows with labels by rule.

The other windows carry beat and rhythm annotations but no class of the 17. A forest that learned, on the training
fragments alone, which annotations go with which class gives each of them class probabilities. Windows within 60 s of a
held-out fragment of the same record are never used, nor (protocol `patient`) any window of a held-out person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from qmodel.data import mitdb
from qmodel.data.annotations import BIN_SAMPLES, AllWindows, allowed_for_training
from qmodel.data.fragments import CLASSES, Fragments, Windows
from qmodel.data.splits import Fold
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, WINDOW_SAMPLES, standardise
from qmodel.hyperparameters import DataRecipe
from qmodel.premature import make_premature, ventricular_shapes

BEAT_MARGIN = 72  # samples, 0.2 s: what shows of a beat nearer the end is less than its QRS complex and ST segment


def to_input(signals: np.ndarray) -> np.ndarray:
    """Network input of integer windows (window, sample) or (window, sample, lead): float32, on the input grid.

    Returns: shape (window, sample, lead), each lead standardised by itself.
    """
    grid = (standardise(signals, axis=1 - signals.ndim) * INPUT_FORMAT.step).astype(np.float32)
    return grid[..., None] if signals.ndim == 2 else grid


class Batch(NamedTuple):
    """Augmented inputs (window, sample, lead), class targets (window, class), beats (window, bin, beat) or None."""

    inputs: np.ndarray
    targets: np.ndarray
    beats: np.ndarray | None


@dataclass(frozen=True)
class TrainingSet:
    """Windows, class probabilities and how many of each kind make an epoch.

    Args: signals: float32 (window, sample) or (window, sample, lead), zero mean and unit deviation; targets:
        float32 (window, class);
        fragments: the first `fragments` windows have a given class; the others' class is by rule;
        weights: float (window,), how likely each is drawn among its kind;
        recipe: how many make an epoch and how far they shift;
        beats: bool (window, bin, beat), where the annotated beats lie, or None.
    """

    signals: np.ndarray
    targets: np.ndarray
    fragments: int
    weights: np.ndarray
    recipe: DataRecipe
    beats: np.ndarray | None = None

    def epoch(self, random: np.random.Generator, batch: int) -> Iterator[Batch]:
        """Augmented batches, inputs on the input grid."""
        others = len(self.signals) - self.fragments
        total = self.recipe.epoch_windows
        own = total // 2 if others else total
        order = _draw(self.weights[: self.fragments], own, random)
        if others:
            drawn = _draw(self.weights[self.fragments :], total - own, random)
            order = np.concatenate([order, self.fragments + drawn])
        random.shuffle(order)
        for start in range(0, self.batches(batch) * batch, batch):
            chosen = order[start : start + batch]
            signals, targets, beats = self.signals[chosen], self.targets[chosen], None
            if self.beats is not None:
                beats, share = self.beats[chosen], self.recipe.premature
                signals, targets, beats = make_premature(signals, targets, beats, self.shapes, share, random)
            yield augment(signals, targets, beats, random, self.recipe)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that training draws from."""
        return tuple(a for a in (self.signals, self.targets, self.weights, self.beats) if a is not None)

    @cached_property
    def shapes(self) -> np.ndarray:
        """Ventricular beats of the training windows (shape, sample)."""
        assert self.beats is not None  # asked for where there are some
        return ventricular_shapes(self.signals, self.beats)

    def batches(self, batch: int) -> int:
        """Batches per epoch."""
        return self.recipe.epoch_windows // batch


def _draw(weights: np.ndarray, number: int, random: np.random.Generator) -> np.ndarray:
    """Indices drawn in proportion to weights, each as often as its share says, rounded up or down (systematic)."""
    order = random.permutation(len(weights))
    ends = np.cumsum(weights[order])
    return order[np.searchsorted(ends, (np.arange(number) + random.random()) / number * ends[-1], side="right")]


@dataclass(frozen=True)
class PlainSet:
    """Inputs (example, ...) and class probabilities (example, class) of any task, shuffled every epoch."""

    inputs: np.ndarray
    targets: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.inputs) or len(self.inputs) != len(self.targets):
            raise InputError(f"a set needs examples with one target each, received {len(self.inputs)} inputs and "
                             f"{len(self.targets)} targets")  # fmt: skip

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """All that training draws from."""
        return self.inputs, self.targets

    def epoch(self, random: np.random.Generator, batch: int) -> Iterator[Batch]:
        """Batches of all examples but those that do not fill the last one; one batch of all where they are fewer."""
        batch = min(batch, len(self.inputs))
        order = random.permutation(len(self.inputs))
        for start in range(0, self.batches(batch) * batch, batch):
            chosen = order[start : start + batch]
            yield Batch(self.inputs[chosen], self.targets[chosen], None)

    def batches(self, batch: int) -> int:
        """Batches per epoch."""
        return max(1, len(self.inputs) // batch)


def augment(
    signals: np.ndarray,
    targets: np.ndarray,
    beats: np.ndarray | None,
    random: np.random.Generator,
    recipe: DataRecipe = DataRecipe(),
) -> Batch:
    """Shift (of the beats too), amplitude, offset and noise, then rounding to the input grid.

    What a shift uncovers repeats the sample at that end. A circular shift would join end and beginning in the middle of
    the window, where the joint looks like a premature beat: the very thing that many classes differ by.
    """
    batch, samples = signals.shape[:2]
    if signals.ndim == 2:
        signals = signals[..., None]
    least, most = np.full((2, batch), [[-recipe.max_shift], [recipe.max_shift]])
    if beats is not None and recipe.keep_beats:
        earliest, latest = room_of_rare_beats(beats)
        least, most = np.maximum(least, earliest), np.minimum(most, latest)
    shift = random.integers(least, most + 1)[:, None]
    padded = np.pad(signals, ((0, 0), (recipe.max_shift, recipe.max_shift), (0, 0)), mode="edge")
    # Rows of a view, copied whole: ten times as fast as an index per sample. All leads of a window shift alike.
    shifted = np.lib.stride_tricks.sliding_window_view(padded, samples, axis=1)
    x = shifted[np.arange(batch), recipe.max_shift + shift[:, 0]].transpose(0, 2, 1).copy()
    leads = (batch, 1, x.shape[2])
    x *= np.exp(random.normal(0, 0.15, leads)).astype(np.float32)
    x += random.normal(0, 0.05, leads).astype(np.float32)
    x += random.standard_normal(x.shape, np.float32) * np.abs(random.normal(0, 0.05, leads)).astype(np.float32)
    grid = np.clip(np.rint(x / INPUT_FORMAT.step), INPUT_FORMAT.low, INPUT_FORMAT.high) * INPUT_FORMAT.step
    if beats is not None:
        bins = beats.shape[1]
        width = samples // bins
        source = (np.arange(bins) * width + width // 2 + shift) // width
        inside = (source >= 0) & (source < bins)
        beats = np.take_along_axis(beats, np.clip(source, 0, bins - 1)[:, :, None], axis=1) & inside[:, :, None]
    return Batch(grid.astype(np.float32), targets, beats)


def room_of_rare_beats(beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least and most shift in samples, each (window,), that keep all beats but those of the most frequent kind.

    A shift of n drops the first n samples. A beat keeps BEAT_MARGIN samples to the end, or what it has where that is
    less; windows of one kind of beat have all the room there is.
    """
    windows, bins, _ = beats.shape
    rare = beats.copy()
    rare[np.arange(windows), :, beats.sum(1).argmax(1)] = False
    rare = rare.any(2)
    first, after_last = rare.argmax(1) * BIN_SAMPLES, rare[:, ::-1].argmax(1) * BIN_SAMPLES
    some, samples = rare.any(1), bins * BIN_SAMPLES
    least = np.where(some, -np.maximum(after_last - BEAT_MARGIN, 0), -samples)
    return least, np.where(some, np.maximum(first - BEAT_MARGIN, 0), samples)


def place_of(fragments: Fragments, windows: AllWindows) -> np.ndarray:
    """Index of every fragment's window among all windows, shape (fragment,)."""
    place = {key: i for i, key in enumerate(zip(windows.record, windows.first_sample, strict=True))}
    return np.array([place[key] for key in zip(fragments.record, fragments.first_sample, strict=True)])


def classes_by_annotations(
    windows: AllWindows, examples: np.ndarray, labels: np.ndarray, asked: np.ndarray, seed: int
) -> np.ndarray:
    """Class probabilities float32 (asked, class) by a forest that reads annotations in place of the signal.

    Args: examples: indices of windows whose labels (example,) the forest learns; asked: indices of windows.
    """
    from sklearn.ensemble import ExtraTreesClassifier

    features = np.concatenate([windows.targets, windows.beat_counts], axis=1).astype(np.float32)
    forest = ExtraTreesClassifier(300, random_state=seed).fit(features[examples], labels)
    probabilities = np.zeros((len(asked), len(CLASSES)), np.float32)
    probabilities[:, forest.classes_] = forest.predict_proba(features[asked])
    return probabilities


def rule_labels(
    windows: AllWindows, fragments: Fragments, fold: Fold, whole_person: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the other windows that a fold may use and their class probabilities (window, class).

    Neither the held-out fragments' classes nor their annotations are read: the forest learns from training fragments.
    """
    own = place_of(fragments, windows)
    held_out = np.concatenate([fold.validation, fold.test])
    allowed = allowed_for_training(windows, fragments, held_out, whole_person=whole_person)
    allowed[own] = False
    chosen = np.flatnonzero(allowed)
    return chosen, classes_by_annotations(windows, own[fold.train], fragments.label[fold.train], chosen, seed)


def validation_windows(
    windows: AllWindows, fragments: Fragments, fold: Fold, whole_person: bool = False, seed: int = 0, least: float = 0.9
) -> tuple[np.ndarray, np.ndarray]:
    """Other windows that a fold may validate on: two to three times as many again as the validation part has.

    They do not overlap each other and lie whole within 60 s of a validation fragment (whole_person: are of such a
    fragment's person), so that no training of this fold saw any part of them, and more than 60 s from every test
    fragment. Their class is by rule, from training fragments alone, with a probability of at least `least`.
    Returns: indices of the windows and their labels, each (window,).
    """
    own = place_of(fragments, windows)
    chosen = allowed_for_training(windows, fragments, fold.test, whole_person=whole_person)
    whole = 60.0 - WINDOW_SAMPLES / mitdb.SAMPLING_RATE_HZ  # to the near edge; the far one is a window's length away
    chosen &= ~allowed_for_training(windows, fragments, fold.validation, whole, whole_person)
    chosen &= windows.first_sample % WINDOW_SAMPLES == 0
    chosen[own] = False
    places = np.flatnonzero(chosen)
    probabilities = classes_by_annotations(windows, own[fold.train], fragments.label[fold.train], places, seed)
    sure = probabilities.max(1) >= least
    return places[sure], probabilities[sure].argmax(1)


def training_set(
    fragments: Windows,
    fold: Fold,
    other: AllWindows | None = None,
    recipe: DataRecipe = DataRecipe(),
    *,
    whole_person: bool = False,
    seed: int = 0,
) -> TrainingSet:
    """The training set of one fold.

    Args:
        fragments: windows with a class; fold: indices into them.
        other: the database's windows with annotations, `recipe.other_hop` samples apart, or None.
        whole_person: exclude held-out persons altogether; seed: of the forest.
    Raises: InputError: a flat window.
    """
    signals = fragments.signals[fold.train]
    labels = fragments.labels[fold.train]
    targets = np.eye(len(fragments.classes), dtype=np.float32)[labels]
    # A window of a beat is not shifted by as much as one of ten seconds.
    recipe = replace(recipe, max_shift=min(recipe.max_shift, recipe.max_shift * signals.shape[1] // WINDOW_SAMPLES))
    # Rare classes more often than they are: in their own proportions a network that doubts says NSR.
    balance = np.maximum(targets.sum(0), 1.0) ** -recipe.balance
    weights, beats = balance[labels].astype(np.float64), None
    if other is not None:
        chosen, probabilities = rule_labels(other, fragments.index, fold, whole_person, seed)
        # The others' classes in the fragments' proportions, rare ones at most four times; then balanced likewise.
        wanted = targets.mean(0) / np.maximum(probabilities.mean(0), 1e-3)
        likely = np.minimum(probabilities @ wanted, 4.0) * (probabilities @ balance)
        weights = np.concatenate([weights, likely.astype(np.float64)])
        signals = np.concatenate([signals, other.signals[chosen]])
        targets = np.concatenate([targets, probabilities])
        beats = other.beat_map[np.concatenate([place_of(fragments.index, other)[fold.train], chosen])]
    signals = signals.astype(np.float32)
    signals -= signals.mean(1, keepdims=True)
    deviation = signals.std(1, keepdims=True)
    if not deviation.all():
        flat = np.flatnonzero((deviation == 0).reshape(len(deviation), -1).any(1))[:5].tolist()
        raise InputError(f"training windows must not be flat, received flat windows {flat}: leave them out")
    return TrainingSet(signals / deviation, targets, len(fold.train), weights, recipe, beats)
