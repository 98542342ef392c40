"""The driver, unchanged, against the Verilog core in simulation; with `--board FOLDER` against a real board."""

from pathlib import Path

import numpy as np
import pytest

from board.simulation.checks import CHECKS
from tests.board.folders import windows


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
    assert "send status 0x00001002 (idle), receive status 0x00000000 (running); core: 0 frames done" in message
    assert 1.0 <= simulated["stall_seconds"] < 10


def test_loading_again_after_a_stall_is_right(simulated):
    assert np.array_equal(simulated["logits_after"], simulated["golden"][1])


def test_the_simulated_driver_freed_every_buffer(simulated):
    assert simulated["live"] == 0
    assert simulated["allocated"] > 10


def test_the_core_counts_its_cycles(simulated):
    assert 3600 <= simulated["cycles"] < 20_000
