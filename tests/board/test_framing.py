"""Frames on a serial line: whatever happens to the bytes, no wrong frame passes and the next one is right."""

from __future__ import annotations

import random
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from board.framing import LOGITS, OVERHEAD_BYTES, START, WINDOW, Frame, Unpacker, pack
from board.serial import SerialBoard, SerialError
from board.simulation.serial import SerialModel
from qmodel.fixed_point import standardise
from tests.board.bad_line import BadLine
from tests.board.folders import windows
from tests.board.serial_networks import SAMPLES, core_of, small_network

pytest.importorskip("serial")
FRAMES = st.builds(Frame, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=40))


def test_a_frame_byte_by_byte():
    # CRC-32 of "123456789" is CBF43926 (the check value of CRC-32/ISO-HDLC in the catalogue of parametrised CRCs)
    assert zlib.crc32(b"123456789") == 0xCBF43926
    body = bytes([1, 7, 3, 0]) + b"abc"
    assert pack(Frame(1, 7, b"abc")) == b"\xa5\xc3" + body + zlib.crc32(body).to_bytes(4, "little")
    assert len(pack(Frame(1, 7, b"abc"))) == OVERHEAD_BYTES + 3
    with pytest.raises(ValueError, match="at most 65535 bytes, received 65536"):
        pack(Frame(1, 7, bytes(65536)))


@given(st.lists(FRAMES, max_size=5), st.binary(max_size=30), st.integers(1, 7))
def test_frames_come_through_noise_and_in_pieces(frames, noise, piece):
    line = noise.replace(START, b"") + b"".join(map(pack, frames))
    unpacker, found = Unpacker(40), []
    for start in range(0, len(line), piece):
        found += unpacker.feed(line[start : start + piece])
    assert found == frames


@given(FRAMES, FRAMES, st.data())
@settings(max_examples=400)
def test_a_broken_frame_is_none_and_the_next_one_is_whole(first, second, data):
    line = bytearray(pack(first))
    place = data.draw(st.integers(0, len(line) - 1))
    match data.draw(st.sampled_from(["flip", "lose", "add", "cut", "start"])):
        case "flip":
            line[place] ^= 1 << data.draw(st.integers(0, 7))
        case "lose":
            del line[place]
        case "add":
            line[place:place] = data.draw(st.binary(min_size=1, max_size=3))
        case "cut":
            del line[place:]
        case "start":
            line = bytearray(START) + line[: place + 1]
    found = Unpacker(40).feed(bytes(line) + pack(second))
    assert found in ([second], [first, second])
    if found != [second]:  # added before or behind it, or the very byte again
        assert pack(first) in bytes(line)


@pytest.fixture(scope="module")
def network():
    return small_network()


@pytest.fixture
def line(network):
    with BadLine(SerialModel(SAMPLES, core_of(network))) as line:
        yield line


def once(fault):
    """A fault of the next bytes alone."""
    left = [fault]
    return lambda data: left.pop()(data) if left else data


def flip(place):
    return lambda data: data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]


FAULTS = {
    "added before": lambda data: b"\x00" + data,
    "added behind": lambda data: data + b"\x7f",
    "start word before": lambda data: START + data,
    "a frame's head before": lambda data: START + bytes([LOGITS, 1, 12, 0]) + data,
    "lost first": lambda data: data[1:],
    "lost last": lambda data: data[:-1],
    "lost all": lambda data: b"",
    "flipped in the start word": flip(0),
    "flipped in the kind": flip(2),
    "flipped in the number": flip(3),
    "flipped in the length": flip(4),
    "flipped in the payload": flip(7),
    "flipped in the sum": flip(-1),
    "twice": lambda data: data + data,
    "noise": lambda data: bytes(range(256)),
}


@pytest.mark.parametrize("direction", ["to_board", "to_host"])
@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_found_and_the_next_window_is_right(fault, direction, line, network):
    adc = windows(2, 3, SAMPLES)
    golden = network.run(standardise(adc, network.input_format))
    with SerialBoard(line.port, network, timeout_s=0.15, repeats=0) as board:
        setattr(line, direction, once(FAULTS[fault]))
        try:
            assert np.array_equal(board.classify(adc[0]).logits, golden[0])
        except SerialError:
            assert sum(board.faults.values()) == 1
        assert np.array_equal(board.classify(adc[1]).logits, golden[1])


def test_a_damaged_window_is_sent_again(line, network):
    adc = windows(1, 3, SAMPLES)
    with SerialBoard(line.port, network, timeout_s=0.15) as board:
        line.to_board = once(flip(20))
        assert np.array_equal(board.classify(adc[0]).logits, board.codec.golden(adc[0]))
        assert board.faults == {"the board refused it: the window arrived damaged": 1}
        line.to_board = lambda data: flip(20)(data)
        with pytest.raises(SerialError, match=r"the window arrived damaged; the window was sent 3 times"):
            board.classify(adc[0])


def test_a_late_answer_is_nobody_elses(line, network):
    adc = windows(3, 4, SAMPLES)
    with SerialBoard(line.port, network, timeout_s=0.1, repeats=0) as board:
        line.delay_s = 0.45
        with pytest.raises(SerialError, match="nothing came within"):
            board.classify(adc[0])
        for window in adc[1:]:
            assert np.array_equal(board.classify(window).logits, board.codec.golden(window))


def test_random_faults_never_give_a_wrong_answer(line, network):
    """A line that damages every third frame in either direction: every window is right in the end."""
    draw = random.Random(5)

    def bad(data):
        if not data or draw.random() > 1 / 3:
            return data
        place = draw.randrange(len(data))
        lost, added = data[:place] + data[place + 1 :], data[:place] + b"\xa5" + data[place:]
        return draw.choice((flip(place)(data), lost, added))

    adc = windows(20, 6, SAMPLES)
    with SerialBoard(line.port, network, timeout_s=0.1, repeats=20) as board:
        line.to_board = line.to_host = bad
        results = board.classify_many(adc)
        assert sum(board.faults.values()) > 3
    assert np.array_equal([result.logits for result in results], network.run(standardise(adc, network.input_format)))


def test_the_other_end_hears_itself(network):
    with pytest.raises(SerialError, match=r"58 bytes that are no answer to it came within"):
        SerialBoard("loop://", network, timeout_s=0.05, repeats=0)


def test_a_board_with_another_network(line):
    with pytest.raises(SerialError, match="the board refused it: it takes windows of another length"):
        SerialBoard(line.port, small_network(samples=60), timeout_s=0.2)
    with pytest.raises(SerialError, match="the board answers 3 logits, this network has 5"):
        SerialBoard(line.port, small_network(classes=5), timeout_s=0.2)
    with pytest.raises(SerialError, match="the board's logits are not this network's"):
        SerialBoard(line.port, small_network(seed=8), timeout_s=0.2)


def test_what_has_no_frame():
    with pytest.raises(SerialError, match="a frame holds at most 65535 bytes, this network needs 70000"):
        SerialBoard("loop://", small_network(samples=70000))
    model = SerialModel(4, lambda window: window)
    frame = pack(Frame(WINDOW, 9, b"abcd"))
    assert model.feed(frame[:8]) + model.silence() == pack(Frame(0x82, 9, b"\x03"))
    assert model.feed(frame) == pack(Frame(LOGITS, 9, b"abcd"))
