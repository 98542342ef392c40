"""Ranks recipes for quantisation at one byte budget, on validation windows pooled over folds and training seeds.

Run: python -m benchmarks.recipes [--network compact] [--folds 0 1 ...] [--seeds 0 ...] [--only NAME ...]
     [--share 1] [--windows 4000] [--workers 2]      writes results/adaptive.json and adaptive-NETWORK.svg; resumes.
A run is one fold of `stratified` (the split's own seed is always 0) and one training seed. All recipes of a run start
from the same float network and have the same teachers, batches and number of epochs. They are compared, pair by pair,
on the windows that no training of the run saw: its validation part, and the windows of `validation_windows`. Test parts
are not looked at. Log loss comes first; an interval is by bootstrap over runs and, in each, five-minute blocks of
records, whose windows resemble each other.
`--share` and `--windows` shrink all epochs alike, for those who have minutes instead of days; the results say so.
`--measured` trains nothing and ranks what is there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from flow.build.provenance import fingerprint, provenance
from flow.build.results import put_rows
from flow.build.workers import run_tasks
from flow.look import pictures
from qmodel.data import mitdb, splits
from qmodel.errors import InputError
from qmodel.experiment import Experiment, Records, Split
from qmodel.files import write_json, write_text
from qmodel.fixed_point import WINDOW_SAMPLES
from qmodel.frozen import FrozenNetwork
from qmodel.hyperparameters import PAPER_BITS, PRESETS, FloatRecipe
from qmodel.metrics import losses
from qmodel.networks import Network, network
from qmodel.recipe import RECIPES, Recipe

PROTOCOL, FOLDS = "stratified", 10
RESAMPLES = 4_000
REFERENCE, FROZEN = "adaptive", "network.alq"
# Largest bitwidths as they were set by hand: what the budget can nearly pay for, early layers first.
BY_HAND = {"compact": (2, 2, 2, 1, 1, 1, 2), "paper": (2, 2, 2, 2, 1, 1, 1, 1, 2)}
LONG = ("schedule of Sun 2021",)  # 315 epochs: only when asked for by name
UNIFORM_RATE = 3e-3  # of QKeras' quantizers, as in benchmarks.alq_curve


@dataclass(frozen=True)
class Entry:
    """One recipe in the comparison.

    Args: recipe: its settings; uniform: QKeras' quantizer in place of ALQ: `binary`, or the bits of `quantized_bits`;
        factor: filters of every convolution, as a share of the network's.
    """

    recipe: Recipe
    uniform: str | int | None = None
    factor: float = 1.0

    @property
    def spec(self) -> Network:
        """The network, made narrower or wider by the factor."""
        return scaled(network(self.recipe.network), self.factor)


def scaled(spec: Network, factor: float) -> Network:
    """A network whose hidden layers have `factor` times as many filters."""
    blocks = tuple(replace(block, filters=max(1, round(block.filters * factor))) for block in spec.blocks)
    return replace(spec, blocks=blocks, hidden=tuple(max(1, round(units * factor)) for units in spec.hidden))


def entries(name: str, share: float, teachers: tuple[str, ...] | None) -> dict[str, Entry]:
    """The recipes that are compared for a network, by name, all with as many epochs.

    Args: share: of the shipped recipe's epochs; teachers: None: its own.
    """
    shipped = RECIPES[name]
    by_hand = replace(
        shipped,
        bits=BY_HAND[name],
        grouping="channelwise",
        teachers=shipped.teachers if teachers is None else teachers,
        float_training=replace(shipped.float_training, epochs=_part(share, shipped.float_training.epochs)),
        finish=replace(shipped.finish, finish=_part(share, shipped.finish.finish)),
        alq=replace(shipped.alq, rounds=1, bases=1, coordinates=0, average=0),
    )
    epochs = _part(share, len(shipped.alq.phases()))
    rounds = max(2, _part(share, 4))

    def schedule(**changes):
        changed = replace(by_hand.alq, **changes)
        return replace(changed, finish=max(1, epochs - len(replace(changed, finish=0).phases())))

    one_round, several = schedule(), schedule(rounds=rounds, coordinates=1)
    averaged = replace(several, average=max(1, several.finish // 4))
    adaptive = replace(by_hand, bits=2, grouping="subchannels", alq=several)
    thin = thinned(network(name), 2, shipped.budget_bytes)
    found = {
        REFERENCE: Entry(adaptive),
        "fixed by hand": Entry(replace(by_hand, alq=one_round)),
        "one bit": Entry(replace(by_hand, bits=1, alq=one_round)),
        "adaptive, channelwise": Entry(replace(adaptive, grouping="channelwise")),
        "adaptive, pixelwise": Entry(replace(adaptive, grouping="pixelwise")),
        "adaptive, priced by cycles": Entry(replace(adaptive, price="cycles")),
        "adaptive, averaged weights": Entry(replace(adaptive, alq=averaged)),
        "QKeras binary": Entry(replace(by_hand, alq=one_round), "binary"),
        "QKeras 2 bits, thinned": Entry(replace(by_hand, alq=one_round), 2, thin),
    }
    if name == "paper":
        as_published = replace(by_hand, bits=PAPER_BITS, grouping="kernelwise", alq=PRESETS["paper"], teachers=())
        found["schedule of Sun 2021"] = Entry(as_published)
    return found


def _part(share: float, number: int) -> int:
    return max(1, round(share * number))


def layer_sizes(spec: Network) -> list[tuple[int, int]]:
    """Weights per filter and filters of every layer with a kernel."""
    sizes, channels, length = [], 1, spec.input_length
    for block in spec.blocks:
        sizes.append((block.taps * channels, block.filters))
        length = (length + sum(block.padding) - block.taps) // block.stride + 1
        if block.pool > 1:
            length = (length - block.pool) // block.pool_stride + 1
        channels = block.filters
    inputs = channels if spec.average else channels * length
    for units in (*spec.hidden, spec.classes):
        sizes.append((inputs, units))
        inputs = units
    return sizes


def uniform_bytes(spec: Network, bits: int) -> int:
    """Size of a network of uniform bits, counted as ALQ's files are: a scale and a bias a filter, a header a layer."""
    from qmodel.alq import trainer

    per_filter = trainer.ASSUMED_COORDINATE_BITS + trainer.ASSUMED_BIAS_BITS
    layers = layer_sizes(spec)
    body = sum(math.ceil(filters * (weights * bits + per_filter) / 8) for weights, filters in layers)
    return trainer.FILE_OVERHEAD_BYTES + trainer.LAYER_OVERHEAD_BYTES * len(layers) + body


def thinned(spec: Network, bits: int, budget: int) -> float:
    """Largest factor, in hundredths, at which a network of uniform bits fits a budget in bytes."""
    return next(n / 100 for n in range(100, 0, -1) if uniform_bytes(scaled(spec, n / 100), bits) <= budget)


# One run ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One fold and training seed, and the entries to train on it.

    Args: entries: name -> entry; windows: per quantised epoch, None: as in float; data: folder of the records;
        build: where its products live.
    """

    entries: dict[str, Entry]
    fold: int
    seed: int
    windows: int | None
    data: str
    build: str

    def folder(self, what: str, settings: dict) -> Path:
        """Where a product of these settings lives."""
        mark = fingerprint(settings | {"fold": self.fold, "seed": self.seed, "sums": mitdb.published_sums()})[:12]
        return Path(self.build) / f"{PROTOCOL}-{self.fold}-seed{self.seed}-{what}-{mark}"

    def float_folder(self, spec: Network, recipe: Recipe) -> Path:
        """Of a float network."""
        settings = {"layers": asdict(spec), "float": asdict(recipe.float_training), "data": asdict(recipe.data)}
        return self.folder(f"{recipe.network}-float", settings)

    def entry_folder(self, name: str) -> Path:
        """Of one entry."""
        entry = self.entries[name]
        settings = {"entry": asdict(entry), "layers": asdict(entry.spec), "windows": self.windows}
        return self.folder(name.replace(",", "").replace(" ", "-"), settings)


@dataclass(frozen=True)
class Taught:
    """A training set whose class probabilities are smoothed and mixed with a teacher's, as `ALQTrainer` does."""

    data: object
    teacher: Callable
    share: float
    smoothing: float

    def epoch(self, random: np.random.Generator, batch: int) -> Iterator:
        """Batches of the training set."""
        from keras import ops

        from qmodel.training import smooth

        for each in self.data.epoch(random, batch):
            targets = smooth(each.targets, self.smoothing)
            if self.teacher is not None:
                taught = ops.convert_to_numpy(ops.softmax(self.teacher(each.inputs)))
                targets = (1 - self.share) * targets + self.share * taught
            yield each._replace(targets=targets, beats=None)

    def batches(self, batch: int) -> int:
        """Batches per epoch."""
        return self.data.batches(batch)


def compete(run: Run) -> list[dict]:
    """Train every entry of a run and score it; what was done before is read from disk.

    Returns: one outcome per entry: sizes, planes, the core's estimate, and label, prediction and loss per window.
    """
    stored = {name: run.entry_folder(name) / "outcome.json" for name in run.entries}
    if not all(path.exists() for path in stored.values()):
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        _compete({name: path for name, path in stored.items() if not path.exists()}, run)
    return [outcome_in(path) for path in stored.values()]


def outcome_in(path: Path) -> dict:
    """A stored outcome, with what its network costs as a core by the estimate of now."""
    return json.loads(path.read_text(encoding="utf-8")) | {"core": core(FrozenNetwork.load(path.parent / FROZEN))}


def _compete(missing: dict[str, Path], run: Run) -> None:
    from qmodel import networks
    from qmodel.float_stage import FLOAT_MODEL, train
    from qmodel.freeze import freeze
    from qmodel.quantised_stage import Ensemble, quantise
    from qmodel.training import load, save, train_float
    from qmodel.training_data import to_input, validation_windows

    first = replace(next(iter(run.entries.values())).recipe, seed=run.seed)
    experiment = Experiment(first, Records(run.data), Split(PROTOCOL, FOLDS, run.fold))
    windows, fold = experiment.loaded, experiment.parts
    other = experiment.windows.others(WINDOW_SAMPLES)
    places, labels = validation_windows(other, windows.index, fold)
    inputs = to_input(np.concatenate([windows.signals[fold.validation], other.signals[places]]))
    judged = {
        "fold": run.fold,
        "seed": run.seed,
        "fragments": len(fold.validation),
        "blocks": [
            f"{record}-{sample // (splits.BLOCK_S * mitdb.SAMPLING_RATE_HZ)}"
            for record, sample in (
                *zip(windows.index.record[fold.validation], windows.index.first_sample[fold.validation], strict=True),
                *zip(other.record[places], other.first_sample[places], strict=True),
            )
        ],
        "labels": np.concatenate([windows.labels[fold.validation], labels]).tolist(),
    }
    fewer = everything = experiment.training_set
    if run.windows is not None:
        fewer = replace(everything, recipe=replace(everything.recipe, epoch_windows=run.windows))

    def float_stage(spec: Network, recipe: Recipe):
        folder = run.float_folder(spec, recipe)
        if (folder / FLOAT_MODEL).exists():
            return load(folder / FLOAT_MODEL)
        if spec == network(recipe.network):
            return train(recipe, everything, None, folder)
        import keras

        keras.utils.set_random_seed(recipe.seed)
        model = networks.build(spec, "float")
        train_float(model, everything, None, recipe.float_training, folder / "float", recipe.seed, "thinned float")
        save(model, folder / FLOAT_MODEL)
        return model

    ensembles: dict = {}
    for name, path in missing.items():
        entry = run.entries[name]
        recipe = replace(entry.recipe, seed=run.seed)
        model = float_stage(entry.spec, recipe)
        if recipe.teachers not in ensembles:
            taught = [teacher_recipe(recipe, teacher) for teacher in recipe.teachers]
            ensembles[recipe.teachers] = Ensemble([float_stage(network(t.network), t) for t in taught])
        teacher = ensembles[recipe.teachers] if recipe.teachers else None
        if entry.uniform is None:
            folded = quantise(recipe, model, fewer, None, path.parent, teachers=teacher or ())
            frozen = freeze(folded)
            integers = np.rint(inputs[..., 0] / frozen.input_format.step).astype(np.int64)
            logits = frozen.run(integers) * frozen.stages[-1].output_format.step
            outcome = {"bytes": frozen.size_bytes} | planes_and_price(frozen, path.parent)
        else:
            logits, frozen = uniform(entry, recipe, model, taught_windows(recipe, fewer, teacher), inputs, path.parent)
            bits = 1 if entry.uniform == "binary" else int(entry.uniform)
            outcome = {"bytes": uniform_bytes(entry.spec, bits)}
        frozen.save(path.parent / FROZEN)
        outcome |= judged | {"entry": name, "provenance": provenance()}
        each = losses(logits.astype(np.float64), np.array(judged["labels"]))
        outcome |= {"losses": each.tolist(), "predicted": logits.argmax(1).tolist()}
        write_json(path, outcome)
        right = np.mean(logits.argmax(1) == judged["labels"])
        who = f"fold {run.fold} seed {run.seed} {name:<28}"
        print(f"{who}{outcome['bytes']:>6} bytes {right:.4f} loss {each.mean():.4f}", flush=True)


def taught_windows(recipe: Recipe, data, teacher) -> Taught:
    """What `ALQTrainer` would make of a training set under a recipe."""
    return Taught(data, teacher, recipe.alq.distillation, recipe.alq.label_smoothing)


def teacher_recipe(recipe: Recipe, name: str) -> Recipe:
    """A teacher's float stage: on the same windows, from the same seed, shortened by the same share."""
    own, shipped = RECIPES[name], RECIPES[recipe.network]
    share = recipe.float_training.epochs / shipped.float_training.epochs
    training = replace(own.float_training, epochs=_part(share, own.float_training.epochs))
    return replace(own, data=recipe.data, seed=recipe.seed, float_training=training)


def uniform(entry: Entry, recipe: Recipe, model, taught: Taught, inputs: np.ndarray, folder: Path):
    """Train QKeras' own quantizer at one bitwidth for all layers, a scale a filter, for as many epochs.

    Returns: logits (window, class), and a frozen network of as many planes, for what it would cost as a core.
    """
    import keras
    from qkeras import binary, quantized_bits

    from qmodel import networks
    from qmodel.freeze import freeze
    from qmodel.normalisation import absorb, settle
    from qmodel.quantised_stage import copy_weights, weight_quantizers
    from qmodel.training import predict, train_float

    def quantizer(_: str):
        return binary(alpha="auto") if entry.uniform == "binary" else quantized_bits(entry.uniform, 0, alpha="auto")

    def stage(of):
        built = networks.build(entry.spec, "alq", weight_quantizer=of, activation_bits=recipe.activation_bits)
        copy_weights(model, built)
        return built

    keras.utils.set_random_seed(recipe.seed + 1)
    quantised = stage(quantizer)
    epochs = len(recipe.alq.phases()) + len(recipe.finish.phases())
    settings = FloatRecipe(
        epochs=epochs, learning_rate=UNIFORM_RATE, warm_up_epochs=0.0, label_smoothing=0.0, beat_loss=0.0
    )
    train_float(quantised, taught, None, settings, folder, recipe.seed + 1, f"QKeras {entry.uniform}")
    bits = 1 if entry.uniform == "binary" else entry.uniform
    standing = absorb(stage(weight_quantizers(replace(recipe, bits=bits), model).get))
    settle(standing)
    return predict(quantised, inputs), freeze(standing)


def planes_and_price(frozen, folder: Path) -> dict:
    """How many groups of every layer kept how many planes, and what the loss paid for those that went (modelled)."""
    from qmodel.training import read_history

    counts = {stage.name: stage.layer.plane_counts for stage in frozen.plane_stages}
    history = read_history(folder / "alq")
    return {
        "planes": {name: np.bincount(count.reshape(-1)).tolist() for name, count in counts.items()},
        "pruned": {name: sum(epoch["pruned"][name] for epoch in history) for name in counts},
        "paid": {name: sum(epoch["paid"][name] for epoch in history) for name in counts},
    }


def core(frozen) -> dict:
    """What the network costs as the fastest core within PYNQ_BUDGET's LUT and DSP on that board's part (estimated)."""
    from hls.estimate import PYNQ_BUDGET, estimate
    from hls.folding import fold
    from hls.plan import Plan

    folding = fold(frozen, lut_budget=PYNQ_BUDGET.luts, dsp_budget=PYNQ_BUDGET.dsp)
    row = estimate(Plan.of(frozen, folding, dsp_budget=PYNQ_BUDGET.dsp)).row
    return {key: row[key] for key in ("kind", "target", "cycles_per_frame", "cycles_between_frames", "luts", "dsp")}


# Together -----------------------------------------------------------------------------------------------------------


def paired(one: list[dict], two: list[dict], resamples: int = RESAMPLES) -> dict:
    """Mean loss of one entry minus another's over the runs that both have, with its 95 % interval.

    Args: one, two: outcomes. The bootstrap draws runs, then blocks of records in each.
    Returns: loss_difference, interval_95, by_run, runs, windows.
    """
    other = {(outcome["fold"], outcome["seed"]): outcome for outcome in two}
    random = np.random.default_rng(0)
    sums, sizes, means, windows = np.zeros(resamples), np.zeros(resamples), [], 0
    shared = [outcome for outcome in one if (outcome["fold"], outcome["seed"]) in other]
    drawn = random.multinomial(len(shared), np.full(len(shared), 1 / len(shared)), size=resamples)
    for outcome, times in zip(shared, drawn.T, strict=True):
        difference = np.array(outcome["losses"]) - other[outcome["fold"], outcome["seed"]]["losses"]
        names, block = np.unique(outcome["blocks"], return_inverse=True)
        counts = random.multinomial(times * len(names), np.full(len(names), 1 / len(names)))
        sums += counts @ np.bincount(block, difference)
        sizes += counts @ np.bincount(block)
        means.append(float(difference.mean()))
        windows += len(difference)
    return {
        "loss_difference": float(np.average(means, weights=[len(outcome["losses"]) for outcome in shared])),
        "interval_95": np.quantile(sums / sizes, [0.025, 0.975]).tolist(),
        "by_run": means,
        "runs": len(shared),
        "windows": windows,
    }


def rank(outcomes: list[dict]) -> list[dict]:
    """Rows of all entries, least log loss first, over the runs that every entry has, and every pair's difference."""
    by_name: dict[str, list[dict]] = {}
    for outcome in outcomes:
        by_name.setdefault(outcome["entry"], []).append(outcome)
    shared = set.intersection(*({(o["fold"], o["seed"]) for o in runs} for runs in by_name.values()))
    if not shared:
        raise InputError(f"no run of fold and seed has all of {', '.join(by_name)}: name fewer with --only")
    by_name = {
        name: [outcome for outcome in runs if (outcome["fold"], outcome["seed"]) in shared]
        for name, runs in by_name.items()
    }
    rows = []
    for name, runs in by_name.items():
        labels, predicted = (np.concatenate([run[key] for run in runs]) for key in ("labels", "predicted"))
        row = {
            "recipe": name,
            "runs": len(runs),
            "windows": len(labels),
            "accuracy": float((labels == predicted).mean()),
            "loss": float(np.concatenate([run["losses"] for run in runs]).mean()),
            "loss_by_run": {f"fold {run['fold']} seed {run['seed']}": float(np.mean(run["losses"])) for run in runs},
            "bytes": max(run["bytes"] for run in runs),
            "core": {
                key: max(run["core"][key] for run in runs) if key not in ("kind", "target") else runs[0]["core"][key]
                for key in runs[0]["core"]
            },
            "minus": {other: paired(runs, theirs) for other, theirs in by_name.items() if other != name},
            "provenance": [run["provenance"] for run in runs],
        }
        if "planes" in runs[0]:
            row |= {key: [run[key] for run in runs] for key in ("planes", "pruned", "paid")}
        rows.append(row)
    return sorted(rows, key=lambda row: row["loss"])


def draw(rows: list[dict], title: str) -> str:
    """Loss of every recipe minus the adaptive one's, and planes per group of the adaptive one by layer: an SVG."""
    others = [row for row in rows if row["recipe"] != REFERENCE]
    with pictures.figure("adaptive", 10, 1.6 + 0.36 * len(rows), 1, 2) as (figure, both, drawn):
        for place, row in enumerate(reversed(others)):
            pair = row["minus"][REFERENCE]
            low, high = pair["interval_95"]
            both[0].plot([low, high], [place, place], color=pictures.MUTED, linewidth=1.4)
            both[0].plot(pair["by_run"], [place] * len(pair["by_run"]), "|", color=pictures.MUTED, markersize=7)
            both[0].plot(pair["loss_difference"], place, "o", color=pictures.ACCENT)
        both[0].axvline(0, color=pictures.INK, linestyle=":", linewidth=1)
        both[0].set_yticks(range(len(others)), [row["recipe"] for row in reversed(others)], color=pictures.INK)
        both[0].set_xlabel("log loss minus that of `adaptive`, nats (right: adaptive is better)")
        both[0].grid(axis="x")
        reference = next(row for row in rows if row["recipe"] == REFERENCE)
        layers = list(reference["planes"][0])
        width = max(len(counts) for run in reference["planes"] for counts in run.values())
        shares = np.zeros((len(layers), width))
        for run in reference["planes"]:
            for number, layer in enumerate(layers):
                counts = np.array(run[layer], float)
                shares[number, : len(counts)] += counts / counts.sum() / len(reference["planes"])
        left = np.zeros(len(layers))
        for planes in range(width):
            both[1].bar(layers, 100 * shares[:, planes], bottom=100 * left, color=pictures.PLANES[planes],
                        label=f"{planes} planes" if planes != 1 else "1 plane")  # fmt: skip
            left += shares[:, planes]
        both[1].set_ylabel("groups, %")
        both[1].set_title("what pruning left, by layer (`adaptive`)", fontsize=9)
        both[1].legend(frameon=False, ncols=width, loc="upper center", bbox_to_anchor=(0.5, -0.12))
        figure.suptitle(title)
    return pictures.file(drawn[0], "Log loss of every recipe against the adaptive one, and planes per group by layer")


def report(arguments: argparse.Namespace, outcomes: list[dict]) -> None:
    """Print the ranking, write the table and the picture."""
    rows = rank(outcomes)
    budget = RECIPES[arguments.network].budget_bytes
    print(f"\n{'recipe':<28}{'runs':>5}{'windows':>8}{'bytes':>7}{'accuracy':>9}{'loss':>8}  "
          f"minus {REFERENCE}, 95 %           cycles   LUT  DSP")  # fmt: skip
    for row in rows:
        pair = row["minus"].get(REFERENCE)
        low, high = pair["interval_95"] if pair else (0, 0)
        against = f"{pair['loss_difference']:+.4f} ({low:+.4f} to {high:+.4f})" if pair else ""
        cost = row["core"]
        figures = f"{row['runs']:>5}{row['windows']:>8}{row['bytes']:>7}{row['accuracy']:>9.4f}{row['loss']:>8.4f}"
        cost = f"{cost['cycles_per_frame']:>7}{cost['luts']:>6}{cost['dsp']:>5}"
        print(f"{row['recipe']:<28}{figures}  {against:<31}{cost}")
    content = {
        "network": arguments.network,
        "budget_bytes": budget,
        "protocol": PROTOCOL,
        "part": "validation, and rule-labelled windows near it",
        "kind": "measured",
        "share_of_epochs": arguments.share,
        "windows_per_quantised_epoch": arguments.windows,
        "teachers": arguments.teachers or list(RECIPES[arguments.network].teachers),
        "runs": list(rows[0]["loss_by_run"]),
        "recipes": {name: asdict(entry) for name, entry in chosen(arguments).items()},
        "ranking": rows,
    }
    path = Path(arguments.results) / "adaptive.json"
    put_rows(path, [content], lambda row: (row["network"],), head={"data_source": mitdb.SOURCE})
    if any(row["recipe"] == REFERENCE for row in rows) and len(rows) > 1:
        windows = next(row for row in rows if row["recipe"] == REFERENCE)["windows"]
        title = f"{arguments.network} at {budget:,} bytes: {rows[0]['runs']} run(s), "
        svg = path.with_name(f"adaptive-{arguments.network}.svg")
        write_text(svg, draw(rows, title + f"{windows} windows that none trained on (measured)"))


def chosen(arguments: argparse.Namespace) -> dict[str, Entry]:
    """The entries that were asked for."""
    teachers = None if arguments.teachers is None else tuple(arguments.teachers)
    found = entries(arguments.network, arguments.share, teachers)
    names = arguments.only or [name for name in found if name not in LONG]
    if unknown := sorted(set(names) - set(found)):
        raise SystemExit(f"recipes are {', '.join(found)}; received {', '.join(unknown)}")
    return {name: found[name] for name in names}


def main() -> None:
    """Train what is missing, rank what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=sorted(BY_HAND), default="compact")
    parser.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--share", type=float, default=1.0, help="of the shipped recipe's epochs")
    parser.add_argument("--windows", type=int, default=None, help="per quantised epoch")
    parser.add_argument("--teachers", nargs="*", default=None, help="networks; default the recipe's")
    parser.add_argument("--data", default=None)
    parser.add_argument("--build", default="build/recipes")
    parser.add_argument("--results", default="results")
    parser.add_argument("--workers", type=int, default=2, help="Dask processes; 0: one run after the other, here")
    parser.add_argument("--measured", action="store_true", help="train nothing, rank what is there")
    arguments = parser.parse_args()
    data, build = str(mitdb.find(arguments.data)), str(Path(arguments.build).resolve())
    runs = [
        Run(chosen(arguments), fold, seed, arguments.windows, data, build)
        for seed in arguments.seeds
        for fold in arguments.folds
    ]
    outcomes: list[dict] = []
    if arguments.measured:
        for run in runs:
            stored = [run.entry_folder(name) / "outcome.json" for name in run.entries]
            outcomes += [outcome_in(path) for path in stored if path.exists()]
        if not outcomes:
            raise InputError(f"{build} has no outcome of these recipes, folds and seeds: leave out --measured")
        report(arguments, outcomes)
        return
    done = run_tasks(compete, runs, None, arguments.workers) if arguments.workers else ((r, compete(r)) for r in runs)
    for _, found in done:
        outcomes += found
        report(arguments, outcomes)


if __name__ == "__main__":
    main()
