"""The commands behind the frozen network that lead to hardware: Verilog core, open tools, vendor tools."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.build.products import say
from flow.build.provenance import provenance
from flow.build.results import FASTEST, SMALLEST, put_rows
from flow.build.settings import recorded
from flow.steps.chain import Flow
from flow.steps.work.names import FROZEN
from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork

if TYPE_CHECKING:
    from hls.folding import Folding
    from hls.plan import Plan

ROWS, SWEEP = "hardware.json", "hardware_sweep.json"
SIMULATED_CYCLES = 400_000  # of a core at most, unless two windows need more: a hundred windows of the fastest core


def frozen_file(build: str, given: str | None) -> Path:
    """The frozen network to work on: the one given, or the build's. Raises: InputError: the build has none."""
    path = Path(given) if given is not None else Path(build) / "freeze" / FROZEN
    if given is None and not path.is_file():
        raise InputError(f"{build} holds no frozen network: run `ecg-alq freeze`, or name a file with --frozen")
    return path


def goal_of(cycles: int | None, luts: int | None, least: bool) -> str:
    """What a core is made for, in a row's words. Args: see `planned`."""
    if cycles is not None:
        return f"a frame every {cycles} cycles"
    return SMALLEST if least else FASTEST if luts is None else f"fastest within {luts} LUT (estimated)"


def planned(network: FrozenNetwork, target: str, cycles: int | None, luts: int | None, least: bool) -> Plan:
    """The network under the folding that was asked for, its estimate inside what the part holds.

    Args: cycles: between two frames; luts: budget; least: the smallest core; none of them: as fast as the part allows.
    Raises: FoldingError: out of reach; BudgetError: the part is too small.
    """
    from hls.estimate import Budget, check_budget, estimate
    from hls.folding import fold, smallest
    from hls.plan import Plan

    folding = smallest(network) if least else fold(network, cycles, luts, part=target)
    plan = Plan.of(network, folding, target)
    check_budget(estimate(plan), Budget())
    return plan


def estimated(file: Path, target: str, picture: Path | None, **wish: Any) -> dict:
    """Estimates of a folded core, layer by layer; draws the pipeline into `picture`. Args: wish: of `planned`."""
    from hls.estimate import estimate
    from hls.tools.pictures import plot_pipeline

    network = FrozenNetwork.load(file)
    guess = estimate(planned(network, target, **wish))
    if picture is not None:
        plot_pipeline(guess, picture, file.stem)
    layers = [
        {
            "name": layer.name,
            "engines": layer.engines,
            "lanes": layer.lanes,
            "cycles": layer.cycles,
            "luts": round(layer.area.luts),
            "ffs": round(layer.area.ffs),
            "bram36": layer.area.bram36,
            "dsp": layer.area.dsps,
            "sign_bits": layer.sign_bits,
            "fifo_bits": layer.fifo_bits,
        }
        for layer in guess.layers
    ]
    return {"identity": network.identity, **guess.row, "layers": layers, "picture": str(picture) if picture else None}


def write_core(file: Path, folder: Path, target: str, **wish: Any) -> dict:
    """Write the Verilog core of a frozen network. Args: wish: of `planned`."""
    from hls.core.generate import generate

    network = FrozenNetwork.load(file)
    core = generate(planned(network, target, **wish), folder)
    return {
        "identity": network.identity,
        "folder": str(folder),
        "top": core.top,
        "target": target,
        "lanes": core.plan.lanes,
        "sources": [str(path) for path in core.sources],
    }


def prove(files: list[Path], folder: Path, target: str, wishes: list[dict]) -> list[dict]:
    """Prove the promises of the cores of frozen networks, for each under each wish; a row per core.

    Args: folder: gets a folder per core; wishes: of `planned`.
    """
    from hls.core.generate import generate
    from hls.tools.prove import PROVED, REFUTED, lines, prove

    def row(file: Path, wish: dict) -> dict:
        network = FrozenNetwork.load(file)
        plan = planned(network, target, **wish)
        own = folder / f"{file.stem}-{plan.lanes}-lanes"
        begin = time.monotonic()
        proofs = prove(generate(plan, own), own / "proofs")
        states = [one.state for one in proofs]
        return {
            "network": file.stem,
            "identity": network.identity,
            "target": target,
            "lanes": plan.lanes,
            "promises": len(states),
            "proved": states.count(PROVED),
            "refuted": states.count(REFUTED),
            "seconds": round(time.monotonic() - begin, 1),
            "not_proved": lines(proofs)[1:],
        }

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the work is in processes of their own
        return list(pool.map(row, *zip(*((file, wish) for file in files for wish in wishes))))


def proof_lines(rows: list[dict]) -> list[str]:
    """Rows of `prove` for a terminal."""
    text = []
    for row in rows:
        text.append(
            f"{row['network']} on {row['target']}, {row['lanes']} lanes: {row['proved']} of {row['promises']} promises "
            f"proved for all time, {row['refuted']} broken ({row['seconds']:.0f} s)"
        )
        text += row["not_proved"]
    return text


def measure(
    file: Path, folder: Path, target: str, foldings: list[Folding], clock_mhz: float | None, number: int, build: str
) -> list[dict]:
    """Simulate, synthesise, and for ECP5 place and route the core under every folding; rows of results.

    Args: folder: gets one folder per folding; number: windows of the build's test part that the simulation must get
        exactly right, 2 or more, in a slow core as many as SIMULATED_CYCLES allow.
    """
    from hls.plan import Plan
    from hls.tools.measure import hardware

    network = FrozenNetwork.load(file)
    flow = Flow(recorded(build))
    windows, source = None, {"data_source": "random"}
    length, leads = network.input_length, network.input_channels
    if flow.test_integers.shape[1:] == ((length,) if leads == 1 else (length, leads)):
        windows, source = flow.test_integers, flow.source
    else:
        say("data", f"random windows: the network takes {length} samples of {leads} lead(s), no window of ECG is so")
    options = {} if clock_mhz is None else {"clock_mhz": clock_mhz}
    name = recorded(build).network if file == Path(build) / "freeze" / FROZEN else None
    rows = []
    for folding in foldings:
        plan = Plan.of(network, folding, target)
        count = min(number, max(2, SIMULATED_CYCLES // plan.schedule.between_frames))
        some = None if windows is None else windows[:count]
        own = folder / f"{plan.lanes}-lanes"
        rows += hardware(file, target, own, folding=folding, windows=some, name=name, **options)
    return [row | source | {"provenance": provenance()} for row in rows]


def _key(row: dict) -> tuple:
    return row["network"], row["target"], row["cycles_between_frames"], row["lanes"]


def _goal_key(row: dict) -> tuple:
    return row["network"], row["target"], row.get("goal", "")


def add_rows(results: Path, rows: list[dict]) -> Path:
    """Put rows into results/hardware.json in place of those of the same network, target and goal.

    A goal has one row, whatever folding reaches it today. Rows of another network under the same name, from before it
    was trained again, go as well, and rows of the same network and target that name no goal.
    """
    new, identity = {_goal_key(row) for row in rows}, {row["network"]: row["identity"] for row in rows}
    replaced = new | {(network, target, "") for network, target, _ in new}
    put_rows(
        results / ROWS,
        rows,
        _goal_key,
        lambda row: _goal_key(row) in replaced or identity.get(row["network"], row["identity"]) != row["identity"],
    )
    return results / ROWS


def ends_of(rows: list[dict]) -> list[dict]:
    """The fastest and the smallest core of a sweep, as rows that name their goal."""
    return [rows[0] | {"goal": FASTEST}, rows[-1] | {"goal": SMALLEST}]


def add_sweep(results: Path, rows: list[dict]) -> Path:
    """Put a sweep into results/hardware_sweep.json, in place of that network's and target's, and draw all of them."""
    from hls.tools.pictures import plot_sweep

    new = {_key(row)[:2] for row in rows}
    merged = put_rows(results / SWEEP, rows, _key, lambda row: _key(row)[:2] in new)
    return plot_sweep(merged, (results / SWEEP).with_suffix(".svg"))


def vendor(build: str, steps: list[str], vivado: bool) -> list[dict]:
    """Run AMD's tools on the build's HLS project; rows of our estimate and of every report, for one table.

    Raises: InputError: no project; SynthesisError: a tool is missing or fails.
    """
    from hls.cpp import synthesis

    project = Path(build) / "convert" / "project"
    if not project.is_dir():
        raise InputError(f"{build} holds no HLS project: run `ecg-alq convert`")
    figures = synthesis.synthesise(project, steps, vivado)
    return [*synthesis.estimated(project), *(entry.row for entry in figures)]


def layer_table(result: dict) -> list[str]:
    """Estimates of `estimated` for a terminal."""
    columns = ("engines", "lanes", "cycles", "luts", "ffs", "bram36", "dsp", "sign_bits", "fifo_bits")
    text = [f"{'estimated':<10}" + "".join(f"{name.replace('_', ' '):>11}" for name in columns)]
    for layer in result["layers"]:
        text.append(f"{layer['name']:<10}" + "".join(f"{layer[name]:>11,}" for name in columns))
    text.append(
        f"{result['target']}: {result['cycles_per_frame']:,} cycles per frame, one every "
        f"{result['cycles_between_frames']:,}; {result['luts']:,} LUT, {result['ffs']:,} FF, "
        f"{result['bram36']:g} BRAM36, {result['dsp']} DSP"
    )
    return text


def lines(rows: list[dict]) -> list[str]:
    """Rows of results for a terminal, each figure with its kind."""
    text = []
    for row in rows:
        kinds = row["kinds"]
        text += [
            f"{row['network']} on {row['target']}, {row['lanes']} lanes"
            + (f": {row['goal']}" if "goal" in row else ""),
            f"  cycles per frame    {row['cycles_per_frame']:,} ({kinds['cycles']})",
            f"  between frames      {row['cycles_between_frames']:,} ({kinds['cycles']})",
            f"  LUT, FF             {row['luts']:,}, {row['ffs']:,} ({kinds['area']})",
            f"  BRAM36, DSP         {row['bram36']:g}, {row['dsp']} ({kinds['area']})",
            f"  highest clock       {row['fmax_mhz']:.1f} MHz ({kinds['fmax_mhz']})",
            f"  time per frame      {row['latency_us']:.2f} us at {row['clock_mhz']:g} MHz",
            f"  windows exact       {row['windows_exact']}",
            f"  promises proved     {row['promises_proved']} of {row['promises']}",
        ]
    return text
