"""`ecg-alq prove`: a row per core, the exit code, options that exclude each other."""

import json

import numpy as np
import pytest

from flow.cli.main import main
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork
from tests.strategies import random_plane_layer


def test_a_network_of_ones_own_is_proved(tmp_path, capsys):
    pytest.importorskip("pyosys")
    layer = random_plane_layer(np.random.default_rng(1), 1, 2, 4, max_planes=1, output=None)
    file = FrozenNetwork(4, Format(4, 1, True), (layer,)).save(tmp_path / "own.alq")
    assert main(["prove", "--frozen", str(file), "--output", str(tmp_path / "proofs"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["network"] == "own"
    assert row["proved"] == row["promises"] > 40
    assert (row["refuted"], row["not_proved"]) == (0, [])


def test_shipped_chooses_the_networks(tmp_path, capsys):
    assert main(["prove", "--shipped", "--smallest"]) != 0
    assert "--shipped chooses networks and foldings" in capsys.readouterr().err
