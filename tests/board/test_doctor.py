"""Each thing that may be wrong is one finding with its remedy."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from importlib.resources import files

import pytest

from board import doctor
from board.codec import Codec
from board.handoff import Handoff, HandoffError
from board.manifest import MANIFEST
from board.simulation import hwh
from board.simulation.model import Board, installed, stand_in
from flow.cli.main import main
from tests.board.folders import deploy_folder, ecg_network, manifest_of, write_manifest

CHECKS = ["module", "manifest", "hashes", "bitstream", "pynq", "design", "window"]


@pytest.fixture(scope="module")
def network():
    return ecg_network()


@pytest.fixture
def folder(network, tmp_path):
    return deploy_folder(tmp_path / "deploy", network)


@pytest.fixture
def board(network, monkeypatch):
    """A board with PYNQ 3.0.1."""
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda package: "3.0.1")
    board = Board(network, Codec.of(network))
    with installed(stand_in(board)):
        yield board


def bad(folder):
    """The findings that are not good, by check."""
    return {finding.check: finding for finding in doctor.examine(folder, 0.2) if not finding.good}


def test_a_good_board(folder, board, capsys):
    assert doctor.main([str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == CHECKS
    assert "3 logits as expected" in lines[-1]
    assert doctor.main([str(folder), "--json"]) == 0
    assert [finding["check"] for finding in json.loads(capsys.readouterr().out)] == CHECKS


def test_the_command(folder, board, capsys):
    assert main(["doctor", str(folder)]) == 0
    (folder / "ecg_alq.hwh").unlink()
    assert main(["doctor", str(folder), "--json"]) == 1
    capsys.readouterr()


def test_no_deploy_folder(tmp_path, board):
    findings = bad(tmp_path)
    assert findings.keys() == {"manifest"}
    assert "deploy again" in findings["manifest"].remedy


def test_a_changed_file(folder, board):
    (folder / "test_window.json").write_text("{}")
    findings = bad(folder)
    assert findings["hashes"].found == "missing or changed: test_window.json"
    assert findings.keys() == {"hashes", "window"}


def test_no_handoff(folder, board):
    (folder / "ecg_alq.hwh").unlink()
    findings = bad(folder)
    assert findings["bitstream"].found == "missing: ecg_alq.hwh"
    assert findings.keys() == {"hashes", "bitstream", "design", "window"}


@pytest.mark.parametrize(("version", "good"), [("2.7.0", False), ("3.0", False), ("3.0.1", True), ("3.1.2", True)])
def test_the_version_of_pynq(folder, board, monkeypatch, version, good):
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda package: version)
    assert ("pynq" not in bad(folder)) == good


def test_no_pynq(folder, monkeypatch):
    def missing(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr(doctor.importlib.metadata, "version", missing)
    with installed(None):
        findings = bad(folder)
    assert findings.keys() == {"pynq", "window"}
    assert "PYNQ image 3.0.1 or later" in findings["pynq"].remedy
    assert "not installed: run this on a PYNQ board" in findings["window"].found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input_bits": 32}, "axi_dma_0 has c_m_axis_mm2s_tdata_width = 32, needed 8"),
        ({"address": 0x43C1_0000}, "ecg_alq_0 answers at 0x43c10000 to 0x43c1ffff, the manifest says 0x43c00000"),
        ({"dma": "axi_dma_1"}, "no AXI DMA named axi_dma_0"),
        ({"core": "other_0"}, "no block ecg_alq_0 with registers"),
    ],
)
def test_another_design(network, folder, board, changes, message):
    hwh.write(folder / "ecg_alq.hwh", manifest_of(network, **changes), "ecg_alq")
    write_manifest(folder, manifest_of(network))
    assert message in bad(folder)["design"].found


def test_a_dma_that_cannot_count_so_far(network, folder, board):
    path = folder / "ecg_alq.hwh"
    path.write_text(
        path.read_text().replace('NAME="c_sg_length_width" VALUE="16"', 'NAME="c_sg_length_width" VALUE="8"')
    )
    write_manifest(folder, manifest_of(network))
    assert bad(folder)["design"].found == "axi_dma_0 counts 8 bits of length, too few for 3600 bytes"


def test_another_answer(folder, board):
    window = json.loads((folder / "test_window.json").read_text())
    window["logits"][1] += 1
    (folder / "test_window.json").write_text(json.dumps(window))
    write_manifest(folder, manifest_of(board.network))
    assert bad(folder)["window"].found == "1 of 3 logits differ from the expected ones"


def test_a_board_that_does_not_answer(folder, board):
    board.faults.stall_after = 0
    found = bad(folder)["window"].found
    assert found.startswith("TransferError: the board gave no answer within 0.2 s: send status 0x")


def test_another_module_board(folder, board, tmp_path, monkeypatch):
    stray = tmp_path / "blinka"
    stray.mkdir()
    (stray / "board.py").write_text("raise NotImplementedError\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(stray)])
    finding = doctor.check_module()
    assert finding.good
    assert str(stray / "board.py") in finding.found
    monkeypatch.setattr(sys, "path", [str(stray), *sys.path])
    finding = doctor.check_module()
    assert not finding.good
    assert "Adafruit-Blinka" in finding.remedy


def test_the_command_where_another_module_has_our_name(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "board.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "board"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["doctor", str(folder)]) == 2
    assert "not ecg-alq's package: pip uninstall Adafruit-Blinka" in capsys.readouterr().err


def test_the_manifest_of_another_format_is_one_finding(folder, board):
    content = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(content | {"format": 1}))
    assert bad(folder).keys() == {"manifest"}


def test_a_handoff_that_vivado_wrote(network):
    """The sample of cocotbpynq: Vivado 2022.1, for a board of the same family."""
    pytest.importorskip("cocotbpynq")
    handoff = Handoff.read(files("cocotbpynq") / "sample" / "sample.hwh")
    assert handoff.vivado == "2022.1"
    assert handoff.addresses == {
        "poly_eval_axi_dma": (0x4040_0000, 0x4040_FFFF),
        "poly_eval_poly_0": (0x43C1_0000, 0x43C1_FFFF),
    }
    assert handoff.kinds["poly_eval_poly_0"] == "xilinx.com:module_ref:poly:1.0"
    theirs = {"core": "poly_eval_poly_0", "dma": "poly_eval_axi_dma", "address": 0x43C1_0000, "input_bits": 32}
    assert handoff.problems(manifest_of(network, **theirs), 3600, 17) == []
    assert handoff.problems(manifest_of(network), 3600, 17) == [
        "no block ecg_alq_0 with registers",
        "no AXI DMA named axi_dma_0",
    ]


def test_what_is_no_handoff(tmp_path):
    (tmp_path / "a.hwh").write_text("no XML")
    (tmp_path / "b.hwh").write_text("<other/>")
    with pytest.raises(HandoffError, match="is not XML"):
        Handoff.read(tmp_path / "a.hwh")
    with pytest.raises(HandoffError, match="starts with <other>"):
        Handoff.read(tmp_path / "b.hwh")
