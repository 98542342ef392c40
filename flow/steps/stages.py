"""From an experiment to a frozen network: three products, each made once, for `ecg-alq flow` as for `evaluate`.

Products are named after what they were made from, so that recipes which differ in their quantisation share a float
stage; a step's own name can be given, as the flow does. Either way a product is made again when its program changes
(`flow.build.products.make`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from flow.build.products import Product, make
from flow.build.provenance import fingerprint
from flow.steps.work import freeze, quantise, train
from flow.steps.work.names import FROZEN
from qmodel.experiment import Experiment
from qmodel.files import sha256
from qmodel.recipe import teacher_recipes

FLOAT_MODEL, ABSORBED_MODEL = (
    "float.keras",
    "folded.keras",
)  # of qmodel.float_stage, quantised_stage


def float_stage(experiment: Experiment, build: Path, step: str | None = None) -> Product:
    """The network in floating point, `float.keras`."""
    settings = experiment.float_settings
    name = step or _name(experiment, "float", settings)
    work = partial(train.work, experiment=experiment)
    return make(build, name, {"data": data_identity(experiment)}, settings, work, resumable=True)


def quantised_stage(
    experiment: Experiment,
    build: Path,
    step: str | None = None,
    trained: Product | None = None,
    on_epoch: Callable[[int, dict], None] | None = None,
) -> Product:
    """The network under its byte budget, `folded.keras`. Args: trained: the float stage, None: made in `build`."""
    trained = trained or float_stage(experiment, build)
    teachers = []
    for recipe in teacher_recipes(experiment.recipe):
        teacher = experiment.of(recipe)
        itself = recipe.network == experiment.recipe.network  # a network may teach itself, with the epochs it had
        teachers.append(trained if itself else float_stage(teacher, build))
    work = partial(
        quantise.work,
        experiment=experiment,
        float_model=trained.folder / FLOAT_MODEL,
        teachers=[teacher.folder / FLOAT_MODEL for teacher in teachers],
        on_epoch=on_epoch,
    )
    inputs = {"train": trained.identity, "data": data_identity(experiment)}
    inputs |= {f"teacher {i}": teacher.identity for i, teacher in enumerate(teachers)}
    name = step or _name(experiment, "alq", experiment.settings)
    return make(build, name, inputs, experiment.settings, work, resumable=True)


def frozen_stage(
    experiment: Experiment,
    build: Path,
    step: str | None = None,
    quantised: Product | None = None,
    frozen: str | None = None,
) -> Product:
    """The frozen network, `network.alq`.

    Args: quantised: None: made in `build`; frozen: the file of a frozen network to take, nothing is trained then.
    """
    inputs = {"data": data_identity(experiment)}
    absorbed = None
    if frozen is not None:
        inputs["frozen"] = sha256(frozen)
    else:
        quantised = quantised or quantised_stage(experiment, build)
        inputs["quantise"] = quantised.identity
        absorbed = quantised.folder / ABSORBED_MODEL
    work = partial(
        freeze.work, experiment=experiment, absorbed_model=absorbed, frozen=None if frozen is None else Path(frozen)
    )
    return make(build, step or frozen_name(experiment), inputs, experiment.settings, work)


def frozen_name(experiment: Experiment) -> str:
    """Name of the product of `frozen_stage`."""
    return _name(experiment, "frozen", experiment.settings)


def frozen_file(experiment: Experiment, build: Path) -> Path:
    """Where `frozen_stage` leaves the network, whether it is there or not."""
    return build / frozen_name(experiment) / FROZEN


def data_identity(experiment: Experiment) -> str:
    """SHA-256 of what the windows are cut from."""
    return fingerprint(experiment.windows.identity)


def _name(experiment: Experiment, stage: str, settings: dict) -> str:
    mark = fingerprint(settings | experiment.windows.identity)[:12]
    return f"{experiment.split.name}-{experiment.recipe.network}-{stage}-{mark}"
