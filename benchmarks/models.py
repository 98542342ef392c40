"""Models that people bring, from Keras to a core: what is exact, and what is refused with which rule.

Every model is built and trained a little on made-up data, quantised (`from_float`), absorbed, frozen (which compares
Keras and golden model on every layer), compared with its C simulation, and its Verilog core is generated; some small
cores are simulated as well. Results: one JSON; `docs/networks.md` holds the table made of it.

    python -m benchmarks.models [--only NAME ...] [--rtl NAME ...] [--docs]
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from flow.build.provenance import provenance
from qmodel.alq.from_float import from_float
from qmodel.errors import UserError
from qmodel.files import write_json
from qmodel.freeze import freeze, proof_windows
from qmodel.normalisation import absorb, settle

ROOT = Path(__file__).parents[1]
EXAMPLES = 64
WINDOWS = 6  # compared with the C simulation
FRAMES = 2  # in the simulation of the core
RTL_CASES = ("digits", "jets", "plus", "grouped", "depthwise", "segmentation", "average4", "squeeze")
BEGIN, END = "<!-- models: begin -->", "<!-- models: end -->"


class Case(NamedTuple):
    """A model that people bring: its input and the layers behind it; `rule`: part of the refusal, None: exact."""

    title: str
    shape: tuple[int, ...]
    build: Callable
    rule: str | None = None


def conv_block(x, filters, taps, **options):
    """Convolution, normalisation, ReLU."""
    x = layers.Conv1D(filters, taps, padding=options.pop("padding", "same"), use_bias=False, **options)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def residual(x, filters):
    """Two convolutions beside a skip connection."""
    y = conv_block(x, filters, 3)
    y = layers.BatchNormalization()(layers.Conv1D(filters, 3, padding="same", use_bias=False)(y))
    return layers.ReLU()(layers.Add()([x, y]))


def tcn(x, filters, dilations=(1, 2, 4)):
    """Causal convolutions of growing dilation, each with a skip connection."""
    x = conv_block(x, filters, 1)
    for dilation in dilations:
        y = conv_block(x, filters, 3, padding="causal", dilation_rate=dilation)
        x = x + y
        x = layers.ReLU()(x)
    return x


def inception(x):
    """Branches of one, three and five taps and of a pool."""
    a = layers.Conv1D(3, 1, activation="relu")(x)
    b = layers.Conv1D(3, 3, padding="same", activation="relu")(x)
    c = layers.Conv1D(3, 5, padding="same", activation="relu")(x)
    d = layers.Conv1D(3, 1, activation="relu")(layers.MaxPooling1D(3, 1, padding="same")(x))
    return layers.Concatenate()([a, b, c, d])


def separable_net(x):
    for filters in (6, 8):
        x = layers.SeparableConv1D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling1D(2)(layers.ReLU()(layers.BatchNormalization()(x)))
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(x))


def chain(*blocks, classes=3):
    """Blocks one after the other, then a global average and logits."""

    def build(x):
        for block in blocks:
            x = block(x)
        return layers.Dense(classes)(layers.GlobalAveragePooling1D()(x))

    return build


def squeezed(x):
    """Global statistics beside the maximum, a dense layer on both: squeeze without excitation."""
    x = conv_block(x, 6, 5)
    both = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    return layers.Dense(3)(layers.Dense(6, activation="relu")(both))


def excited(x):
    x = conv_block(x, 6, 5)
    gate = layers.Dense(6, activation="sigmoid")(layers.GlobalAveragePooling1D()(x))
    return layers.Dense(3)(layers.GlobalAveragePooling1D()(layers.Multiply()([x, layers.Reshape((1, 6))(gate)])))


def mlp(*units, classes=5):
    def build(x):
        for number in units:
            x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(number)(x)))
        return layers.Dense(classes, activation="softmax")(x)

    return build


def lenet(x):
    for filters in (6, 8):
        x = layers.MaxPooling1D(2)(layers.Conv1D(filters, 5, activation="relu")(x))
    return layers.Dense(5, activation="softmax")(layers.Dense(12, activation="relu")(layers.Flatten()(x)))


def nested(x):
    inner = keras.Sequential([keras.Input(x.shape[1:]), layers.Conv1D(4, 5, strides=2, activation="relu")])
    return layers.Dense(3)(layers.Flatten()(layers.Dropout(0.2)(inner(x))))


def autoencoder(x):
    for units in (12, 4, 12):
        x = layers.Dense(units, activation="relu")(x)
    return layers.Dense(24)(x)


CASES = {
    "digits": Case("8x8 digits as eight time steps of eight channels", (8, 8), chain(lambda x: conv_block(x, 8, 3))),
    "keywords": Case("Keyword spotting, ten MFCCs, depthwise separable (DS-CNN)", (32, 10), separable_net),
    "keywords_tcn": Case("Keyword spotting, temporal residual network (TC-ResNet)", (32, 10),
                         chain(lambda x: conv_block(x, 6, 3), lambda x: residual(x, 6))),
    "beats187": Case("Beats of 187 samples, two convolutions and dense layers", (187, 1), lenet),
    "motion": Case("Six-axis motion, convolutions and a global maximum", (40, 6),
                   lambda x: layers.Dense(4)(layers.GlobalMaxPooling1D()(conv_block(conv_block(x, 6, 5), 6, 5)))),
    "two_leads": Case("ECG of two leads, strided convolutions", (120, 2),
                      chain(lambda x: conv_block(x, 6, 9, strides=2), lambda x: conv_block(x, 8, 5, strides=2))),
    "jets": Case("Jet tagging, dense layers on 16 features", (16,), mlp(12, 8, 8)),
    "residual": Case("Residual network, `Add`", (40, 1),
                     chain(lambda x: conv_block(x, 4, 5), lambda x: residual(x, 4))),
    "plus": Case("Residual network written `a + b`", (32, 2),
                 lambda x: layers.Dense(3)(layers.GlobalMaxPooling1D()(layers.ReLU()(conv_block(x, 2, 3) + x)))),
    "separable": Case("Separable convolutions, normalised", (40, 3), separable_net),
    "depthwise": Case("Depthwise convolution with a multiplier", (32, 3),
                      chain(lambda x: layers.DepthwiseConv1D(5, depth_multiplier=2, activation="relu")(x))),
    "grouped": Case("Grouped convolutions", (32, 4), chain(lambda x: conv_block(x, 8, 5, groups=2))),
    "tcn": Case("Dilated causal convolutions with skip connections (TCN)", (40, 2), chain(lambda x: tcn(x, 4))),
    "segmentation": Case("Logits for every time step", (40, 1), lambda x: layers.Dense(3)(tcn(x, 4, (1, 2)))),
    "inception": Case("Inception branches, concatenated", (32, 2), chain(inception)),
    "squeeze": Case("Global average and maximum together (squeeze without excitation)", (40, 2), squeezed),
    "average": Case("Average pools of three steps", (41, 1),
                    chain(lambda x: layers.AveragePooling1D(3)(conv_block(x, 4, 3)), lambda x: conv_block(x, 4, 3))),
    "average4": Case("Average pools of four steps, padded", (40, 1),
                     chain(lambda x: layers.AveragePooling1D(4, 2)(layers.ZeroPadding1D(1)(conv_block(x, 4, 3))))),
    "autoencoder": Case("Autoencoder of dense layers", (24,), autoencoder),
    "nested": Case("Models within models, dropout", (40, 1), nested),
    "preactivation": Case("Normalisation before the first convolution", (32, 2),
                          chain(lambda x: conv_block(layers.BatchNormalization()(x), 6, 5))),
    "attention": Case("Squeeze and excitation", (32, 2), excited, "relu; a sigmoid or tanh"),
    "recurrent": Case("Convolution and GRU", (32, 2),
                      lambda x: layers.Dense(3)(layers.GRU(4)(conv_block(x, 4, 3))), "recurrent layers"),
    "image": Case("Two-dimensional convolution", (16, 4),
                  lambda x: layers.Dense(3)(layers.Flatten()(layers.Conv2D(2, 3)(layers.Reshape((16, 4, 1))(x)))),
                  "one dimension, time"),
    "decoder": Case("Autoencoder that makes more time steps", (32, 1),
                    lambda x: layers.Conv1D(1, 3)(layers.UpSampling1D(2)(conv_block(x, 4, 3, strides=2))),
                    "dense layers as decoder"),
}  # fmt: skip


def trained(case: Case, seed: int = 0) -> keras.Model:
    """The model after an epoch on made-up examples."""
    keras.utils.set_random_seed(seed)
    start = keras.Input(case.shape)
    model = keras.Model(start, case.build(start))
    random = np.random.default_rng(seed)
    inputs = np.clip(np.rint(random.normal(0, 1, (EXAMPLES, *case.shape)) * 16), -128, 127).astype(np.float32) / 16
    shape = (EXAMPLES, *model.output_shape[1:])
    targets = np.eye(shape[-1], dtype=np.float32)[random.integers(0, shape[-1], shape[:-1])]
    model.compile("adam", "mean_squared_error", run_eagerly=True)  # too few steps to compile for
    model.fit(inputs, targets, batch_size=16, epochs=1, verbose=0)
    return model


def frozen(case: Case):
    """The frozen network of a case. Raises: UserError: refused, with the rule."""
    absorbed = absorb(from_float(trained(case)))
    settle(absorbed)
    return freeze(absorbed, metadata={"note": case.title})


def row(name: str, case: Case, work: Path, simulate_core: bool) -> dict:
    """One row of the table."""
    from hls.core import generate
    from hls.cpp.convert import convert
    from hls.engines.csim import CSimulation
    from hls.engines.parity import compare, difference
    from hls.engines.rtl import play, stream_of
    from hls.estimate import estimate
    from hls.plan import Plan

    start = time.perf_counter()
    content: dict = {"name": name, "title": case.title, "shape": list(case.shape)}
    try:
        network = frozen(case)
    except UserError as error:
        return content | {"refused": str(error), "seconds": time.perf_counter() - start}
    plan = Plan.of(network)
    x = proof_windows(network, WINDOWS)
    with CSimulation(convert(network, work / name / "hls", plan.folding), ("-O0",)) as simulation:
        report = compare(network, [simulation], x)
    core = generate(plan, work / name / "core")
    content |= {
        "stages": len(network.stages),
        "bytes": network.size_bytes,
        "csim": {"integers": report.integers, "mismatches": report.mismatches},
        "estimate": estimate(plan).row,
    }
    if simulate_core:
        windows = x[1 : 1 + FRAMES]
        record = play(core, *stream_of(windows), FRAMES * network.output.values)
        found = difference(network, "the Verilog core", windows, record.trace(network, FRAMES))
        cycles = int(record.out_cycle[network.output.values - 1] - record.in_cycle[0])
        content["rtl"] = {"exact": found is None, "difference": str(found) if found else None, "cycles": cycles}
    return content | {"seconds": time.perf_counter() - start}


def table(rows: list[dict]) -> str:
    """The table as Markdown."""
    lines = [
        "| model | input | stages | bytes | Keras = golden = C simulation | Verilog core |",
        "|---|---|---:|---:|---|---|",
    ]
    for one in rows:
        shape = " x ".join(map(str, one["shape"]))
        if "refused" in one:
            lines.append(f"| {one['title']} | {shape} | | | refused: {one['refused']} | |")
            continue
        csim = one["csim"]
        equal = f"exact, {csim['integers']:,} integers"
        if csim["mismatches"]:
            equal = f"**{csim['mismatches']} of {csim['integers']:,} integers differ**"
        luts = f"about {one['estimate']['luts']:,} LUT (estimated)"
        core = f"generated, {luts}"
        if "rtl" in one:
            core = f"simulated, exact, {one['rtl']['cycles']:,} cycles, {luts}"
            if not one["rtl"]["exact"]:
                core = f"**{one['rtl']['difference']}**"
        lines.append(f"| {one['title']} | {shape} | {one['stages']} | {one['bytes']:,} | {equal} | {core} |")
    return "\n".join(lines)


def with_table(text: str, rows: list[dict]) -> str:
    """A page with the table between its marks."""
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return f"{head}\n{table(rows)}\n{tail}"


def main() -> None:
    """Make rows, and the table if asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "networks.json")
    parser.add_argument("--only", nargs="*", choices=CASES, help="these models, or none; others keep their rows")
    parser.add_argument("--rtl", nargs="*", choices=CASES, default=RTL_CASES, help="whose cores are simulated")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/networks.md")
    options = parser.parse_args()
    rows = {one["name"]: one for one in json.loads(options.out.read_text())["rows"]} if options.out.is_file() else {}
    for name in CASES if options.only is None else options.only:
        with tempfile.TemporaryDirectory() as work:
            rows[name] = row(name, CASES[name], Path(work), name in options.rtl) | {"provenance": provenance()}
        kept = [rows[key] for key in CASES if key in rows]
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, {"command": "python -m benchmarks.models", "rows": kept})
        print(name, {key: rows[name].get(key) for key in ("refused", "csim", "rtl", "seconds")}, flush=True)
    if options.docs:
        page = ROOT / "docs" / "networks.md"
        page.write_text(with_table(page.read_text("utf-8"), [rows[key] for key in CASES if key in rows]), "utf-8")


if __name__ == "__main__":
    main()
