"""Pictures of measured hardware: use of the device, floorplan, cycles against LUTs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from qmodel.files import written_beside

PLACE = re.compile(r"X(\d+)/Y(\d+)/")
LAYER = re.compile(r"(?:^|\.)((?:conv|dense|pool|sum|fifo_)\d+)\b")


def _save(figure, path: str | Path) -> Path:
    path = Path(path)
    with written_beside(path) as beside:
        figure.savefig(beside, format=path.suffix.lstrip(".") or "png", dpi=110)
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
                layer = LAYER.search(name)
                spots.setdefault(layer.group(1) if layer else "", []).append((int(place[1]), int(place[2])))
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots()
    for layer in sorted(spots):
        x, y = zip(*spots[layer])
        style = {"color": "lightgrey", "zorder": 0} if not layer else {}
        axes.scatter(x, y, s=4, label=layer or "logic", **style)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    axes.set_title(f"{title}: placed by nextpnr", fontsize=10)
    axes.legend(markerscale=3, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return _save(figure, path)


def plot_sweep(rows: Sequence[dict], path: str | Path, title: str) -> Path:
    """Cycles between frames against LUTs, measured and estimated, of several foldings."""
    from matplotlib.figure import Figure

    rows = sorted(rows, key=lambda row: row["luts"])
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.loglog(
        [row["luts"] for row in rows],
        [row["cycles_between_frames"] for row in rows],
        "o-",
        label="simulated cycles, synthesised LUTs",
    )
    axes.loglog(
        [row["estimated"]["luts"] for row in rows],
        [row["estimated"]["cycles_between_frames"] for row in rows],
        "x:",
        label="estimated",
    )
    for row in rows:
        axes.annotate(f" {row['lanes']} lanes", (row["luts"], row["cycles_between_frames"]), fontsize=8)
    axes.set_xlabel("LUTs")
    axes.set_ylabel("cycles between frames")
    axes.set_title(title, fontsize=10)
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    return _save(figure, path)
