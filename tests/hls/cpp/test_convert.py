"""The HLS project: complete, reproducible, atomic, and its own testbench passes."""

from __future__ import annotations

import hashlib
import json
import re
import shutil

import numpy as np
import pytest

from hls.cpp import convert as convert_module
from hls.cpp.convert import ConversionError, convert, golden_frames
from hls.engines import csim
from hls.folding import Folding, FoldingError, LayerFolding
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.frozen import FrozenNetwork
from tests.hls.projects import QUICK, small_network
from tests.strategies import random_plane_layer


def test_manifest_lists_every_file_with_its_hash(network, project):
    manifest = json.loads((project / "manifest.json").read_text())
    files = {p.relative_to(project).as_posix() for p in project.rglob("*") if p.is_file()} - {"manifest.json"}
    assert set(manifest["files"]) == files
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((project / name).read_bytes()).hexdigest() == digest
    assert manifest["identity"] == network.identity == FrozenNetwork.load(project / "network.alq").identity
    assert manifest["input"] == {"transfer_bits": 8, "length": 40, "bits": 8, "fraction": 4, "signed": True}
    assert manifest["output"]["transfer_bits"] in (16, 32)
    assert manifest["versions"]["hls4ml"] == "1.3.0"


def test_same_network_same_files(network, project, tmp_path):
    again = convert(network, tmp_path / "elsewhere" / "other")
    files = sorted(p.relative_to(project) for p in project.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(again) for p in again.rglob("*") if p.is_file())
    for path in files:
        assert (project / path).read_bytes() == (again / path).read_bytes(), path


@pytest.mark.parametrize("io_type", ["io_stream", "io_parallel"])
@pytest.mark.parametrize("backend", ["Vitis", "Vivado"])
def test_no_layer_falls_to_a_default_precision(network, tmp_path, capfd, backend, io_type):
    folder = convert(network, tmp_path / "project", backend=backend, io_type=io_type)
    captured = capfd.readouterr()
    assert "nsupported" not in captured.out + captured.err
    defines = (folder / "firmware" / "defines.h").read_text()
    types = re.findall(r"(ap_u?fixed<[^>]*>)", defines)
    formats = [network.input_format] + [stage.output_format for stage in network.stages]
    expected = [f"ap_{'' if f.signed else 'u'}fixed<{f.bits},{f.bits - f.fraction}>" for f in formats]
    assert types == expected
    for path in (folder / "firmware").glob("*.*"):
        assert "ap_fixed<16,6" not in path.read_text(), path


def test_testbench_passes(project):
    output = csim.run_testbench(project, csim.compile_testbench(project, QUICK))
    assert "PASS: 7 frames" in output


def test_testbench_of_parallel_io_passes(tmp_path):
    folder = convert(small_network(3), tmp_path / "project", io_type="io_parallel")
    assert "PASS: 7 frames" in csim.run_testbench(folder, csim.compile_testbench(folder, QUICK))


@pytest.mark.parametrize("broken", ["logits", "samples"])
def test_testbench_fails_on_a_wrong_vector(project, tmp_path, broken):
    copy = shutil.copytree(project, tmp_path / "copy")
    program = csim.compile_testbench(project, QUICK)
    path = copy / "tb_data" / f"{broken}.dat"
    table = np.loadtxt(path, dtype=np.int64)
    table[1] = table[1] + 1 if broken == "logits" else 0
    np.savetxt(path, table, fmt="%d")
    with pytest.raises(RuntimeError, match="ERROR: frame 1 logit"):
        csim.run_testbench(copy, program)


def test_testbench_fails_without_vectors(project, tmp_path):
    with pytest.raises(RuntimeError, match="no golden vectors"):
        csim.run_testbench(tmp_path, csim.compile_testbench(project, QUICK))


def test_golden_frames_are_in_range_and_extreme(network):
    x = golden_frames(network)
    assert set(np.unique(x[0])) == {network.input_format.low, network.input_format.high}
    assert x.min() >= network.input_format.low
    assert x.max() <= network.input_format.high


def test_top_has_axi_stream_ports_and_the_function_inside_none(project):
    top = (project / "firmware" / "ecg_alq.cpp").read_text()
    for pragma in ("INTERFACE axis port=samples", "INTERFACE axis port=logits", "INTERFACE ap_ctrl_none", "DATAFLOW"):
        assert f"#pragma HLS {pragma}" in top
    inner = (project / "firmware" / "alq_network.cpp").read_text()
    assert "INTERFACE" not in inner
    assert "#pragma HLS DATAFLOW" in inner


def test_script_names_part_clock_and_existing_files(network, tmp_path):
    folder = convert(network, tmp_path / "project", part="xc7z010clg400-1", clock_mhz=125)
    script = (folder / "build_prj.tcl").read_text()
    assert "set_part xc7z010clg400-1" in script
    assert "create_clock -period 8 " in script
    for name in re.findall(r"add_files (?:-tb )?(\S+)", script):
        assert (folder / name).exists(), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "Quartus"}, "backend must be one of"),
        ({"io_type": "io_serial"}, "io_type must be one of"),
        ({"clock_mhz": 0}, "clock_mhz must lie in"),
    ],
)
def test_bad_options_leave_nothing_behind(network, tmp_path, options, message):
    with pytest.raises(ConversionError, match=message):
        convert(network, tmp_path / "project", **options)
    assert list(tmp_path.iterdir()) == []


def test_illegal_folding_lists_the_legal_ones(network, tmp_path):
    entries = [LayerFolding(1, 1)] * len(network.plane_stages)
    entries[1] = LayerFolding(99, 1)
    with pytest.raises(FoldingError, match="engines must be"):
        convert(network, tmp_path / "project", Folding(tuple(entries)))
    assert list(tmp_path.iterdir()) == []


def test_large_networks_are_refused_in_parallel(tmp_path):
    rng = np.random.default_rng(0)
    layers = (random_plane_layer(rng, 1, 2, 3), random_plane_layer(rng, 2, 1, 4998, output=None))
    with pytest.raises(ConversionError, match="use io_stream"):
        convert(FrozenNetwork(5000, INPUT_FORMAT, layers), tmp_path / "project", io_type="io_parallel")


def test_failure_keeps_the_old_project(network, tmp_path, monkeypatch):
    folder = convert(network, tmp_path / "project")
    before = (folder / "manifest.json").read_bytes()

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert_module, "_write_vectors", full_disk)
    with pytest.raises(OSError, match="No space left"):
        convert(small_network(8), folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".project.made", "project"]  # beside it: what was made
    assert (folder / "manifest.json").read_bytes() == before
    monkeypatch.undo()
    other = small_network(8)
    convert(other, folder)
    assert FrozenNetwork.load(folder / "network.alq").identity == other.identity
    assert sorted(p.name for p in tmp_path.iterdir()) == [".project.made", "project"]


def test_a_folder_of_something_else_is_not_touched(network, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    with pytest.raises(InputError, match="not an HLS project"):
        convert(network, tmp_path / "letters")
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["dear.txt"]
