"""Accuracy against bytes of the `paper` network: ALQ from 4 bits to under 1, beside uniform QKeras quantizers.

Run: python -m benchmarks.alq_curve [--folds 0 1 2]   writes results/alq_curve.json and results/alq_curve.svg; resumes.
All points of a fold start from the float network that `ecg-alq evaluate --network paper` trained (or trains now) and
train for as many epochs on the same windows; test parts are used once per point and choose nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from dataclasses import asdict, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
from qkeras import binary, quantized_bits

from flow.build.provenance import fingerprint, provenance
from flow.look import pictures
from flow.steps.stages import float_stage
from qmodel import networks, training
from qmodel.alq.trainer import (
    ASSUMED_BIAS_BITS,
    ASSUMED_COORDINATE_BITS,
    FILE_OVERHEAD_BYTES,
    LAYER_OVERHEAD_BYTES,
    ALQTrainer,
    Budget,
    model_bytes,
)
from qmodel.data import mitdb
from qmodel.experiment import Experiment, Records, Split
from qmodel.files import write_json, write_text
from qmodel.float_stage import FLOAT_MODEL
from qmodel.hyperparameters import FloatRecipe, Schedule
from qmodel.metrics import mean_loss
from qmodel.quantised_stage import copy_weights, weight_quantizers
from qmodel.recipe import RECIPES
from qmodel.training import predict, train_float

AVERAGE_BITS = (4.0, 3.0, 2.0, 1.25, 1.0, 0.8)
UNIFORM_BITS = (1, 2, 3, 4)
# The recipes' order, most epochs for the finish; its rate between theirs and what more bits would want, and falling as
# far as that of the uniform quantizers, which ends at zero.
SCHEDULE = Schedule(
    rounds=1, bases=1, coordinates=0, finish=17, finish_learning_rate=3e-3, finish_floor=0.01, distillation=0.0
)
WINDOWS = 2000  # per epoch
RECIPE = RECIPES["paper"]


def largest_bits(bits: float) -> int | tuple[int, ...]:
    """Largest bitwidths from which pruning goes down to an average: whole ones have nothing to prune, and below two
    bits the recipe's, in which most weights have one plane, so that few filters lose their last."""
    return int(bits) if bits == int(bits) and bits > 1 else RECIPE.bits


def points(folder: Path, experiment: Experiment, floats: Path) -> list[dict]:
    """Every point of one fold, read from disk where it was measured before. Args: floats: of the float stages."""
    train, test, fold = experiment.training_set, experiment.test, experiment.split.fold
    train = replace(train, recipe=replace(train.recipe, epoch_windows=WINDOWS))
    stage = float_stage(experiment, floats)
    model = training.load(stage.folder / FLOAT_MODEL)
    reference = {"quantizer": "float", "grouping": "", "bits": 32.0, "bytes": 4 * model.count_params()}
    found = [reference | scores(model, test)]

    def remember(measure, **settings) -> None:
        inputs = {"float": stage.identity, "schedule": asdict(SCHEDULE), "windows": WINDOWS} | settings
        path = folder / f"fold{fold}-{fingerprint(inputs)[:12]}"
        stored = path / "point.json"
        if not stored.exists():
            write_json(stored, measure(path, model, train, **settings) | {"settings": settings})
        found.append(json.loads(stored.read_text(encoding="utf-8")))

    def alq(path, model, train, grouping: str, bits: float, largest) -> dict:
        return alq_point(path, model, train, test, grouping, bits, largest, f"fold {fold}")

    def uniform(path, model, train, uniform: int | str) -> dict:
        return uniform_point(path, model, train, test, uniform, f"fold {fold}")

    for bits in reversed(AVERAGE_BITS):
        for grouping in ("channelwise", "pixelwise"):
            remember(alq, grouping=grouping, bits=bits, largest=largest_bits(bits))
    for bits in (*UNIFORM_BITS, "binary"):
        remember(uniform, uniform=bits)
    return found


def scores(model, test) -> dict[str, float]:
    """Test windows, how many are right, and their mean cross entropy, which tells more from few windows."""
    logits = predict(model, test[0])
    right = int((logits.argmax(1) == test[1]).sum())
    return {"windows": len(logits), "right": right, "loss": mean_loss(logits, test[1])}


def alq_point(folder, model, train, test, grouping: str, bits: float, largest, label: str) -> dict:
    """ALQ pruned to an average bitwidth."""
    wide = replace(RECIPE, grouping=grouping, bits=largest)
    quantised = networks.build(
        networks.network(RECIPE.network),
        "alq",
        weight_quantizer=weight_quantizers(wide, model).get,
        activation_bits=RECIPE.activation_bits,
    )
    copy_weights(model, quantised)
    trainer = ALQTrainer(quantised, SCHEDULE, Budget("average_bits", bits))
    history = trainer.fit(train, None, folder, label=f"{label} ALQ {grouping} {bits}")
    sizes = {"bits": history[-1]["bits"], "bytes": model_bytes(trainer.states)}
    return {"quantizer": "alq", "grouping": grouping} | sizes | scores(quantised, test)


def uniform_point(folder, model, train, test, bits: int | str, label: str) -> dict:
    """QKeras' own quantizer at one bitwidth for all layers, one scale per filter, trained for as many epochs."""

    def quantizer(name: str):
        return binary(alpha="auto") if bits == "binary" else quantized_bits(bits, 0, alpha="auto")

    quantised = networks.build(
        networks.network(RECIPE.network), "alq", weight_quantizer=quantizer, activation_bits=RECIPE.activation_bits
    )
    copy_weights(model, quantised)
    epochs = len(SCHEDULE.phases())
    settings = FloatRecipe(
        epochs=epochs, learning_rate=SCHEDULE.finish_learning_rate, warm_up_epochs=0.0, beat_loss=0.0
    )
    train_float(quantised, train, None, settings, folder, label=f"{label} uniform {bits}")
    width = 1 if bits == "binary" else bits
    kernels = [layer.kernel for layer in quantised.layers if hasattr(layer, "kernel")]
    weights = sum(math.prod(kernel.shape) for kernel in kernels)
    # Counted as ALQ's files are: a scale and a bias per filter, the same overhead per layer.
    per_filter = (ASSUMED_COORDINATE_BITS + ASSUMED_BIAS_BITS) * sum(kernel.shape[-1] for kernel in kernels)
    size = FILE_OVERHEAD_BYTES + LAYER_OVERHEAD_BYTES * len(kernels) + math.ceil((weights * width + per_filter) / 8)
    name = "binary" if bits == "binary" else "quantized_bits"
    return {"quantizer": name, "grouping": "", "bits": float(width), "bytes": size} | scores(quantised, test)


def pool(folds: list[list[dict]]) -> list[dict]:
    """Every point over all folds: accuracy of all test windows together and of each fold, the largest size."""
    rows = []
    for same in zip(*folds, strict=True):
        windows = sum(point["windows"] for point in same)
        loss = sum(point["loss"] * point["windows"] for point in same) / windows
        rows.append(
            {key: same[0][key] for key in ("quantizer", "grouping", "bits")}
            | {
                "bytes": max(point["bytes"] for point in same),
                "windows": windows,
                "test_accuracy": sum(point["right"] for point in same) / windows,
                "test_loss": loss if math.isfinite(loss) else None,  # JSON has no NaN
                "accuracy_by_fold": [point["right"] / point["windows"] for point in same],
            }
        )
    return rows


def draw(rows: list[dict]) -> str:
    """Accuracy and cross entropy against bytes, one line per quantizer and grouping: an SVG."""
    reference = next(row for row in rows if row["quantizer"] == "float")
    lines = (
        ("ALQ channelwise", "o-", pictures.ACCENT, [r for r in rows if r["grouping"] == "channelwise"]),
        ("ALQ pixelwise", "s--", pictures.ACCENT, [r for r in rows if r["grouping"] == "pixelwise"]),
        # One uniform bit fails: its point would squeeze the others together.
        ("QKeras quantized_bits", "^-", pictures.SECOND,
         [r for r in rows if r["quantizer"] == "quantized_bits" and r["bits"] > 1]),
        ("QKeras binary", "x", pictures.SECOND, [r for r in rows if r["quantizer"] == "binary"]),
    )  # fmt: skip
    with pictures.figure("alq_curve", 10, 4, 1, 2) as (figure, both, drawn):
        for axes, key, factor, label in (
            (both[0], "test_accuracy", 100, "test accuracy, %"), (both[1], "test_loss", 1, "test cross entropy, nats"),
        ):  # fmt: skip
            for name, style, colour, chosen in lines:
                chosen = sorted(chosen, key=lambda row: row["bytes"])
                sizes, values = [r["bytes"] / 1000 for r in chosen], [factor * r[key] for r in chosen]
                axes.plot(sizes, values, style, color=colour, markersize=5, linewidth=1.4, label=name)
            axes.axhline(factor * reference[key], color=pictures.MUTED, linestyle="--", linewidth=1, label="float")
            axes.axvline(4 * 80.973 / 23.36, color=pictures.MUTED, linestyle=":", linewidth=1, label="23.36x by bytes")
            axes.set(xlabel="size, kB", ylabel=label)
            axes.grid()
        folds = len(reference["accuracy_by_fold"])
        figure.suptitle(f"{RECIPE.network}, {folds} stratified folds, {reference['windows']} test windows (measured)")
        figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return pictures.file(drawn[0], "Accuracy and loss against bytes: ALQ, quantized_bits and binary")


def main() -> None:
    """Measure all points, write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    parser.add_argument("--data", default=None)
    parser.add_argument("--build", default="build/alq_curve")
    parser.add_argument("--floats", default="build/evaluate", help="where `ecg-alq evaluate` leaves its networks")
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    data = str(mitdb.find(arguments.data))
    folds = []
    for fold in arguments.folds:
        keras.utils.set_random_seed(0)
        split = Split("stratified", 10, fold, validation=False)
        folds.append(points(Path(arguments.build), Experiment(RECIPE, Records(data), split), Path(arguments.floats)))
    rows = pool(folds)
    content = {
        "network": RECIPE.network, "protocol": "stratified", "folds": arguments.folds, "kind": "measured",
        "schedule": asdict(SCHEDULE), "windows_per_epoch": WINDOWS, "provenance": provenance(), "rows": rows,
    }  # fmt: skip
    path = Path(arguments.results) / "alq_curve.json"
    write_json(path, content)
    write_text(path.with_suffix(".svg"), draw(rows))
    for row in rows:
        print(f"{row['quantizer']:<15}{row['grouping']:<13}{row['bits']:6.2f} bits {row['bytes']:>7} bytes "
              f"accuracy {row['test_accuracy']:.3f} loss {row['test_loss'] or math.nan:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
