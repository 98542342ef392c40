"""The C99 export as an engine: compiled for this machine, the same sources that a microcontroller gets."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from hls.c.generate import SOURCES, write
from hls.engines.csim import CompileError
from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZERS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
TIMEOUT = 300  # seconds


def compiler() -> str:
    """The C compiler of this machine. Raises: CompileError: none."""
    for name in COMPILERS:
        if path := shutil.which(name):
            return path
    raise CompileError("the C export needs a C compiler: install one (Debian, Ubuntu: apt install gcc)")


def compile_c(sources: Sequence[Path], output: Path, flags: Sequence[str] = FLAGS) -> Path:
    """Compile C sources. Returns: `output`. Raises: CompileError: no compiler, or its errors."""
    command = [compiler(), *flags, *map(str, sources), "-o", str(output), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if result.returncode:
        raise CompileError(f"{' '.join(command)}\n{result.stderr}")
    return output


class CExport:
    """The exported C of a network.

    Args: network; folder: of an export, default one of its own; flags: of the compiler.
    """

    name = "C99"

    def __init__(
        self, network: FrozenNetwork, folder: str | os.PathLike | None = None, flags: Sequence[str] = FLAGS
    ) -> None:
        self.network = network
        # a loaded library stays when its file is gone, except on Windows
        with tempfile.TemporaryDirectory(prefix="ecg-alq-c-", ignore_cleanup_errors=True) as name:
            work = Path(name)
            sources = write(network, work / "export") if folder is None else Path(folder)
            shutil.copyfile(SOURCES / "trace.c", work / "trace.c")
            library = compile_c([work / "trace.c"], work / "trace.so", [*flags, "-I", str(sources), "-shared", "-fPIC"])
            loaded = ctypes.CDLL(str(library))
        integers = np.ctypeslib.ndpointer(np.int64, flags="C_CONTIGUOUS")
        self._run, self._classify = loaded.alq_run, loaded.alq_classify
        self._run.restype = None
        self._run.argtypes = [integers, ctypes.c_uint32, integers, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32]
        self._classify.argtypes = [np.ctypeslib.ndpointer(np.int16, flags="C_CONTIGUOUS"), ctypes.c_uint32, integers]
        self._lock = threading.Lock()  # the library keeps one state
        sizes = [stage.output.values for stage in network.stages]
        self._first = np.cumsum([0, *sizes[:-1]]).astype(np.uint32)
        self._size = sum(sizes)

    def __enter__(self) -> CExport:
        """The engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to let go."""

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, logit)."""
        return self._call(x, None)

    def trace(self, x: np.ndarray) -> list[np.ndarray]:
        """Output of every stage: int64 (batch, time, channel)."""
        values = np.zeros((len(x), self._size), np.int64)
        self._call(x, values)
        parts = np.split(values, self._first[1:], axis=1)
        shapes = [(stage.output_length, stage.output_channels) for stage in self.network.stages]
        return [part.reshape(len(x), *shape) for part, shape in zip(parts, shapes)]

    def classify(self, windows: np.ndarray) -> np.ndarray:
        """Logits of ADC units through the exported input stage: int64, shape (window, logit).

        Args: windows: 16-bit integers, shape (window, sample) or (window, sample, channel).
        Raises: InputError: another size, or a flat window.
        """
        adc = np.ascontiguousarray(windows, np.int16).reshape(len(windows), -1)
        if adc.shape[1] != self.network.input.values or not np.array_equal(adc.reshape(np.shape(windows)), windows):
            raise InputError(f"windows must hold {self.network.input.values} samples of 16 bits, received {adc.shape}")
        logits = np.zeros((len(adc), self.network.output.values), np.int64)
        with self._lock:
            if not self._classify(adc, len(adc), logits):
                raise InputError("a window must not be flat (zero deviation): check lead and electrode")
        return logits

    def _call(self, x: np.ndarray, values: np.ndarray | None) -> np.ndarray:
        frames = np.ascontiguousarray(self.network.frames(x))
        logits = np.zeros((len(frames), self.network.output.values), np.int64)
        with self._lock:
            self._run(
                frames,
                len(frames),
                logits,
                None if values is None else values.ctypes.data,
                self._first.ctypes.data,
                self._size,
            )
        return logits
