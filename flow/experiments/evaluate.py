"""Cross-validation of a recipe under a protocol: every fold trained, quantised, frozen and tested, on Dask workers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.build.provenance import fingerprint, provenance
from flow.build.results import put_rows, read_rows
from flow.build.workers import check_workers, run_tasks
from qmodel import models as shipped
from qmodel.data import annotations, fragments, mitdb, splits
from qmodel.data.fragments import CLASSES
from qmodel.errors import InputError
from qmodel.files import write_json
from qmodel.metrics import confusion_matrix, mean_loss, summarise

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

KEPT_OF_EARLIER = ("network", "stage", "accuracy_mean", "accuracy_std", "macro_f1_mean", "bytes", "folds", "recipe")
NEVER_TRAINED = ("WPW", "IVR", "SDHB")  # in `blocked`: each lies in one block, so a fold that tests it never trains it


@dataclass(frozen=True)
class FoldTask:
    """One fold of one protocol: everything that decides its result.

    Args: recipe: qmodel.recipe.Recipe; fold: of `folds`, None: train on every window and test on none; split: CSV of
        protocol `file`; data: folder of the records; build: folder of all folds' products; validate: hold the
        validation part out and report on it, as is done to choose a recipe; else it is trained on too, since a
        finished recipe chooses nothing.
    """

    recipe: Recipe
    protocol: str
    folds: int
    fold: int | None
    split: str | None
    data: str
    build: str
    validate: bool = False

    def _mark(self, settings: dict) -> str:
        """Hash of settings together with the network and what decides the fold's windows."""
        from qmodel.networks import network

        table = Path(self.split).read_text(encoding="utf-8") if self.split else None
        windows = (self.protocol, self.folds, self.fold, table, self.validate, asdict(self.recipe.data))
        layers = asdict(network(self.recipe.network))
        return fingerprint({"windows": windows, "sums": mitdb.published_sums(), "layers": layers} | settings)[:12]

    @property
    def teachers(self) -> list[FoldTask]:
        """The same fold for every teacher, of which the float stage is wanted."""
        from qmodel.recipe import teacher_recipes

        return [replace(self, recipe=recipe) for recipe in teacher_recipes(self.recipe)]

    @property
    def _name(self) -> str:
        return f"{self.protocol}-{self.fold}" if self.fold is not None else "all"

    def split_windows(self, index: fragments.Fragments) -> splits.Fold:
        """The fold's parts: indices into the fragments."""
        nothing = np.zeros(0, np.int64)
        if self.fold is None:
            return splits.Fold(np.arange(len(index)), nothing, nothing)
        fold = splits.make(self.protocol, index, self.folds, self.recipe.seed, self.split)[self.fold]
        if self.validate:
            return fold
        return splits.Fold(np.sort(np.concatenate([fold.train, fold.validation])), nothing, fold.test)

    @property
    def float_folder(self) -> Path:
        """Where the fold's float network lives: recipes that differ in their quantisation share it."""
        recipe = self.recipe
        mark = self._mark({"network": recipe.network, "float": asdict(recipe.float_training), "seed": recipe.seed})
        return Path(self.build) / f"{self._name}-{recipe.network}-float-{mark}"

    @property
    def folder(self) -> Path:
        """Where the fold's frozen network lives."""
        mark = self._mark(
            {"recipe": asdict(self.recipe), "teachers": [teacher.float_folder.name for teacher in self.teachers]}
        )
        return Path(self.build) / f"{self._name}-{self.recipe.network}-{mark}"

    def parts(self):
        """Training set, validation and test (inputs, labels; None: no windows); sets TensorFlow to one thread."""
        import tensorflow as tf

        from qmodel.training_data import to_input, training_set

        # One thread each: folds run beside each other, and sums are added in the same order on every machine.
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        windows = fragments.load_windows(self.data)
        fold = self.split_windows(windows.index)
        train = training_set(
            windows,
            fold,
            annotations.window_targets(self.data, hop=hop) if (hop := self.recipe.data.other_hop) else None,
            self.recipe.data,
            whole_person=self.protocol == "patient",
            seed=self.recipe.seed,
        )

        def held_out(part: np.ndarray):
            return (to_input(windows.signals[part]), windows.labels[part]) if len(part) else None

        return train, held_out(fold.validation), held_out(fold.test)


def float_stage(task: FoldTask, train, validation):
    """The fold's float network: read from disk, or trained now, resuming where it was killed."""
    from qmodel import recipe as steps

    stored = task.float_folder / steps.FLOAT_MODEL
    return steps.load(stored) if stored.exists() else steps.train(task.recipe, train, validation, task.float_folder)


def frozen_stage(task: FoldTask, model, train, validation):
    """The fold's frozen network, from its float stage and its teachers'; resumes where it was killed."""
    from qmodel import recipe as steps

    teachers = [float_stage(teacher, train, validation) for teacher in task.teachers]
    folded = steps.quantise(task.recipe, model, train, validation, task.folder, teachers=teachers)
    return steps.freeze_to(folded, task.folder)


def run_fold(task: FoldTask) -> dict:
    """Train, quantise, freeze and test one fold; resumes where it was killed, and a finished fold is read from disk.

    Returns: confusion matrices and mean losses of the float and frozen networks, sizes, where the frozen file is.
    """
    result_file = task.folder / "result.json"
    if result_file.exists():
        return json.loads(result_file.read_text(encoding="utf-8"))

    from qmodel import recipe as steps
    from qmodel.training import predict

    folder = task.folder
    train, validation, test = task.parts()
    model = float_stage(task, train, validation)
    network = frozen_stage(task, model, train, validation)

    def frozen_logits(inputs: np.ndarray) -> np.ndarray:
        integers = np.rint(inputs[..., 0] / network.input_format.step).astype(np.int64)
        return network.run(integers) * network.stages[-1].output_format.step

    stages = {"float": lambda inputs: predict(model, inputs), "frozen": frozen_logits}
    result = {"fold": task.fold} | _scores(stages, validation, test)
    result |= {
        "bytes": network.size_bytes,
        "compression_bytes": network.compression_bytes,
        "compression_bits": network.compression_bits,
        "average_bits": network.average_bits,
        "parameters": network.parameter_count,
        "identity": network.identity,
        "frozen_file": str(folder / steps.FROZEN_FILE),
        "provenance": provenance(),
    }
    write_json(result_file, result)
    return result


def run_float_stage(task: FoldTask) -> dict:
    """Train and test the float network of one fold alone, as `run_fold` does on its way.

    Returns: confusion matrices and mean losses, laid out as those of `run_fold`.
    """
    from qmodel.training import predict

    train, validation, test = task.parts()
    model = float_stage(task, train, validation)
    return {"fold": task.fold} | _scores({"float": lambda inputs: predict(model, inputs)}, validation, test)


def _scores(stages: dict[str, Callable[[np.ndarray], np.ndarray]], validation, test) -> dict:
    """Confusion matrix and mean loss of every stage, on the parts that are held out.

    Args: stages: name -> inputs (window, sample, 1) to logits (window, class).
    """
    result: dict = {}
    for part, held_out in (("validation", validation), ("test", test)):
        if held_out:
            inputs, labels = held_out
            logits = {stage: of(inputs).astype(np.float64) for stage, of in stages.items()}
            result[part] = {
                stage: confusion_matrix(labels, each.argmax(1), len(CLASSES)).tolist() for stage, each in logits.items()
            }
            result[f"{part}_loss"] = {stage: mean_loss(each, labels) for stage, each in logits.items()}
    return result


def fold_tasks(
    recipe: Recipe,
    protocol: str,
    data: str | os.PathLike | None,
    build: str | os.PathLike,
    folds: int,
    only: list[int] | None,
    split: str | None,
    validate: bool,
) -> tuple[list[FoldTask], int]:
    """Tasks of a cross-validation, all or `only` some of its folds, and how many folds it has.

    Raises: InputError: a fold that the split does not have.
    """
    folder = str(mitdb.find(data))
    number = len(splits.make(protocol, fragments.load_index(), folds, recipe.seed, split))
    chosen = list(range(number)) if only is None else only
    if bad := [fold for fold in chosen if not 0 <= fold < number]:
        raise InputError(f"folds are 0 to {number - 1}, received {bad}")
    build = str(Path(build).resolve())
    return [FoldTask(recipe, protocol, folds, fold, split, folder, build, validate) for fold in chosen], number


def run_folds(
    tasks: list[FoldTask],
    scheduler: str | None = None,
    workers: int = 2,
    label: str = "",
    run: Callable[[FoldTask], dict] = run_fold,
) -> list[dict]:
    """Outcomes of `run` for all tasks, in the order of their folds, from Dask workers.

    Args: scheduler: address of a Dask scheduler whose workers see the same folders; None: a cluster on this machine of
        `workers` processes; label: of the progress bar.
    """
    from tqdm import tqdm

    check_workers(scheduler, workers)
    outcomes = {}
    with tqdm(total=len(tasks), desc=label, unit="fold") as bar:
        for task, outcome in run_tasks(run, tasks, scheduler, workers):
            outcomes[task.fold] = outcome
            bar.update()
    return [outcomes[fold] for fold in sorted(outcomes)]


def evaluate(
    recipe: Recipe,
    protocol: str,
    data: str | os.PathLike | None = None,
    build: str | os.PathLike = "build/evaluate",
    results: str | os.PathLike = "results",
    folds: int = 10,
    only: list[int] | None = None,
    split: str | None = None,
    scheduler: str | None = None,
    workers: int = 2,
    validate: bool = False,
) -> list[dict]:
    """Run the folds of a protocol and write the rows of its two stages into `results/PROTOCOL.json`.

    Args:
        recipe: settings of the network; protocol: stratified, blocked, patient or file (with `split`, a CSV).
        only: run these folds alone; no result is written then unless they are all.
        scheduler: address of a Dask scheduler whose workers see the same folders; None: a cluster on this machine.
        workers: processes of the local cluster; validate: hold the validation parts out and report on them.
    Returns: the rows `float` and `frozen`.
    """
    tasks, number = fold_tasks(recipe, protocol, data, build, folds, only, split, validate)
    finished = run_folds(tasks, scheduler, workers, f"{recipe.network} {protocol}")
    rows = [row(recipe, protocol, stage, finished) for stage in ("float", "frozen")]
    if len(finished) == number:
        write_rows(Path(results) / f"{protocol}.json", protocol, rows)
    return rows


def train_final(
    recipe: Recipe,
    data: str | os.PathLike | None = None,
    build: str | os.PathLike = "build/evaluate",
    results: str | os.PathLike = "results",
    models: str | os.PathLike = shipped.FOLDER,
) -> dict:
    """Train a recipe on every window, nothing held out: the network that ships, `NETWORK.alq` in `models`.

    Its accuracy is not measured here, by nature; that of the recipe is, by `evaluate`.
    Returns: its row in `results/models.json`.
    """
    task = FoldTask(recipe, "stratified", 1, None, None, str(mitdb.find(data)), str(Path(build).resolve()))
    train, _, _ = task.parts()
    network = frozen_stage(task, float_stage(task, train, None), train, None)
    network.save(Path(models) / f"{recipe.network}.alq")
    figures = {
        "network": recipe.network,
        "kind": "measured",
        "bytes": network.size_bytes,
        "compression_bytes": network.compression_bytes,
        "identity": network.identity,
        "windows": train.fragments,
        "other_windows": len(train.signals) - train.fragments,
        "recipe": asdict(recipe),
        "provenance": provenance(),
    }
    head = {"data_source": mitdb.SOURCE}
    put_rows(Path(results) / "models.json", [figures], lambda row: (row["network"],), head=head)
    return figures


def row(recipe: Recipe, protocol: str, stage: str, finished: list[dict]) -> dict:
    """One row of results: figures over folds, sizes (frozen: of the largest file) and where they come from."""
    matrices = [np.array(outcome["test"][stage]) for outcome in finished]
    parameters = finished[0]["parameters"]
    sizes = {
        "bytes": max(outcome["bytes"] for outcome in finished),
        "compression_bytes": min(outcome["compression_bytes"] for outcome in finished),
        "compression_bits": min(outcome["compression_bits"] for outcome in finished),
        "average_bits": max(outcome["average_bits"] for outcome in finished),
    }
    if stage == "float":
        sizes = {"bytes": 4 * parameters, "compression_bytes": 1.0, "compression_bits": 1.0, "average_bits": 32.0}
    figures = {"network": recipe.network, "stage": stage, "kind": "measured", **sizes, "parameters": parameters}
    figures |= summarise(matrices, CLASSES)
    figures["trained_on"] = "train" if "validation" in finished[0] else "train and validation"
    if "validation" in finished[0]:
        figures["validation_accuracy_mean"] = float(
            np.mean([np.trace(m := np.array(outcome["validation"][stage])) / m.sum() for outcome in finished])
        )
    if protocol == "blocked":
        kept = [i for i, name in enumerate(CLASSES) if name not in NEVER_TRAINED]
        pooled = np.sum(matrices, axis=0)[kept]
        figures["accuracy_without_untrained_classes"] = float(
            sum(pooled[n, i] for n, i in enumerate(kept)) / pooled.sum()
        )
    figures["recipe"] = asdict(recipe)
    figures["provenance"] = [outcome["provenance"] for outcome in finished]
    return figures


def write_rows(path: Path, protocol: str, rows: list[dict]) -> None:
    """Put rows into a results file in place of those of the same network and stage.

    What a row of another recipe said stays under `earlier`: how often test parts were looked at is part of a result.
    """
    head = {
        "protocol": protocol,
        "data_source": mitdb.SOURCE,
        "data_sha256": fingerprint(mitdb.published_sums()),
        "earlier": _earlier(path, rows),
    }
    put_rows(path, rows, lambda row: (row["network"], row["stage"]), head=head)


def _earlier(path: Path, rows: list[dict]) -> list[dict]:
    """The stored rows of earlier recipes, oldest first, and those of the present file that `rows` will replace."""
    # As JSON would have it, which knows no tuples.
    new = {(row["network"], row["stage"]): json.loads(json.dumps(row["recipe"])) for row in rows}
    replaced = [
        {key: row[key] for key in KEPT_OF_EARLIER} | {"git_revision": row["provenance"][0]["git_revision"]}
        for row in read_rows(path)
        if new.get((row["network"], row["stage"]), row["recipe"]) != row["recipe"]
    ]
    return read_rows(path, "earlier") + replaced
