"""The driver of the vendor's tools, with stand-ins for the tools, and the parsers, on reports written by hand."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from hls.area import Area
from hls.cpp import synthesis
from hls.cpp.convert import convert
from hls.cpp.synthesis import Figures, SynthesisError, read_cosim, read_csynth, read_reports, read_vivado, synthesise

REPORTS = Path(__file__).parent / "reports"

TOOL = """#!{python}
import os, pathlib, shutil, sys
print("arguments", *sys.argv[1:])
print("steps", os.environ.get("ECG_ALQ_STEPS"))
{body}
"""
WRITES_CSYNTH = """
folder = pathlib.Path("ecg_alq_prj/solution1/syn/report")
folder.mkdir(parents=True)
shutil.copy("{reports}/csynth.xml", folder / "ecg_alq_csynth.xml")
"""
WRITES_VIVADO = """
for name in ("vivado_utilization.rpt", "vivado_timing.rpt"):
    shutil.copy(f"{reports}/{{name}}", name)
"""


@pytest.fixture
def own_project(project, tmp_path):
    return shutil.copytree(project, tmp_path / "project")


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Puts stand-ins for vendor tools on the PATH, where nothing else is."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def add(name, body):
        path = folder / name
        path.write_text(TOOL.format(python=sys.executable, body=body.format(reports=REPORTS)))
        path.chmod(0o755)

    return add


def test_csynth_report():
    figures = read_csynth(REPORTS / "csynth.xml")
    assert figures == Figures("Vitis HLS 2023.2 csynth", "vendor", Area(12345, 23456, 5.5, 9), 5123, 3617, 125.0)


def test_csynth_report_with_unbounded_loops(tmp_path):
    text = (
        (REPORTS / "csynth.xml").read_text().replace(">5123<", ">undef<").replace("<DSP>9</DSP>", "<DSP48E>9</DSP48E>")
    )
    (tmp_path / "csynth.xml").write_text(text)
    figures = read_csynth(tmp_path / "csynth.xml")
    assert figures.cycles_per_frame is None
    assert figures.area.dsps == 9


def test_cosim_report():
    assert read_cosim(REPORTS / "cosim.rpt") == Figures("co-simulation (Verilog)", "vendor", None, 5119, 3610)


def test_vivado_reports():
    figures = read_vivado(REPORTS / "vivado_utilization.rpt", REPORTS / "vivado_timing.rpt", 10)
    assert figures == Figures("Vivado, routed", "vendor", Area(11111, 22222, 5.5, 7), clock_mhz=125.0)


def test_a_failed_cosimulation_is_no_figure(tmp_path):
    path = tmp_path / "cosim.rpt"
    path.write_text((REPORTS / "cosim.rpt").read_text().replace("      Pass|", "      Fail|"))
    with pytest.raises(SynthesisError, match="ended with 'Fail'"):
        read_cosim(path)


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (read_cosim, "no result of VHDL or Verilog"),
        (lambda path: read_vivado(path, path, 10), "no row Slice LUTs"),
        (lambda path: read_vivado(REPORTS / "vivado_utilization.rpt", path, 10), "no worst negative slack"),
    ],
)
def test_other_files_are_refused(tmp_path, read, message):
    path = tmp_path / "other.rpt"
    path.write_text("nothing of the kind\n")
    with pytest.raises(SynthesisError, match=message):
        read(path)


def test_another_xml_is_refused(tmp_path):
    path = tmp_path / "other.xml"
    path.write_text("<profile/>")
    with pytest.raises(SynthesisError, match="not a synthesis report"):
        read_csynth(path)


def test_runs_the_tool_and_reads_its_report(own_project, tools, capfd):
    tools("vitis_hls", WRITES_CSYNTH)
    figures = synthesise(own_project, ("csim", "csynth"), progress=False)
    assert [entry.tool for entry in figures] == ["Vitis HLS 2023.2 csynth"]
    log = (own_project / synthesis.LOG).read_text()
    assert "arguments -f build_prj.tcl" in log
    assert "steps csim csynth" in log


def test_prefers_the_newer_command(own_project, tools):
    tools("vitis_hls", "sys.exit(1)")
    tools("vitis-run", WRITES_CSYNTH)
    synthesise(own_project, progress=True)
    assert "arguments --mode hls --tcl build_prj.tcl" in (own_project / synthesis.LOG).read_text()


def test_vivado_after_csynth(own_project, tools):
    tools("vitis_hls", WRITES_CSYNTH)
    tools("vivado", WRITES_VIVADO)
    figures = synthesise(own_project, ("csynth",), vivado=True, progress=False)
    assert [entry.tool for entry in figures] == ["Vitis HLS 2023.2 csynth", "Vivado, routed"]
    assert figures[1].row == {
        "kind": "vendor", "tool": "Vivado, routed", "target": "xc7z020clg400-1", "cycles_per_frame": None,
        "cycles_between_frames": None, "luts": 11111, "ffs": 22222, "bram36": 5.5, "dsp": 7, "clock_mhz": 125.0,
    }  # fmt: skip


def test_one_table_for_estimates_and_reports(project):
    (estimated,) = synthesis.estimated(project)
    vendor = read_csynth(REPORTS / "csynth.xml").row
    assert set(estimated) - {"fifo_bits"} <= set(vendor)
    lines = synthesis.table([estimated, vendor]).splitlines()
    assert "estimated" in lines[1]
    assert f" {estimated['luts']} " in lines[1]
    assert "vendor" in lines[2]
    assert " 12345 " in lines[2]


def test_another_part_has_no_estimate(network, tmp_path):
    assert synthesis.estimated(convert(network, tmp_path / "project", part="xc7z045ffg900-2")) == []


@pytest.mark.parametrize(
    "body", ['print("ERROR: [HLS 200-70] bad")', 'print("ERROR: bad"); sys.exit(3)', "sys.exit(3)"]
)
def test_a_failing_tool(own_project, tools, body):
    tools("vitis_hls", body)
    with pytest.raises(SynthesisError, match=r"vitis_hls ended with code \d; see .*synthesis.log"):
        synthesise(own_project, progress=False)


def test_a_tool_that_leaves_no_report(own_project, tools):
    tools("vitis_hls", "")
    with pytest.raises(SynthesisError, match="holds no report"):
        synthesise(own_project, progress=False)


def test_absent_tools_say_what_to_install(own_project, tools):
    with pytest.raises(SynthesisError) as caught:
        synthesise(own_project)
    for words in ("AMD Vitis 2022.1", "`vitis-run` or `vitis_hls`", "settings64.sh", "vitis_hls -f build_prj.tcl"):
        assert words in str(caught.value)
    tools("vitis_hls", WRITES_CSYNTH)
    with pytest.raises(SynthesisError, match="Vivado is not installed"):
        synthesise(own_project, vivado=True)
    assert not (own_project / "ecg_alq_prj").exists()


def test_absent_vivado_hls(network, tmp_path, tools):
    folder = convert(network, tmp_path / "vivado", backend="Vivado")
    with pytest.raises(SynthesisError, match=r"Vivado HLS 2019\.2"):
        synthesise(folder)


def test_bad_arguments(own_project, tmp_path):
    with pytest.raises(ValueError, match="received place"):
        synthesise(own_project, ("csim", "place"))
    with pytest.raises(ValueError, match="received none"):
        synthesise(own_project, ())
    with pytest.raises(SynthesisError, match="run convert first"):
        read_reports(tmp_path)
