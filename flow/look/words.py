"""What a step's results look like in a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def percent(share: float) -> str:
    """A share as a percentage with two decimals."""
    return f"{100 * share:.2f} %"


def clock(seconds: float) -> str:
    """Time from the start of a recording, as h:mm:ss."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def pruning(history: Sequence[dict], layers: Sequence[dict]) -> str:
    """What pruning did to a network, in two sentences; nothing where the history does not say.

    Args: history: epochs of quantisation (`ALQTrainer.fit`); layers: of the frozen network, with their planes.
    """
    if not all("pruned" in epoch for epoch in history):
        return ""
    gone = sum(number for epoch in history for number in epoch["pruned"].values())
    kept = sum(layer["planes"] for layer in layers)
    if not gone:
        return (
            f"The budget had room for all {kept:,} planes: pruning took none, and the bitwidths are as the recipe set "
            "them. Nothing here was allocated by the loss."
        )
    paid = sum(value for epoch in history for value in epoch["paid"].values())
    return (
        f"To meet the budget, pruning took {gone:,} of {gone + kept:,} planes, those that cost the loss least for what "
        f"they save. By the quadratic model of the loss they cost {paid:.2g} together."
    )


def paid_by_layer(history: Sequence[dict]) -> dict[str, float] | None:
    """Modelled loss that every layer paid for its pruned planes; None where the history does not say."""
    if not history or not all("paid" in epoch for epoch in history):
        return None
    return {name: sum(epoch["paid"][name] for epoch in history) for name in history[0]["paid"]}


def lines(step: str, results: dict) -> list[str]:
    """Lines for people: label and value, the data source first when it is synthetic."""
    rows = {
        "train": _trained,
        "quantise": _trained,
        "freeze": _frozen,
        "convert": _converted,
        "csim": _simulated,
        "parity": _compared,
        "report": _reported,
    }[step](results)
    width = max(len(label) for label, _ in rows)
    text = [f"{label:<{width}}  {value}" for label, value in rows]
    return [f"{results['note'].upper()}", *text] if "note" in results else text


def _trained(results: dict) -> list[tuple[str, str]]:
    return [
        ("validation accuracy", percent(results["accuracy_validation"])),
        ("test accuracy", percent(results["accuracy_test"])),
    ]


def _frozen(results: dict) -> list[tuple[str, str]]:
    return [
        ("test accuracy, golden model", percent(results["accuracy_test"])),
        ("bytes", f"{results['bytes']:,}"),
        ("compression by bytes", f"{results['compression_bytes']:.2f} x"),
        ("compression by sign bits", f"{results['compression_bits']:.2f} x"),
        ("identity", results["identity"]),
    ]


def _converted(results: dict) -> list[tuple[str, str]]:
    return [
        ("part", f"{results['part']}, {results['clock_mhz']:g} MHz, {results['backend']}, {results['io_type']}"),
        ("files", str(results["files"])),
        *((name, f"{value} (estimated)") for name, value in _estimated(results["estimated"])),
        ("frozen network", results["identity"]),
    ]


def _estimated(row: dict | None) -> list[tuple[str, str]]:
    if row is None:
        return []
    return [
        ("cycles per frame", f"{row['cycles_per_frame']:,}"),
        ("LUT, FF", f"{row['luts']:,}, {row['ffs']:,}"),
        ("BRAM36, DSP", f"{row['bram36']:g}, {row['dsp']}"),
    ]


def _simulated(results: dict) -> list[tuple[str, str]]:
    return [
        ("test accuracy, C simulation", percent(results["accuracy_test"])),
        ("windows", str(results["windows"])),
        ("mismatching logits", str(results["mismatches"])),
        ("compiled in", f"{results['compile_seconds']:.1f} s"),
        ("time per window", f"{1000 * results['seconds_per_window']:.1f} ms"),
    ]


def _compared(results: dict) -> list[tuple[str, str]]:
    return [
        *((f"test accuracy, {engine}", percent(value)) for engine, value in results["accuracy"].items()),
        ("windows compared", str(results["windows_compared"])),
        ("layers compared", str(results["layers_compared"])),
        ("integers compared", f"{results['integers_compared']:,}"),
        ("mismatches", str(results["mismatches"])),
        ("frames independent", "yes" if results["frames_independent"] else "NO"),
        *((("first difference", results["first_difference"]),) if results["first_difference"] else ()),
    ]


def _reported(results: dict) -> list[tuple[str, str]]:
    return [
        ("network, split", f"{results['network']}, fold {results['fold']} of {results['protocol']}"),
        ("data", results["data_source"]),
        ("test accuracy, float", percent(results["accuracy_float"])),
        *((f"test accuracy, {engine}", percent(value)) for engine, value in results["accuracy"].items()),
        ("bytes", f"{results['bytes']:,}"),
        ("compression by bytes", f"{results['compression_bytes']:.2f} x"),
        ("compression by sign bits", f"{results['compression_bits']:.2f} x"),
        ("windows compared", str(results["windows_compared"])),
        ("mismatches", str(results["mismatches"])),
        ("report", results["page"]),
    ]


def evaluation(rows: list[dict]) -> list[str]:
    """Rows of a cross-validation: network, stage, accuracy, macro F1, bytes."""
    return [
        f"{row['network']}, {row['stage']}: accuracy {percent(row['accuracy_mean'])}, "
        f"macro F1 {percent(row['macro_f1_mean'])}, {row['bytes']:,} bytes, {row['folds']} folds"
        for row in rows
    ]


def abstention(row: dict) -> list[str]:
    """Accuracy against the share of windows answered (flow.experiments.abstain)."""

    def line(entry: dict) -> str:
        right = "none answered" if entry["accuracy"] is None else f"{percent(entry['accuracy'])} of those right"
        return f"{percent(entry['answered']):>8} answered, {right}"

    return [
        f"{row['network']}, {row['protocol']}, {row['part']} parts of {row['folds']} folds, {row['windows']:,} windows",
        f"threshold {row['threshold']:g}: {line(row['at_threshold']).strip()}",
        *(f"  {entry['threshold']:4.2f}  {line(entry)}" for entry in row["curve"]),
        f"expected calibration error {percent(row['calibration']['expected_error'])}",
        *(
            f"  {entry['noise']:<8} noise, {entry['signal_to_noise_db']:>3} dB: {percent(entry['not_usable'])} "
            f"not usable, {line(entry).strip()}"
            for entry in row["noise"]
        ),
    ]


def people(rows: list[dict]) -> list[str]:
    """Figures of persons never met (flow.experiments.people_protocols)."""
    found = []
    for row in rows:
        found += [
            f"{row['protocol']}, {name}: sensitivity {row[name]['sensitivity']:.2f} %, positive predictivity "
            f"{row[name]['positive_predictivity']:.2f} %, F1 {row[name]['f1']:.2f} %"
            for name in ("QRS", "V", "S", "ventricular")
            if name in row
        ]
        if "af_auc_windows" in row:
            found.append(
                f"{row['protocol']}, atrial fibrillation: AUC {row['af_auc_windows']:.3f} by window, "
                f"{row['af_auc_records']:.3f} by recording"
            )
        if "accuracy_mean" in row:
            found.append(f"{row['protocol']}: {row['accuracy_mean']:.2f} ± {row['accuracy_std']:.2f} % of the windows")
    return found
