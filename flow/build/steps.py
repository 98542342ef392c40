"""The steps from records to report, each a product that the next one takes; TensorFlow only where a step runs."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.build.products import Product, make, program, say
from flow.build.provenance import fingerprint
from flow.build.quiet import import_tensorflow
from flow.build.settings import FOLDS, Settings
from qmodel.errors import InputError
from qmodel.files import sha256, written_beside

if TYPE_CHECKING:
    from qmodel.data.fragments import Windows
    from qmodel.data.splits import Fold
    from qmodel.frozen import FrozenNetwork
    from qmodel.recipe import Recipe

SYNTHETIC_NOTE = "synthetic ECG: these figures say that the flow works and nothing about patients"
SYNTHETIC_PER_CLASS, SYNTHETIC_PER_CLASS_QUICK = 60, 20
TRAINING_PROGRAM = ("qmodel/**/*.py", "qmodel/data/*.csv", "qmodel/data/*.txt", "flow/build/steps.py")
HLS_PROGRAM = ("qmodel/*.py", "hls/**/*.py", "hls/cpp/kernels/**/*", "flow/build/steps.py")
FROZEN, TEST, PARITY = "network.alq", "test.npz", "parity.json"


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
        """Folder of the records, or None: synthetic ECG."""
        from qmodel.data import mitdb

        folder = None
        if not self.settings.synthetic:
            try:
                folder = mitdb.find(self.settings.data)
            except mitdb.DataError:
                if self.settings.data is not None or os.environ.get("MITDB_DIR"):
                    raise
                say("data", "no MIT-BIH records found; `ecg-alq data` downloads them")
        say("data", f"MIT-BIH    {folder}" if folder else f"SYNTHETIC  {SYNTHETIC_NOTE}")
        return folder

    @property
    def source(self) -> dict[str, str]:
        """What every result says about its data."""
        if self.records is None:
            return {"data_source": "synthetic", "note": SYNTHETIC_NOTE}
        return {"data_source": "MIT-BIH"}

    @property
    def _per_class(self) -> int:
        return SYNTHETIC_PER_CLASS_QUICK if self.settings.quick else SYNTHETIC_PER_CLASS

    @cached_property
    def data_identity(self) -> str:
        """SHA-256 of what the windows are cut from: every record is verified against its sum when it is read."""
        from qmodel.data import mitdb

        if self.records is None:
            return fingerprint({"synthetic": self._per_class, "program": program("qmodel/data/synthetic.py")})
        return fingerprint({"MIT-BIH": mitdb.published_sums(), "program": program("qmodel/data/*")})

    @cached_property
    def windows(self) -> Windows:
        """The windows with a class, each checked: whole numbers, in range, not flat."""
        from qmodel.data import fragments, synthetic
        from qmodel.fixed_point import standardise

        if self.records is None:
            windows = synthetic.synthetic_windows(self._per_class)
        else:
            windows = fragments.load_windows(self.records)
        standardise(windows.signals)
        return windows

    @cached_property
    def fold(self) -> Fold:
        """The fold that is trained and tested."""
        from qmodel.data import splits

        settings = self.settings
        folds = splits.make(settings.protocol, self.windows.index, FOLDS, settings.seed, settings.split)
        if settings.fold >= len(folds):
            raise InputError(f"--fold must be 0 to {len(folds) - 1} in this split, received {settings.fold}")
        fold = folds[settings.fold]
        if not len(fold.validation):
            raise InputError(
                f"fold {settings.fold} of {settings.split} has no validation part: training reports on one"
            )
        return fold

    @cached_property
    def test_integers(self) -> np.ndarray:
        """The test part through the input stage, int64 (window, sample)."""
        from qmodel.fixed_point import standardise

        return standardise(self.windows.signals[self.fold.test])

    @property
    def test_labels(self) -> np.ndarray:
        """Classes of the test part."""
        return self.windows.labels[self.fold.test]

    def _part(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from qmodel.training_data import to_input

        return to_input(self.windows.signals[part]), self.windows.labels[part]

    # Steps ------------------------------------------------------------------------------------------------------------

    def _split_settings(self) -> dict:
        settings = self.settings
        return {
            "network": settings.network,
            "protocol": settings.protocol,
            "fold": settings.fold,
            "split": sha256(settings.split) if settings.split else None,
            "quick": settings.quick,
            "seed": settings.seed,
        } | self.source

    @cached_property
    def recipe(self):
        """How the network is trained and quantised."""
        from dataclasses import replace

        from qmodel import recipe

        chosen = replace(recipe.RECIPES[self.settings.network], seed=self.settings.seed)
        return recipe.quick(chosen) if self.settings.quick else chosen

    @cached_property
    def _training_set(self):
        from qmodel.data import annotations
        from qmodel.training_data import training_set

        other = None
        if self.recipe.data.other_hop and self.records is not None:
            other = annotations.window_targets(self.records, hop=self.recipe.data.other_hop)
        return training_set(
            self.windows,
            self.fold,
            other,
            self.recipe.data,
            whole_person=self.settings.protocol == "patient",
            seed=self.recipe.seed,
        )

    @_once
    def train(self) -> Product:
        """Float training: `float.keras`."""

        def work(folder: Path) -> dict:
            validation, test = self._part(self.fold.validation), self._part(self.fold.test)
            import_tensorflow()
            from qmodel import recipe
            from qmodel.training import accuracy

            model = recipe.train(self.recipe, self._training_set, validation, folder)
            return self.source | {
                "windows": {part: len(getattr(self.fold, part)) for part in ("train", "validation", "test")},
                "parameters": model.count_params(),
                "accuracy_validation": accuracy(model, *validation),
                "accuracy_test": accuracy(model, *test),
                "history": _take_history(folder / "float"),
            }

        inputs = {"data": self.data_identity, "program": program(*TRAINING_PROGRAM)}
        return make(self.build, "train", inputs, self._split_settings(), work, resumable=True)

    @_once
    def quantise(self) -> Product:
        """ALQ, folding and finish: `alq.keras`, `folded.keras`."""
        trained = self.train()

        def work(folder: Path) -> dict:
            validation, test = self._part(self.fold.validation), self._part(self.fold.test)
            import_tensorflow()
            from qmodel import recipe
            from qmodel.training import accuracy

            model = recipe.load(trained.folder / recipe.FLOAT_MODEL)
            teachers = [
                model if of.network == self.recipe.network else self._teacher(of, validation, folder)
                for of in recipe.teacher_recipes(self.recipe)
            ]
            folded = recipe.quantise(
                self.recipe, model, self._training_set, validation, folder, self.on_epoch, teachers
            )
            return self.source | {
                "budget_bytes": self.recipe.budget_bytes,
                "accuracy_validation": accuracy(folded, *validation),
                "accuracy_test": accuracy(folded, *test),
                "history": _take_history(folder / "alq"),
                "history_finish": _take_history(folder / "folded"),
            }

        inputs = {"train": trained.identity, "data": self.data_identity, "program": program(*TRAINING_PROGRAM)}
        return make(self.build, "quantise", inputs, self._split_settings(), work, resumable=True)

    def _teacher(self, of: Recipe, validation, folder: Path):
        """The float stage of another network, trained once into a folder of the step that is taught."""
        from qmodel import recipe

        own = folder / f"teacher_{of.network}"
        stored = own / recipe.FLOAT_MODEL
        if stored.exists():
            return recipe.load(stored)
        return recipe.train(of, self._training_set, validation, own)

    @_once
    def freeze(self) -> Product:
        """The frozen network, `network.alq`, and its golden logits of the test part, `test.npz`."""
        quantised = self.quantise() if self.settings.frozen is None else None
        inputs = {"quantise": quantised.identity} if quantised else {"frozen": sha256(self.settings.frozen)}

        def work(folder: Path) -> dict:
            from qmodel.frozen import FrozenNetwork

            if quantised is None:
                network = FrozenNetwork.load(self.settings.frozen)
                network.save(folder / FROZEN)
            else:
                import_tensorflow()
                from qmodel import recipe

                network = recipe.freeze_to(recipe.load(quantised.folder / recipe.FOLDED_MODEL), folder)
            if network.input_length != self.test_integers.shape[1]:
                raise InputError(
                    f"the network takes {network.input_length} samples, a window has {self.test_integers.shape[1]}"
                )
            logits = network.run(self.test_integers)
            np.savez(folder / TEST, logits=logits, labels=self.test_labels, fragments=self.fold.test)
            return self.source | {"accuracy_test": self._accuracy(logits), **describe(network)}

        inputs |= {"data": self.data_identity, "program": program(*TRAINING_PROGRAM)}
        return make(self.build, "freeze", inputs, self._split_settings(), work)

    def _accuracy(self, logits: np.ndarray) -> float:
        return float((logits.argmax(1) == self.test_labels).mean())

    @_once
    def convert(self) -> Product:
        """The HLS project, in the folder `project`."""
        frozen = self.freeze()
        settings = self.settings
        options = {
            "part": settings.part,
            "clock_mhz": settings.clock_mhz,
            "backend": settings.backend,
            "io_type": settings.io_type,
        }

        def work(folder: Path) -> dict:
            from hls.area import device_of
            from hls.cpp.convert import convert
            from hls.cpp.graph import default_folding
            from hls.estimate import Budget, check_budget, estimate
            from hls.plan import Plan
            from qmodel.frozen import FrozenNetwork

            network = FrozenNetwork.load(frozen.folder / FROZEN)
            folding = default_folding(network, settings.part)
            device = device_of(settings.part)
            guess = estimate(Plan.of(network, folding, device)) if device else None
            if guess is not None:
                check_budget(guess, Budget())  # a core that the part cannot hold is not worth generating
            convert(network, folder / "project", folding, **options)
            files = [path for path in (folder / "project").rglob("*") if path.is_file()]
            return self.source | {
                "identity": frozen.results["identity"],
                "files": len(files),
                "estimated": guess.row if guess else None,
                **options,
            }

        inputs = {"freeze": frozen.identity, "program": program(*HLS_PROGRAM)}
        return make(self.build, "convert", inputs, options, work)

    @_once
    def csim(self) -> Product:
        """C simulation of the test part: its logits, `test.npz`."""
        frozen, converted = self.freeze(), self.convert()

        def work(folder: Path) -> dict:
            from hls.engines.csim import CSimulation

            clock = time.monotonic()
            simulation = CSimulation(converted.folder / "project")
            compiled = time.monotonic()
            logits = simulation.run(self.test_integers, progress=True)
            done = time.monotonic()
            np.savez(folder / TEST, logits=logits, labels=self.test_labels, fragments=self.fold.test)
            golden = np.load(frozen.folder / TEST)["logits"]
            return self.source | {
                "windows": len(logits),
                "accuracy_test": self._accuracy(logits),
                "mismatches": int((logits != golden).sum()),
                "compile_seconds": round(compiled - clock, 3),
                "seconds_per_window": (done - compiled) / len(logits),
            }

        inputs = {"freeze": frozen.identity, "convert": converted.identity, "program": program(*HLS_PROGRAM)}
        return make(self.build, "csim", inputs, self._split_settings(), work)

    @_once
    def parity(self) -> Product:
        """Golden model, Keras and C simulation on every layer of every test window: `parity.json`.

        Without Keras in a build that started from a frozen file.
        """
        frozen, converted = self.freeze(), self.convert()
        quantised = self.quantise() if self.settings.frozen is None else None

        def work(folder: Path) -> dict:
            from hls.engines.csim import CSimulation
            from hls.engines.parity import compare, frames_are_independent
            from qmodel.frozen import FrozenNetwork

            network = FrozenNetwork.load(frozen.folder / FROZEN)
            simulation = CSimulation(converted.folder / "project")
            engines = {"C simulation": simulation.trace}
            if quantised is not None:
                import_tensorflow()
                from qmodel import recipe
                from qmodel.freeze import keras_trace

                model = recipe.load(quantised.folder / recipe.FOLDED_MODEL)
                engines = {"Keras": lambda x: keras_trace(model, network, x), **engines}
            logits: dict[str, list[np.ndarray]] = {name: [] for name in engines}

            def remembered(name: str):
                def trace(x: np.ndarray) -> list[np.ndarray]:
                    stages = engines[name](x)
                    logits[name].append(np.asarray(stages[-1]).reshape(len(x), -1))
                    return stages

                return trace

            verdict = compare(network, {name: remembered(name) for name in engines}, self.test_integers, progress=True)
            verdict.save(folder / PARITY)
            return self.source | {
                "identity": verdict.identity,
                "accuracy": {"golden model": frozen.results["accuracy_test"]}
                | {name: self._accuracy(np.concatenate(parts)) for name, parts in logits.items()},
                "windows_compared": verdict.windows,
                "layers_compared": len(network.stages),
                "integers_compared": verdict.integers,
                "mismatches": verdict.mismatches,
                "first_difference": "; ".join(map(str, verdict.first.values())),
                "frames_independent": frames_are_independent(simulation, self.test_integers[:2]),
                "layers": [
                    {
                        "name": stage.name,
                        "integers": stage.output_length * stage.output_channels * verdict.windows,
                        "mismatches": {name: layers[stage.name] for name, layers in verdict.per_layer.items()},
                    }
                    for stage in network.stages
                ],
            }

        inputs = {"freeze": frozen.identity, "convert": converted.identity, "program": program(*HLS_PROGRAM)}
        if quantised is not None:
            inputs["quantise"] = quantised.identity
        return make(self.build, "parity", inputs, self._split_settings(), work)

    @_once
    def report(self) -> Product:
        """The page and its figures, `report.html` and `report.json`, also at the top of the build folder."""
        if self.settings.frozen is not None:
            raise InputError("a report tells of training as well: run `ecg-alq flow`, not a build with --frozen")
        products = {
            step: getattr(self, step)() for step in ("train", "quantise", "freeze", "convert", "csim", "parity")
        }

        def work(folder: Path) -> dict:
            from flow.publish import report

            with np.load(products["freeze"].folder / TEST) as file:
                logits, labels, test = file["logits"], file["labels"], file["fragments"]
            summary = report.figures(products, asdict(self.settings), logits, labels)
            page = report.page(summary, products, self.windows, test, logits.argmax(1))
            (folder / report.PAGE).write_text(page, "utf-8")
            (folder / report.FIGURES).write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
            return summary | {"page": str(self.build / report.PAGE)}

        inputs = {step: product.identity for step, product in products.items()}
        inputs |= {"data": self.data_identity, "program": program("flow/*.py", "flow/*.css", "qmodel/metrics.py")}
        product = make(self.build, "report", inputs, self._split_settings(), work)
        for name in ("report.html", "report.json"):
            with written_beside(self.build / name) as beside:
                shutil.copyfile(product.folder / name, beside)
        return product


def describe(network: FrozenNetwork) -> dict:
    """Sizes of a frozen network and of its layers, for JSON."""
    layers = []
    for stage in network.plane_stages:
        layer = stage.layer
        counts = layer.plane_counts
        layers.append(
            {
                "name": stage.name,
                "weights": layer.weight_count,
                "filters": layer.filters,
                "groups": int(counts.size),
                "planes": int(counts.sum()),
                "groups_by_planes": np.bincount(counts.reshape(-1)).tolist(),
                "average_bits": layer.signs.size / layer.weight_count,
                "accumulator_bits": layer.accumulator_bits(stage.input_format),
            }
        )
    return {
        "identity": network.identity,
        "parameters": network.parameter_count,
        "bytes": network.size_bytes,
        "compression_bytes": network.compression_bytes,
        "compression_bits": network.compression_bits,
        "average_bits": network.average_bits,
        "layers": layers,
    }


def _take_history(folder: Path) -> list[dict[str, float]]:
    """Every epoch's metrics out of a finished checkpoint, which is then removed."""
    from qmodel.training import CHECKPOINT

    with np.load(folder / CHECKPOINT, allow_pickle=False) as file:
        history = json.loads(str(file["meta"]))["history"]
    shutil.rmtree(folder)
    return history
