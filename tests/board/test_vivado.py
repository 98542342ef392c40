"""The Tcl for Vivado under stand-ins for its commands: syntax, calls and connections. Vivado itself is not here."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

import board
from board.simulation import hwh
from flow.cli.main import main
from flow.ship import bitstream
from hls.cpp.convert import TOP_SOURCE, convert
from hls.cpp.synthesis import SynthesisError
from qmodel.errors import InputError
from tests.board.folders import ecg_network, manifest_of

VIVADO = Path(board.__file__).parent / "vivado"
STUBS = Path(__file__).with_name("vivado_stubs.tcl")
REPORTS = Path(__file__).parents[1] / "hls" / "cpp" / "reports"


def tclsh() -> list[str]:
    """The command that runs a Tcl script."""
    found = shutil.which("tclsh")
    if found:
        return [found]
    pytest.importorskip("tkinter", reason="neither tclsh nor tkinter, which contains Tcl, is installed")
    return [sys.executable, str(Path(__file__).with_name("tcl_in_tkinter.py"))]


@pytest.fixture(scope="module")
def network():
    return ecg_network()


@pytest.fixture
def file(network, tmp_path):
    return network.save(tmp_path / "network.alq")


@pytest.fixture
def vivado(network, tmp_path, monkeypatch):
    """A `vivado` on the PATH that runs build.tcl under the stand-ins; returns how to read what it recorded."""
    interpreter, folder = tclsh(), tmp_path / "bin"
    folder.mkdir()
    script = folder / "vivado"
    both = folder / "both.tcl"
    both.write_text(f"source {{{STUBS}}}\ninfo script build.tcl\nsource build.tcl\n")
    words = ", ".join(map(repr, [*interpreter, str(both)]))
    script.write_text(f"#!{sys.executable}\nimport os\nos.execv({interpreter[0]!r}, [{words}])\n")
    script.chmod(0o755)
    handoff = hwh.write(tmp_path / "system.hwh", manifest_of(network), "alq_pynq_rtl")
    stub = {
        "STUB_CALLS": tmp_path / "calls",
        "STUB_REPORTS": REPORTS,
        "STUB_HWH": handoff,
        "STUB_VERSION": "2022.1",
        "STUB_SLACK": "1.5",
        "STUB_PROGRESS": "100%",
        "STUB_BOARDS": "",
        "PATH": f"{folder}{os.pathsep}/usr/bin{os.pathsep}/bin",
    }
    for name, value in stub.items():
        monkeypatch.setenv(name, str(value))
    return lambda: [line.split("\t") for line in (tmp_path / "calls").read_text().splitlines()]


def connections(calls):
    """Pairs of interfaces, and pins by their driver."""
    buses = {frozenset(call[1:]) for call in calls if call[0] == "connect_bd_intf_net"}
    nets: dict[str, set[str]] = {}
    for call in calls:
        if call[0] == "connect_bd_net":
            nets.setdefault(call[1], set()).add(call[2])
    return buses, nets


COMMON = {
    ("processing_system7_0/DDR", "DDR"),
    ("processing_system7_0/FIXED_IO", "FIXED_IO"),
    ("axi_dma_0/M_AXIS_MM2S", "ecg_alq_0/s_axis"),
    ("ecg_alq_0/m_axis", "axi_dma_0/S_AXIS_S2MM"),
    ("processing_system7_0/M_AXI_GP0", "control_0/S00_AXI"),
    ("control_0/M00_AXI", "axi_dma_0/S_AXI_LITE"),
    ("control_0/M01_AXI", "ecg_alq_0/s_axi"),
    ("axi_dma_0/M_AXI_MM2S", "memory_0/S00_AXI"),
    ("axi_dma_0/M_AXI_S2MM", "memory_0/S01_AXI"),
    ("memory_0/M00_AXI", "processing_system7_0/S_AXI_HP0"),
}
CLOCKED = {
    "processing_system7_0/M_AXI_GP0_ACLK",
    "processing_system7_0/S_AXI_HP0_ACLK",
    "reset_0/slowest_sync_clk",
    "axi_dma_0/s_axi_lite_aclk",
    "axi_dma_0/m_axi_mm2s_aclk",
    "axi_dma_0/m_axi_s2mm_aclk",
    "control_0/aclk",
    "memory_0/aclk",
    "ecg_alq_0/clk",
}
RESET = {"axi_dma_0/axi_resetn", "control_0/aresetn", "memory_0/aresetn", "ecg_alq_0/aresetn"}


def test_the_block_design_around_the_verilog_core(file, tmp_path, vivado):
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    assert bitstream.run_vivado(folder, progress=False)
    calls = vivado()
    buses, nets = connections(calls)
    assert buses == set(map(frozenset, COMMON))
    assert nets == {
        "processing_system7_0/FCLK_CLK0": CLOCKED,
        "processing_system7_0/FCLK_RESET0_N": {"reset_0/ext_reset_in"},
        "reset_0/peripheral_aresetn": RESET,
    }
    cells = {call[-1]: call[-2] for call in calls if call[0] == "create_bd_cell"}
    assert cells == {
        "processing_system7_0": "xilinx.com:ip:processing_system7:5.5",
        "reset_0": "xilinx.com:ip:proc_sys_reset:5.0",
        "axi_dma_0": "xilinx.com:ip:axi_dma:7.1",
        "control_0": "xilinx.com:ip:smartconnect:1.0",
        "memory_0": "xilinx.com:ip:smartconnect:1.0",
        "ecg_alq_0": "alq_pynq_rtl",
    }
    # every interface and clock that a call names belongs to a cell that was made
    assert {end.partition("/")[0] for bus in buses for end in bus} - set(cells) == {"DDR", "FIXED_IO"}
    addresses = {call[-1]: call[3:6:2] for call in calls if call[0] == "assign_bd_address"}
    assert addresses["ecg_alq_0/s_axi/reg0"][0] == f"0x{bitstream.CORE_ADDRESS:08X}"
    assert addresses["ecg_alq_0/s_axi/reg0"][1] == "4K"  # 12 bits of address, the least that AXI maps
    assert ["set_msg_config", "-id", "Synth 8-4445", "-new_severity", "ERROR"] in calls
    assert not any(call[0] == "apply_bd_automation" for call in calls)
    assert addresses["axi_dma_0/S_AXI_LITE/Reg"][0] == f"0x{bitstream.DMA_ADDRESS:08X}"
    assert sum(call[0] == "assign_bd_address" for call in calls) == 4
    order = [call[0] for call in calls]
    assert order.index("save_bd_design") > order.index("validate_bd_design") > order.index("assign_bd_address")
    runs = [call[1:] for call in calls if call[0] == "launch_runs"]
    assert runs == [["synth_1", "-jobs", "2"], ["impl_1", "-to_step", "write_bitstream", "-jobs", "2"]]
    assert bitstream.result(folder)["vendor"]["luts"] == 11111
    assert (folder / bitstream.BIT).stat().st_size > 0


def test_the_block_design_around_the_hls_core(network, file, tmp_path, vivado):
    project = convert(network, tmp_path / "project")
    ip = project / "ecg_alq_prj" / "solution1" / "impl" / "ip"
    ip.mkdir(parents=True)
    (ip / "component.xml").write_text("<component/>")
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder, "hls", project=project)
    assert bitstream.run_vivado(folder, progress=False)
    calls = vivado()
    buses, nets = connections(calls)
    through = {("ecg_alq_0/to_core", "network_0/samples"), ("network_0/logits", "ecg_alq_0/from_core")}
    assert buses == set(map(frozenset, COMMON | through))
    assert nets["processing_system7_0/FCLK_CLK0"] == CLOCKED | {"network_0/ap_clk"}
    assert nets["reset_0/peripheral_aresetn"] == RESET | {"network_0/ap_rst_n"}
    cells = {call[-1]: call[-2] for call in calls if call[0] == "create_bd_cell"}
    assert (cells["ecg_alq_0"], cells["network_0"]) == ("alq_pynq_hls", "xilinx.com:hls:ecg_alq:1.0")
    assert ["set_property", "ip_repo_paths", str(folder / "hls/ecg_alq_prj/solution1/impl/ip"), "project"] in calls
    for port in ("samples", "logits"):
        assert f"axis port={port}" in TOP_SOURCE
    text = (folder / "core" / "alq_pynq_hls.v").read_text()
    assert f"IDENTITY = 256'h{network.identity}" in text
    assert "VALUES = 3\n" in text.replace(",", "")


def test_the_boards_own_preset_where_it_is_installed(file, tmp_path, vivado, monkeypatch):
    board = "tul.com.tw:pynq-z2:part0:1.0"
    monkeypatch.setenv("STUB_BOARDS", board)
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    assert bitstream.run_vivado(folder, progress=False)
    calls = vivado()
    assert ["set_property", "board_part", board, "project"] in calls
    (preset,) = (call for call in calls if call[0] == "apply_bd_automation")
    assert "apply_board_preset" in preset[4]
    assert preset[-1] == "processing_system7_0"


def test_the_hls_core_is_made_first_where_it_is_missing(network, file, tmp_path, vivado, monkeypatch):
    (tmp_path / "bin" / "vitis_hls").write_text(
        f"#!{sys.executable}\nimport os, sys\nfrom pathlib import Path\n"
        "assert os.environ['ECG_ALQ_STEPS'] == 'csynth export'\n"
        "assert not {'LD_LIBRARY_PATH', 'TCL_LIBRARY', 'RDI_APPROOT', 'PYTHONHOME'} & set(os.environ)\n"
        "assert os.environ['XILINXD_LICENSE_FILE'] == '2100@licences'\n"
        "ip = Path(sys.argv[2]).parent / 'ecg_alq_prj/solution1/impl/ip'\n"
        "ip.mkdir(parents=True)\n(ip / 'component.xml').write_text('<component/>')\n"
    )
    (tmp_path / "bin" / "vitis_hls").chmod(0o755)
    # what Vivado leaves in the environment of a script's programs
    for name in ("LD_LIBRARY_PATH", "TCL_LIBRARY", "RDI_APPROOT", "PYTHONHOME"):
        inside = f"set ::env({name}) /opt/vivado\n"
        stubs = tmp_path / "bin" / "both.tcl"
        stubs.write_text(stubs.read_text().replace("info script", f"{inside}info script", 1))
    monkeypatch.setenv("XILINXD_LICENSE_FILE", "2100@licences")
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder, "hls", project=convert(network, tmp_path / "project"))
    assert bitstream.run_vivado(folder, progress=False)
    assert (folder / "hls/ecg_alq_prj/solution1/impl/ip/component.xml").is_file()


@pytest.mark.parametrize("name", ["alq_pynq_rtl", "alq_pynq_hls"])
def test_the_blocks_have_the_interfaces_that_the_design_connects(name):
    text = (VIVADO / f"{name}.v").read_text()
    assert f"module {name} " in text
    ports = set(re.findall(r"(?:input|output) wire (?:\[[^\]]*\] )?(\w+)", text))
    streams = {"s_axis", "m_axis"} | ({"to_core", "from_core"} if name.endswith("hls") else set())
    for stream in streams:
        assert {f"{stream}_{signal}" for signal in ("tdata", "tvalid", "tready", "tlast", "tkeep")} <= ports
    assert {"clk", "aresetn", "s_axi_awaddr", "s_axi_rdata"} <= ports
    associated = set(re.search(r"ASSOCIATED_BUSIF ([\w:]+)", text)[1].split(":"))
    assert associated == streams | {"s_axi"}


def test_tables_are_named_with_their_whole_path(file, tmp_path, vivado):
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    bitstream.run_vivado(folder, progress=False)
    tables = re.findall(r'"(.*\.hex)"', (folder / "generated" / "ecg_alq.v").read_text())
    assert len(tables) == 4
    assert all(Path(table).is_file() for table in tables)
    added = next(call for call in vivado() if call[0] == "add_files")[2].split()
    assert str(folder / "generated/ecg_alq.v") in added
    assert str(folder / "core/ecg_alq.v") not in added


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("STUB_SLACK", "-0.25", "the clock of 100 MHz is not reached: worst setup slack -0.25 ns"),
        ("STUB_PROGRESS", "40%", "synth_1 ended with synth_design ERROR; see project/system.runs/synth_1/runme.log"),
        ("STUB_VERSION", "2021.2", "Vivado 2022.1 or later is needed, this is 2021.2"),
    ],
)
def test_a_build_that_fails_leaves_no_bitstream(file, tmp_path, vivado, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    with pytest.raises(SynthesisError, match=re.escape(message)):
        bitstream.run_vivado(folder, progress=False)
    assert not bitstream.built(folder)


def test_without_vivado_a_folder_that_says_how_to_go_on(file, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    assert not bitstream.run_vivado(folder)
    found = bitstream.result(folder)
    assert not found["built"]
    assert "vivado -mode batch" in found["next"]
    assert {"build.tcl", "design.tcl", "settings.tcl", "core"} <= {path.name for path in folder.iterdir()}
    # nothing in it points to this machine
    for path in folder.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()


def test_the_command_with_and_without_vivado(file, tmp_path, vivado, monkeypatch, capsys):
    options = ["bitstream", "--frozen", str(file), "--build", str(tmp_path / "build")]
    assert main([*options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["built"]
    assert found["vendor"]["kind"] == "vendor"
    assert main(options) == 0
    assert "LUT 11,111, FF 22,222, BRAM36 5.5, DSP 7, highest clock 125.0 MHz (vendor, " in capsys.readouterr().out
    monkeypatch.setenv("STUB_SLACK", "-1")
    assert main([*options, "--clock-mhz", "90"]) == 2
    assert "the clock of 90 MHz is not reached: worst setup slack -1 ns" in capsys.readouterr().err
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(options) == 0
    assert capsys.readouterr().out.startswith("not built: ")


def test_what_was_built_from_the_same_is_kept(file, tmp_path):
    folder = tmp_path / "bitstream"
    bitstream.write(file, folder)
    for name in (bitstream.BIT, bitstream.HWH):
        (folder / name).write_text("copied back from another machine")
    bitstream.write(file, folder)
    assert bitstream.built(folder)
    assert bitstream.run_vivado(folder)
    bitstream.write(file, folder, clock_mhz=80)
    assert not bitstream.built(folder)
    bitstream.write(ecg_network(seed=9).save(tmp_path / "other.alq"), folder)
    assert json.loads((folder / bitstream.DESIGN).read_text())["identity"] == ecg_network(seed=9).identity


def test_what_does_not_fit_is_refused(network, file, tmp_path):
    with pytest.raises(InputError, match="engine must be one of rtl, hls, received vhdl"):
        bitstream.write(file, tmp_path / "out", "vhdl")
    with pytest.raises(InputError, match="--clock-mhz must lie in 10 to 250, received 500"):
        bitstream.write(file, tmp_path / "out", clock_mhz=500)
    with pytest.raises(InputError, match="the build holds no HLS project: run `ecg-alq convert`"):
        bitstream.write(file, tmp_path / "out", "hls")
    other = convert(ecg_network(seed=9), tmp_path / "project")
    with pytest.raises(InputError, match="is of another network"):
        bitstream.write(file, tmp_path / "out", "hls", project=other)
    with pytest.raises(InputError, match="holds no HLS project"):
        bitstream.write(file, tmp_path / "new" / "out", "hls", project=tmp_path)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "new").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(InputError, match="is not a folder of this command"):
        bitstream.write(file, tmp_path / "out")
