"""04_convert: the plane table and its C++, one output by hand, C simulation, parity, and what one flipped bit does."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from flow.build.products import Product
from flow.lessons.planes import load  # noqa: F401 - the notebook calls it here
from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked, same_as_report
from flow.look.html import Html, card, facts, table
from flow.look.pictures import ACCENT, BAD, GOOD, GRID, INK, MUTED, SECOND, figure
from qmodel.frozen import FrozenNetwork, PlaneLayer, Stage

FILES = {  # of a project, with what each is
    "firmware/ecg_alq.cpp": "the core's top: samples in, logits out, as AXI4-Stream",
    "firmware/alq_network.cpp": "the layers, one after the other, all working at once",
    "firmware/weights": "the plane tables: signs, coordinates, biases",
    "firmware/nnet_utils": "the kernels: plane convolution, pooling, requantisation",
    "firmware/ap_types": "arbitrary-width integers for the C simulation",
    "ecg_alq_test.cpp": "the testbench: frames in, logits compared",
    "tb_data": "golden frames and their logits",
    "build_prj.tcl": "what Vitis HLS runs",
    "network.alq": "the frozen network itself",
    "manifest.json": "formats, folding, versions, a hash of every file",
}
SHOWN_PLANES = 8


def sign_cells(signs: np.ndarray) -> Html:
    """A row of signs as plus and minus."""
    cells = "".join(
        f'<span style="color: var(--{"accent" if sign else "second"})">{"+" if sign else "&minus;"}</span>'
        for sign in signs[:40]
    )
    return Html(
        f'<code style="letter-spacing: .15em; font-weight: 700">{cells}{"..." if len(signs) > 40 else ""}</code>'
    )


def plane_table(network: FrozenNetwork, layer: str = "conv1") -> Html:
    """The first planes of a layer as they are stored: whose they are, their coordinate, their signs."""
    stage = _stage(network, layer)
    planes, fraction = stage.layer, stage.layer.coordinate_format.fraction
    rows = [
        (
            str(number),
            str(planes.plane_filter[number]),
            str(planes.plane_group[number]),
            str(planes.coordinates[number]),
            f"{planes.coordinates[number] * 2.0**-fraction:.4f}",
            sign_cells(planes.signs[number]),
        )
        for number in range(min(SHOWN_PLANES, len(planes.coordinates)))
    ]
    head = ("plane", "filter", "group", "coordinate, integer", f"coordinate x 2^-{fraction}", "signs")
    return Html(table(head, rows, kind="words"), 940)


def project_files(converted: Product) -> Html:
    """What lies in the HLS project."""
    project = converted.folder / "project"
    rows = []
    for name, words in FILES.items():
        path = project / name
        size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
        rows.append((Html(f"<code>{name}{'/' if path.is_dir() else ''}</code>"), words, f"{size:,} bytes"))
    return Html(table(("file", "what it is", "size"), rows, kind="words"), 860)


def source(converted: Product, name: str, first: str = "", lines: int = 16) -> Html:
    """Lines of a file of the project. Args: first: text of the line to begin with."""
    text = (converted.folder / "project" / name).read_text("utf-8").splitlines()
    start = next((i for i, line in enumerate(text) if first in line), 0)
    shown = escape("\n".join(line[:140] for line in text[start : start + lines]))
    return Html(card(f'<pre style="margin: 0; font-size: 12px; overflow-x: auto">{shown}</pre>', name), 1000)


def engine_picture() -> Html:
    """What the hardware does with a plane: no multiplication but the one with the coordinate."""
    with figure("engine", 9.4, 1.6) as (_, axes, drawn):
        boxes = (
            (0.0, "window", "the samples\nunder the filter", GRID),
            (1.9, "signs", "keep x where +,\nnothing where \u2212", ACCENT),
            (3.8, "adder tree", "all lanes of\na cycle at once", ACCENT),
            (5.7, "2 x sum \u2212 total", "total: shared by\nall planes of a group", ACCENT),
            (7.6, "x coordinate", "one multiplier\n(DSP block)", SECOND),
            (9.5, "accumulator", "planes add up\non the bias", ACCENT),
            (11.4, "round, clip", "to 4 bits: ReLU\nand requantise", SECOND),
        )
        for x, name, words, colour in boxes:
            axes.barh(0, 1.5, left=x, height=0.8, color=colour, alpha=0.35, linewidth=0)
            axes.text(x + 0.75, 0.02, name, ha="center", va="center", fontsize=9)
            axes.text(x + 0.75, -0.55, words, ha="center", va="top", fontsize=7.5, color=MUTED)
            if x:
                axes.annotate("", (x, 0), (x - 0.4, 0), arrowprops={"arrowstyle": "->", "color": MUTED})
        axes.set(xlim=(-0.2, 13.1), ylim=(-1.0, 0.5))
        axes.set_axis_off()
    caption = "A plane engine: plus and minus of one bit per weight, one multiplication per plane"
    return Html(card(drawn[0], caption), 940)


@dataclass(frozen=True)
class HandSum:
    """One output of a layer, plane by plane: sums of plus and minus the inputs, then coordinates, bias, rounding."""

    filter: int
    time_step: int
    inputs: np.ndarray  # integers under the filter, (weight,)
    signs: np.ndarray  # (plane, weight)
    sums: np.ndarray  # (plane,)
    coordinates: np.ndarray  # (plane,)
    bias: int
    accumulator: int
    shift: int
    output: int
    golden: int


def by_hand(walk: Walk, network: FrozenNetwork, filter: int = 0) -> HandSum:
    """Compute one output of the first layer as the number contract says, beside the golden model's."""
    window = walk.test_integers[:1]
    stage = network.plane_stages[0]
    layer: PlaneLayer = stage.layer
    golden = stage.layer.run(window[:, :, None], stage.input_format)[0, :, filter]
    step = int(golden.argmax())
    start = step * layer.stride - layer.padding[0]
    padded = np.pad(window[0], layer.padding)
    inputs = padded[start + layer.padding[0] : start + layer.padding[0] + layer.taps]
    mine = layer.plane_filter == filter
    signs = np.where(layer.signs[mine], 1, -1)
    places = layer.weight_index[layer.plane_group[mine]]
    sums = (signs * inputs[places]).sum(1)
    accumulator = int((layer.coordinates[mine] * sums).sum() + layer.bias[filter])
    form = layer.output
    assert form is not None  # a layer before the last
    shift = stage.input_format.fraction + layer.coordinate_format.fraction - form.fraction
    output = min(max(round(accumulator / 2**shift), form.low), form.high)  # Python rounds half to even, as we do
    return HandSum(
        filter, step, inputs, signs, sums, layer.coordinates[mine], int(layer.bias[filter]), accumulator, shift, output,
        int(golden[step]),
    )  # fmt: skip


def hand_picture(hand: HandSum) -> Html:
    """The sum as a table: inputs, then one line per plane, then bias, accumulator, output."""
    names = [f"plane {number + 1}" for number in range(len(hand.sums))]
    shown = min(16, len(hand.inputs))
    head = ("", *(f"x{i}" for i in range(shown)), "sum of \u00b1x", "coordinate", "product")
    rows = [("inputs", *map(str, hand.inputs[:shown]), "", "", "")]
    for name, signs, total, coordinate in zip(names, hand.signs, hand.sums, hand.coordinates):
        cells = (sign_cells(signs[i : i + 1] > 0) for i in range(shown))
        rows.append((name, *cells, str(total), str(coordinate), f"{total * coordinate:,}"))
    blank = [""] * (shown + 2)
    rows.append(("bias", *blank, f"{hand.bias:,}"))
    rows.append(("accumulator", *blank, f"{hand.accumulator:,}"))
    foot = (f"output: / 2^{hand.shift}, rounded, 0 to 15", *blank, str(hand.output))
    note = (
        f"<p>First layer, filter {hand.filter}, time step {hand.time_step}. Here {hand.output}, golden model "
        f"{hand.golden}.</p>"
    )
    return Html(table(head, rows, foot) + note, 1060)


def parity_picture(parity: Product) -> Html:
    """Every engine and layer as a cell: green where all integers are the golden ones."""
    layers = parity.results["layers"]
    return Html(card(_grid("parity", layers), _verdict(parity.results["mismatches"])), 940)


def _verdict(mismatches: int) -> str:
    return f"{mismatches:,} integers differ from the golden model" if mismatches else "every integer is the golden one"


def _grid(name: str, layers: list[dict]) -> Html:
    engines = list(layers[0]["mismatches"])
    with figure(name, 9.4, 0.9 + 0.55 * len(engines)) as (_, axes, drawn):
        for column, layer in enumerate(layers):
            for row, engine in enumerate(engines[::-1]):
                wrong = layer["mismatches"][engine]
                colour = BAD if wrong else GOOD
                axes.barh(row, 0.94, left=column - 0.47, height=0.84, color=colour, alpha=0.6, linewidth=0)
                share = 100 * wrong / layer["integers"]
                text = f"{share:.1f} %\ndiffer" if wrong else f"{layer['integers']:,}\nequal"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=INK)
        axes.set_xticks(range(len(layers)), [layer["name"] for layer in layers], color=INK)
        axes.set_yticks(range(len(engines)), engines[::-1], color=INK)
        axes.set(xlim=(-0.5, len(layers) - 0.5), ylim=(-0.5, len(engines) - 0.5))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    return drawn[0]


@dataclass(frozen=True)
class Flipped:
    """A project with one sign bit flipped: what was changed, and where its C simulation leaves the golden model."""

    layer: str
    line: str
    changed: str
    mismatches: int
    first: str
    layers: list[dict]
    windows: int
    decisions: int  # windows that change class


def flip_one_bit(walk: Walk, converted: Product, layer: str = "conv1") -> Flipped:
    """Copy the project, flip the first sign bit of a layer in its C++, compile, compare on every layer and window."""
    from hls.engines.csim import CSimulation
    from hls.engines.engine import Traced
    from hls.engines.parity import compare

    project = Path(walk.build) / "flipped"
    shutil.rmtree(project, ignore_errors=True)
    shutil.copytree(converted.folder / "project", project)
    header = project / "firmware" / "weights" / f"{layer}_signs.h"
    text = header.read_text("utf-8")
    table_start = text.index("= {")
    found = re.compile(r"[01](?=[,}])").search(text, table_start)
    assert found is not None
    bit = "0" if found[0] == "1" else "1"
    header.write_text(text[: found.start()] + bit + text[found.end() :], "utf-8")
    simulation = CSimulation(project)
    network, engine = simulation.network, "one bit flipped"
    verdict = compare(network, [Traced(engine, network, simulation.trace)], walk.test_integers, progress=True)
    decided = network.run(walk.test_integers).argmax(1)
    changed = int((verdict.logits[engine].argmax(1) != decided).sum())
    layers = [
        {
            "name": stage.name,
            "integers": stage.output_length * stage.output_channels * verdict.windows,
            "mismatches": {engine: verdict.per_layer[engine][stage.name]},
        }
        for stage in network.stages
    ]
    number = text[: found.start()].count("\n")
    return Flipped(
        layer,
        f"{header.relative_to(project)}, line {number + 1}",
        f"{found[0]} became {bit}, one of {sum(p.signs.size for p in network.plane_layers):,} signs",
        verdict.mismatches,
        "; ".join(map(str, verdict.first.values())),
        layers,
        verdict.windows,
        changed,
    )


def flip_picture(flipped: Flipped) -> Html:
    """Parity, red from the changed layer on."""
    rows = (
        ("changed", f"{flipped.line}: {flipped.changed}"),
        ("first difference", flipped.first),
        ("classes", f"{flipped.decisions} of {flipped.windows} windows now get another class"),
    )
    return Html(card(_grid("flipped", flipped.layers), _verdict(flipped.mismatches)) + facts(rows), 940)


def exercise() -> Exercise:
    """Change of the accumulator when a sign over the input 5 flips to minus, coordinate 3."""
    return Exercise(-2 * 3 * 5, "before, the plane added 3 x 5; now it subtracts 3 x 5.")


def final_table(
    walk: Walk, simulated: Product, parity: Product, flipped: Flipped, hand: HandSum, report: Product
) -> CheckedTable:
    """The figures of 04_convert, checked; those of the report are read from the file that `make flow` writes too."""
    results, compared = report.results, parity.results
    engines = set(compared["accuracy"].values())
    return checked(
        [
            Check("one output by hand", hand.output, "the golden model's", hand.output == hand.golden),
            Check(
                "logits that differ in C simulation",
                simulated.results["mismatches"],
                "none",
                simulated.results["mismatches"] == 0,
            ),
            Check("engines with one accuracy", ", ".join(compared["accuracy"]), "all the same", len(engines) == 1),
            Check(
                "frames do not touch each other",
                str(compared["frames_independent"]),
                "True",
                compared["frames_independent"],
            ),
            Check(
                "integers wrong with one bit flipped",
                flipped.mismatches,
                "above zero: parity sees it",
                flipped.mismatches > 0,
            ),
            Check(
                "where it is seen first",
                flipped.first.split(",")[1].strip() if flipped.first else "nowhere",
                f"in layer {flipped.layer}",
                f"layer {flipped.layer}," in flipped.first,
            ),
            *same_as_report(
                walk,
                {key: results[key] for key in ("accuracy_float", "accuracy_frozen", "bytes", "identity")}
                | {key: compared[key] for key in ("windows_compared", "integers_compared", "mismatches")},
            ),
        ]
    )


def _stage(network: FrozenNetwork, name: str) -> Stage:
    return next(stage for stage in network.plane_stages if stage.name == name)
