"""Pictures of measured hardware: use of the device, floorplan, cycles against LUTs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from qmodel.files import written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLACE = re.compile(r"X(\d+)/Y(\d+)/")
LAYER = re.compile(r"(?:^|\.)((?:conv|dense|pool|sum|fifo_)\d+)\b")


def _save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the suffix gives the format. The same figure gives the same SVG."""
    import matplotlib

    path = Path(path)
    form = path.suffix.lstrip(".") or "png"
    with written_beside(path) as beside, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(beside, format=form, dpi=110, metadata={"Date": None} if form == "svg" else None)
    return path


def plot_utilisation(used: dict[str, tuple[float, float]], path: str | Path, title: str) -> Path:
    """Bars of what a core uses of a device; `used`: resource -> used, available."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 0.9 + 0.35 * len(used)), layout="constrained")
    axes = figure.subplots()
    names = list(used)[::-1]
    shares = [100 * used[name][0] / used[name][1] for name in names]
    axes.barh(names, shares, color="tab:blue")
    for index, name in enumerate(names):
        axes.annotate(f" {used[name][0]:g} of {used[name][1]:g}", (shares[index], index), va="center", fontsize=8)
    axes.set_xlim(0, max(1.0, max(shares)) * 1.3)
    axes.set_xlabel("use of the device, %")
    axes.set_title(title, fontsize=10)
    return _save(figure, path)


def plot_floorplan(placed: Path, path: str | Path, title: str) -> Path:
    """Where nextpnr put the flip-flops, memories and multipliers of every layer.

    Look-up tables lose their layer's name in technology mapping and are drawn in grey.
    """
    from matplotlib.figure import Figure

    modules = json.loads(Path(placed).read_text())["modules"]
    spots: dict[str, list[tuple[int, int]]] = {}
    for module in modules.values():
        for name, cell in module["cells"].items():
            place = PLACE.match(cell.get("attributes", {}).get("NEXTPNR_BEL", ""))
            if place:
                found = LAYER.search(name)
                spots.setdefault(found[1] if found else "", []).append((int(place[1]), int(place[2])))
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots()
    for layer in sorted(spots):
        x, y = zip(*spots[layer])
        colour, order = (None, 1) if layer else ("lightgrey", 0)
        axes.scatter(x, y, s=4, label=layer or "logic", color=colour, zorder=order)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_title(f"{title}: placed by nextpnr", fontsize=10)
    axes.legend(markerscale=3, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return _save(figure, path)


def plot_sweep(rows: Sequence[dict], path: str | Path) -> Path:
    """Cycles between frames against LUTs of several foldings, measured and estimated, one line per network and target.

    The marks at 100 MHz tell what the cycles mean: a wearable needs a frame in ten seconds.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for index, key in enumerate(sorted({(row["network"], row["target"]) for row in rows})):
        own = sorted((row for row in rows if (row["network"], row["target"]) == key), key=lambda row: row["luts"])
        guess, colour = [row["estimated"] for row in own], f"C{index}"
        for points, style, label in ((own, "o-", f"{key[0]} on {key[1]}"), (guess, "x:", None)):
            x, y = ([row[name] for row in points] for name in ("luts", "cycles_between_frames"))
            axes.loglog(x, y, style, color=colour, label=label)
        for row in own:
            place = (row["luts"], row["cycles_between_frames"])
            axes.annotate(f"{row['lanes']} lanes", place, (5, 4), textcoords="offset points", fontsize=8, color=colour)
    axes.plot([], [], "o-", color="grey", label="simulated cycles, synthesised LUTs")
    axes.plot([], [], "x:", color="grey", label="estimated")
    axes.margins(x=0.12)
    axes.set_xlabel("LUTs")
    axes.set_ylabel("cycles between frames")
    time = axes.secondary_yaxis(
        "right", functions=(lambda cycles: np.divide(cycles, 1e5), lambda ms: np.multiply(ms, 1e5))
    )
    time.set_ylabel("time between frames at 100 MHz, ms")
    axes.set_title("From the fastest core to the smallest: one generator, another folding", fontsize=10)
    axes.grid(which="both", alpha=0.3)
    axes.legend(fontsize=8)
    return _save(figure, path)


def _milliseconds(cycles: ArrayLike) -> np.ndarray:
    """Time of clock cycles at 100 MHz."""
    return np.divide(cycles, 1e5)


def _cycles(milliseconds: ArrayLike) -> np.ndarray:
    """Clock cycles at 100 MHz in a time."""
    return np.multiply(milliseconds, 1e5)
