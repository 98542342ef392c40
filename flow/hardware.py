"""The commands behind the frozen network that lead to hardware: Verilog core, open tools, vendor tools, Bambu."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from flow.products import say
from flow.provenance import provenance
from flow.settings import InputError, recorded
from flow.steps import FROZEN, Flow
from qmodel.files import written_beside
from qmodel.frozen import FrozenNetwork

ROWS = "hardware.json"


def frozen_file(build: str, given: str | None) -> Path:
    """The frozen network to work on: the one given, or the build's. Raises: InputError: the build has none."""
    path = Path(given) if given is not None else Path(build) / "freeze" / FROZEN
    if given is None and not path.is_file():
        raise InputError(f"{build} holds no frozen network: run `ecg-alq freeze`, or name a file with --frozen")
    return path


def write_core(file: Path, folder: Path, target: str, cycles: int | None) -> dict:
    """Write the Verilog core of a frozen network. Args: cycles: between two frames, None: as few as the part allows."""
    from hls.folding import fold
    from hls.rtl.generate import generate

    network = FrozenNetwork.load(file)
    core = generate(network, folder, fold(network, cycles, part=target), target)
    return {
        "identity": network.identity,
        "folder": str(folder),
        "top": core.top,
        "target": target,
        "lanes": sum(entry.engines * entry.lanes for entry in core.folding.layers),
        "sources": [str(path) for path in core.sources],
    }


def measure(
    file: Path, folder: Path, target: str, cycles: int | None, clock_mhz: float | None, number: int, build: str
) -> list[dict]:
    """Simulate, synthesise, and for ECP5 place and route the core; rows of results.

    Args: number: windows of the build's test part that the simulation must get exactly right, 2 or more.
    """
    from hls.folding import fold
    from hls.hardware.flow import hardware

    network = FrozenNetwork.load(file)
    flow = Flow(recorded(build))
    windows, source = None, {"data_source": "random"}
    if network.input_length == flow.test_integers.shape[1]:
        windows, source = flow.test_integers[:number], flow.source
    else:
        say("data", f"random windows: the network takes {network.input_length} samples, no window of ECG has as many")
    options = {} if clock_mhz is None else {"clock_mhz": clock_mhz}
    name = recorded(build).network if file == Path(build) / "freeze" / FROZEN else None
    folding = fold(network, cycles, part=target)
    rows = hardware(file, target, folder, folding=folding, windows=windows, name=name, **options)
    return [row | source | {"provenance": provenance()} for row in rows]


def sweep(file: Path, folder: Path, target: str, build: str) -> list[dict]:
    """Rows of foldings from the fastest core to the smallest, and `sweep.png`."""
    from hls.hardware.flow import sweep

    name = recorded(build).network if file == Path(build) / "freeze" / FROZEN else None
    rows = sweep(file, folder, target=target, name=name)
    return [row | {"data_source": "random", "provenance": provenance()} for row in rows]


def add_rows(results: Path, rows: list[dict]) -> Path:
    """Put rows into results/hardware.json in place of those of the same network, target and folding."""
    path = results / ROWS
    results.mkdir(parents=True, exist_ok=True)
    kept = json.loads(path.read_text("utf-8"))["rows"] if path.is_file() else []

    def key(row: dict) -> tuple:
        return row["network"], row["target"], row["cycles_between_frames"], row["lanes"]

    new = {key(row) for row in rows}
    merged = sorted([row for row in kept if key(row) not in new] + rows, key=key)
    with written_beside(path) as beside:
        beside.write_text(json.dumps({"rows": merged}, indent=1) + "\n", "utf-8")
    return path


def vendor(build: str, steps: list[str], vivado: bool) -> list[dict]:
    """Run AMD's tools on the build's HLS project, figures of every report. Raises: InputError: no project."""
    from hls import synthesis

    project = Path(build) / "convert" / "project"
    if not project.is_dir():
        raise InputError(f"{build} holds no HLS project: run `ecg-alq convert`")
    figures = synthesis.synthesise(project, steps, vivado)
    return [asdict(entry) | {"area": entry.area._asdict() if entry.area else None} for entry in figures]


def bambu(file: Path, folder: Path, clock_mhz: float) -> dict:
    """Write the array-interface variant of the kernels and run Bambu on it."""
    from hls import bambu

    written = bambu.write(FrozenNetwork.load(file), folder)
    output = bambu.synthesise(written, clock_mhz)
    return {"folder": str(written), "tool": "bambu", "output": output.splitlines()[-20:]}


def lines(rows: list[dict]) -> list[str]:
    """Rows of results for a terminal, each figure with its kind."""
    text = []
    for row in rows:
        kinds = row["kinds"]
        text += [
            f"{row['network']} on {row['target']}, {row['lanes']} lanes",
            f"  cycles per frame    {row['cycles_per_frame']:,} ({kinds['cycles']})",
            f"  between frames      {row['cycles_between_frames']:,} ({kinds['cycles']})",
            f"  LUT, FF             {row['luts']:,}, {row['ffs']:,} ({kinds['area']})",
            f"  BRAM36, DSP         {row['bram36']:g}, {row['dsp']} ({kinds['area']})",
            f"  highest clock       {row['fmax_mhz']:.1f} MHz ({kinds['fmax_mhz']})",
            f"  time per frame      {row['latency_us']:.2f} us at {row['clock_mhz']:g} MHz",
            f"  windows exact       {row['windows_exact']}",
        ]
    return text
