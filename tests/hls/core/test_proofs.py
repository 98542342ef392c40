"""Proofs of whole cores: every promise of a right one for all time; deliberate faults, each broken where it should be.

A fault is made in the files of a generated core, as a careless change of a module or of the generator would make it.
"""

import dataclasses
import re
import shutil

import numpy as np
import pytest

from hls.core import generate
from hls.folding import Folding, LayerFolding
from hls.plan import Plan
from hls.tools.prove import REFUTED, lines, parts_of, prove
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer

pytest.importorskip("pyosys")


def core_of(network, folding, folder):
    return generate(Plan.of(network, Folding(tuple(LayerFolding(*entry) for entry in folding))), folder)


@pytest.fixture(scope="module")
def small_core(tmp_path_factory):
    """A padded layer with two engines and a pool, a rotating layer with padding, a sum over time, logits."""
    rng = np.random.default_rng(5)
    output = Format(4, 1, False)
    network = FrozenNetwork(
        6,
        Format(5, 2, True),
        (
            random_plane_layer(rng, 1, 2, 3, padding=(1, 1), max_planes=1, output=output),
            MaxPool(3, 1),
            random_plane_layer(rng, 2, 2, 5, stride=2, padding=(2, 2), max_planes=1, output=output),
            TimeSum(),
            random_plane_layer(rng, 2, 2, 1, max_planes=1, output=None),
        ),
    )
    folding = Folding((LayerFolding(1, 3), LayerFolding(1, 1), LayerFolding(1, 1)))
    return generate(Plan.of(network, folding), tmp_path_factory.mktemp("proved"))


def test_a_core_keeps_every_promise_for_all_time(small_core, tmp_path):
    assert any(layer.rotate for layer in small_core.plan.layers)
    proofs = prove(small_core, tmp_path)
    assert lines(proofs) == [f"{len(proofs)} of {len(proofs)} promises proved for all time"]
    promised = {one.name for one in proofs}
    names = {item for own in parts_of(small_core).values() for item in own}
    for name in names - {"progress"}:
        assert any(one.startswith(f"{name}.") for one in promised), name
    assert {"progress.stalls_end", "sink.data_holds", "registers.b_holds", "source.no_sample_lost"} <= promised


# The part that must not be proved, the file that is changed, what in it, and into what.
FAULTS = {
    "a FIFO asks too late": (
        "conv1", "ecg_alq.v", r"DEPTH\(16\),\s*\.MARGIN\(\d+\)(\s*\) fifo_1 )", r"DEPTH(4), .MARGIN(1)\1"),
    "a FIFO keeps its last word back": ("conv1", "alq_fifo.v", "valid = used != 0", "valid = used > 1"),
    "one sample too many in a frame": ("source", "ecg_alq.v", r"\.SAMPLES\(6\)", ".SAMPLES(7)"),
    "one time step too few": ("conv1", "ecg_alq.v", r"\.TIMES\(6\),\s*\.FIRST\(1\)", ".TIMES(5), .FIRST(1)"),
    "a pool of another stride": ("conv1", "ecg_alq.v", r"\.STRIDE\(1\),\s*\.RINGS\(3\)", ".STRIDE(2), .RINGS(2)"),
    "one logit too many": ("dense1", "ecg_alq.v", r"\.VALUES\(2\),(\s*)\.TDATA", r".VALUES(3),\1.TDATA"),
    "valid waits for ready": ("dense1", "alq_sink.v", "tvalid = valid;", "tvalid = valid && m_axis_tready;"),
    "valid falls before ready": ("dense1", "alq_sink.v", "tvalid = valid;", "tvalid = valid && !m_axis_tlast;"),
    "ready is stuck": ("progress", "alq_source.v", "= !second_full", "= !second_full && count != 4"),
    "a counter is too narrow": ("conv1", "alq_window.v", r"reg \[TIME_BITS-1:0\] times", "reg [TIME_BITS-2:0] times"),
    "padding is forgotten": ("conv1", "alq_window.v", "padding <= 1'b1", "padding <= 1'b0"),
    "a beat leaves too often": ("conv2", "alq_layer.v", "ended <= ends && running", "ended <= running"),
    "an answer is dropped": ("registers", "alq_registers.v", r"write \|\| \(s_axi_bvalid && !s_axi_bready\)", "write"),
    "a read nobody asked for": ("registers", "alq_registers.v", "rvalid  <= hold_read", "rvalid  <= s_axi_rready"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refuted(small_core, tmp_path, fault):
    part, file, text, replacement = FAULTS[fault]
    folder = tmp_path / "core"
    shutil.copytree(small_core.folder, folder)
    changed, times = re.subn(text, replacement, (folder / file).read_text(), count=1)
    assert times == 1
    (folder / file).write_text(changed)
    core = dataclasses.replace(
        small_core, folder=folder, sources=tuple(folder / one.name for one in small_core.sources)
    )
    proofs = prove(core, tmp_path / "proofs", [part])
    assert any(one.state == REFUTED for one in proofs), lines(proofs)
