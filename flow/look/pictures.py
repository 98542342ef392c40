"""Pictures as inline SVG whose colours are variables of the page, so that they follow its theme: the report's or a
notebook's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from typing import Any

import numpy as np

from flow.look.html import Html, theme

SAMPLING_RATE_HZ = 360
MM_PER_SECOND, MM_PER_MV = 25, 10  # the standard ECG grid
ADC_UNITS_PER_MV = 200

# Matplotlib draws with these colours; the page's variables take their place.
INK, MUTED, GRID, ACCENT, SECOND, SURFACE = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
GOOD, BAD = "#080808", "#090909"
# One hue per family of rhythms from the Okabe-Ito palette (Okabe and Ito, Color Universal Design, 2008), which readers
# with any colour vision tell apart; lighter to darker within a family. No picture tells a class by its colour alone.
CLASS_COLOURS = {
    "NSR": "#009e73",
    "APB": "#b3dcf5", "AFL": "#56b4e9", "AFIB": "#0072b2", "SVTA": "#004468",
    "PVC": "#fbd0a0", "Bigeminy": "#f5a962", "Trigeminy": "#ea8433", "VT": "#d55e00", "IVR": "#a84a00",
    "VFL": "#7a3600", "Fusion": "#f8e3c8",
    "WPW": "#f0cfe1", "LBBBB": "#cc79a7", "RBBBB": "#9c4d79", "SDHB": "#662a4c",
    "PR": "#f0e442",
}  # fmt: skip
# Of classes of one's own, in their order; after the last one they begin again.
OTHER_COLOURS = ("#009e73", "#d55e00", "#0072b2", "#cc79a7", "#f0e442", "#56b4e9", "#a84a00", "#662a4c", "#b3dcf5")
UNSURE_COLOUR, UNUSABLE_COLOUR = "#999999", "#dddddd"
PLANES = tuple(f"#0700{i:02x}" for i in range(8))  # groups with 0, 1, ... 7 planes


def class_colours(classes: Sequence[str]) -> dict[str, str]:
    """A colour for every class: MIT-BIH's own where all are of the 17, else by their order."""
    if all(name in CLASS_COLOURS for name in classes):
        return {name: CLASS_COLOURS[name] for name in classes}
    return {name: OTHER_COLOURS[i % len(OTHER_COLOURS)] for i, name in enumerate(classes)}


VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--line",
    ACCENT: "--accent",
    SECOND: "--second",
    SURFACE: "--surface",
    GOOD: "--good",
    BAD: "--bad",
} | {colour: f"--planes-{i}" for i, colour in enumerate(PLANES)}


@contextmanager
def figure(name: str, width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> Iterator[tuple]:
    """A figure of our style, in inches; yields (figure, axes, list that receives the SVG).

    Args: name: of the picture, no two of a page the same; rows, columns, options: of `Figure.subplots`.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,  # names inside one page must differ from picture to picture
        "font.size": 9,
        "text.color": INK,
        "axes.labelcolor": MUTED,
        "axes.edgecolor": GRID,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "axes.titlecolor": MUTED,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": GRID,
        "ytick.color": GRID,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "axes.axisbelow": True,
    }
    with matplotlib.rc_context(style):
        made = Figure((width, height), layout="constrained")
        FigureCanvasSVG(made)
        drawn: list[Html] = []
        yield made, made.subplots(rows, columns, **options), drawn
        buffer = io.StringIO()
        made.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        drawn.append(Html(_inline(buffer.getvalue()), round(100 * width)))


def _inline(text: str) -> str:
    """An SVG file as an element of a page: no prolog, no fixed size, the page's colours and font."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    # Matplotlib names every group; in a page only names that something refers to may stay.
    referred = set(re.findall(r"#([\w.-]+)", text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in referred else "", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text


def file(picture: Html, label: str) -> str:
    """A picture as an SVG file of its own, in our colours, which follow the reader's light or dark theme.

    Args: label: read out in place of the picture.
    """
    box = re.search(r'viewBox="([^"]+)"', picture)
    assert box is not None  # matplotlib writes one
    _, _, width, height = map(float, box[1].split())
    # Without a size of its own a picture shrinks to nothing in a cell of a table.
    size = f'width="{picture.width}" height="{picture.width * height / width:.0f}"'
    attributes = f'{size} role="img" aria-label="{escape(label)}" font-family="system-ui, sans-serif"'
    return re.sub("<svg([^>]*)>", rf"<svg\1 {attributes}><style>{theme('svg')}</style>", picture, count=1) + "\n"


def accuracy_curve(phases: Sequence[tuple[str, Sequence[float]]]) -> Html:
    """Validation accuracy after every epoch. Args: phases: name and shares, in the order of training."""
    with figure("accuracy", 5.2, 2.9) as (_, axes, drawn):
        start, lowest = 1, min(min(values) for _, values in phases)
        for i, (name, values) in enumerate(phases):
            epochs = np.arange(start, start + len(values))
            axes.plot(epochs, 100 * np.array(values), color=ACCENT if i == 0 else SECOND, linewidth=1.6, marker=".")
            axes.axvline(start - 0.5, color=GRID, linewidth=0.8)
            axes.annotate(name, (start - 0.3, 1.02), xycoords=("data", "axes fraction"), color=MUTED, fontsize=8)
            start += len(values)
        axes.set(xlabel="epoch", ylabel="validation accuracy, %", xlim=(0.5, start - 0.5))
        axes.set_ylim(max(0, 100 * lowest - 5), 101)
        axes.grid(axis="y")
    return drawn[0]


def size_curve(sizes: Sequence[float], budget: float) -> Html:
    """Bytes after every epoch of quantisation, and the budget."""
    with figure("size", 5.2, 2.9) as (_, axes, drawn):
        axes.plot(np.arange(1, len(sizes) + 1), sizes, color=ACCENT, linewidth=1.6, marker=".")
        axes.axhline(budget, color=SECOND, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.annotate(
            f"budget {budget:,} bytes", (1, budget), (0, 4), textcoords="offset points", color=SECOND, fontsize=8,
            xycoords=("data", "data"), ha="left",
        )  # fmt: skip
        axes.set(xlabel="epoch of quantisation", ylabel="bytes", xlim=(0.5, len(sizes) + 0.5))
        axes.set_ylim(0, 1.08 * max(*sizes, budget))
        axes.grid(axis="y")
    return drawn[0]


def bitwidths(layers: Sequence[dict], paid: Mapping[str, float] | None = None) -> Html:
    """Share of each layer's groups with 0, 1, 2 ... planes, the layer's sign bits per weight, and what its loss paid.

    Args: paid: layer name -> modelled rise of the loss for the planes that pruning took; None: not known.
    """
    highest = max(len(layer["groups_by_planes"]) for layer in layers)
    with figure("bitwidth", 9.4, 1.0 + 0.34 * len(layers)) as (_, axes, drawn):
        places = np.arange(len(layers))[::-1]
        left = np.zeros(len(layers))
        for planes in range(highest):
            counts = [dict(enumerate(layer["groups_by_planes"])).get(planes, 0) for layer in layers]
            share = 100 * np.array(counts) / [layer["groups"] for layer in layers]
            colour = PLANES[min(planes, len(PLANES) - 1)]
            axes.barh(places, share, left=left, height=0.66, color=colour, edgecolor=SURFACE, linewidth=1, label=planes)
            left += share
        for place, layer in zip(places, layers, strict=True):
            axes.annotate(f"{layer['average_bits']:.2f}", (101.5, place), va="center", color=INK, annotation_clip=False)
        if paid is not None:
            for place, layer in zip(places, layers, strict=True):
                text = f"{paid[layer['name']]:.2g}" if paid[layer["name"]] else "0"
                axes.annotate(text, (109, place), va="center", color=INK, annotation_clip=False)
            axes.annotate(
                "loss\npaid", (109, len(layers) - 0.45), va="bottom", color=MUTED, fontsize=8, annotation_clip=False
            )
        axes.annotate(
            "bits per\nweight", (101.5, len(layers) - 0.45), va="bottom", color=MUTED, fontsize=8, annotation_clip=False
        )
        axes.set_yticks(places, [layer["name"] for layer in layers], color=INK)
        axes.set(xlabel="groups, %", xlim=(0, 100), ylim=(-0.5, len(layers) - 0.5))
        axes.tick_params(length=0)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.legend(
            title="planes per group", ncols=highest, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, fontsize=8,
            title_fontsize=8, handlelength=1, columnspacing=1, borderaxespad=0.2,
        )  # fmt: skip
    return drawn[0]


def confusion(matrix: np.ndarray, classes: Sequence[str], who: str = "frozen network") -> Html:
    """Confusion matrix (true class, predicted class): counts, shaded by the share of the true class."""
    from matplotlib.patches import Rectangle

    with figure("confusion", 6.6, 6.2) as (_, axes, drawn):
        number = len(classes)
        for true, predicted in zip(*np.nonzero(matrix), strict=True):
            share = matrix[true, predicted] / matrix[true].sum()
            colour = ACCENT if true == predicted else SECOND
            place = (predicted - 0.5, true - 0.5)
            axes.add_patch(Rectangle(place, 1, 1, color=colour, alpha=0.15 + 0.4 * share, linewidth=0))
            axes.text(predicted, true, str(matrix[true, predicted]), ha="center", va="center", fontsize=8.5)
        axes.set_xticks(range(number), classes, rotation=90, color=INK, fontsize=8)
        axes.set_yticks(range(number), classes, color=INK, fontsize=8)
        axes.set_xticks(np.arange(number + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(number + 1) - 0.5, minor=True)
        axes.grid(which="minor")
        axes.tick_params(which="both", length=0)
        axes.set(xlabel=f"{who} says", ylabel="class of the window")
        axes.set(xlim=(-0.5, number - 0.5), ylim=(number - 0.5, -0.5), aspect="equal")
        axes.spines[:].set_visible(False)
    return drawn[0]


def reliability(who: Sequence[tuple[str, dict]]) -> Html:
    """Accuracy of the windows of each bin of confidence, a panel for each of the persons tested.

    Args: who: name, and confidence and accuracy (bin,) with the bin's number of windows, as
        `flow.experiments.people.expected_error` gives them.
    """
    with figure("reliability", 2.6 * len(who), 2.9, 1, len(who), squeeze=False, sharey=True) as (_, axes, drawn):
        for axis, (name, bins) in zip(axes[0], who, strict=True):
            number = np.array(bins["number"])
            some = number > 0
            confidence, accuracy = (np.array(bins[key])[some] for key in ("confidence", "accuracy"))
            axis.plot((0, 1), (0, 1), color=MUTED, linewidth=0.8, linestyle="--")
            axis.plot(confidence, accuracy, color=ACCENT, linewidth=1.2)
            axis.scatter(confidence, accuracy, s=8 + 150 * number[some] / number.sum(), color=ACCENT, linewidths=0)
            axis.set(xlabel="confidence", xlim=(0, 1), ylim=(0, 1), title=name)
            axis.text(0.04, 0.92, f"error {bins['error_percent']:.1f} %", color=INK, fontsize=8)
            axis.grid()
        axes[0][0].set_ylabel("share that is right")
    return drawn[0]


def ecg_strip(
    samples: np.ndarray, label: str, marks: Sequence[tuple[int, str]] = (), rate_hz: float = SAMPLING_RATE_HZ
) -> Html:
    """A window on the standard grid, 25 mm/s and 10 mm/mV; one unit of the picture is a tenth of a millimetre.

    Args: samples: ADC units (sample,); label: read out in place of the picture; marks: sample and what is written
        above it; rate_hz: of the samples.
    """
    tenths = -10 * MM_PER_MV / ADC_UNITS_PER_MV * (samples - np.median(samples))
    # At least 1.5 mV up and 1 mV down, so that most strips have one height.
    top = min(-150, 50 * np.floor(tenths.min() / 50 - 0.1)) - (50 if marks else 0)
    bottom = max(100, 50 * np.ceil(tenths.max() / 50 + 0.1))
    width = int(10 * MM_PER_SECOND * len(samples) // rate_hz)
    x = np.rint(np.arange(len(samples)) * 10 * MM_PER_SECOND / rate_hz).astype(int)
    y = np.rint(tenths).astype(int)
    # Where several samples share a tenth of a millimetre nothing is lost by keeping their last.
    kept = np.append(np.diff(x) > 0, True)
    x, y = x[kept], y[kept]
    steps = " ".join(f"{dx} {dy}" for dx, dy in zip(np.diff(x), np.diff(y), strict=True))
    lines = "".join(
        f'<path class="{name}" d="'
        + "".join(f"M{i} {top:.0f}v{bottom - top:.0f}" for i in range(0, width + 1, spacing))
        + "".join(f"M0 {i}h{width}" for i in range(int(top), int(bottom) + 1, spacing))
        + '"/>'
        for name, spacing in (("millimetre", 10), ("five", 50))
    )
    texts = "".join(
        f'<text x="{sample * 10 * MM_PER_SECOND / rate_hz:.0f}" y="{top + 38:.0f}">{escape(text)}</text>'
        for sample, text in marks
    )
    return Html(
        f'<svg class="ecg" viewBox="-2 {top - 2:.0f} {width + 4} {bottom - top + 4:.0f}" role="img" '
        f'aria-label="{escape(label)}">'
        f'{lines}<path class="trace" d="M{x[0]} {y[0]}l{steps}"/>{texts}</svg>'
    )
