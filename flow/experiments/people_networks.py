"""Networks for persons never met, made from the databases: one recipe for every task, each step a product.

A task is a set of persons to learn from (`qmodel.people_tasks`). Its network is made in steps:
collected   tracks of all databases, and rhythms made of their persons
base        a float network without MIT-BIH, and without what the task leaves out
constants   of reading, by the base on the task's MIT-BIH persons, whom it has never met
network     ALQ on all of the task's persons with the base as teacher, absorbed, frozen, the constants in its metadata
Rules and shapes were chosen on answers of the base to MIT-BIH's DS1, and on nothing that a protocol tests.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path

from flow.build.products import Product, make
from flow.build.provenance import fingerprint
from flow.experiments import people as measured
from flow.experiments import people_constants
from flow.experiments.people_constants import ANSWERS, CONSTANTS, FLOAT_STEP
from flow.steps.work import people_base, people_collect, people_quantise
from flow.steps.work.names import FROZEN
from flow.steps.work.people_base import FLOAT_MODEL
from qmodel import reading
from qmodel.data import databases, fragments, mitdb, splits
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError
from qmodel.files import folder_sums
from qmodel.fixed_point import WINDOW_SAMPLES
from qmodel.frozen import FrozenNetwork
from qmodel.hyperparameters import Schedule
from qmodel.people_tasks import Task

MADE_WINDOWS = 9000
BASE_EPOCHS, ALQ_EPOCHS, ABSORBED_EPOCHS = 24, 8, 2
STEPS = 250  # batches of an epoch
BASE_RATE, ALQ_RATE, ABSORBED_RATE = 3e-3, 4e-3, 3e-4
DISTILLATION = 0.3  # share of the loss that follows the base, which has not met MIT-BIH
FOLDS = 10
TASKS = ("final", "ec57", "cinc2017", "svdb", "vfdb")  # and patient-0 to patient-9


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


class Networks:
    """Makes a task's network; what is there and was made from the same is kept (`flow.build.products.make`).

    Args: build: folder of all products; seed: of every training.
    """

    def __init__(self, build: Path, seed: int = 0) -> None:
        self.build, self.seed = build, seed

    @cached_property
    def collected(self) -> Product:
        """Tracks and made rhythms. Raises: DataError: no MIT-BIH; InputError: no other database."""
        mitdb.find()
        names = databases.available()
        if names == ["mitdb"]:
            raise InputError(
                "to learn from persons of other databases needs at least one: run `ecg-alq data --database svdb vfdb "
                f"cinc2017`, or name the folder that holds them in ${databases.FOLDER_VARIABLE}"
            )
        inputs = {name: fingerprint(folder_sums(databases.find(name))) for name in names}
        work = partial(people_collect.work, names=names, made_windows=MADE_WINDOWS)
        return make(self.build, "collected", inputs, {"made_windows": MADE_WINDOWS}, work)

    def base(self, own: Task) -> Product:
        """A task's float network without MIT-BIH."""
        work = partial(
            people_base.work,
            task=Task(own.base, own.without),
            collected=self.collected.folder,
            epochs=BASE_EPOCHS,
            steps=STEPS,
            rate=BASE_RATE,
            seed=self.seed,
        )
        settings = {"epochs": BASE_EPOCHS, "steps": STEPS, "rate": BASE_RATE, "seed": self.seed}
        inputs = {"collected": self.collected.identity}
        return make(self.build, own.base, inputs, settings | {"without": own.without}, work, resumable=True)

    def constants(self, own: Task) -> reading.Constants:
        """Constants of reading, in units of the base's logits."""
        base = self.base(own)
        work = partial(people_constants.answers, base=base.folder / FLOAT_MODEL)
        answered = make(self.build, f"{own.base}-answers", {"base": base.identity}, {}, work)
        work = partial(people_constants.fit, answered=answered.folder / ANSWERS, persons=own.persons)
        inputs, settings = {"answers": answered.identity}, {"persons": own.persons}
        fitted = make(self.build, f"{own.name}-constants", inputs, settings, work)
        return reading.Constants.from_stored(json.loads((fitted.folder / CONSTANTS).read_text("utf-8")), FLOAT_STEP)

    def network(self, own: Task) -> FrozenNetwork:
        """The task's frozen network with its constants."""
        metadata = {
            "classes": list(reading.OUTPUTS),
            "rate_hz": SAMPLING_RATE_HZ,
            "window_samples": WINDOW_SAMPLES,
            "reading": self.constants(own).stored(),
        }
        return replace(FrozenNetwork.load(self.quantised(own).folder / FROZEN), metadata=metadata)

    def quantised(self, own: Task) -> Product:
        """The task's frozen network without constants."""
        base = self.base(own)
        schedule = Schedule(rounds=0, finish_coordinates=0, label_smoothing=0.0, distillation=DISTILLATION)
        before = replace(schedule, finish=ALQ_EPOCHS, finish_learning_rate=ALQ_RATE, finish_floor=0.02)
        after = replace(schedule, finish=ABSORBED_EPOCHS, finish_learning_rate=ABSORBED_RATE, finish_floor=0.1)
        work = partial(
            people_quantise.work,
            task=own,
            collected=self.collected.folder,
            base=base.folder / FLOAT_MODEL,
            before=before,
            after=after,
            steps=STEPS,
            seed=self.seed,
        )
        settings = {"task": asdict(own), "before": asdict(before), "after": asdict(after), "steps": STEPS}
        inputs = {"collected": self.collected.identity, "base": base.identity}
        return make(self.build, own.name, inputs, settings | {"seed": self.seed}, work, resumable=True)
