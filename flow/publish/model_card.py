"""The figures of MODEL_CARD.md: accuracy under every protocol, per class results, the networks that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.build.results import read_rows
from flow.look import pictures
from flow.look.words import percent
from flow.publish.readme import neighbours, of_earlier_recipe
from qmodel import models
from qmodel.data.fragments import CLASS_NAMES, load_index
from qmodel.data.mitdb import person
from qmodel.hyperparameters import PEOPLE_RECIPE

PROTOCOLS = {
    "stratified": "windows apart, persons not",
    "blocked": "five-minute blocks apart, persons not",
    "patient": "persons apart, classes with at least two persons",
}


def figures(results: Path) -> str:
    """The section in Markdown, of the results files that exist; its pictures are those of `confusion_pictures`.

    Raises: InputError: a damaged results file.
    """
    parts = (_people, _shipped, _accuracy, _worth, _allocation, _classes, _confusions, _matrices, _recipes)
    return "\n\n".join(text for part in parts if (text := part(results)))


def confusion_pictures(results: Path) -> dict[Path, str]:
    """Every picture of the card, as file beside the results -> its SVG: the confusion matrix of every network under
    every protocol, and how far confidence can be relied upon."""
    drawn = {}
    if calibrated := _calibrated(results):
        label = "Accuracy by confidence, persons never met"
        drawn[results / RELIABILITY] = pictures.file(pictures.reliability(calibrated), label)
    return drawn | {
        _confusion_file(results, row, protocol): pictures.file(
            pictures.confusion(np.array(row["confusion"]), list(CLASS_NAMES), f"{row['network']} under {protocol}"),
            _confusion_title(row, protocol),
        )
        for protocol in PROTOCOLS
        for row in _frozen(results, protocol)
    }


def _confusion_file(results: Path, row: dict, protocol: str) -> Path:
    return results / f"confusion-{protocol}-{row['network']}.svg"


def _confusion_title(row: dict, protocol: str) -> str:
    return f"Confusion matrix of {row['network']}, frozen, under {protocol}"


RELIABILITY = "people-reliability.svg"


def _calibrated(results: Path) -> list[tuple[str, dict]]:
    """Whose confidence was compared with how often it is right: names and bins."""
    names = {"ec57": "MIT-BIH, DS2", "without:cinc2017": "cinc2017, left out", "without:vfdb": "vfdb, left out"}
    found = {row["protocol"]: row.get("calibration") for row in read_rows(results / "people.json")}
    return [(name, bins) for protocol, name in names.items() if (bins := found.get(protocol))]


def _table(head: list[str], rows: list[list[str]], right: int) -> str:
    """A Markdown table whose columns from `right` on are right-aligned."""
    rule = "|" + "".join("---|" if i < right else "---:|" for i in range(len(head)))
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)])


def _people(results: Path) -> str:
    """What `rhythm` does on persons and databases that its training left out (benchmarks/people.py)."""
    found = {row["protocol"]: row for row in read_rows(results / "people.json")}
    rows = []
    if "patient" in found:
        row = found["patient"]
        value = f"{row['accuracy_mean']:.1f} % (std {row['accuracy_std']:.1f}; pooled {row['accuracy_pooled']:.1f} %)"
        what = f"windows of persons apart in MIT-BIH, {len(row['folds'])} folds, other databases in training"
        rows.append([what, f"accuracy, {len(row['classes'])} classes", value, f"{row['bytes']:,}"])
    for protocol, what in (
        ("ec57", "beats of DS2, by DS1 and the other databases"),
        ("without:svdb", "beats of the Supraventricular Arrhythmia Database, by all others"),
    ):
        if protocol in found:
            row = found[protocol]
            for kind, name in (("QRS", "any beat"), ("V", "ventricular"), ("S", "supraventricular")):
                score = row[kind]
                value = f"{score['sensitivity']:.2f} %, {score['positive_predictivity']:.2f} %, {score['f1']:.2f} %"
                rows.append([what, name, value, f"{row['bytes']:,}"])
    if "without:cinc2017" in found:
        row = found["without:cinc2017"]
        value = f"AUC {row['af_auc_windows']:.3f} by window, {row['af_auc_records']:.3f} by recording"
        what = "atrial fibrillation against sinus rhythm, Challenge 2017, lead I, by all others"
        rows.append([what, f"{row['persons']} recordings", value, f"{row['bytes']:,}"])
    if "without:vfdb" in found:
        row = found["without:vfdb"]
        score = row["ventricular"]
        value = f"{score['sensitivity']:.2f} %, {score['positive_predictivity']:.2f} %, {score['f1']:.2f} %"
        what = "VT and flutter against the rest, Malignant Ventricular database, by all others"
        refused = f"{row['refused_percent']:.1f} % of all windows refused"
        if "refused_percent_ventricular" in row:
            refused += f", {row['refused_percent_ventricular']:.1f} % of these"
        rows.append([what, refused, value, f"{row['bytes']:,}"])
        if "fibrillation_called_ventricular_percent" in row:
            value = f"{row['fibrillation_called_ventricular_percent']:.1f} % called VT or VFL"
            what = "ventricular fibrillation, which is no class, in the same"
            rows.append(
                [what, f"{row['fibrillation_refused_percent']:.1f} % of them refused", value, f"{row['bytes']:,}"]
            )
    calibrated = _calibrated(results)
    for name, bins in calibrated:
        value = f"{bins['error_percent']:.1f} % ({bins['accuracy_percent']:.1f} % right)"
        rows.append([f"confidence of the rhythm, {name}", f"{bins['windows']:,} windows, expected error", value, ""])
    rows += _elsewhere(found)
    if not rows:
        return ""
    note = (
        "Frozen integer networks of one recipe (`ecg-alq evaluate`, `python -m benchmarks.people`). Figures are "
        "sensitivity, positive "
        "predictivity and F1 where nothing else is said; beats match within 150 ms (ANSI/AAMI EC57), over whole "
        "records; 201 (DS1) and 202 (DS2) are one person, as in the literature."
    )
    earlier = {row["protocol"] for row in found.values() if row.get("recipe") != PEOPLE_RECIPE}
    if earlier:
        note += f" Of an earlier recipe, whose training is not in the project: {', '.join(sorted(earlier))}."
    head = ["tested on", "of what", "figure", "bytes"]
    text = f"### `rhythm` on persons never met (measured)\n\n{note}\n\n" + _table(head, rows, 2)
    if calibrated:
        text += f"\n\n![Accuracy by confidence, persons never met](results/{RELIABILITY})"
    return text


def _elsewhere(found: dict[str, dict]) -> list[list[str]]:
    """Rows of what the network that ships says where no person is tested."""
    rows = []
    if "refused" in found:
        row = found["refused"]
        what = f"real ECG of all databases, trained on, {row['windows']:,} windows"
        value = f"{row['refused_percent']:.2f} %, {row['unlike_percent']:.2f} %"
        rows.append([what, "refused as not an ECG, as unlike the training data", value, f"{row['bytes']:,}"])
    if "foreign" in found:
        row = found["foreign"]
        value = f"{row['classes_said']} of {row['windows']}"
        rows.append(["sines, noise, pulse waves, random walks, EEG-like", "a class said", value, f"{row['bytes']:,}"])
    if "simulated" in found:
        row = found["simulated"]
        value = ", ".join(f"{name} {row[name]['wrong']} of {row[name]['windows']}" for name in ("ecgsyn", "simple"))
        rows.append(["NeuroKit2's simulated ECG, 50 to 110 a minute", "not called sinus", value, f"{row['bytes']:,}"])
    if "rtl" in found:
        row = found["rtl"]
        value = f"{row['mismatches']} of {row['integers']:,}"
        rows.append(
            [f"Verilog core, {row['windows']} real windows", "integers that differ", value, f"{row['bytes']:,}"]
        )
    return rows


def _shipped(results: Path) -> str:
    rows = [
        [f"`{row['network']}`", f"{row['bytes']:,}", f"{row['compression_bytes']:.2f}x", str(row["windows"]),
         f"{row['other_windows']:,}", f"`{row['identity'][:16]}`"]
        for row in read_rows(results / "models.json")
    ]  # fmt: skip
    if not rows:
        return ""
    head = ["network", "bytes", "compression by bytes", "windows with a class", "other windows", "identity"]
    return "### The networks that ship (measured)\n\n" + _table(head, rows, 1)


def _frozen(results: Path, protocol: str) -> list[dict]:
    return [row for row in read_rows(results / f"{protocol}.json") if row["stage"] == "frozen"]


def _accuracy(results: Path) -> str:
    rows = []
    for protocol, meaning in PROTOCOLS.items():
        for row in _frozen(results, protocol):
            low, high = row["accuracy_interval_95"]
            earlier = "; an earlier recipe" if of_earlier_recipe(results, row) else ""
            rows.append([
                f"`{row['network']}`", f"`{protocol}`: {meaning}{earlier}", str(row["folds"]),
                percent(row["accuracy_mean"]),
                f"{100 * row['accuracy_std']:.2f}", f"{100 * low:.2f} to {100 * high:.2f}",
                percent(pooled_f1(row)), f"{row['bytes']:,}",
            ])  # fmt: skip
    if not rows:
        return ""
    head = [
        "network",
        "protocol",
        "folds",
        "accuracy",
        "std",
        "95 % interval",
        "pooled macro F1",
        "largest file, bytes",
    ]
    note = (
        "Frozen integer networks on windows that no training step has seen (measured). Accuracy is the mean over "
        "folds. Macro F1 is of the windows of all folds together: a mean over folds leaves out classes that a fold "
        "lacks."
    )
    return f"### Accuracy\n\n{note}\n\n" + _table(head, rows, 2)


def pooled_f1(row: dict) -> float:
    """Macro F1 of the confusion matrix of all folds together, over the classes that were tested."""
    return float(np.mean([entry["f1"] for entry in row["classes"] if entry["f1"] is not None]))


def _worth(results: Path) -> str:
    """What the accuracies are worth: how near the test windows lie to training ones, and what else is true of them."""
    lines = []
    for protocol in PROTOCOLS:
        for folds in sorted({row["folds"] for row in _frozen(results, protocol)}):
            if share := neighbours(protocol, folds):
                lines.append(
                    f"- `{protocol}`, {folds} folds: {share.touching} of {share.tested} test windows "
                    f"({100 * share.touching / share.tested:.0f} %) directly touch a training window of the same "
                    f"record, {share.near} have one within 60 s."
                )
    if not lines:
        return ""
    lines += [
        "- Every validation part is another fold's test part. Nothing was chosen on a fold's own test part, but the "
        "1000 windows together are not untouched.",
        "- So `stratified` answers the literature's question, whether a window is recognised among its neighbours. How "
        "well somebody new is recognised is what `patient` says.",
        "- Of what is published, 97.50 % in 4.45 KB (Pu 2023) is the best of 1,000 test epochs on one split whose "
        "windows were not grouped: 195 of 200.",
    ]
    return "### What these accuracies are worth\n\n" + "\n".join(lines)


def _allocation(results: Path) -> str:
    """Who set the bitwidths of the networks that ship, and what the comparison of recipes says about that."""
    lines = []
    for row in read_rows(results / "models.json"):
        recipe = row["recipe"]
        by_hand = not isinstance(recipe["bits"], int)
        network = models.load(row["network"])
        groups = np.concatenate([layer.plane_counts.reshape(-1) for layer in network.plane_layers])
        least = [layer.plane_counts.min() for layer in network.plane_layers]
        most = [layer.plane_counts.max() for layer in network.plane_layers]
        mixed = sum(0 < low < high for low, high in zip(least, most, strict=True))
        emptied = int((groups == 0).sum())
        lines.append(
            f"- `{row['network']}`: largest bitwidths "
            + (f"set by hand, layer by layer ({', '.join(map(str, recipe['bits']))})" if by_hand
               else f"of {recipe['bits']} everywhere, the rest found by pruning")
            + f"; {emptied} of {len(groups)} groups have no plane left, "
            f"{mixed} of {len(least)} layers have groups of different bitwidths above zero."
        )  # fmt: skip
    if not lines:
        return ""
    for row in read_rows(results / "adaptive.json"):
        lines.append(adaptive_words(row))
    return "### Bitwidths: what is adaptive in them\n\n" + "\n".join(lines)


def adaptive_words(contest: dict) -> str:
    """What a comparison of recipes found, in one line of a list. Args: contest: a row of `results/adaptive.json`."""
    ranking = contest["ranking"]
    runs = min(row["runs"] for row in ranking)
    order = ", ".join(f"{row['recipe']} {row['loss']:.3f}" for row in ranking)
    reference = next(row for row in ranking if row["recipe"] == "adaptive")
    apart = [
        row["recipe"] for row in ranking
        if (pair := row["minus"].get("adaptive")) and not pair["interval_95"][0] <= 0 <= pair["interval_95"][1]
    ]  # fmt: skip
    told = f"told apart from `adaptive`: {', '.join(apart)}" if apart else "none is told apart from `adaptive`"
    return (
        f"- Compared at {contest['budget_bytes']:,} bytes (`{contest['network']}`, {runs} "
        f"{'run' if runs == 1 else 'runs'} of fold and seed, {reference['windows']} windows that none trained on, "
        f"{100 * contest['share_of_epochs']:.0f} % of the epochs; log loss): {order}. By 95 % intervals {told}."
    )


def _classes(results: Path) -> str:
    index = load_index()
    persons = {
        name: len({person(record) for record in index.record[index.label == i]}) for i, name in enumerate(CLASS_NAMES)
    }
    parts = []
    for row in _frozen(results, "stratified"):
        rows = [
            [f"{entry['name']}: {CLASS_NAMES[entry['name']]}", str(persons[entry["name"]]), str(entry["windows"]),
             *(percent(entry[key]) for key in ("sensitivity", "positive_predictivity", "f1"))]
            for entry in row["classes"]
        ]  # fmt: skip
        head = ["class", "persons", "windows", "sensitivity", "positive predictivity", "F1"]
        parts.append(f"### Per class, `{row['network']}`, `stratified` (measured)\n\n" + _table(head, rows, 1))
    return "\n\n".join(parts)


def _confusions(results: Path, most: int = 8) -> str:
    """The most frequent mistakes of every network."""
    names = list(CLASS_NAMES)
    lines = []
    for row in _frozen(results, "stratified"):
        wrong = np.array(row["confusion"]) * (1 - np.eye(len(names), dtype=int))
        worst = np.argsort(-wrong, axis=None, kind="stable")[:most]
        mistakes = [
            f"{names[i // len(names)]} classified as {names[i % len(names)]} {times} time{'s'[: times - 1]}"
            for i in worst
            if (times := wrong.flat[i])
        ]
        lines.append(f"- `{row['network']}`: {', '.join(mistakes)}.")
    if not lines:
        return ""
    for row in read_rows(results / "annotations.json"):
        lines.append(
            f"- The labels have a limit too: a random forest that reads the annotated beats and rhythms instead of "
            f"the signal is right on {percent(row['accuracy_mean'])} of the same windows."
        )
    return "### Most frequent confusions (measured, `stratified`)\n\n" + "\n".join(lines)


def _matrices(results: Path) -> str:
    """The confusion pictures, a row per protocol, which they name, and a column per network."""
    networks = [f"`{row['network']}`" for row in _frozen(results, "stratified")]
    rows = []
    for protocol in PROTOCOLS:
        shown = {
            f"`{row['network']}`": f"![{_confusion_title(row, protocol)}]"
            f"({results.name}/{_confusion_file(results, row, protocol).name})"
            for row in _frozen(results, protocol)
        }
        if shown:
            rows.append([shown.get(network, "") for network in networks])
    if not rows:
        return ""
    note = "Rows: class of the window. Columns: answer of the frozen network. Test windows of all folds together."
    return f"### Confusion matrices (measured)\n\n{note}\n\n" + _table(networks, rows, len(networks))


def _recipes(results: Path) -> str:
    """Every recipe that was ever tested on the folds of `stratified`: nothing hides how often they were looked at."""
    rows = []
    for network in sorted({row["network"] for row in _frozen(results, "stratified")}):
        everything = [*read_rows(results / "stratified.json", "earlier"), *read_rows(results / "stratified.json")]
        own = [row for row in everything if row["network"] == network]
        before: dict[str, object] = {}
        for row in own:
            if row["stage"] != "frozen":
                continue
            settings, changes = _flat(row["recipe"]), []
            for name, value in settings.items():
                former = before.get(name, before.get(name.split(".")[-1]))  # some moved into a group of settings
                if before and former != value:
                    changes.append(f"{name} {'' if former is None else f'{former} → '}{value}")
            full = [r for r in own if r["stage"] == "float" and r["recipe"] == row["recipe"]]
            rows.append([
                f"`{network}`", "; ".join(changes) or "the first",
                "".join(percent(r["accuracy_mean"]) for r in full), percent(row["accuracy_mean"]),
                percent(row["macro_f1_mean"]), f"{row['bytes']:,}",
            ])  # fmt: skip
            before = settings
    if not rows:
        return ""
    head = [
        "network",
        "what differs from the row above",
        "before quantisation",
        "frozen",
        "macro F1 by folds",
        "bytes",
    ]
    note = (
        "Oldest first. The last row of a network is the recipe above. Each recipe was chosen on validation windows and "
        "then tested once. The program also changed between rows."
    )
    table = _table(head, rows, 2)
    return f"### Every recipe tested so far (measured, `stratified`)\n\n{note}\n\n{table}"


def _flat(settings: dict, prefix: str = "") -> dict[str, object]:
    """Nested settings as `outer.inner` -> value."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
