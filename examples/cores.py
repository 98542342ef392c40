"""What the examples have in common: the core of a frozen network, proved against the golden model."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hls.core import generate
from hls.cpp.convert import convert
from hls.engines.csim import CSimulation
from hls.engines.parity import compare
from hls.engines.rtl import RtlEngine
from hls.plan import Plan
from qmodel.frozen import FrozenNetwork


def verified_core(
    network: FrozenNetwork, folder: Path, windows: np.ndarray | None = None, simulate: bool = True
) -> Path:
    """The Verilog core of a network; C simulation and simulated core give the golden model's integers, on every layer.

    Args: windows: integers of the network's input format, (window, time) or (window, time, channel); None: two of
        noise; simulate: the Verilog core too, which takes Verilator and a minute or two.
    Returns: the core's folder. Raises: SystemExit: an integer differs.
    """
    plan = Plan.of(network)
    if windows is None:
        form, shape = network.input_format, (2, network.input_length, network.input_channels)
        windows = np.random.default_rng(0).integers(form.low, form.high, shape, endpoint=True)
    with ExitStack() as held:
        engines = [held.enter_context(CSimulation(convert(network, folder / "hls", plan.folding)))]
        if simulate:
            engines.append(held.enter_context(RtlEngine(plan)))
        report = compare(network, engines, windows)
    print(report)
    if not report.equal:
        raise SystemExit("this must not happen: please report it")
    return generate(plan, folder / "core").folder


def in_folder(main: Callable[[Path], object]) -> None:
    """Run an example in the folder that the command line names, or in one that is removed afterwards."""
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as scratch:
        main(Path(scratch))
