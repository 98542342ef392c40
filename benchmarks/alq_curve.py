"""Accuracy against bytes of the `paper` network: ALQ from 4 bits to under 1, beside uniform QKeras quantizers.

Run: python benchmarks/alq_curve.py [--fold 0]    writes results/alq_curve.json and results/alq_curve.svg; resumes.
All points start from one float network of one `stratified` fold and train for as many epochs on the same windows; the
test part is used once per point and chooses nothing.
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

from flow.evaluate import FoldTask, float_stage
from flow.provenance import provenance
from qmodel import networks
from qmodel import recipe as steps
from qmodel.alq.trainer import FILE_OVERHEAD_BYTES, LAYER_OVERHEAD_BYTES, ALQTrainer, Budget, Schedule, model_bytes
from qmodel.data import mitdb
from qmodel.files import written_beside
from qmodel.training import FloatRecipe, accuracy, train_float

AVERAGE_BITS = (4.0, 3.0, 2.0, 1.25, 1.0, 0.8)
UNIFORM_BITS = (1, 2, 3, 4)
# The recipes' order, most epochs for the finish; its rate between theirs and what more bits would want.
SCHEDULE = Schedule(rounds=1, bases=1, coordinates=0, finish=17, finish_learning_rate=3e-3, distillation=0.0)
WINDOWS = 2000


def points(folder: Path, task: FoldTask) -> list[dict]:
    """Every point of the curve, read from disk where it was measured before."""
    train, validation, test = task.parts()
    recipe = task.recipe
    model = float_stage(task, train, validation)
    parts = (model, train, validation, test, recipe)
    reference = {"quantizer": "float", "grouping": "", "bits": 32.0, "bytes": 4 * model.count_params()}
    found = [reference | scores(model, validation, test)]
    for grouping in ("channelwise", "pixelwise"):
        found += [remember(folder / f"{grouping}-{bits}", alq_point, *parts, grouping, bits) for bits in AVERAGE_BITS]
    found += [remember(folder / f"uniform-{bits}", uniform_point, *parts, bits) for bits in (*UNIFORM_BITS, "binary")]
    return found


def scores(model, validation, test) -> dict[str, float]:
    """Accuracies on the parts that were not trained on."""
    return {"validation_accuracy": accuracy(model, *validation), "test_accuracy": accuracy(model, *test)}


def remember(path: Path, measure, *arguments) -> dict:
    """The point stored in the folder, or measured now and stored."""
    stored = path / "point.json"
    if not stored.exists():
        path.mkdir(parents=True, exist_ok=True)
        point = measure(path, *arguments)
        with written_beside(stored) as beside:
            beside.write_text(json.dumps(point), encoding="utf-8")
    return json.loads(stored.read_text(encoding="utf-8"))


def alq_point(folder, model, train, validation, test, recipe, grouping: str, bits: float) -> dict:
    """ALQ pruned to an average bitwidth."""
    wide = replace(recipe, grouping=grouping, bits=math.ceil(bits) + (bits != math.ceil(bits)) if bits > 1 else 2)
    quantised = networks.build(
        networks.network(recipe.network),
        "alq",
        weight_quantizer=steps.weight_quantizers(wide, model).get,
        activation_bits=recipe.activation_bits,
    )
    steps.copy_weights(model, quantised)
    trainer = ALQTrainer(quantised, SCHEDULE, Budget("average_bits", bits))
    history = trainer.fit(train, validation, folder, label=f"ALQ {grouping} {bits}")
    sizes = {"bits": history[-1]["bits"], "bytes": model_bytes(trainer.states)}
    return {"quantizer": "alq", "grouping": grouping} | sizes | scores(quantised, validation, test)


def uniform_point(folder, model, train, validation, test, recipe, bits) -> dict:
    """QKeras' own quantizer at one bitwidth for all layers, one scale per filter, trained for as many epochs."""

    def quantizer(name: str):
        return binary(alpha="auto") if bits == "binary" else quantized_bits(bits, 0, alpha="auto")

    quantised = networks.build(
        networks.network(recipe.network), "alq", weight_quantizer=quantizer, activation_bits=recipe.activation_bits
    )
    steps.copy_weights(model, quantised)
    epochs = len(SCHEDULE.phases())
    settings = FloatRecipe(
        epochs=epochs, learning_rate=SCHEDULE.finish_learning_rate, warm_up_epochs=0.0, beat_loss=0.0
    )
    train_float(quantised, train, validation, settings, folder, label=f"uniform {bits}")
    width = 1 if bits == "binary" else bits
    kernels = [layer.kernel for layer in quantised.layers if hasattr(layer, "kernel")]
    filters = sum(kernel.shape[-1] for kernel in kernels)
    weights = sum(math.prod(kernel.shape) for kernel in kernels)
    # Counted as ALQ's files are: 8-bit scale and 18-bit bias per filter, the same overhead per layer.
    size = FILE_OVERHEAD_BYTES + LAYER_OVERHEAD_BYTES * len(kernels) + math.ceil((weights * width + 26 * filters) / 8)
    name = "binary" if bits == "binary" else "quantized_bits"
    return {"quantizer": name, "grouping": "", "bits": float(width), "bytes": size} | scores(
        quantised, validation, test
    )


def draw(rows: list[dict], path: Path) -> None:
    """Accuracy against bytes, one line per quantizer and grouping."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    for label, chosen, marker in (
        ("ALQ channelwise", [r for r in rows if r["grouping"] == "channelwise"], "o"),
        ("ALQ pixelwise", [r for r in rows if r["grouping"] == "pixelwise"], "s"),
        ("QKeras quantized_bits", [r for r in rows if r["quantizer"] == "quantized_bits"], "^"),
        ("QKeras binary", [r for r in rows if r["quantizer"] == "binary"], "x"),
    ):
        chosen = sorted(chosen, key=lambda row: row["bytes"])
        axes.plot(
            [r["bytes"] / 1000 for r in chosen], [100 * r["test_accuracy"] for r in chosen], marker=marker, label=label
        )
    reference = next(r for r in rows if r["quantizer"] == "float")
    axes.axhline(100 * reference["test_accuracy"], color="grey", linestyle="--", label="float")
    axes.axvline(4 * 80.973 / 23.36, color="grey", linestyle=":", label="23.36x")
    axes.set(xlabel="size (kB)", ylabel="test accuracy (%)", title="paper network, one stratified fold (measured)")
    axes.grid(alpha=0.3)
    axes.legend()
    with written_beside(path) as beside:
        figure.savefig(beside, format="svg")
    plt.close(figure)


def main() -> None:
    """Measure all points, write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--data", default=None)
    parser.add_argument("--build", default="build/alq_curve")
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    keras.utils.set_random_seed(0)
    recipe = replace(steps.RECIPES["paper"], epoch_windows=WINDOWS)
    data = str(mitdb.find(arguments.data))
    task = FoldTask(recipe, "stratified", 10, arguments.fold, None, data, arguments.build, validate=True)
    rows = points(Path(arguments.build), task)
    content = {
        "network": "paper", "protocol": "stratified", "fold": arguments.fold, "kind": "measured",
        "schedule": asdict(SCHEDULE), "windows_per_epoch": WINDOWS, "provenance": provenance(), "rows": rows,
    }  # fmt: skip
    path = Path(arguments.results) / "alq_curve.json"
    path.parent.mkdir(exist_ok=True)
    with written_beside(path) as beside:
        beside.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    draw(rows, path.with_suffix(".svg"))
    for row in rows:
        print(f"{row['quantizer']:<15}{row['grouping']:<13}{row['bits']:6.2f} bits {row['bytes']:>7} bytes "
              f"{row['test_accuracy']:.3f}")  # fmt: skip


if __name__ == "__main__":
    main()
