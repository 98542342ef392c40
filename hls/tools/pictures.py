"""Pictures of hardware: the pipeline, use of the device, floorplan, cycles against LUTs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qmodel.files import written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hls.estimate import Estimate

PLACE = re.compile(r"X(\d+)/Y(\d+)/")
LAYER = re.compile(r"(?:^|\.)((?:conv|dense|pool|sum|fifo_)\d+)\b")


INK, MUTED, LINE, ACCENT, SECOND = "#17212b", "#5a6673", "#dbe1e6", "#0b6e7f", "#b4540a"
# Okabe-Ito, as the classes of ECG have it elsewhere: told apart with any colour vision.
COLOURS = (ACCENT, SECOND, "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#662a4c", "#0072b2", "#a84a00", "#004468")
STYLE = {
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titlecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}  # that of the pictures in report and notebooks (flow.look.pictures), on white


@contextmanager
def _drawn(path: str | Path, size: tuple[float, float], rows: int = 1, **options: Any) -> Iterator[tuple[Figure, Any]]:
    """A figure and its axes, written at the end; the suffix gives the format. The same figure gives the same SVG."""
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    path = Path(path)
    form = path.suffix.lstrip(".") or "png"
    style = STYLE | {"axes.prop_cycle": cycler(color=COLOURS), "svg.hashsalt": path.stem}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots(rows, **options)
        with written_beside(path) as beside:
            figure.savefig(beside, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)


def plot_pipeline(estimated: Estimate, path: str | Path, title: str = "") -> Path:
    """Draw the pipeline layer by layer: lanes, busy cycles, LUTs and memory; the suffix gives the format."""
    layers, row = estimated.layers, estimated.row
    names = [layer.name for layer in layers]
    with _drawn(path, (1.6 + 1.1 * len(layers), 7.0), 4, sharex=True) as (figure, (lanes, cycles, area, memory)):
        lanes.bar(names, [layer.engines * layer.lanes for layer in layers], color=ACCENT)
        for index, layer in enumerate(layers):
            label = f"{layer.engines} x {layer.lanes}"
            lanes.annotate(label, (index, layer.engines * layer.lanes), ha="center", va="bottom", fontsize=8)
        lanes.set_ylabel("lanes\n(engines x lanes)")
        lanes.margins(y=0.2)
        cycles.bar(names, [layer.cycles for layer in layers], color=ACCENT)
        cycles.axhline(estimated.cycles_between_frames, color=SECOND, linewidth=1, linestyle=(0, (4, 3)))
        cycles.set_ylabel("busy cycles\nper frame")
        area.bar(names, [layer.area.luts for layer in layers], color=ACCENT)
        area.set_ylabel("LUTs")
        signs = [layer.sign_bits for layer in layers]
        memory.bar(names, signs, color=ACCENT, label="signs")
        memory.bar(names, [layer.fifo_bits for layer in layers], bottom=signs, color=SECOND, label="FIFO")
        memory.set_ylabel("memory bits")
        memory.legend()
        figure.suptitle(
            f"{title + ': ' if title else ''}estimated for {estimated.part}: {row['cycles_per_frame']:,} cycles per "
            f"frame, one every {row['cycles_between_frames']:,},\n{row['luts']:,} LUT, {row['ffs']:,} FF, "
            f"{row['bram36']:g} BRAM36, {row['dsp']} DSP",
            fontsize=9, x=0.01, ha="left",
        )  # fmt: skip
    return Path(path)


def plot_utilisation(used: dict[str, tuple[float, float]], path: str | Path, title: str) -> Path:
    """Bars of what a core uses of a device; `used`: resource -> used, available."""
    names = list(used)[::-1]
    shares = [100 * used[name][0] / used[name][1] for name in names]
    with _drawn(path, (7, 0.9 + 0.35 * len(used))) as (_, axes):
        axes.barh(names, shares, color=ACCENT)
        for index, name in enumerate(names):
            axes.annotate(f" {used[name][0]:,g} of {used[name][1]:,g}", (shares[index], index), va="center", fontsize=8)
        axes.set_xlim(0, max(1.0, max(shares)) * 1.3)
        axes.set_xlabel("use of the device, %")
        axes.set_title(title)
    return Path(path)


def plot_floorplan(placed: Path, path: str | Path, title: str) -> Path:
    """Where nextpnr put the flip-flops, memories and multipliers of every layer.

    Look-up tables lose their layer's name in technology mapping and are drawn in grey.
    """
    modules = json.loads(Path(placed).read_text())["modules"]
    spots: dict[str, list[tuple[int, int]]] = {}
    for module in modules.values():
        for name, cell in module["cells"].items():
            place = PLACE.match(cell.get("attributes", {}).get("NEXTPNR_BEL", ""))
            if place:
                found = LAYER.search(name)
                spots.setdefault(found[1] if found else "", []).append((int(place[1]), int(place[2])))
    with _drawn(path, (9, 7)) as (_, axes):
        for layer in sorted(spots):
            x, y = zip(*spots[layer])
            colour, order = (None, 1) if layer else (LINE, 0)
            axes.scatter(x, y, s=4, label=layer or "logic", color=colour, zorder=order)
        axes.invert_yaxis()
        axes.set_aspect("equal")
        axes.set_title(f"{title}: placed by nextpnr")
        axes.legend(markerscale=3, loc="center left", bbox_to_anchor=(1, 0.5))
    return Path(path)


def plot_sweep(rows: Sequence[dict], path: str | Path) -> Path:
    """Cycles between frames against LUTs of several foldings, measured and estimated, one line per network and target.

    The marks at 100 MHz tell what the cycles mean: a wearable needs a frame in ten seconds.
    """
    with _drawn(path, (8, 5)) as (_, axes):
        for index, key in enumerate(sorted({(row["network"], row["target"]) for row in rows})):
            own = sorted((row for row in rows if (row["network"], row["target"]) == key), key=lambda row: row["luts"])
            guess, colour = [row["estimated"] for row in own], f"C{index}"
            for points, style, label in ((own, "o-", f"{key[0]} on {key[1]}"), (guess, "x:", None)):
                x, y = ([row[name] for row in points] for name in ("luts", "cycles_between_frames"))
                axes.loglog(x, y, style, color=colour, label=label)
            for row in own:
                place = (row["luts"], row["cycles_between_frames"])
                axes.annotate(
                    f"{row['lanes']} lanes", place, (5, 4), textcoords="offset points", fontsize=8, color=colour
                )
        axes.plot([], [], "o-", color=MUTED, label="simulated cycles, synthesised LUTs")
        axes.plot([], [], "x:", color=MUTED, label="estimated")
        axes.margins(x=0.12)
        axes.set_xlabel("LUTs")
        axes.set_ylabel("cycles between frames")
        time = axes.secondary_yaxis(
            "right", functions=(lambda cycles: np.divide(cycles, 1e5), lambda ms: np.multiply(ms, 1e5))
        )
        time.set_ylabel("time between frames at 100 MHz, ms")
        axes.set_title("From the fastest core to the smallest: one generator, another folding")
        axes.grid(which="both")
        axes.legend()
    return Path(path)
