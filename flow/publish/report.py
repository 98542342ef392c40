"""The report: one self-contained HTML page and one JSON file about a run of the flow."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from flow.build.products import Product, duration
from flow.look import diagram, pictures, words
from flow.look.html import card, facts, stylesheet, table, theme
from qmodel.data.fragments import CLASS_NAMES, CLASSES, Windows
from qmodel.metrics import confusion_matrix, macro_f1

PAGE, FIGURES = "report.html", "report.json"


def figures(
    products: dict[str, Product],
    settings: dict,
    logits: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str] = CLASSES,
) -> dict:
    """The figures of a run, for JSON. Args: products: by step; logits: frozen network's, of the test part."""
    trained, frozen, parity = (products[step].results for step in ("train", "freeze", "parity"))
    matrix = confusion_matrix(labels, logits.argmax(1), len(classes))
    return {
        **{key: trained[key] for key in ("data_source", "note") if key in trained},
        "network": settings["network"],
        "protocol": settings["protocol"],
        "fold": settings["fold"],
        "quick": settings["quick"],
        "seed": settings["seed"],
        "windows": trained["windows"],
        "accuracy_float": trained["accuracy_test"],
        "accuracy_frozen": frozen["accuracy_test"],
        "accuracy": parity["accuracy"],
        "macro_f1_frozen": macro_f1(matrix),
        "windows_compared": parity["windows_compared"],
        "layers_compared": parity["layers_compared"],
        "integers_compared": parity["integers_compared"],
        "mismatches": parity["mismatches"],
        "frames_independent": parity["frames_independent"],
        "first_difference": parity["first_difference"],
        **{
            key: frozen[key]
            for key in ("identity", "parameters", "bytes", "compression_bytes", "compression_bits", "average_bits")
        },
        "estimated": products["convert"].results["estimated"],
        "confusion": matrix.tolist(),
        "classes": list(classes),
        "seconds": {step: product.manifest["seconds"] for step, product in products.items()},
        "versions": products["freeze"].manifest["versions"],
        "git_revision": products["freeze"].manifest["git_revision"],
    }


def page(summary: dict, products: dict[str, Product], windows: Windows, test: np.ndarray, predicted: np.ndarray) -> str:
    """The page. Args: summary: of `figures`; test: indices of the test part; predicted: what the network says of it."""
    title = f"{summary['network']}, fold {summary['fold']} of {summary['protocol']}"
    style = theme(":root") + stylesheet("report.css") + stylesheet("parts.css")
    parts = [
        _head(title, summary),
        _verdict(summary),
        _tiles(summary),
        "<h2>The flow</h2><p>Each step uses the product of the step before. Times are from the run that made it.</p>",
        _flow(summary, products),
        f"<h2>The windows</h2><p>One test window of every class, {_seconds(windows)} on the standard grid (25 mm/s, "
        "10 mm/mV: one large square is 0.2 s by 0.5 mV), and the frozen network's answer.</p>",
        _strips(windows, test, predicted),
        "<h2>Training</h2><p>First in floating point, then with sign planes under a byte budget. Nothing was chosen on "
        "the test windows.</p>",
        _curves(products),
        "<h2>Planes</h2><p>A group of weights is a sum of sign planes, each with one coordinate; none at all means "
        f"that its weights are zero. {_pruning(products)}</p>",
        _bitwidths(products),
        "<h2>Confusion matrix</h2><p>The test part, by the frozen network: "
        f"accuracy {_percent(summary['accuracy_frozen'])}, macro F1 {_percent(summary['macro_f1_frozen'])}.</p>",
        card(pictures.confusion(np.array(summary["confusion"]), summary["classes"]), scroll=True, kind="square"),
        "<h2>Parity</h2><p>Integers of every layer, every time step and every test window, compared one by one without "
        "any tolerance.</p>",
        _parity(products["parity"].results),
        "<h2>Sizes</h2><p>The size of a model is the size of its file. Sign bits alone are what some papers count.</p>",
        _sizes(products["freeze"].results),
        _hardware(products["convert"].results),
        "<h2>Where it comes from</h2><p>Everything needed to make this page again.</p>",
        _provenance(summary, products),
        "<footer>Made by ecg-alq. For research and teaching: not a medical device.</footer>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>ecg-alq: {escape(title)}</title><style>{style}</style></head>\n"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _head(title: str, summary: dict) -> str:
    note = summary.get("note", "")
    banner = f'<p class="banner" role="note">{escape(note[:1].upper() + note[1:])}.</p>' if note else ""
    quick = ", quick run" if summary["quick"] else ""
    return (
        f"{banner}<header><p>ecg-alq report{quick}</p><h1>{escape(title)}</h1>"
        f"<p>{escape(summary['data_source'])} ECG, {sum(summary['windows'].values())} windows of "
        f"{len(summary['classes'])} classes: "
        f"{summary['windows']['train']} to train, {summary['windows']['validation']} to validate, "
        f"{summary['windows']['test']} to test.</p></header>"
    )


def _verdict(summary: dict) -> str:
    if summary["mismatches"]:
        return (
            f'<div class="verdict bad"><div><strong>The engines differ</strong> in {summary["mismatches"]:,} of '
            f"{summary['integers_compared']:,} integers. First: {escape(summary['first_difference'])}.</div></div>"
        )
    return (
        '<div class="verdict"><div><strong>Golden model = Keras = C simulation = C99.</strong> '
        f"{summary['integers_compared']:,} integers on {summary['layers_compared']} layers of "
        f"{summary['windows_compared']} windows, no mismatch.</div></div>"
    )


def _tiles(summary: dict) -> str:
    tiles = (
        ("Accuracy, frozen", _percent(summary["accuracy_frozen"]), "integers, test part"),
        ("Accuracy, float", _percent(summary["accuracy_float"]), "before quantisation, test part"),
        ("File", f"{summary['bytes']:,}", f"bytes for {summary['parameters']:,} parameters"),
        (
            "Compression",
            f"{summary['compression_bytes']:.1f}x",
            f"by bytes; {summary['compression_bits']:.1f}x by sign bits",
        ),
        ("Windows compared", f"{summary['windows_compared']:,}", f"{summary['mismatches']:,} mismatches"),
    )
    cells = "".join(
        f'<div class="tile"><dt>{name}</dt><dd>{value}</dd><small>{note}</small></div>' for name, value, note in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _flow(summary: dict, products: dict[str, Product]) -> str:
    frozen = products["freeze"].results
    notes = {
        "data": f"{sum(summary['windows'].values())} windows",
        "train": f"{_percent(summary['accuracy_float'])} in floating point",
        "quantise": f"{frozen['average_bits']:.2f} sign bits per weight",
        "freeze": f"{frozen['bytes']:,} bytes",
        "convert": products["convert"].results["part"],
        "csim": f"{1000 * products['csim'].results['seconds_per_window']:.1f} ms per window",
        "parity": f"{summary['mismatches']:,} mismatches",
        "report": "this page",
    }
    items = "".join(
        f"<li>{diagram.icon(drawn.strokes)}<b>{drawn.title}</b><span>{escape(notes[drawn.step])}</span>"
        + (f"<span>{duration(summary['seconds'][drawn.step])}</span>" if drawn.step in products else "")
        + "</li>"
        for drawn in diagram.STEPS
    )
    return f'<ol class="flow">{items}</ol>'


def _seconds(windows: Windows) -> str:
    seconds = windows.signals.shape[1] / windows.rate_hz
    return "ten seconds" if seconds == 10 else f"{seconds:.4g} s"


def _strips(windows: Windows, test: np.ndarray, predicted: np.ndarray) -> str:
    drawn = []
    labels = windows.labels[test]
    for label, name in enumerate(windows.classes):
        places = np.flatnonzero(labels == label)
        if not len(places):
            continue
        window, said = test[places[0]], windows.classes[predicted[places[0]]]
        start = windows.first_sample[window] / windows.rate_hz
        wrong = ' class="wrong"' if said != name else ""
        where = f"record {windows.record[window]}, {int(start // 60)}:{start % 60:02.0f}, {windows.lead[window]}"
        caption = (
            f"<span><b>{escape(name)}</b> {escape(CLASS_NAMES.get(name, ''))}</span>"
            f'<span class="said">network: <b{wrong}>{escape(said)}</b></span>'
            f'<span class="where">{escape(where)}</span>'
        )
        signal = windows.signals[window].astype(np.int64)
        first = signal if signal.ndim == 1 else signal[:, 0]  # of several leads the first is drawn
        said_of = f"{_seconds(windows)} of {CLASS_NAMES.get(name, name)}"
        strip = pictures.ecg_strip(first, said_of, rate_hz=windows.rate_hz)
        drawn.append(card(strip, caption))
    return f'<div class="strips">{"".join(drawn)}</div>'


def _curves(products: dict[str, Product]) -> str:
    trained, quantised = products["train"].results, products["quantise"].results
    phases = (
        ("float", trained["history"]),
        ("sign planes", quantised["history"]),
        ("fixed point", quantised["history_finish"]),
    )
    accuracy = pictures.accuracy_curve(
        [(name, [epoch["validation"] for epoch in history]) for name, history in phases if history]
    )
    sizes = [epoch["bytes"] for name, history in phases[1:] for epoch in history]
    size = pictures.size_curve(sizes, quantised["budget_bytes"])
    return (
        f'<div class="pair">{card(accuracy, "Accuracy on the validation part")}'
        f"{card(size, 'Size while planes are pruned')}</div>"
    )


def _pruning(products: dict[str, Product]) -> str:
    layers = products["freeze"].results["layers"]
    return escape(words.pruning(products["quantise"].results["history"], layers))


def _bitwidths(products: dict[str, Product]) -> str:
    paid = words.paid_by_layer(products["quantise"].results["history"])
    return card(pictures.bitwidths(products["freeze"].results["layers"], paid), scroll=True)


def _parity(results: dict) -> str:
    engines = list(results["layers"][0]["mismatches"])
    rows = [
        (layer["name"], *(f"{value:,}" for value in (layer["integers"], *layer["mismatches"].values())))
        for layer in results["layers"]
    ]
    totals = [sum(layer["integers"] for layer in results["layers"])]
    totals += [sum(layer["mismatches"][engine] for layer in results["layers"]) for engine in engines]
    head = ("layer", "integers", *(f"{engine} differs" for engine in engines))
    frames = "are equal to" if results["frames_independent"] else "DIFFER from"
    note = f"Frames sent back to back, and the same frame three times, {frames} frames sent alone."
    return table(head, rows, ("all", *(f"{total:,}" for total in totals))) + f"<p>{note}</p>"


def _sizes(frozen: dict) -> str:
    rows = [
        (
            layer["name"],
            f"{layer['weights']:,}",
            f"{layer['groups']:,}",
            f"{layer['planes']:,}",
            f"{layer['average_bits']:.2f}",
            str(layer["accumulator_bits"]),
        )
        for layer in frozen["layers"]
    ]
    head = ("layer", "weights", "groups", "planes", "sign bits per weight", "accumulator bits")
    total = {key: sum(layer[key] for layer in frozen["layers"]) for key in ("weights", "groups", "planes")}
    foot = ("all", *(f"{value:,}" for value in total.values()), f"{frozen['average_bits']:.2f}", "")
    sizes = (
        ("file", f"{frozen['bytes']:,} bytes: signs, coordinates, biases, sizes and checksum"),
        ("the same in float32", f"{4 * frozen['parameters']:,} bytes for {frozen['parameters']:,} weights and biases"),
        ("compression by bytes", f"{frozen['compression_bytes']:.2f}x"),
        ("compression by sign bits", f"{frozen['compression_bits']:.2f}x"),
    )
    return table(head, rows, foot) + facts(sizes)


def _hardware(converted: dict) -> str:
    row = converted["estimated"]
    if row is None:
        return ""
    clock = converted["clock_mhz"]
    figures = (
        ("cycles per frame", f"{row['cycles_per_frame']:,}: {row['cycles_per_frame'] / clock:.1f} us at {clock:g} MHz"),
        ("cycles between frames", f"{row['cycles_between_frames']:,}"),
        ("LUT", f"{row['luts']:,}"),
        ("FF", f"{row['ffs']:,}"),
        ("BRAM36", f"{row['bram36']:g}"),
        ("DSP", f"{row['dsp']}"),
    )
    return (
        f"<h2>Hardware, estimated</h2><p>By formulas for {escape(converted['part'])}, folded as the project is; "
        "nothing here was synthesised. <code>ecg-alq hardware</code> measures with open tools.</p>" + facts(figures)
    )


def _provenance(summary: dict, products: dict[str, Product]) -> str:
    manifest = products["freeze"].manifest
    return facts(
        (
            ("data", summary["data_source"]),
            ("data, SHA-256", manifest["inputs"]["data"]),
            ("frozen network, SHA-256", summary["identity"]),
            ("program, SHA-256", manifest["inputs"]["program"]),
            ("revision", summary["git_revision"] or "not in a git repository"),
            ("seed", str(summary["seed"])),
            ("frozen at", manifest["started"]),
            ("versions", ", ".join(f"{name} {version}" for name, version in summary["versions"].items())),
            *((f"{step} took", duration(seconds)) for step, seconds in summary["seconds"].items()),
        )
    )
