"""The engines that a person can name: golden model, C simulation, C export, simulated Verilog core, board.

All are `hls.engines.engine.Engine`s and give the same integers. What an engine needs is imported when it is made.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qmodel.errors import InputError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np

    from hls.engines.engine import Engine
    from qmodel.frozen import FrozenNetwork


def golden(network: FrozenNetwork, deploy: Path | None = None) -> Engine:
    """The golden model, NumPy."""
    from hls.engines.engine import Golden

    return Golden(network)


def csim(network: FrozenNetwork, deploy: Path | None = None) -> Engine:
    """The C simulation of the network's HLS project, compiled once per machine."""
    import tempfile

    from hls.cpp.convert import convert
    from hls.engines.csim import CSimulation

    with tempfile.TemporaryDirectory(prefix="ecg-alq-") as folder:
        return CSimulation(convert(network, Path(folder) / "project"))


def c_export(network: FrozenNetwork, deploy: Path | None = None) -> Engine:
    """The network's C99 export, compiled for this machine."""
    from hls.engines.c import CExport

    return CExport(network)


def rtl(network: FrozenNetwork, deploy: Path | None = None) -> Engine:
    """The network's Verilog core in Verilator, compiled once per machine: minutes for half an hour of ECG."""
    from hls.engines.rtl import RtlEngine
    from hls.plan import Plan

    return RtlEngine(Plan.of(network))


class BoardEngine:
    """The PYNQ board this runs on, with a deploy folder made of the same network; it shows logits alone."""

    name = "board"

    def __init__(self, network: FrozenNetwork, deploy: Path | None) -> None:
        if deploy is None:
            raise InputError("the board needs a deploy folder: name it with --deploy")
        from board.driver import ArrhythmiaOverlay

        self.network = network
        self._overlay = ArrhythmiaOverlay(os.fspath(deploy))
        there = self._overlay.network.identity
        if there != network.identity:
            self._overlay.close()
            raise InputError(
                f"{deploy} holds network {there[:8]}, asked for is {network.identity[:8]}: give its "
                "own file with --frozen, or deploy the other"
            )

    def __enter__(self) -> BoardEngine:
        """The engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of the board."""
        self._overlay.close()

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, logit)."""
        return self._overlay.logits_many(x)

    def trace(self, x: np.ndarray) -> list[np.ndarray | None]:
        """The logits, and None for every other stage."""
        return [*[None] * (len(self.network.stages) - 1), self.run(x)]


ENGINES: dict[str, Callable[..., Engine]] = {  # network, deploy folder -> engine
    "golden": golden,
    "csim": csim,
    "c": c_export,
    "rtl": rtl,
    "board": BoardEngine,
}
