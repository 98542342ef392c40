"""03_quantise: what a binary basis is, what shares a coordinate, what pruning does to bitwidths, where bytes go."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from flow.build.products import Product, say
from flow.build.quiet import import_tensorflow
from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked
from flow.look import pictures, words
from flow.look.html import Html, card, table
from flow.look.pictures import ACCENT, BAD, GRID, INK, MUTED, PLANES, SECOND, SURFACE, figure
from flow.steps.work.names import FROZEN
from qmodel.frozen import FrozenNetwork, stored_bits

GROUPINGS = {
    "channelwise": "all weights of a filter",
    "pixelwise": "the channels of one tap",
    "kernelwise": "the taps of one channel",
    "subchannels": "equal runs of a filter",
}


def kernels(trained: Product) -> dict[str, np.ndarray]:
    """Weights of the trained layers: (tap, channel, filter) or (input, class)."""
    say("keras", "loading TensorFlow")
    import_tensorflow()
    from qmodel import float_stage, training

    model = training.load(trained.folder / float_stage.FLOAT_MODEL)
    return {layer.name: np.array(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")}


def sketch(weights: np.ndarray, planes: int) -> tuple[np.ndarray, np.ndarray]:
    """Signs (..., plane, weight) and coordinates (..., plane), largest first, fitted greedily to weights."""
    from qmodel.alq import basis

    signs, coordinates = map(np.array, basis.sketch(weights.astype(np.float64), planes))
    return signs[..., ::-1, :], coordinates[..., ::-1]


def relative_error(weights: np.ndarray, approximation: np.ndarray) -> float:
    """Length of what is missing, as a share of the weights' length."""
    return float(np.linalg.norm(weights - approximation) / np.linalg.norm(weights))


def basis_picture(weights: Mapping[str, np.ndarray], layer: str = "conv1", filter: int = 0, planes: int = 3) -> Html:
    """A filter taken apart: every plane is one coordinate times a row of signs, and the planes add up to the filter."""
    group = weights[layer].reshape(-1, weights[layer].shape[-1])[:, filter]
    signs, coordinates = sketch(group, planes)
    places, highest = np.arange(len(group)), 1.35 * np.abs(group).max()
    with figure("basis", 9.4, 1.3 + 1.15 * planes, planes + 1, 2, sharex=True, sharey=True) as (_, axes, drawn):
        axes[0, 0].bar(places, group, color=INK, width=0.8)
        axes[0, 0].set_title(f"the filter: {len(group)} weights of 32 bits")
        axes[0, 1].set_axis_off()
        axes[0, 1].text(
            0, 0, "Left: one number, the coordinate, and a sign for every weight.\nRight: the sum of the planes so far "
            "(coloured)\nover the filter (outlined).",
            color=MUTED, fontsize=9, va="center",
        )  # fmt: skip
        total = np.zeros_like(group)
        for row in range(planes):
            plane = coordinates[row] * signs[row]
            total = total + plane
            left, right = axes[row + 1]
            left.bar(places, plane, color=[ACCENT if sign > 0 else SECOND for sign in signs[row]], width=0.8)
            for place, value in zip(places, plane):
                sign = ("+", 0.03, "bottom") if value > 0 else ("\u2212", -0.03, "top")
                left.text(place, value + sign[1] * highest, sign[0], ha="center", va=sign[2], fontsize=9)
            left.set_title(f"plane {row + 1}: {coordinates[row]:.3f} times signs")
            right.bar(places, total, color=PLANES[min(row + 2, 7)], width=0.8)
            right.bar(places, group, color="none", edgecolor=INK, linewidth=0.9, width=0.8)
            error = 100 * relative_error(group, total)
            right.set_title(
                f"{row + 1} plane{'s' if row else ''} together: {error:.0f} % of the filter's length is missing"
            )
        for each in axes.flat[[0, *range(2, axes.size)]]:
            each.axhline(0, color=MUTED, linewidth=0.6)
            each.set(xticks=[], ylim=(-highest, highest))
    bits = planes * (len(group) + 8)
    caption = (
        f"{layer}, filter {filter}: {32 * len(group)} bits become {planes} x ({len(group)} signs + 8) = {bits} bits"
    )
    return Html(card(drawn[0], caption), 940)


def error_picture(weights: Mapping[str, np.ndarray], most: int = 5) -> Html:
    """What is missing of every layer's weights after one, two, three ... planes per filter."""
    with figure("errors", 7.2, 3.1) as (_, axes, drawn):
        for number, (name, kernel) in enumerate(weights.items()):
            groups = kernel.reshape(-1, kernel.shape[-1]).T
            errors = []
            for planes in range(1, most + 1):
                signs, coordinates = sketch(groups, planes)
                errors.append(100 * relative_error(groups, (signs * coordinates[..., None]).sum(-2)))
            colour = (ACCENT, SECOND, BAD, INK, MUTED, GRID, PLANES[2], PLANES[4])[number % 8]
            axes.plot(range(1, most + 1), errors, marker=".", label=name, color=colour, linewidth=1.4)
        axes.set(xlabel="planes per filter", ylabel="missing, %", xticks=range(1, most + 1), ylim=(0, None))
        axes.legend(frameon=False, fontsize=8, ncols=2)
        axes.grid()
    return Html(card(drawn[0], "The first plane says most; each further one costs as many bits as the first"), 720)


def grouping_picture(taps: int = 5, channels: int = 6, subchannels: int = 3) -> Html:
    """One filter of a convolution four times: weights of one colour share their coordinates."""
    from matplotlib.colors import to_rgb

    hues = [to_rgb(c) for c in ("#0b6e7f", "#b4540a", "#8e4585", "#2f7d32", "#c79a00", "#4a5a9a")]
    import_tensorflow()
    from qmodel.alq import basis

    order = np.arange(taps * channels).reshape(taps, channels, 1)
    with figure("grouping", 9.4, 2.5, 1, 4, sharey=True) as (_, axes, drawn):
        for each, (name, words) in zip(axes, GROUPINGS.items()):
            groups = np.array(basis.to_groups(order, name, subchannels))[0]
            for number, members in enumerate(groups):
                rows, columns = np.divmod(members, channels)
                each.scatter(rows, columns, s=190, marker="s", color=hues[number % len(hues)])
            each.set(title=name, xlabel="taps (time)", xticks=[], yticks=[])
            each.set(xlim=(-0.6, taps - 0.4), ylim=(-0.6, channels - 0.4), aspect="equal")
            each.annotate(
                f"{words}:\n{len(groups)} group{'s' if len(groups) > 1 else ''}, {groups.shape[1]} weights each",
                (0.5, -0.32), xycoords="axes fraction", ha="center", va="top", fontsize=8, color=MUTED,
            )  # fmt: skip
            each.spines[:].set_visible(False)
        axes[0].set_ylabel("channels")
    return Html(card(drawn[0], "Weights of one colour share one coordinate per plane"), 940)


def quantise(walk: Walk) -> Product:
    """Quantise the trained network, drawing its bitwidths after every epoch; a finished run shows its last picture."""
    import_tensorflow()
    from qmodel.alq.pictures import LiveView

    chosen = walk.recipe
    view = LiveView(chosen.alq.phases() + chosen.finish.phases())
    walk.on_epoch = view
    product = walk.quantise()
    if product.cached:
        epochs = product.results["history"] + product.results["history_finish"]
        view.history = epochs[:-1]
        view(len(epochs) - 1, epochs[-1])
    return product


def curves(trained: Product, quantised: Product) -> Html:
    """Accuracy over all of training, and bytes against the budget."""
    results = quantised.results
    phases = [
        ("float", [epoch["validation"] for epoch in trained.results["history"]]),
        ("sign planes", [epoch["validation"] for epoch in results["history"]]),
        ("fixed point", [epoch["validation"] for epoch in results["history_finish"]]),
    ]
    sizes = [epoch["bytes"] for history in ("history", "history_finish") for epoch in results[history]]
    accuracy = card(pictures.accuracy_curve(phases), "Accuracy on the validation part")
    size = card(pictures.size_curve(sizes, results["budget_bytes"]), "Size while planes are pruned")
    return Html(f'<div class="pair">{accuracy}{size}</div>', 1000)


def load(frozen: Product) -> FrozenNetwork:
    """The frozen network out of its file."""
    return FrozenNetwork.load(frozen.folder / FROZEN)


def bitwidths(frozen: Product, quantised: Product) -> Html:
    """How many planes the groups of every layer have kept, what that cost the loss, and whether anything was pruned."""
    layers, history = frozen.results["layers"], quantised.results["history"]
    picture = pictures.bitwidths(layers, words.paid_by_layer(history))
    return Html(card(picture, words.pruning(history, layers), scroll=True), 940)


def byte_parts(network: FrozenNetwork) -> dict[str, int]:
    """Bits of the frozen file by what they are for."""
    parts = dict.fromkeys(("signs", "coordinates", "biases", "planes per group"), 0)
    for layer in network.plane_layers:
        counts, size, form = layer.plane_counts, layer.group_size, layer.coordinate_format
        bias = max(int(b if b >= 0 else ~b).bit_length() for b in layer.bias) + 1
        total = stored_bits(counts, size, form.bits, bias)
        own = {
            "signs": layer.signs.size,
            "coordinates": len(layer.coordinates) * form.bits,
            "biases": layer.filters * bias,
        }
        for name, bits in own.items():
            parts[name] += bits
        parts["planes per group"] += total - sum(own.values())
    parts["sizes, formats, checksum"] = 8 * network.size_bytes - sum(parts.values())
    return parts


def byte_picture(network: FrozenNetwork) -> Html:
    """The file as one bar, and the same network in floating point."""
    parts = byte_parts(network)
    colours = (ACCENT, SECOND, MUTED, PLANES[1], GRID)
    with figure("bytes", 9.4, 1.9, 2, height_ratios=(1, 1)) as (_, (whole, file), drawn):
        floats = 4 * network.parameter_count
        whole.barh(0, floats, color=INK, alpha=0.6)
        whole.barh(0, network.size_bytes, color=ACCENT)
        whole.set(
            xlim=(0, floats), yticks=[], title=f"float32: {floats:,} bytes; frozen (coloured): {network.size_bytes:,}"
        )
        left = 0.0
        for (name, bits), colour in zip(parts.items(), colours):
            file.barh(0, bits / 8, left=left, color=colour, label=f"{name}: {bits / 8:,.0f}", edgecolor=SURFACE)
            left += bits / 8
        file.set(xlim=(0, left), yticks=[], title="the frozen file, bytes")
        file.legend(ncols=5, loc="upper left", bbox_to_anchor=(0, -0.35), frameon=False, fontsize=8, columnspacing=1)
        for axes in (whole, file):
            axes.spines[:].set_visible(False)
    ratio = f"{network.compression_bytes:.1f} times smaller by bytes, {network.compression_bits:.1f} by sign bits alone"
    return Html(card(drawn[0], ratio), 940)


def layer_table(frozen: Product) -> Html:
    """Layers of the frozen network in numbers."""
    results = frozen.results
    rows = [
        (
            layer["name"],
            *(f"{layer[key]:,}" for key in ("weights", "groups", "planes")),
            f"{layer['average_bits']:.2f}",
            str(layer["accumulator_bits"]),
        )
        for layer in results["layers"]
    ]
    totals = [f"{sum(layer[key] for layer in results['layers']):,}" for key in ("weights", "groups", "planes")]
    head = ("layer", "weights", "groups", "planes", "bits per weight", "accumulator bits")
    return Html(table(head, rows, ("all", *totals, f"{results['average_bits']:.2f}", "")), 760)


def exercise() -> Exercise:
    """Bytes of signs and coordinates: 16 filters of 7 taps and 8 channels, two planes each, coordinates of 8 bits."""
    bits = 16 * 2 * (7 * 8 + 8)
    return Exercise(bits // 8, "a plane has one sign bit per weight and one coordinate; 8 bits are a byte.")


def final_table(walk: Walk, quantised: Product, frozen: Product) -> CheckedTable:
    """The figures of 03_quantise, checked."""
    network, results = load(frozen), frozen.results
    golden = float((network.run(walk.test_integers).argmax(1) == walk.test_labels).mean())
    size = (frozen.folder / FROZEN).stat().st_size
    budget = quantised.results["budget_bytes"]
    signs = sum(int(layer.plane_counts.sum()) * layer.group_size for layer in network.plane_layers)
    weights = sum(layer.weight_count for layer in network.plane_layers)
    again = FrozenNetwork.from_bytes(network.file_bytes)
    return checked(
        [
            Check("bytes", results["bytes"], "size of the file on disk", results["bytes"] == size),
            Check("budget", budget, "not exceeded", size <= budget),
            Check(
                "sign bits per weight",
                results["average_bits"],
                "counted again from the planes",
                abs(results["average_bits"] - signs / weights) < 1e-12,
            ),
            Check(
                "compression by bytes",
                results["compression_bytes"],
                "4 x parameters / bytes",
                abs(results["compression_bytes"] - 4 * results["parameters"] / size) < 1e-9,
            ),
            Check(
                "accuracy of the Keras network on its grids, test",
                quantised.results["accuracy_test"],
                "equal to the frozen integers'",
                quantised.results["accuracy_test"] == golden,
            ),
            Check(
                "accuracy_test",
                results["accuracy_test"],
                "computed here again: equal",
                results["accuracy_test"] == golden,
            ),
            Check(
                "identity",
                results["identity"][:16],
                "of the file, written and read again",
                again.identity == results["identity"],
            ),
        ]
    )
