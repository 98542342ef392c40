"""What each idea of a recipe gives: the recipe, and the recipe without one idea at a time, on validation parts.

Run: python -m benchmarks.ablation [--folds 0 1] [--only NAME ...]   writes results/ablation.json and .svg; resumes.
Every variation is cross-validated by `flow.experiments.evaluate` under `stratified`, validation parts held out; test
parts are not looked at. Ideas for the data and for training in float are measured there, before quantisation, which
changes little and would take as long again; ideas for quantisation all start from the same float networks.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from flow.build.provenance import provenance
from flow.experiments.evaluate import fold_tasks, run_float_stage, run_fold, run_folds
from flow.look import pictures
from qmodel.experiment import Split
from qmodel.files import write_json, write_text
from qmodel.recipe import RECIPES, Recipe

NETWORK = "compact"
FOLDS = 10


def float_variations(recipe: Recipe) -> dict[str, Recipe]:
    """Variations of the windows and of training in float, by what they do without or change."""
    training, data = recipe.float_training, recipe.data
    return {
        "no other windows": replace(recipe, data=replace(data, other_hop=None)),
        "no shifts": replace(recipe, data=replace(data, max_shift=0)),
        "shifts that push rare beats out": replace(recipe, data=replace(data, keep_beats=False)),
        "no premature beats made up": replace(recipe, data=replace(data, premature=0.0)),
        "classes as often as they are": replace(recipe, data=replace(data, balance=0.0)),
        "no beats to find": replace(recipe, float_training=replace(training, beat_loss=0.0)),
        "half the float epochs": replace(recipe, float_training=replace(training, epochs=training.epochs // 2)),
    }


def quantised_variations(recipe: Recipe) -> dict[str, Recipe]:
    """Variations of quantisation, by what they do without or change."""
    more_taught = {part: replace(getattr(recipe, part), distillation=0.9) for part in ("alq", "finish")}
    return {
        "twice the quantised epochs": replace(recipe, alq=replace(recipe.alq, finish=2 * recipe.alq.finish)),
        "teachers outweigh the given class nine to one": replace(recipe, **more_taught),
        "no teachers": replace(recipe, teachers=()),
    }


def summary(name: str, outcomes: list[dict]) -> dict:
    """One row: accuracies and mean losses on the validation parts, of all folds together and of each."""
    row: dict = {"variation": name}
    for stage in outcomes[0]["validation"]:
        matrices = [np.array(outcome["validation"][stage]) for outcome in outcomes]
        losses = [outcome["validation_loss"][stage] for outcome in outcomes]
        windows = [int(m.sum()) for m in matrices]
        row[stage] = {
            "accuracy": float(sum(m.trace() for m in matrices) / sum(windows)),
            "accuracy_by_fold": [float(m.trace() / m.sum()) for m in matrices],
            "loss": float(np.average(losses, weights=windows)),
            "loss_by_fold": losses,
            "windows": sum(windows),
        }
    if "frozen" in row:
        row["frozen"]["bytes"] = max(outcome["bytes"] for outcome in outcomes)
    return row


def draw(rows: list[dict]) -> str:
    """Accuracy and cross entropy of every variation, in the stage where it acts, beside the recipe's lines: an SVG."""
    recipe = rows[0]
    with pictures.figure("ablation", 10, 1.4 + 0.3 * len(rows), 1, 2, sharey=True) as (figure, both, drawn):
        for axes, key, factor, label in (
            (both[0], "accuracy", 100, "accuracy, %"), (both[1], "loss", 1, "cross entropy, nats"),
        ):  # fmt: skip
            for stage, marker, colour in (("float", "o", pictures.ACCENT), ("frozen", "s", pictures.SECOND)):
                # Variations of quantisation share the recipe's float stage: its point once is enough.
                acting = [row for row in rows if row is recipe or stage == ("frozen" if "frozen" in row else "float")]
                places = [len(rows) - 1 - rows.index(row) for row in acting]
                axes.plot([factor * row[stage][key] for row in acting], places, marker, color=colour, label=stage)
                axes.axvline(factor * recipe[stage][key], color=colour, linestyle=":", linewidth=1)
            axes.set_xlabel(label)
            axes.grid(axis="x")
        both[0].set_yticks(range(len(rows)), [row["variation"] for row in reversed(rows)], color=pictures.INK)
        both[0].legend(frameon=False)
        folds, windows = len(recipe["float"]["loss_by_fold"]), recipe["float"]["windows"]
        figure.suptitle(f"{NETWORK}: validation parts of {folds} folds, {windows} windows (measured)")
    return pictures.file(drawn[0], f"Accuracy and loss of {NETWORK}'s recipe and its variations, in float and frozen")


def main() -> None:
    """Measure all variations, write the table and the picture after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1])
    recipe = RECIPES[NETWORK]
    in_float, quantised = float_variations(recipe), quantised_variations(recipe)
    names = [*in_float, *quantised]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--data", default=None)
    parser.add_argument("--build", default="build/ablation")
    parser.add_argument("--results", default="results")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    path = Path(arguments.results) / "ablation.json"
    rows = []
    for name in ("the recipe", *arguments.only):
        varied = {"the recipe": recipe, **in_float, **quantised}[name]
        split = Split("stratified", FOLDS, validation=True)
        tasks, _ = fold_tasks(varied, split, arguments.data, arguments.build, arguments.folds)
        run = run_float_stage if name in in_float else run_fold
        rows.append(summary(name, run_folds(tasks, workers=arguments.workers, label=name, run=run)))
        for stage in ("float", "frozen"):
            if stage in rows[-1]:
                scores = rows[-1][stage]
                print(f"{name:<45}{stage:<7}{scores['accuracy']:.4f} loss {scores['loss']:.3f}", flush=True)
        content = {
            "network": NETWORK, "protocol": "stratified", "part": "validation", "folds": arguments.folds,
            "kind": "measured", "recipe": asdict(recipe), "provenance": provenance(), "rows": rows,
        }  # fmt: skip
        write_json(path, content)
        write_text(path.with_suffix(".svg"), draw(rows))


if __name__ == "__main__":
    main()
