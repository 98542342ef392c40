"""What each idea of a recipe gives: the recipe, and the recipe without one idea at a time, on validation parts.

Run: python -m benchmarks.ablation [--folds 0 1 2] [--only NAME ...]   writes results/ablation.json and .svg; resumes.
Every variation is cross-validated by `flow.evaluate` under `stratified` with the validation parts held out; test parts
are not looked at. Floats that variations share are trained once.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from flow.evaluate import FoldTask, run_folds
from flow.provenance import provenance
from qmodel.data import mitdb
from qmodel.files import written_beside
from qmodel.recipe import RECIPES, Recipe

NETWORK = "compact"
FOLDS = 10


def variations(recipe: Recipe) -> dict[str, Recipe]:
    """The recipe and its variations, by what they do without or change."""
    training, data = recipe.float_training, recipe.data
    half = replace(recipe, alq=replace(recipe.alq, finish=recipe.alq.finish // 2))
    return {
        "the recipe": recipe,
        "no teachers": replace(recipe, teachers=()),
        "its own float stage as teacher": replace(recipe, teachers=(recipe.network,)),
        "activations of 4 bits": replace(recipe, activation_bits=4),
        "two planes in the fourth layer, pruned": replace(recipe, bits=(*recipe.bits[:3], 2, *recipe.bits[4:])),
        "half the finish": half,
        "half the finish, to a tenth of its rate": replace(
            half, alq=replace(half.alq, finish_floor=0.1), finish=replace(half.finish, finish_floor=0.1)
        ),
        "no beats to find": replace(recipe, float_training=replace(training, beat_loss=0.0)),
        "half the float epochs": replace(recipe, float_training=replace(training, epochs=training.epochs // 2)),
        "no other windows": replace(recipe, data=replace(data, other_hop=None)),
        "no shifts": replace(recipe, data=replace(data, max_shift=0)),
        "shifts that push rare beats out": replace(recipe, data=replace(data, keep_beats=False)),
        "no premature beats made up": replace(recipe, data=replace(data, premature=0.0)),
        "classes as often as they are": replace(recipe, data=replace(data, balance=0.0)),
    }


def summary(name: str, outcomes: list[dict]) -> dict:
    """One row: accuracies and mean cross entropies on the validation parts, of all folds together and of each."""
    row = {"variation": name, "bytes": max(outcome["bytes"] for outcome in outcomes)}
    for stage in ("float", "frozen"):
        matrices = [np.array(outcome["validation"][stage]) for outcome in outcomes]
        row[f"{stage}_accuracy"] = float(sum(m.trace() for m in matrices) / sum(m.sum() for m in matrices))
        row[f"{stage}_accuracy_by_fold"] = [float(m.trace() / m.sum()) for m in matrices]
        losses = [outcome["validation_loss"][stage] for outcome in outcomes]
        row[f"{stage}_loss"] = float(np.average(losses, weights=[m.sum() for m in matrices]))
        row[f"{stage}_loss_by_fold"] = losses
    row["windows"] = int(sum(np.sum(outcome["validation"]["frozen"]) for outcome in outcomes))
    return row


def draw(rows: list[dict], path: Path) -> None:
    """Accuracy and cross entropy of every variation, before and after quantisation, beside the recipe's lines."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(11, 1.2 + 0.34 * len(rows)), layout="constrained", sharey=True)
    places = np.arange(len(rows))[::-1]
    for axes, key, factor, label in (
        (both[0], "accuracy", 100, "accuracy (%)"), (both[1], "loss", 1, "cross entropy (nats)"),
    ):  # fmt: skip
        for stage, marker, colour in (("float", "o", "tab:blue"), ("frozen", "s", "tab:orange")):
            values = [factor * row[f"{stage}_{key}"] for row in rows]
            axes.plot(values, places, marker, color=colour, label=stage)
            axes.axvline(values[0], color=colour, linestyle=":", linewidth=1)
        axes.set_xlabel(label)
        axes.grid(axis="x", alpha=0.3)
    both[0].set_yticks(places, [row["variation"] for row in rows])
    both[0].legend()
    folds = len(rows[0]["frozen_accuracy_by_fold"])
    figure.suptitle(f"{NETWORK}: validation parts of {folds} folds, {rows[0]['windows']} windows (measured)")
    with written_beside(path) as beside:
        figure.savefig(beside, format="svg")
    plt.close(figure)


def main() -> None:
    """Measure all variations, write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[0, 1, 2])
    recipes = variations(RECIPES[NETWORK])
    parser.add_argument("--only", nargs="+", choices=recipes, metavar="NAME", help=f"of: {'; '.join(recipes)}")
    parser.add_argument("--data", default=None)
    parser.add_argument("--build", default="build/ablation")
    parser.add_argument("--results", default="results")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    data, build = str(mitdb.find(arguments.data)), str(Path(arguments.build).resolve())
    path = Path(arguments.results) / "ablation.json"
    path.parent.mkdir(exist_ok=True)
    rows = []
    for name in arguments.only or recipes:
        tasks = [
            FoldTask(recipes[name], "stratified", FOLDS, fold, None, data, build, validate=True)
            for fold in arguments.folds
        ]
        rows.append(summary(name, run_folds(tasks, workers=arguments.workers, label=name)))
        print(
            f"{name:<40} float {rows[-1]['float_accuracy']:.4f} loss {rows[-1]['float_loss']:.3f}, "
            f"frozen {rows[-1]['frozen_accuracy']:.4f} loss {rows[-1]['frozen_loss']:.3f}",
            flush=True,
        )
        content = {
            "network": NETWORK, "protocol": "stratified", "part": "validation", "folds": arguments.folds,
            "kind": "measured", "recipe": asdict(RECIPES[NETWORK]), "provenance": provenance(), "rows": rows,
        }  # fmt: skip
        with written_beside(path) as beside:
            beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        draw(rows, path.with_suffix(".svg"))


if __name__ == "__main__":
    main()
