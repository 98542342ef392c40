"""The engines that run a frozen network on windows: golden model, C simulation, simulated Verilog core, board.

Each is a context manager that gives a function from windows, int16 (window, sample), none of them flat, to logits,
int64 (window, class); all give the same integers. What an engine needs is imported when it is entered.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from qmodel.errors import InputError
from qmodel.fixed_point import standardise
from qmodel.frozen import FrozenNetwork

Run = Callable[[np.ndarray], np.ndarray]
PATIENCE_S, PATIENCE_S_PER_WINDOW = 120, 30  # how long a simulation of the Verilog core may take; it needs a second


@contextmanager
def golden(network: FrozenNetwork, deploy: Path | None = None) -> Iterator[Run]:
    """The golden model, NumPy."""
    yield lambda windows: network.run(standardise(windows))


@contextmanager
def csim(network: FrozenNetwork, deploy: Path | None = None) -> Iterator[Run]:
    """The C simulation of the network's HLS project, compiled once per machine."""
    from hls.cpp.convert import convert
    from hls.engines.csim import CSimulation

    with tempfile.TemporaryDirectory(prefix="ecg-alq-") as folder:
        simulation = CSimulation(convert(network, Path(folder) / "project"))
    yield lambda windows: simulation.run(standardise(windows))


@contextmanager
def rtl(network: FrozenNetwork, deploy: Path | None = None) -> Iterator[Run]:
    """The network's Verilog core in Verilator, compiled once per machine: minutes for half an hour of ECG."""
    from hls.core.generate import generate
    from hls.engines.csim import cache_folder
    from hls.engines.rtl import SimulationError, build_core, play, stream_of
    from hls.plan import Plan

    core = generate(Plan.of(network), cache_folder().parent / "rtl" / network.identity[:16])
    simulator = build_core(core)
    last = network.stages[-1]
    logits = last.output_length * last.output_channels

    def run(windows: np.ndarray) -> np.ndarray:
        samples, lasts = stream_of(standardise(windows))
        expected = len(windows) * logits
        timeout = PATIENCE_S + PATIENCE_S_PER_WINDOW * len(windows)
        record = play(core, samples, lasts, expected, simulator=simulator, taps=False, timeout=timeout)
        if len(record.out) != expected:
            raise SimulationError(f"the core gave {len(record.out)} logits for {len(windows)} windows")
        return record.out.astype(np.int64).reshape(len(windows), logits)

    yield run


@contextmanager
def board(network: FrozenNetwork, deploy: Path | None = None) -> Iterator[Run]:
    """The PYNQ board this runs on, with the deploy folder made of the same network."""
    if deploy is None:
        raise InputError("the board needs a deploy folder: name it with --deploy")
    from board.driver import ArrhythmiaOverlay

    with ArrhythmiaOverlay(os.fspath(deploy)) as overlay:
        if overlay.network.identity != network.identity:
            raise InputError(
                f"{deploy} holds network {overlay.network.identity[:8]}, asked for is {network.identity[:8]}: give its "
                "own file with --frozen, or deploy the other"
            )
        yield lambda windows: np.array([result.logits for result in overlay.classify_many(windows)], np.int64)


ENGINES = {"golden": golden, "csim": csim, "rtl": rtl, "board": board}
