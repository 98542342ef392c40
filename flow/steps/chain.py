"""The steps from records to report, each a product that the next one takes; TensorFlow only where a step runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cached_property, partial, wraps
from pathlib import Path

import numpy as np

from flow.build.products import Product, make, say
from flow.build.settings import FOLDS, Settings
from flow.steps import stages
from flow.steps.stages import ABSORBED_MODEL
from flow.steps.work import convert, csim, parity, report
from flow.steps.work.names import FROZEN, PROJECT, TEST
from qmodel import recipe as recipes
from qmodel.data import mitdb
from qmodel.data.fragments import Windows
from qmodel.data.splits import Fold
from qmodel.dataset import Cutting, Dataset
from qmodel.errors import InputError
from qmodel.experiment import SYNTHETIC_NOTE, Experiment, Own, Records, Split, Synthetic, WindowSource
from qmodel.files import written_beside

SYNTHETIC_PER_CLASS, SYNTHETIC_PER_CLASS_QUICK = 60, 20


def _once(step: Callable[[Flow], Product]) -> Callable[[Flow], Product]:
    """A step that several others ask for is made or found once."""

    @wraps(step)
    def asked(self: Flow) -> Product:
        if step.__name__ not in self._products:
            self._products[step.__name__] = step(self)
        return self._products[step.__name__]

    return asked


class Flow:
    """All steps of one build; a step first asks for the product of the one before it.

    Args: on_epoch: receives number and metrics of every epoch of quantisation, to draw it live.
    """

    def __init__(self, settings: Settings, on_epoch: Callable[[int, dict], None] | None = None):
        self.settings = settings
        self.on_epoch = on_epoch
        self.build = Path(settings.build)
        self._products: dict[str, Product] = {}

    # Data -------------------------------------------------------------------------------------------------------------

    @cached_property
    def records(self) -> Path | None:
        """Folder of the records, or None: synthetic ECG, or a data set."""
        folder = None
        if self.settings.dataset is not None:
            say("data", f"data set   {self.settings.dataset}")
            return None
        if not self.settings.synthetic:
            try:
                folder = mitdb.find(self.settings.data)
            except mitdb.DataError:
                if self.settings.data is not None or os.environ.get("MITDB_DIR"):
                    raise
                say("data", "no MIT-BIH records found; `ecg-alq data` downloads them")
        say("data", f"MIT-BIH    {folder}" if folder else f"SYNTHETIC  {SYNTHETIC_NOTE}")
        return folder

    @cached_property
    def experiment(self) -> Experiment:
        """What is trained, on which windows, split how."""
        settings = self.settings
        recipe = replace(recipes.RECIPES[settings.network], seed=settings.training_seed_or_seed)
        per_class = SYNTHETIC_PER_CLASS_QUICK if settings.quick else SYNTHETIC_PER_CLASS
        windows: WindowSource = Records(self.records) if self.records else Synthetic(per_class)
        if settings.dataset is not None:
            leads = tuple(settings.leads.split("+")) if settings.leads else ()
            cutting = Cutting(settings.window, settings.rate, leads, settings.fs, settings.units)
            windows = Own(Dataset(Path(settings.dataset), cutting))
        split = Split(settings.protocol, FOLDS, settings.fold, settings.seed, settings.split)
        return Experiment(recipes.quick(recipe) if settings.quick else recipe, windows, split)

    @property
    def source(self) -> dict[str, str]:
        """What every result says about its data."""
        return self.experiment.windows.described

    @property
    def recipe(self) -> recipes.Recipe:
        """How the network is trained and quantised."""
        return self.experiment.recipe

    @property
    def windows(self) -> Windows:
        """The windows with a class."""
        return self.experiment.loaded

    @property
    def fold(self) -> Fold:
        """The fold that is trained and tested."""
        return self.experiment.parts

    @property
    def test_integers(self) -> np.ndarray:
        """The test part through the input stage, int64 (window, sample), or with leads."""
        return self.experiment.test_integers

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test part."""
        return self.experiment.test_labels

    # Steps ------------------------------------------------------------------------------------------------------------

    @_once
    def train(self) -> Product:
        """Float training: `float.keras`."""
        return stages.float_stage(self.experiment, self.build, "train")

    @_once
    def quantise(self) -> Product:
        """ALQ, folding and finish: `alq.keras`, `folded.keras`."""
        return stages.quantised_stage(self.experiment, self.build, "quantise", self.train(), self.on_epoch)

    @_once
    def freeze(self) -> Product:
        """The frozen network, `network.alq`, and its golden logits of the test part, `test.npz`."""
        quantised = self.quantise() if self.settings.frozen is None else None
        return stages.frozen_stage(self.experiment, self.build, "freeze", quantised, self.settings.frozen)

    @_once
    def convert(self) -> Product:
        """The HLS project, in the folder `project`."""
        frozen = self.freeze()
        options = {name: getattr(self.settings, name) for name in ("part", "clock_mhz", "backend", "io_type")}
        work = partial(convert.work, frozen=frozen.folder / FROZEN, options=options, described=self.source)
        return make(self.build, "convert", {"freeze": frozen.identity}, options, work)

    @_once
    def csim(self) -> Product:
        """C simulation of the test part: its logits, `test.npz`."""
        frozen, converted = self.freeze(), self.convert()
        work = partial(
            csim.work,
            experiment=self.experiment,
            project=converted.folder / PROJECT,
            golden=frozen.folder / TEST,
        )
        inputs = {"freeze": frozen.identity, "convert": converted.identity}
        return make(self.build, "csim", inputs, self.experiment.settings, work)

    @_once
    def parity(self) -> Product:
        """Golden model, Keras and the engines asked for on every layer of every test window: `parity.json`.

        Without Keras in a build that started from a frozen file.
        """
        frozen, converted = self.freeze(), self.convert()
        quantised = self.quantise() if self.settings.frozen is None else None
        work = partial(
            parity.work,
            experiment=self.experiment,
            frozen=frozen.folder / FROZEN,
            project=converted.folder / PROJECT,
            absorbed_model=quantised.folder / ABSORBED_MODEL if quantised else None,
            engines=self.settings.engines,
        )
        inputs = {"freeze": frozen.identity, "convert": converted.identity}
        if quantised is not None:
            inputs["quantise"] = quantised.identity
        settings = self.experiment.settings | {"engines": list(self.settings.engines)}
        return make(self.build, "parity", inputs, settings, work)

    @_once
    def report(self) -> Product:
        """The page and its figures, `report.html` and `report.json`, also at the top of the build folder."""
        if self.settings.frozen is not None:
            raise InputError("a report covers training too: run `ecg-alq flow`; a build with --frozen has no training")
        products = {
            step: getattr(self, step)() for step in ("train", "quantise", "freeze", "convert", "csim", "parity")
        }
        settings = asdict(self.settings)
        work = partial(report.work, experiment=self.experiment, products=products, settings=settings)
        inputs = {step: product.identity for step, product in products.items()}
        inputs["data"] = stages.data_identity(self.experiment)
        product = make(self.build, "report", inputs, self.experiment.settings | {"quick": self.settings.quick}, work)
        for name in ("report.html", "report.json"):
            with written_beside(self.build / name) as beside:
                shutil.copyfile(product.folder / name, beside)
        return product
