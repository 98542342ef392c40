"""C simulation of an HLS project: compiled once per source, run in parallel over windows."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from hls.engines.engine import Held
from qmodel.errors import UserError
from qmodel.files import kept
from qmodel.frozen import FrozenNetwork

COMPILER = "g++"
STANDARD = "-std=c++14"  # what Vitis HLS 2022 and later compiles by default
OPTIMISATION = ("-O3",)
SANITIZERS = (
    "-std=c++20",  # in which the left shifts of negative numbers in ap_types are defined
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
)
EXACT_WIDTHS = ("-DALQ_EXACT_WIDTHS",)  # hardware's integer types instead of native ones
STRICT = (
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unknown-pragmas",  # HLS pragmas
    "-Wno-unused-label",  # HLS reports name loops by their labels
    "-Wno-uninitialized",  # the default constructors of ap_types read what they have not written
    "-Wno-maybe-uninitialized",
)
WINDOWS_PER_CALL = 8


class CompileError(UserError, RuntimeError):
    """The C simulation does not compile; the message holds the compiler's."""


def cache_folder() -> Path:
    """Where compiled C simulations are kept: in $ECG_ALQ_CACHE, or in the user's cache folder ($XDG_CACHE_HOME)."""
    named = os.environ.get("ECG_ALQ_CACHE")
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(named) if named else users / "ecg-alq") / "csim"


def source_hash(folder: Path, flags: tuple[str, ...]) -> str:
    """SHA-256 over every source of a project, the flags and the compiler's version."""
    digest = hashlib.sha256(repr((flags, _compiler_version(), platform.machine())).encode())
    paths = [p for part in ("firmware", "simulation") for p in (folder / part).rglob("*") if p.is_file()]
    for path in sorted([*paths, *folder.glob("*.cpp")]):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _compiler_version() -> str:
    if shutil.which(COMPILER) is None:
        raise CompileError(f"the C simulation needs {COMPILER}: install it (Debian, Ubuntu: apt install g++)")
    return subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]


def compile(folder: str | os.PathLike, flags: tuple[str, ...] = OPTIMISATION, cache: Path | None = None) -> Path:
    """Compile a project's C simulation into a library, or find it in the cache.

    Args: flags: optimisation, sanitizers, definitions; cache: where libraries are kept, default `cache_folder()`.
    Returns: the library. Raises: CompileError: no compiler, or its errors; FileNotFoundError: not a project.
    """
    return _build(Path(folder), (*flags, "-fPIC", "-shared"), ("simulation/library.cpp",), ".so", cache)


def compile_testbench(
    folder: str | os.PathLike, flags: tuple[str, ...] = OPTIMISATION, cache: Path | None = None
) -> Path:
    """Compile the project's own testbench (the one that `csim_design` runs) into a program; see `compile`."""
    sources = ("ecg_alq_test.cpp", "firmware/ecg_alq.cpp", "firmware/alq_network.cpp")
    return _build(Path(folder), flags, sources, ".exe", cache)


def run_testbench(folder: str | os.PathLike, program: Path) -> str:
    """Run a compiled testbench on the project's golden vectors and return what it prints.

    Raises: RuntimeError: a logit or TLAST differs; the message holds the output.
    """
    result = subprocess.run([str(program)], cwd=folder, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"the testbench of {folder} failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def _build(folder: Path, flags: tuple[str, ...], sources: tuple[str, ...], suffix: str, cache: Path | None) -> Path:
    for source in sources:
        if not (folder / source).is_file():
            raise FileNotFoundError(f"{folder} is not an HLS project (no {source}): run convert first")
    key = source_hash(folder, flags)
    product = (cache or cache_folder()) / f"{key}{suffix}"

    def make(path: Path) -> None:
        command = [COMPILER, STANDARD, *flags, "-fmax-errors=5"]
        command += ["-isystem", str(folder / "firmware" / "ap_types"), "-I", str(folder / "simulation")]
        command += ["-I", str(folder / "firmware"), *(str(folder / source) for source in sources), "-o", str(path)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise CompileError(f"{' '.join(command)}\n{result.stderr}")

    # A library that is not what was compiled would end this process when it is loaded, or compute something else.
    kept(product, key, make)
    return product


class CSimulation(Held):
    """A compiled project: the same integers as the golden model, through the AXI4-Stream top.

    Args: folder: an HLS project; flags: see `compile`; cache: where compiled libraries are kept.
    """

    name = "C simulation"

    def __init__(
        self, folder: str | os.PathLike, flags: tuple[str, ...] = OPTIMISATION, cache: Path | None = None
    ) -> None:
        self.folder = Path(folder)
        self.network = FrozenNetwork.load(self.folder / "network.alq")
        self.shared_object = compile(self.folder, flags, cache)
        self._stream = ctypes.CDLL(str(self.shared_object)).alq_stream
        self._stream.restype = ctypes.c_longlong
        integers, octets = ctypes.POINTER(ctypes.c_longlong), ctypes.POINTER(ctypes.c_ubyte)
        count = ctypes.c_longlong
        self._stream.argtypes = [integers, octets, count, count, integers, octets, count, integers]

    @property
    def _logits(self) -> int:
        last = self.network.stages[-1]
        return last.output_length * last.output_channels

    def stream(
        self, samples: np.ndarray, last: np.ndarray, frames: int, trace: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Send transfers through the top and return what comes out: the raw interface, for tests of the protocol.

        Args: samples, last: integers and TLAST, shape (transfer,); frames: how often the top runs; trace: int64, room
            for all stages of all frames.
        Returns: values and TLAST of the transfers that came out.
        """
        samples = np.ascontiguousarray(samples, np.int64)
        last = np.ascontiguousarray(last, np.uint8)
        capacity = frames * self._logits
        values, lasts = np.zeros(capacity, np.int64), np.zeros(capacity, np.uint8)
        integers, octets = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(ctypes.c_uint8)
        count = self._stream(
            samples.ctypes.data_as(integers),
            last.ctypes.data_as(octets),
            len(samples),
            frames,
            values.ctypes.data_as(integers),
            lasts.ctypes.data_as(octets),
            capacity,
            None if trace is None else trace.ctypes.data_as(integers),
        )
        if count > capacity:
            raise RuntimeError(f"{count} transfers came out of {frames} frames, expected {capacity}")
        return values[:count], lasts[:count].astype(bool)

    def run(self, x: np.ndarray, progress: bool = False, workers: int | None = None) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, logit); windows of one call go back to back.

        Args: progress: show a bar; workers: threads, default one per processor.
        Raises: ValueError: wrong shape or range; RuntimeError: TLAST where it does not belong.
        """
        return self._batches(x, False, progress, workers)[0]

    def trace(self, x: np.ndarray, progress: bool = False, workers: int | None = None) -> list[np.ndarray]:
        """Outputs of every stage, as `FrozenNetwork.trace` gives them: int64 (batch, time, channel) per stage."""
        integers = self._batches(x, True, progress, workers)[1]
        outputs, start = [], 0
        for stage in self.network.stages:
            size = stage.output_length * stage.output_channels
            part = integers[:, start : start + size]
            outputs.append(part.reshape(len(x), stage.output_length, stage.output_channels))
            start += size
        return outputs

    def _batches(
        self, x: np.ndarray, trace: bool, progress: bool, workers: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        x = self.network.frames(x).reshape(len(x), -1)
        sizes = [s.output_length * s.output_channels for s in self.network.stages]
        logits = np.empty((len(x), self._logits), np.int64)
        integers = np.empty((len(x) if trace else 0, sum(sizes)), np.int64)
        expected = np.arange(1, self._logits + 1) == self._logits

        def work(start: int) -> int:
            part = x[start : start + WINDOWS_PER_CALL]
            last = np.tile(np.arange(1, x.shape[1] + 1) == x.shape[1], len(part))
            taps = integers[start : start + len(part)] if trace else None
            values, lasts = self.stream(part.reshape(-1), last, len(part), taps)
            if not np.array_equal(lasts, np.tile(expected, len(part))):
                raise RuntimeError(
                    f"windows {start} to {start + len(part) - 1}: TLAST is not on every last logit alone"
                )
            logits[start : start + len(part)] = values.reshape(len(part), -1)
            return len(part)

        starts = range(0, len(x), WINDOWS_PER_CALL)
        with (
            ThreadPoolExecutor(workers or os.cpu_count()) as pool,
            tqdm(total=len(x), desc="C simulation", unit="window", disable=not progress) as bar,
        ):
            for done in pool.map(work, starts):
                bar.update(done)
        return logits, integers
