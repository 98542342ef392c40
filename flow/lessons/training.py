"""02_train: the network, what a convolution does to an ECG, what training shows it, and what it has learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flow.build.products import Product, say
from flow.build.quiet import import_tensorflow
from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked, percent
from flow.look import pictures
from flow.look.html import Html, card, table
from flow.look.pictures import ACCENT, INK, MUTED, SECOND, ecg_strip, figure
from qmodel.data.fragments import CLASS_NAMES, CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.metrics import confusion_matrix, macro_f1, per_class


def split_table(walk: Walk) -> Html:
    """How many windows of every class each part of the fold has."""
    parts = {"train": walk.fold.train, "validation": walk.fold.validation, "test": walk.fold.test}
    counts = {part: np.bincount(walk.windows.labels[chosen], minlength=len(CLASSES)) for part, chosen in parts.items()}
    rows = [
        (f"{name}: {CLASS_NAMES[name]}", *(str(counts[part][label]) for part in parts))
        for label, name in enumerate(CLASSES)
    ]
    return Html(table(("class", *parts), rows, ("all", *(str(counts[part].sum()) for part in parts))), 620)


def network_picture(walk: Walk) -> Html:
    """The network as boxes: wide is long in time, high is many channels."""
    say("keras", "loading TensorFlow")
    import_tensorflow()
    from qmodel import networks

    model = networks.build(networks.network(walk.settings.network))
    boxes = [("window", "10 s of ECG", 3600, 1)]
    for layer in model.layers:
        kind, shape = type(layer).__name__, layer.output.shape[1:]
        if kind == "Conv1D":
            taps, _, _ = layer.kernel.shape
            step = f", every {layer.strides[0]}" if layer.strides[0] > 1 else ""
            boxes.append((layer.name, f"{taps} taps{step}", shape[0], shape[1]))
        elif kind in ("MaxPooling1D", "GlobalAveragePooling1D", "Flatten"):
            say_it = {"MaxPooling1D": "largest of", "GlobalAveragePooling1D": "mean over time", "Flatten": "in a row"}[
                kind
            ]
            size = f" {layer.pool_size[0]}" if kind == "MaxPooling1D" else ""
            boxes.append((layer.name, say_it + size, *(shape if len(shape) == 2 else (1, shape[0]))))
        elif kind == "Dense":
            boxes.append((layer.name, f"{layer.kernel.shape[0]} weights each", 1, shape[0]))
    boxes[-1] = ("logits", boxes[-1][1], 1, boxes[-1][3])
    with figure("network", 9.4, 2.6) as (_, axes, drawn):
        x = 0.0
        for name, note, time, channels in boxes:
            width, height = 0.25 + 1.5 * np.sqrt(time / 3600), 0.25 + 1.6 * np.sqrt(channels / 64)
            colour = (
                SECOND if name.startswith(("pool", "average", "flatten")) else ACCENT if name != "window" else MUTED
            )
            axes.barh(0, width, left=x, height=height, color=colour, alpha=0.75, linewidth=0)
            middle = x + width / 2
            axes.text(middle, 1.28, name, ha="center", fontsize=8)
            axes.text(middle, -1.22, f"{time} x {channels}", ha="center", fontsize=7.5)
            axes.text(middle, -1.5, note.replace(", ", ",\n"), ha="center", va="top", fontsize=6.5, color=MUTED)
            x += max(width, 0.62) + 0.12 if width < 0.62 else width + 0.12
        axes.set(xlim=(-0.2, x), ylim=(-2.1, 1.5))
        axes.set_axis_off()
    caption = f"The network {walk.settings.network}, {model.count_params():,} parameters; below: time steps x channels"
    return Html(card(drawn[0], caption), 940)


def augmentation_picture(walk: Walk) -> Html:
    """One training window of sinus rhythm: as it is, twice as training sees it, once with a premature beat made up."""
    from wfdb.processing import xqrs_detect

    from qmodel.premature import early_beat
    from qmodel.training_data import augment

    sinus = walk.fold.train[walk.windows.labels[walk.fold.train] == CLASSES.index("NSR")]
    signal = walk.windows.signals[sinus[len(sinus) // 2]].astype(np.float32)
    signal = (signal - signal.mean()) / signal.std()
    random, target = np.random.default_rng(0), np.zeros((1, len(CLASSES)), np.float32)
    seen = [signal, *(augment(signal[None], target, None, random).inputs[0, :, 0] for _ in range(2))]
    titles = ["as recorded", "shifted in time, scaled, noise: 1", "2"]
    places = xqrs_detect(signal.astype(float), fs=SAMPLING_RATE_HZ, verbose=False)
    if len(places) > 1 and (made := early_beat(signal, places, len(places) // 2, random)):
        seen.append(made[0])
        titles.append("one beat made early: now an atrial premature beat, APB")
    with figure("augmentation", 9.4, 0.9 * len(seen), len(seen), sharex=True, sharey=True) as (_, axes, drawn):
        for each, values, title in zip(axes, seen, titles, strict=True):
            each.plot(
                np.arange(len(values)) / SAMPLING_RATE_HZ,
                values,
                linewidth=0.8,
                color=INK if each is axes[0] else ACCENT,
            )
            each.annotate(title, (0, 0.98), xycoords="axes fraction", va="top", fontsize=8, color=MUTED)
            each.set_yticks([])
        axes[-1].set(xlabel="seconds", xlim=(0, len(seen[0]) / SAMPLING_RATE_HZ))
    return Html(card(drawn[0]), 940)


def curve(trained: Product) -> Html:
    """Loss on the training windows and accuracy on the validation part, epoch by epoch."""
    history = trained.results["history"]
    epochs = np.arange(1, len(history) + 1)
    with figure("loss", 9.4, 2.9, 1, 2) as (_, (loss, accuracy), drawn):
        loss.plot(epochs, [epoch["loss"] for epoch in history], color=SECOND, marker=".", linewidth=1.6)
        loss.set(title="loss on training windows: how wrong, how sure", xlabel="epoch", ylim=(0, None))
        accuracy.plot(epochs, [100 * epoch["validation"] for epoch in history], color=ACCENT, marker=".", linewidth=1.6)
        accuracy.axhline(100 / len(CLASSES), color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        accuracy.annotate(
            "chance", (1, 100 / len(CLASSES)), (0, 3), textcoords="offset points", color=MUTED, fontsize=8
        )
        accuracy.set(title="accuracy on the validation part, %", xlabel="epoch", ylim=(0, 101))
        for axes in (loss, accuracy):
            axes.grid()
    return Html(card(drawn[0]), 940)


@dataclass(frozen=True)
class Predictions:
    """The trained network on the test part: logits (window, class), classes and which windows they are."""

    logits: np.ndarray
    labels: np.ndarray
    windows: np.ndarray
    kernel: np.ndarray  # of the first layer (tap, channel, filter)
    stride: int
    parameters: int

    @property
    def predicted(self) -> np.ndarray:
        """Class of every window as the network says, (window,)."""
        return self.logits.argmax(1)

    @property
    def accuracy(self) -> float:
        """Share of windows that are right."""
        return float((self.predicted == self.labels).mean())


def predict(walk: Walk, trained: Product) -> Predictions:
    """Load the trained network and let it classify the test part."""
    import_tensorflow()
    from qmodel import float_stage, training
    from qmodel.training import predict as logits_of
    from qmodel.training_data import to_input

    model = training.load(trained.folder / float_stage.FLOAT_MODEL)
    first = model.get_layer("conv1")
    test = walk.fold.test
    return Predictions(
        logits_of(model, to_input(walk.windows.signals[test])),
        walk.windows.labels[test],
        test,
        np.array(first.kernel),
        int(first.strides[0]),
        model.count_params(),
    )


def filter_picture(walk: Walk, predictions: Predictions) -> Html:
    """What one trained filter answers to a window: large where the ECG looks like the filter."""
    place = int(np.flatnonzero(walk.windows.labels == CLASSES.index("PVC"))[0])
    signal = walk.windows.signals[place].astype(float)
    signal = (signal - signal.mean()) / signal.std()
    taps = len(predictions.kernel)
    views = np.lib.stride_tricks.sliding_window_view(signal, taps)[:: predictions.stride]
    answers = np.maximum(views @ predictions.kernel[:, 0], 0)  # (step, filter)
    best = int((answers.max(0) / (answers.mean(0) + 1e-6)).argmax())
    time = np.arange(len(signal)) / SAMPLING_RATE_HZ
    with figure("filter", 9.4, 3.4, 2, 2, width_ratios=(1, 4)) as (_, axes, drawn):
        axes[0, 0].bar(np.arange(taps), predictions.kernel[:, 0, best], color=SECOND)
        axes[0, 0].axhline(0, color=MUTED, linewidth=0.6)
        axes[0, 0].set(title=f"a filter: {taps} weights", xticks=[])
        axes[1, 0].set_axis_off()
        axes[1, 0].text(
            0, 0.95, "slides along the window;\nat every step: weights\ntimes samples, added up,\n"
            "negative sums become 0", va="top", fontsize=8, color=MUTED,
        )  # fmt: skip
        axes[0, 1].plot(time, signal, color=INK, linewidth=0.8)
        axes[0, 1].set(title="a window of the class PVC", xticks=[])
        axes[1, 1].plot(time[:: predictions.stride][: len(answers)], answers[:, best], color=ACCENT, linewidth=0.9)
        axes[1, 1].set(title="the filter's answer", xlabel="seconds")
        for each in axes[:, 1]:
            each.set(xlim=(0, time[-1]), yticks=[])
    return Html(card(drawn[0]), 940)


def confusion(predictions: Predictions) -> Html:
    """Which classes are taken for which."""
    matrix = confusion_matrix(predictions.labels, predictions.predicted, len(CLASSES))
    return Html(card(pictures.confusion(matrix, CLASSES, "network"), kind="square"), 680)


def class_table(predictions: Predictions) -> Html:
    """Sensitivity (found of those there), positive predictivity (right of those claimed) and F1 of every class."""
    matrix = confusion_matrix(predictions.labels, predictions.predicted, len(CLASSES))
    scores = per_class(matrix)

    def cell(value: float) -> str:
        return "" if np.isnan(value) else percent(value)

    rows = [
        (name, str(matrix[label].sum()), *(cell(scores[kind][label]) for kind in scores))
        for label, name in enumerate(CLASSES)
    ]
    head = ("class", "windows", "sensitivity", "positive predictivity", "F1")
    foot = (
        "all",
        str(matrix.sum()),
        f"accuracy {percent(predictions.accuracy)}",
        "macro F1",
        percent(macro_f1(matrix)),
    )
    return Html(table(head, rows, foot), 860)


def mistakes(walk: Walk, predictions: Predictions, number: int = 4) -> Html:
    """Windows that the network takes for another class, the surest mistakes first."""
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    margin = predictions.logits.max(1) - np.take_along_axis(predictions.logits, predictions.labels[:, None], 1)[:, 0]
    drawn = []
    for place in wrong[np.argsort(-margin[wrong])][:number]:
        name, said = CLASSES[predictions.labels[place]], CLASSES[predictions.predicted[place]]
        answer = f'<span class="said">network: <b class="wrong">{said}</b></span>'
        caption = f"<span><b>{name}</b> {CLASS_NAMES[name]}</span>{answer}"
        samples = walk.windows.signals[predictions.windows[place]].astype(np.int64)
        drawn.append(card(ecg_strip(samples, f"{name}, taken for {said}"), caption))
    return Html(f'<div class="strips">{"".join(drawn) or "no mistakes"}</div>', 1100)


def exercise() -> Exercise:
    """Parameters of a convolution of 8 filters, 16 taps and 1 channel."""
    return Exercise(8 * (16 * 1 + 1), "every filter has one weight per tap and channel, and one bias.")


def final_table(walk: Walk, trained: Product, predictions: Predictions) -> CheckedTable:
    """The figures of 02_train, checked."""
    results, fold = trained.results, walk.fold
    parts = np.concatenate([fold.train, fold.validation, fold.test])
    history = results["history"]
    return checked(
        [
            Check("windows to train", len(fold.train), "no window in two parts", len(set(parts)) == len(parts)),
            Check(
                "windows to validate",
                len(fold.validation),
                "as in the product",
                len(fold.validation) == results["windows"]["validation"],
            ),
            Check("windows to test", len(fold.test), "as in the product", len(fold.test) == results["windows"]["test"]),
            Check(
                "parameters",
                results["parameters"],
                "as many as the saved network has",
                predictions.parameters == results["parameters"],
            ),
            Check("loss, first epoch", history[0]["loss"], "finite", np.isfinite(history[0]["loss"])),
            Check("loss, last epoch", history[-1]["loss"], "below the first", history[-1]["loss"] < history[0]["loss"]),
            Check(
                "accuracy_test",
                results["accuracy_test"],
                "computed here again from the saved network: equal",
                predictions.accuracy == results["accuracy_test"],
            ),
            Check(
                "accuracy_validation",
                results["accuracy_validation"],
                "above four times chance",
                results["accuracy_validation"] > 4 / len(CLASSES),
            ),
        ]
    )
