"""Random Keras graphs: Keras = golden = C99 = C simulation on every layer (the core: tests/hls/core)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from hls.cpp.convert import convert
from hls.engines.c import CExport
from hls.engines.csim import CSimulation
from hls.engines.keras import KerasEngine
from hls.engines.parity import compare
from hls.folding import fold
from qmodel.freeze import freeze
from tests.hls.projects import QUICK
from tests.keras_graphs import keras_graph
from tests.strategies import random_inputs


def check_graphs(folder, number, first, simulated):
    """So many graphs, `simulated` of them in C simulation as well: not one integer differs."""
    seen = []

    @seed(first)
    @settings(max_examples=number, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.integers(0, 2**32 - 1))
    def check(number_of_graph):
        model = keras_graph(number_of_graph)
        network = freeze(model)
        engines = [KerasEngine(model, network), CExport(network, flags=("-O0", "-std=c99"))]
        if len(seen) >= number - simulated:
            engines.append(CSimulation(convert(network, folder / "project", fold(network)), QUICK))
        x = random_inputs(network, np.random.default_rng(first), 4)
        report = compare(network, engines, x)
        for engine in engines:
            engine.__exit__(None, None, None)
        assert report.equal, (str(report), network.layers)
        seen.append(network)

    check()
    return seen


def test_random_keras_graphs_are_exact(tmp_path):
    check_graphs(tmp_path, 4, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("first", [2, 3])
def test_more_random_keras_graphs_are_exact(tmp_path, first):
    check_graphs(tmp_path, 30, first, 10)
