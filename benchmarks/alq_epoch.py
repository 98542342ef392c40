"""Seconds of an epoch of each ALQ move on the `paper` network against an epoch of float training, in one run.

Run: python benchmarks/alq_epoch.py [--rounds 3]    writes results/alq_epoch.json
720 windows, batch 16, one thread; the moves take turns, medians over all rounds; the first epoch of each compiles and
is not counted. The windows are random: the time does not depend on them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

from flow.build.provenance import provenance
from qmodel import networks
from qmodel.alq.trainer import ALQTrainer
from qmodel.files import write_json
from qmodel.hyperparameters import PAPER_BITS, DataRecipe, FloatRecipe, Schedule
from qmodel.quantised_stage import copy_weights, weight_quantizers
from qmodel.recipe import RECIPES, Recipe
from qmodel.training import train_float
from qmodel.training_data import TrainingSet

WINDOWS, BATCH, EPOCHS = 720, 16, 4


def measure(recipe: Recipe, rounds: int) -> dict[str, float]:
    """Median seconds per epoch of float training and of every move."""
    random = np.random.default_rng(0)
    signals = random.normal(size=(WINDOWS, 3600)).astype(np.float32)
    targets = np.eye(17, dtype=np.float32)[random.integers(0, 17, WINDOWS)]
    data = TrainingSet(signals, targets, WINDOWS, np.ones(WINDOWS), DataRecipe(WINDOWS))
    validation = (signals[:16, :, None], targets[:16].argmax(1))
    spec = networks.network(recipe.network)
    model = networks.build(spec, "float")
    quantised = networks.build(spec, "alq", weight_quantizer=weight_quantizers(recipe, model).get)
    seconds: dict[str, list[float]] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            history = train_float(model, data, validation, FloatRecipe(epochs=EPOCHS, batch=BATCH), folder, number)
        seconds.setdefault("float", []).extend(h["seconds"] for h in history[1:])
        copy_weights(model, quantised)
        schedule = Schedule(
            rounds=1, bases=EPOCHS, coordinates=EPOCHS, finish=EPOCHS, finish_coordinates=0, batch=BATCH, distillation=0
        )
        with tempfile.TemporaryDirectory() as folder:
            history = ALQTrainer(quantised, schedule).fit(data, validation, folder, number)
        for (move, _), entry, (before, _) in zip(
            schedule.phases()[1:], history[1:], schedule.phases()[:-1], strict=True
        ):
            if move == before:
                seconds.setdefault(move, []).append(entry["seconds"])
    return {move: statistics.median(values) for move, values in seconds.items()}


def main() -> None:
    """Measure, print and write the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    rows = []
    for name, bits in (("default", RECIPES["paper"].bits), ("paper", PAPER_BITS)):
        medians = measure(replace(RECIPES["paper"], bits=bits), arguments.rounds)
        for move, value in medians.items():
            ratio = value / medians["float"]
            rows.append({"bits": name, "move": move, "seconds": value, "ratio_to_float": ratio, "kind": "measured"})
            print(f"{name:<8} {move:<17} {value:7.2f} s  {ratio:5.2f} x float")
    content = {"windows": WINDOWS, "batch": BATCH, "threads": 1, "provenance": provenance(), "rows": rows}
    write_json(Path(arguments.results) / "alq_epoch.json", content)


if __name__ == "__main__":
    main()
