"""Networks for persons never met, made from the databases: each task's training, step by step, resumable and seeded.

A task is a set of persons to learn from. Its network is made in three steps, each kept in the task's folder:
base        a float network without MIT-BIH, and without what the task leaves out
constants   of reading (`qmodel.reading_fit`), by the base on the task's MIT-BIH persons, whom it has never met
network     ALQ on all of the task's persons with the base as teacher, folded, frozen, the constants in its metadata
Rules and shapes were chosen on answers of the base to MIT-BIH's DS1, and on nothing that a protocol tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flow.experiments import people as measured
from qmodel import people, reading, reading_fit
from qmodel.data import databases, fragments, mitdb, partial, splits
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError
from qmodel.files import write_json, written_beside
from qmodel.fixed_point import WINDOW_SAMPLES
from qmodel.frozen import FrozenNetwork

MADE_WINDOWS = 9000
BASE_EPOCHS = {"base": 14}  # others: OTHER_BASE_EPOCHS
OTHER_BASE_EPOCHS = 6
EPOCHS = {"final": (8, 2), "ec57": (6, 1)}  # of ALQ before and after normalisation is folded; others: OTHER_EPOCHS
OTHER_EPOCHS = (3, 1)
STEPS = 250  # batches of an epoch
BASE_RATE, ALQ_RATE, FOLDED_RATE = 3e-3, 4e-3, 3e-4
DISTILLATION = 0.3  # share of the loss that follows the base, which has not met MIT-BIH
FOLDS = 10
TASKS = ("final", "ec57", "cinc2017", "svdb", "vfdb")  # and patient-0 to patient-9


@dataclass(frozen=True)
class Task:
    """Which persons a network learns from.

    Args: name; without: database that is left out; persons: of MIT-BIH that may be learned from, None: all.
    """

    name: str
    without: str | None = None
    persons: tuple[str, ...] | None = None

    @property
    def base(self) -> str:
        """Name of the float network that it begins with."""
        return f"base-{self.without}" if self.without else "base"

    def windows(self, tracks: partial.Tracks, mit: bool = True) -> np.ndarray:
        """Indices of the windows that it may learn from. Args: mit: those of MIT-BIH among them."""
        database, own = tracks.window_database, tracks.window_database == "mitdb"
        allowed = ~own
        if self.without:
            allowed &= database != self.without
        if mit:
            allowed |= own if self.persons is None else own & np.isin(tracks.window_person, self.persons)
        return np.flatnonzero(allowed)


def task(name: str) -> Task:
    """A task by its name. Raises: InputError: unknown."""
    if name == "ec57":  # 201 stands in DS1 and 202, the same person, in DS2, as in the literature
        return Task(name, None, tuple(f"mitdb/{record}" for record in measured.DS1))
    if name in TASKS:
        return Task(name, None if name == "final" else name)
    kind, _, fold = name.partition("-")
    if kind == "patient" and fold.isdigit() and int(fold) < FOLDS:
        index, folds = patient_folds()
        tested = {mitdb.person(str(record)) for record in index.record[folds[int(fold)].test]}
        persons = sorted({mitdb.person(record) for record in mitdb.RECORDS} - tested)
        return Task(name, None, tuple(f"mitdb/{person}" for person in persons))
    raise InputError(f"a task is one of {', '.join(TASKS)}, patient-0 to patient-{FOLDS - 1}, received {name!r}")


def patient_folds() -> tuple[fragments.Fragments, list[splits.Fold]]:
    """The benchmark's fragments, and ten folds by person."""
    index = fragments.load_index()
    return index, splits.make("patient", index, FOLDS, 0)


def gathered(build: Path) -> tuple[partial.Tracks, people.MadePool]:
    """Tracks of all databases and the pool of made rhythms; read from disk, or collected now.

    Raises: DataError: no MIT-BIH; InputError: no other database, or others than those that were collected.
    """
    mitdb.find()
    names = databases.available()
    if names == ["mitdb"]:
        raise InputError(
            "to learn from persons of other databases needs at least one: run `ecg-alq data --database svdb vfdb "
            f"cinc2017`, or name the folder that holds them in ${databases.FOLDER_VARIABLE}"
        )
    build.mkdir(parents=True, exist_ok=True)
    file, pool = build / "tracks.npz", build / "made.npz"
    if not file.exists():
        partial.collect(names).save(file)
    tracks = partial.Tracks.load(file)
    if set(tracks.track_database) != set(names):
        raise InputError(
            f"{file} was collected from {', '.join(sorted(set(tracks.track_database)))}, and {', '.join(names)} are "
            "found now: name another --build folder, or the same databases"
        )
    if not pool.exists():
        made = people.make_pool(tracks, MADE_WINDOWS, 1)
        with written_beside(pool) as beside, open(beside, "wb") as opened:
            np.savez(opened, **{name: getattr(made, name) for name in people.MadePool.__dataclass_fields__})
    with np.load(pool, allow_pickle=False) as opened:
        return tracks, people.MadePool(*(opened[name] for name in people.MadePool.__dataclass_fields__))


class Networks:
    """Makes a task's network from whatever of it lies in the folder.

    Args: build: folder of all tasks; seed: of every training.
    """

    def __init__(self, build: Path, seed: int = 0) -> None:
        self.build, self.seed = build, seed
        self._gathered: tuple[partial.Tracks, people.MadePool] | None = None

    def sampler(self, windows: Callable[[partial.Tracks], np.ndarray], recipe: people.PeopleRecipe) -> people.Sampler:
        """Draws from the windows that are chosen of all tracks, and from rhythms made of their persons."""
        if self._gathered is None:
            self._gathered = gathered(self.build)
        tracks, made = self._gathered
        return people.Sampler(tracks, windows(tracks), made, recipe)

    def base(self, own: Task) -> Path:
        """File of a task's float network without MIT-BIH; what is there is kept."""
        folder = self.build / own.base
        file = folder / "float.keras"
        if file.exists():
            return file
        import keras

        from qmodel import people_training
        from qmodel.networks import build

        keras.utils.set_random_seed(self.seed)
        model = build(people_training.RHYTHM, "float")
        sampler = self.sampler(lambda tracks: own.windows(tracks, mit=False), people.PeopleRecipe())
        folder.mkdir(parents=True, exist_ok=True)
        epochs = BASE_EPOCHS.get(own.base, OTHER_BASE_EPOCHS)
        people_training.train(model, sampler, epochs, STEPS, BASE_RATE, self.seed, checkpoint=folder / "float.npz")
        part = file.with_stem(f".{file.stem}.part")  # Keras tells the format by the suffix
        model.save(part)
        part.replace(file)
        return file

    def answers(self, own: Task) -> reading_fit.Answers:
        """What the task's base, which never met them, answers to the task's persons of MIT-BIH."""
        file = self.build / own.base / "answers.npz"
        if not file.exists():
            found = measured.answers(float_asked(self.base(own)), measured.labelled_windows("mitdb", mitdb.RECORDS))
            with written_beside(file) as beside, open(beside, "wb") as opened:
                np.savez(opened, **found._asdict())
        with np.load(file, allow_pickle=False) as opened:
            every = reading_fit.Answers(*(opened[name] for name in reading_fit.Answers._fields))
        if own.persons is None:
            return every
        return every.some(np.isin(every.person, ["", *own.persons]))

    def constants(self, own: Task) -> reading.Constants:
        """Constants of reading, fitted on `answers`, in units of the base's logits."""
        file = self.build / own.name / "constants.json"
        if not file.exists():
            found = reading_fit.fit(self.answers(own), FLOAT_STEP)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, found.stored())
        return reading.Constants.from_stored(json.loads(file.read_text("utf-8")), FLOAT_STEP)

    def network(self, own: Task) -> FrozenNetwork:
        """The task's frozen network with its constants."""
        metadata = {
            "classes": list(reading.OUTPUTS),
            "rate_hz": SAMPLING_RATE_HZ,
            "window_samples": WINDOW_SAMPLES,
            "reading": self.constants(own).stored(),
        }
        return replace(self.frozen(own), metadata=metadata)

    def frozen(self, own: Task) -> FrozenNetwork:
        """The task's frozen network without constants; what is there is kept."""
        folder = self.build / own.name
        file = folder / "frozen.alq"
        if file.exists():
            return FrozenNetwork.load(file)
        import keras

        from qmodel import people_training
        from qmodel.freeze import freeze
        from qmodel.hyperparameters import Schedule

        model = keras.models.load_model(self.base(own), compile=False)
        common = {"rounds": 0, "finish_coordinates": 0, "label_smoothing": 0.0, "distillation": DISTILLATION}
        before, after = EPOCHS.get(own.name, OTHER_EPOCHS)
        folded = people_training.quantise(
            people_training.RHYTHM,
            model,
            self.sampler(own.windows, people.PeopleRecipe()),
            folder,
            people_training.RHYTHM_BITS,
            Schedule(finish=before, finish_learning_rate=ALQ_RATE, finish_floor=0.02, **common),
            Schedule(finish=after, finish_learning_rate=FOLDED_RATE, finish_floor=0.1, **common),
            STEPS,
            seed=self.seed,
        )
        network = freeze(folded)
        network.save(file)
        return network


FLOAT_STEP = 2.0**-12  # of a float network's logits as integers: that of the frozen network's


def float_asked(file: Path, constants: reading.Constants | None = None) -> measured.Asked:
    """A float network asked as a frozen one is: integers in, integers out."""
    import keras
    import tensorflow as tf

    from qmodel.fixed_point import INPUT_FORMAT

    model = keras.models.load_model(file, compile=False)
    forward = tf.function(lambda windows: model(windows, training=False))

    def run(integers: np.ndarray) -> np.ndarray:
        windows = (np.asarray(integers, np.float32) * INPUT_FORMAT.step)[..., None]
        logits = forward(tf.constant(windows)).numpy().reshape(len(windows), -1)
        return np.rint(logits / FLOAT_STEP).astype(np.int64)

    return measured.Asked(run, constants or reading.Constants(FLOAT_STEP))
