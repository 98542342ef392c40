"""What a training result depends on, held as one value: a recipe, the windows, and how they are split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qmodel.data import fragments, mitdb, splits, synthetic
from qmodel.data.annotations import AllWindows, window_targets
from qmodel.data.fragments import Fragments, Windows
from qmodel.data.splits import Fold
from qmodel.dataset import Dataset, takes_of
from qmodel.errors import InputError
from qmodel.files import sha256
from qmodel.fixed_point import standardise
from qmodel.training_data import TrainingSet, to_input, training_set

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

SYNTHETIC_NOTE = "synthetic ECG: these figures say that the flow works and nothing about patients"


class WindowSource(Protocol):
    """Where windows come from. A value: equal sources have equal windows."""

    @property
    def identity(self) -> dict:
        """What decides the windows, for JSON; the program that cuts them does not count."""

    @property
    def described(self) -> dict[str, str]:
        """What every result says about its data."""

    def load(self) -> Windows:
        """The windows that have a class."""

    def others(self, hop: int) -> AllWindows | None:
        """All windows with their annotations, `hop` samples apart, or None: there are no others."""

    def metadata(self, windows: Windows) -> dict | None:
        """What a frozen file tells of its use; None: nothing, it has the shape and the classes of MIT-BIH."""

    def notes(self, windows: Windows) -> list[str]:
        """What a person should know about the windows, a line each."""


@dataclass(frozen=True)
class Records:
    """The 1000 fragments of the MIT-BIH records, and the records' other windows. Args: folder: of the records."""

    folder: str | os.PathLike

    @property
    def identity(self) -> dict:
        """The sums that every record is verified against when it is read."""
        return {"MIT-BIH": mitdb.published_sums()}

    @property
    def described(self) -> dict[str, str]:
        """The database's name."""
        return {"data_source": mitdb.SOURCE}

    def load(self) -> Windows:
        """The fragments. Raises: DataError: a record is missing or broken."""
        return fragments.load_windows(self.folder)

    def others(self, hop: int) -> AllWindows | None:
        """All windows of all records. Raises: DataError: a record is missing or broken."""
        return window_targets(self.folder, hop=hop)

    def metadata(self, windows: Windows) -> dict | None:
        """None."""
        return None

    def notes(self, windows: Windows) -> list[str]:
        """Nothing."""
        return []


@dataclass(frozen=True)
class Synthetic:
    """Made-up ECG. Args: per_class: windows of each of the 17 classes."""

    per_class: int

    @property
    def identity(self) -> dict:
        """Their number."""
        return {"synthetic": self.per_class}

    @property
    def described(self) -> dict[str, str]:
        """That it is made up."""
        return {"data_source": "synthetic", "note": SYNTHETIC_NOTE}

    def load(self) -> Windows:
        """The windows."""
        return synthetic.synthetic_windows(self.per_class)

    def others(self, hop: int) -> AllWindows | None:
        """None: every window has a class."""
        return None

    def metadata(self, windows: Windows) -> dict | None:
        """None."""
        return None

    def notes(self, windows: Windows) -> list[str]:
        """Nothing."""
        return []


@dataclass(frozen=True)
class Own:
    """Somebody's own labelled recordings. Args: dataset: the folder, and how windows are cut."""

    dataset: Dataset

    @property
    def identity(self) -> dict:
        """The sums of the table and of the recordings, and how windows are cut."""
        return {"files": self.dataset.sums, "cutting": asdict(self.dataset.cutting)}

    @property
    def described(self) -> dict[str, str]:
        """The folder's name."""
        return {"data_source": f"data set {self.dataset.folder.resolve().name}"}

    def load(self) -> Windows:
        """The windows. Raises: DataError: a table that is refused, a recording that cannot be read."""
        return self.dataset.load()

    def others(self, hop: int) -> AllWindows | None:
        """None: every window has a class."""
        return None

    def metadata(self, windows: Windows) -> dict | None:
        """Names of the classes and, where they are the same everywhere, of the leads; rate and length of a window."""
        takes = takes_of(windows)
        rate = int(takes.rate_hz) if takes.rate_hz == int(takes.rate_hz) else takes.rate_hz
        told = {"classes": list(windows.classes), "rate_hz": rate, "window_samples": takes.samples}
        return told if takes.leads is None else told | {"leads": list(takes.leads)}

    def notes(self, windows: Windows) -> list[str]:
        """Recordings whose person is not known, and those without a label."""
        return self.dataset.notes(windows)


@dataclass(frozen=True)
class Split:
    """How windows are split into training, validation and test part.

    Args:
        protocol: one of qmodel.data.splits.PROTOCOLS; folds: of the cross-validation; fold: which of them is tested,
            None: train on every window and test on none.
        seed: of the split alone; table: CSV file of protocol `file`.
        validation: hold the validation part out and report on it, as is done to choose a recipe; else it is trained on
            too, since a finished recipe chooses nothing.
    """

    protocol: str = "stratified"
    folds: int = 10
    fold: int | None = 0
    seed: int = 0
    table: str | os.PathLike | None = None
    validation: bool = True

    @property
    def identity(self) -> dict:
        """What decides the parts, for JSON: of a table its content."""
        return asdict(self) | {"table": sha256(self.table) if self.table else None}

    @property
    def name(self) -> str:
        """As products are named after it."""
        return f"{self.protocol}-{self.fold}" if self.fold is not None else "all"

    def parts(self, index: Fragments) -> Fold:
        """Indices of the windows of each part. Raises: InputError: no such fold, or one without a validation part."""
        nothing = np.zeros(0, np.int64)
        if self.fold is None:
            return Fold(np.arange(len(index)), nothing, nothing)
        folds = splits.make(self.protocol, index, self.folds, self.seed, self.table)
        if not 0 <= self.fold < len(folds):
            raise InputError(f"--fold must be 0 to {len(folds) - 1} in this split, received {self.fold}")
        fold = folds[self.fold]
        if not self.validation:
            return Fold(np.sort(np.concatenate([fold.train, fold.validation])), nothing, fold.test)
        if not len(fold.validation):
            raise InputError(f"fold {self.fold} of {self.table} has no validation part: training reports on one")
        return fold


@dataclass(frozen=True)
class Experiment:
    """A recipe, the windows, and how they are split: with the program, all that a trained network depends on."""

    recipe: Recipe
    windows: WindowSource
    split: Split

    @cached_property
    def loaded(self) -> Windows:
        """The windows with a class, each checked: whole numbers, in range, not flat."""
        windows = self.windows.load()
        _integers(windows.signals)
        return windows

    @cached_property
    def parts(self) -> Fold:
        """Indices of the windows of each part.

        Raises: InputError: of somebody's own data, a class that the training part does not have.
        """
        windows = self.loaded
        parts = self.split.parts(windows.index)
        if windows.person is not None:
            without = sorted(set(range(len(windows.classes))) - set(windows.labels[parts.train].tolist()))
            if without:
                name, own = windows.classes[without[0]], windows.labels == without[0]
                persons, records = (len(set(each[own].tolist())) for each in (windows.persons, windows.record))
                raise InputError(
                    f"class {name!r} has nothing to train on in fold {self.split.fold} of protocol "
                    f"{self.split.protocol}: its {own.sum()} windows are of {persons} person(s) in {records} "
                    f"recording(s); label it in more of them, remove it from the table, or "
                    "split with --protocol blocked or stratified"
                )
        return parts

    @cached_property
    def training_set(self) -> TrainingSet:
        """What training may see."""
        recipe = self.recipe
        return training_set(
            self.loaded,
            self.parts,
            self.windows.others(recipe.data.other_hop) if recipe.data.other_hop else None,
            recipe.data,
            whole_person=self.split.protocol == "patient",
            seed=recipe.seed,
        )

    @property
    def validation(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Network inputs (window, sample, 1) and labels (window,) of the validation part; None: nothing is held out."""
        return self._held_out(self.parts.validation)

    @property
    def test(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Network inputs (window, sample, 1) and labels (window,) of the test part; None: there is none."""
        return self._held_out(self.parts.test)

    def _held_out(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        return (to_input(self.loaded.signals[part]), self.loaded.labels[part]) if len(part) else None

    @property
    def test_integers(self) -> np.ndarray:
        """The test part through the input stage, int64 (window, sample), or (window, sample, lead) of several leads."""
        return _integers(self.loaded.signals[self.parts.test])

    @property
    def metadata(self) -> dict | None:
        """What the frozen file tells of its use."""
        return self.windows.metadata(self.loaded)

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test part."""
        return self.loaded.labels[self.parts.test]

    def of(self, recipe: Recipe) -> Experiment:
        """The same windows and split under another recipe."""
        return replace(self, recipe=recipe)

    # What a stage depends on, besides the stages before it and the program --------------------------------------------

    @property
    def float_settings(self) -> dict:
        """Of the float stage: recipes that differ in their quantisation alone share it."""
        recipe = self.recipe
        own = {"network": recipe.network, "float": asdict(recipe.float_training), "data": asdict(recipe.data)}
        return own | {"seed": recipe.seed, "split": self.split.identity} | self.windows.described

    @property
    def settings(self) -> dict:
        """Of every stage after it."""
        return {"recipe": asdict(self.recipe), "split": self.split.identity} | self.windows.described


def _integers(signals: np.ndarray) -> np.ndarray:
    """Windows (window, sample) or (window, sample, lead) through the input stage, each lead by itself."""
    return standardise(signals, axis=1 - signals.ndim)


def experiments_of_folds(
    recipe: Recipe, windows: WindowSource, split: Split, index: Fragments, only: Sequence[int] | None
) -> tuple[list[Experiment], int]:
    """One experiment for each fold of a cross-validation, all or `only` some, and how many folds it has.

    Raises: InputError: a fold that the split does not have.
    """
    number = len(splits.make(split.protocol, index, split.folds, split.seed, split.table))
    chosen = list(range(number)) if only is None else list(only)
    if bad := [fold for fold in chosen if not 0 <= fold < number]:
        raise InputError(f"folds are 0 to {number - 1}, received {bad}")
    return [Experiment(recipe, windows, replace(split, fold=fold)) for fold in chosen], number
