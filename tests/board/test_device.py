"""The driver, unchanged, against the Verilog core in simulation; with `--board FOLDER` against a real board."""

import re
from pathlib import Path

import numpy as np
import pytest

from board.simulation.checks import CHECKS
from tests.board.folders import ecg_network, windows

pytestmark = pytest.mark.slow  # compiles and runs a simulator


@pytest.fixture
def board_folder(request):
    """The deploy folder on the board, or None: simulate."""
    folder = request.config.getoption("--board")
    return None if folder is None else Path(folder)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_of_the_device(name, board_folder, request):
    if board_folder is not None:
        CHECKS[name](board_folder, windows(3), 1.0)
        return
    record = request.getfixturevalue("simulated")
    outcomes = dict(zip(record["names"].tolist(), record["outcomes"].tolist()))
    assert outcomes[name] == ""


def test_a_stalled_core_raises_within_its_timeout_with_the_status(simulated):
    message = str(simulated["stall_message"])
    assert "no answer within 1 s" in message
    # how far the sending got within the second depends on how fast this machine simulates
    assert re.search(r"send status 0x\w{8} \((idle|running)\), receive status 0x00000000 \(running\); core: 0", message)
    assert 1.0 <= simulated["stall_seconds"] < 10


def test_loading_again_after_a_stall_is_right(simulated):
    assert np.array_equal(simulated["logits_after"], simulated["golden"][1])


def test_the_simulated_driver_freed_every_buffer(simulated):
    assert simulated["live"] == 0
    assert simulated["allocated"] > 10


def test_the_registers_for_the_hls_core_tell_what_the_cores_own_do(simulated):
    core, watching = simulated["core"].tolist(), simulated["watching"].tolist()
    assert watching == core
    assert core[0] == int.from_bytes(b"ALQF", "big")
    assert 3600 <= core[2] < 20_000  # cycles
    assert core[3] == 1  # frames
    assert "".join(f"{word:08x}" for word in core[8:]) == ecg_network().identity
    assert np.array_equal(simulated["logits_watched"], simulated["golden"][1])
