"""Tables of Markdown pages, written from results/*.json between two markers, never typed.

The README has a handful of figures (`headline`), the page of results all of them (`table`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flow.build.results import FASTEST, SMALLEST, read_rows, rows_of_goal
from flow.look.words import percent
from qmodel import models
from qmodel.data import splits
from qmodel.data.fragments import load_index
from qmodel.data.mitdb import DataError
from qmodel.errors import InputError
from qmodel.files import write_text

BEGIN, END = "<!-- results: begin (written by `ecg-alq readme`) -->", "<!-- results: end -->"
NETWORKS = ("paper", "compact", "rhythm")
HEADLINE = "compact"  # the network whose benchmark figures and core the README shows
DEFAULT = "rhythm"  # the network that classify and monitor take by default
OURS = "ecg-alq"  # our engine in benchmarks
FRAME_SECONDS = 10  # 3600 samples at 360 Hz
NO_RESULTS = "No results yet: `results/` is empty."

Row = tuple[str, dict[str, str], str, str]  # what, value by network, kind, what to compare it with


def update(page: Path, section: str, write: bool) -> bool:
    """Whether the section between a page's markers differs from what it should be; brought up to date if `write`.

    Raises: InputError: no page or no markers.
    """
    if not page.is_file():
        raise InputError(
            f"{page} does not exist: name the README with --readme, the model card with --card, the page of results "
            "with --table"
        )
    text = page.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise InputError(f"{page} needs the lines {BEGIN!r} and {END!r}, once each, in this order")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return update_file(page, f"{before}\n\n{section}\n\n{after}", write)


def update_file(path: Path, text: str, write: bool) -> bool:
    """Whether a file differs from what it should be, or is missing; brought up to date if `write`."""
    differs = not path.is_file() or path.read_text("utf-8") != text
    if differs and write:
        write_text(path, text)
    return differs


def headline(results: Path) -> str:
    """The README's figures in Markdown, of the results files that exist; the first is for persons never met.

    Raises: InputError: a damaged results file.
    """
    rows = [*_beats(results), *_persons(results), *_size(results), *_cores(results)][:5]
    if not rows:
        return NO_RESULTS
    lines = ["| | network | figure | how it was obtained |", "|---|---|---:|---|"]
    return "\n".join([*lines, *(f"| {what} | {net} | **{value}** | {kind} |" for what, net, value, kind in rows)])


Figure = tuple[str, str, str, str]  # what, network, value, how it was obtained


def _beats(results: Path) -> list[Figure]:
    """Beats of persons never met, by the network that finds beats."""
    return [
        (
            "beats found, and ventricular ones told apart, of **persons never met** (F1)",
            f"`{row['network']}`",
            f"{row['QRS']['f1']:.1f} %, {row['V']['f1']:.1f} %",
            f"measured: MIT-BIH DS2, matched within 150 ms; {row['bytes']:,} bytes",
        )
        for row in read_rows(results / "people.json")
        if row["protocol"] == "ec57"
    ]


def _persons(results: Path) -> list[Figure]:
    """Accuracy on persons never met, by the default network where it was measured, and on persons seen in training."""
    never, seen = (
        "ten-second windows right, **persons never met**",
        "ten-second windows right, persons seen in training",
    )
    found = [
        (
            never,
            f"`{row['network']}`",
            f"{row['accuracy_mean']:.1f} %",
            f"measured: nobody in both training and test; {len(row['classes'])} classes, "
            f"{row['folds'] if isinstance(row['folds'], int) else len(row['folds'])} folds, "
            f"± {row['accuracy_std']:.1f}",
        )
        for row in read_rows(results / "people.json")
        if row["protocol"] == "patient"
    ]
    for protocol, what, how in (
        ("patient", never, "nobody in both training and test"),
        ("stratified", seen, "other windows of the same persons"),
    ):
        for row in read_rows(results / f"{protocol}.json"):
            if (row["network"], row["stage"]) == (HEADLINE, "frozen") and not (found and what == never):
                tested = [entry for entry in row["classes"] if entry["windows"]]
                kind = f"measured: {how}; {len(tested)} classes, {row['folds']} folds"
                if (share := neighbours(protocol, row["folds"])) and share.touching:
                    kind += f"; {100 * share.touching / share.tested:.0f} % of the windows touch a training window"
                found.append((what, f"`{HEADLINE}`", f"{100 * row['accuracy_mean']:.1f} %", kind))
    return found


class Neighbours(NamedTuple):
    """Test windows of all folds, those that touch a training window of their record, those within 60 s of one."""

    tested: int
    touching: int
    near: int


def neighbours(protocol: str, folds: int) -> Neighbours | None:
    """How near test windows lie to training ones; None where the index has no such split."""
    index = load_index()
    try:
        parts = splits.make(protocol, index, folds, 0)
    except DataError:
        return None
    near = [splits.near_training(index, parts, seconds) for seconds in (0, 60)]
    return Neighbours(sum(len(fold.test) for fold in parts), *near)


def _size(results: Path) -> list[Figure]:
    """What ships: one file is the whole network."""
    rows = [row for row in read_rows(results / "models.json") if row["network"] == HEADLINE]
    shipped = models.path(DEFAULT).stat().st_size
    return [
        (
            "size of the whole network, one file",
            f"`{DEFAULT}`, `{HEADLINE}`",
            f"{shipped:,}, {row['bytes']:,} bytes",
            "measured: the files that ship",
        )
        for row in rows
    ]


def _cores(results: Path) -> list[Figure]:
    """The fastest core, and the smallest one, for the device of the PYNQ-Z2."""

    def chosen(goal: str) -> list[dict]:
        rows = rows_of_goal(results / "hardware.json", goal)
        return [row for row in rows if (row["network"], row["target"]) == (HEADLINE, "xc7z020")]

    found = []
    for row in chosen(FASTEST):
        value = f"{row['latency_us']:.0f} µs"
        kind = f"{row['kinds']['cycles']} at {row['clock_mhz']:g} MHz; {row['luts']:,} LUT {row['kinds']['area']}"
        found.append(("time for ten seconds of ECG, fastest core, xc7z020", f"`{HEADLINE}`", value, kind))
    for row in chosen(SMALLEST):
        clock = f"{row['cycles_between_frames'] / FRAME_SECONDS / 1000:,.0f} kHz"
        kind = f"{row['kinds']['area']}; keeps up with the ECG at {clock}, {row['kinds']['cycles']}"
        found.append(("smallest core, xc7z020", f"`{HEADLINE}`", f"{row['luts']:,} LUT", kind))
    return found


def table(results: Path) -> str:
    """The table of all figures in Markdown, of the results files there are. Raises: InputError: a damaged one."""
    rows = [
        *_accuracy(results),
        *_sizes(results),
        *_simulation(results),
        *_microcontroller(results),
        *_hardware(results),
    ]
    if not rows:
        return NO_RESULTS
    lines = [
        "| | `" + "` | `".join(NETWORKS) + "` | kind | to compare |",
        "|---|" + "---:|" * len(NETWORKS) + "---|---|",
    ]
    for what, values, kind, published in rows:
        lines.append("| " + " | ".join([what, *(values.get(name, "") for name in NETWORKS), kind, published]) + " |")
    return "\n".join(lines)


def of_earlier_recipe(results: Path, row: dict) -> bool:
    """Whether a row's network was trained with another recipe than `stratified` tested last: protocols take hours."""
    last = [
        other.get("recipe") for other in read_rows(results / "stratified.json") if other["network"] == row["network"]
    ]
    return bool(last) and row.get("recipe") != last[0]


def _by_network(rows: list[dict], text: Callable[[dict], str]) -> dict[str, str]:
    return {row["network"]: text(row) for row in rows if row["network"] in NETWORKS}


def _percent(row: dict) -> str:
    deviation = row.get("accuracy_std")
    return f"{100 * row['accuracy_mean']:.2f}" + (f" ± {100 * deviation:.2f}" if deviation is not None else "") + " %"


def _accuracy(results: Path) -> list[Row]:
    # Sun 2021 (arXiv 2202.12943) and Pu 2023 (arXiv 2304.01568), as their authors report them.
    marks = "published: 95.84 % for `paper` (the split leaks), 97.50 % in 4.45 KB (the best of 1,000 test epochs)"
    for row in read_rows(results / "annotations.json"):
        marks += f"; measured: {percent(row['accuracy_mean'])} by a random forest on the annotations alone"
    found: list[Row] = []
    for protocol in ("stratified", "blocked", "patient"):
        for stage, suffix in (("frozen", ""), ("float", ", before quantisation")):
            rows = [row for row in read_rows(results / f"{protocol}.json") if row["stage"] == stage]
            if rows:
                what = f"accuracy, {protocol}, {rows[0]['folds']} folds{suffix}"
                compare = marks if (protocol, stage) == ("stratified", "frozen") else ""
                earlier = any(of_earlier_recipe(results, row) for row in rows)
                kind = "measured, earlier recipe" if earlier else "measured"
                found.append((what, _by_network(rows, _percent), kind, compare))
    return found + _abstention(results)


def _abstention(results: Path) -> list[Row]:
    rows = [row for row in read_rows(results / "abstain.json") if row["protocol"] == "stratified"]
    if not rows:
        return []

    def text(row: dict) -> str:
        at = row["at_threshold"]
        return f"{100 * at['accuracy']:.2f} % of {100 * at['answered']:.1f} %"

    what = f"accuracy of the windows answered, stratified (confidence at least {rows[0]['threshold']:g})"
    return [(what, _by_network(rows, text), "measured", "")]


def _sizes(results: Path) -> list[Row]:
    rows = [row for row in read_rows(results / "stratified.json") if row["stage"] == "frozen"]
    if not rows:
        return []
    return [
        ("file", _by_network(rows, lambda row: f"{row['bytes']:,} bytes"), "measured", "published: 4.45 KB at 97.50 %"),
        ("compression by bytes", _by_network(rows, lambda row: f"{row['compression_bytes']:.2f}x"), "measured", ""),
        (
            "compression by sign bits",
            _by_network(rows, lambda row: f"{row['compression_bits']:.2f}x"),
            "measured",
            "published: 23.36x",
        ),
    ]


def _simulation(results: Path) -> list[Row]:
    rows = [{"network": "paper"} | row for row in read_rows(results / "csim.json")]  # the benchmark's network
    own = [row for row in rows if row["engine"] == OURS]
    if not own:
        return []

    def time(row: dict) -> str:
        return f"{1000 * row['seconds_per_window']:.2f} ms"

    others = "; ".join(f"measured in the same run, {row['engine']}: {time(row)}" for row in rows if row not in own)
    return [("C simulation of a window", _by_network(own, time), "measured", others)]


def _microcontroller(results: Path) -> list[Row]:
    """What the C99 export takes on a Cortex-M4."""
    rows = [row for row in read_rows(results / "microcontroller.json") if row["network"] in NETWORKS]
    if not rows:
        return []
    where = f"{rows[0]['target']}, C99"
    return [
        (f"flash, {where}", _by_network(rows, lambda row: f"{row['flash']:,} bytes"), rows[0]["kinds"]["flash"], ""),
        (f"RAM, {where}", _by_network(rows, lambda row: f"{row['ram']:,} bytes"), rows[0]["kinds"]["ram"], ""),
        (
            f"instructions per ten seconds of ECG, {where}",
            _by_network(rows, lambda row: f"{row['instructions'] / 1e6:.1f} million"),
            f"{rows[0]['kinds']['instructions']}: QEMU, {rows[0]['windows']} windows, all logits equal",
            "",
        ),
    ]


def _hardware(results: Path) -> list[Row]:
    """The fastest core of every network and target, and the smallest one."""
    fast, small = (rows_of_goal(results / "hardware.json", goal) for goal in (FASTEST, SMALLEST))
    found: list[Row] = []
    for target in dict.fromkeys(row["target"] for row in fast + small):
        fastest, smallest = ([row for row in rows if row["target"] == target] for rows in (fast, small))
        kinds = (fastest + smallest)[0]["kinds"]

        def add(
            what: str,
            chosen: list[dict],
            text: Callable[[dict], str],
            kind: str,
            published: str = "",
            target: str = target,
        ) -> None:
            found.append((f"{what}, {target}", _by_network(chosen, text), kind, published))

        if fastest:
            add("cycles per ten seconds of ECG", fastest, lambda row: f"{row['cycles_per_frame']:,}", kinds["cycles"])
            add("LUT", fastest, lambda row: f"{row['luts']:,}", kinds["area"])
            add("DSP, BRAM36", fastest, lambda row: f"{row['dsp']}, {row['bram36']:g}", kinds["area"])
            add("highest clock", fastest, lambda row: f"{row['fmax_mhz']:.1f} MHz", kinds["fmax_mhz"])
            clocks = " and ".join(dict.fromkeys(f"{row['clock_mhz']:g}" for row in fastest))
            time = f"{kinds['cycles']} cycles at {clocks} MHz"
            latency = "published: 105.79 us"
            add("time per ten seconds of ECG", fastest, lambda row: f"{row['latency_us']:.2f} us", time, latency)
        if smallest:
            add("smallest core: LUT", smallest, lambda row: f"{row['luts']:,}", kinds["area"])
            add("smallest core: DSP, BRAM36", smallest, lambda row: f"{row['dsp']}, {row['bram36']:g}", kinds["area"])
            add(
                "smallest core: clock that keeps up with the ECG",
                smallest,
                lambda row: f"{row['cycles_between_frames'] / FRAME_SECONDS / 1000:,.0f} kHz",
                f"{kinds['cycles']} cycles in ten seconds",
            )
    return found
