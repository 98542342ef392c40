"""Cross-validation of a recipe under a protocol: every fold trained, quantised, frozen and tested, on Dask workers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.build.products import Product
from flow.build.provenance import fingerprint, provenance
from flow.build.results import put_rows, read_rows
from flow.build.workers import check_workers, run_tasks
from flow.steps.stages import float_stage, frozen_stage
from flow.steps.work.names import FROZEN
from qmodel import models as shipped
from qmodel.data import fragments, mitdb
from qmodel.data.fragments import CLASSES
from qmodel.experiment import Experiment, Records, Split, experiments_of_folds
from qmodel.frozen import FrozenNetwork
from qmodel.metrics import summarise

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

KEPT_OF_EARLIER = ("network", "stage", "accuracy_mean", "accuracy_std", "macro_f1_mean", "bytes", "folds", "recipe")
NEVER_TRAINED = ("WPW", "IVR", "SDHB")  # in `blocked`: each lies in one block, so a fold that tests it never trains it


@dataclass(frozen=True)
class FoldTask:
    """One fold of a cross-validation. Args: build: folder of all folds' products."""

    experiment: Experiment
    build: Path

    @property
    def fold(self) -> int | None:
        """Its number."""
        return self.experiment.split.fold


def run_fold(task: FoldTask) -> dict:
    """Train, quantise, freeze and test one fold; resumes where it was killed, and a finished fold is read from disk.

    Returns: confusion matrices and mean losses of the float and frozen networks, sizes, where the frozen file is.
    """
    trained = float_stage(task.experiment, task.build)
    frozen = frozen_stage(task.experiment, task.build)
    sizes = ("bytes", "compression_bytes", "compression_bits", "average_bits", "parameters", "identity")
    return (
        {"fold": task.fold}
        | _scores({"float": trained, "frozen": frozen})
        | {name: frozen.results[name] for name in sizes}
        | {
            "frozen_file": str(frozen.folder / FROZEN),
            "provenance": {name: frozen.manifest[name] for name in ("git_revision", "versions", "machine")},
        }
    )


def run_float_stage(task: FoldTask) -> dict:
    """Train and test the float network of one fold alone, as `run_fold` does on its way.

    Returns: confusion matrices and mean losses, laid out as those of `run_fold`.
    """
    return {"fold": task.fold} | _scores({"float": float_stage(task.experiment, task.build)})


def _scores(stages: dict[str, Product]) -> dict:
    """Confusion matrix and mean loss of every stage, on the parts that are held out."""
    result: dict = {}
    for stage, product in stages.items():
        for part, matrix in product.results["confusion"].items():
            result.setdefault(part, {})[stage] = matrix
            result.setdefault(f"{part}_loss", {})[stage] = product.results["loss"][part]
    return result


def fold_tasks(
    recipe: Recipe,
    split: Split,
    data: str | os.PathLike | None,
    build: str | os.PathLike,
    only: list[int] | None,
) -> tuple[list[FoldTask], int]:
    """Tasks of a cross-validation, all or `only` some of its folds, and how many folds it has.

    Raises: InputError: a fold that the split does not have.
    """
    windows = Records(str(mitdb.find(data)))
    experiments, number = experiments_of_folds(recipe, windows, split, fragments.load_index(), only)
    folder = Path(build).resolve()
    return [FoldTask(experiment, folder) for experiment in experiments], number


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
    return [outcomes[fold] for fold in sorted(outcomes, key=lambda fold: -1 if fold is None else fold)]


def evaluate(
    recipe: Recipe,
    split: Split,
    data: str | os.PathLike | None = None,
    build: str | os.PathLike = "build/evaluate",
    results: str | os.PathLike = "results",
    only: list[int] | None = None,
    scheduler: str | None = None,
    workers: int = 2,
) -> list[dict]:
    """Run the folds of a split and write the rows of its two stages into `results/PROTOCOL.json`.

    Args:
        recipe: settings of the network; split: of the windows, whichever its fold.
        only: run these folds alone; no result is written then unless they are all.
        scheduler: address of a Dask scheduler whose workers see the same folders; None: a cluster on this machine.
        workers: processes of the local cluster.
    Returns: the rows `float` and `frozen`.
    """
    tasks, number = fold_tasks(recipe, split, data, build, only)
    finished = run_folds(tasks, scheduler, workers, f"{recipe.network} {split.protocol}")
    rows = [row(recipe, split, stage, finished) for stage in ("float", "frozen")]
    if len(finished) == number:
        write_rows(Path(results) / f"{split.protocol}.json", split.protocol, rows)
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
    experiment = Experiment(recipe, Records(str(mitdb.find(data))), Split(fold=None))
    trained = float_stage(experiment, Path(build).resolve())
    network = FrozenNetwork.load(frozen_stage(experiment, Path(build).resolve()).folder / FROZEN)
    network.save(Path(models) / f"{recipe.network}.alq")
    figures = {
        "network": recipe.network,
        "kind": "measured",
        "bytes": network.size_bytes,
        "compression_bytes": network.compression_bytes,
        "identity": network.identity,
        "windows": trained.results["windows"]["train"],
        "other_windows": trained.results["other_windows"],
        "recipe": asdict(recipe),
        "provenance": provenance(),
    }
    head = {"data_source": mitdb.SOURCE}
    put_rows(Path(results) / "models.json", [figures], lambda row: (row["network"],), head=head)
    return figures


def row(recipe: Recipe, split: Split, stage: str, finished: list[dict]) -> dict:
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
    if split.protocol == "blocked":
        kept = [i for i, name in enumerate(CLASSES) if name not in NEVER_TRAINED]
        pooled = np.sum(matrices, axis=0)[kept]
        figures["accuracy_without_untrained_classes"] = float(
            sum(pooled[n, i] for n, i in enumerate(kept)) / pooled.sum()
        )
    figures["recipe"] = asdict(recipe)
    figures["split_seed"] = split.seed
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
