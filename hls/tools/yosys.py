"""Synthesis with yosys (the `pyosys` package): counts for Xilinx 7 series and ECP5, and the path by cell delays.

Every figure from here is *synthesised* by yosys: a Vivado report of the same core would differ.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hls.area import DEVICES
from hls.core.generate import VERILOG, Core
from hls.process import ToolError, run

TIMEOUT = 4 * 3600  # seconds
# LUTs that a cell occupies: distributed RAM and shift registers take LUTs as well. Source: Xilinx UG474.
XC7_LUTS = {f"LUT{inputs}": 1 for inputs in range(1, 7)} | {
    "LUT6_2": 1,
    "INV": 1,
    "SRL16E": 1,
    "SRLC32E": 1,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM128X1D": 4,
}
XC7_FFS = ("FDRE", "FDSE", "FDCE", "FDPE")
ECP5_LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 2 * 2}  # a 16x4 RAM: four LUTs of data, two slices in all


class Counts(NamedTuple):
    """What a core uses of a device, and the cells behind it."""

    luts: int
    ffs: int
    bram36: float
    dsp: int
    cells: dict[str, int]


def version() -> str:
    """Name and version of the installed yosys."""
    return f"yosys {importlib.metadata.version('pyosys')}"


def run_script(lines: Sequence[str], folder: Path, name: str) -> Path:
    """Run yosys commands in `folder`, in a process of their own; returns the log. Raises: ToolError."""
    if importlib.util.find_spec("pyosys") is None:
        raise ToolError("yosys was not found: pip install 'ecg-alq[hardware]'")
    script = folder / f"{name}.ys"
    script.write_text("\n".join(lines) + "\n")
    code = "import sys, pyosys.libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
    return run([sys.executable, "-c", code, script.name], folder, f"{name}.log", TIMEOUT)


def check_paths(*paths: str | Path) -> None:
    """Raises: ToolError: a path that a yosys script cannot name."""
    for path in map(str, paths):
        if any(c.isspace() for c in path):
            raise ToolError(f"yosys scripts cannot name files with spaces: choose another folder than {path}")


def _sources(core: Core, technology: str) -> list[str]:
    """The core's Verilog, with the modules that a technology builds better in its own way."""
    own = {path.name: path for path in (VERILOG / technology).glob("*.v")}
    return [str(own.get(source.name, source)) for source in core.sources]


def read(core: Core, technology: str, extra: Sequence[Path] = (), options: str = "") -> str:
    """The command that reads a core's Verilog and `extra` files; `options`: further ones of read_verilog."""
    names = [*_sources(core, technology), *map(str, extra)]
    check_paths(core.folder, *names)
    return f"read_verilog -defer {options} -DSYNTHESIS -I{core.folder} {' '.join(names)}"


def _cells(path: Path) -> dict[str, int]:
    text = path.read_text()
    cells = json.loads(text[text.index("{") :])["design"]["num_cells_by_type"]
    return {name: int(number) for name, number in cells.items() if not name.startswith("$")}


def synthesise_xc7(core: Core, folder: Path) -> Counts:
    """Map a core to Xilinx 7 series; writes `xc7.json` (the netlist) into `folder`."""
    run_script(
        [
            read(core, "xc7"),
            "read_verilog -lib -specify +/xilinx/cells_sim.v",
            f"hierarchy -check -top {core.top}",
            f"synth_xilinx -family xc7 -abc9 -flatten -noiopad -noclkbuf -top {core.top}",
            "tee -q -o xc7_cells.json stat -json -tech xilinx",
            "write_json xc7.json",
        ],
        with_tables(core, folder),
        "xc7",
    )
    cells = _cells(folder / "xc7_cells.json")
    return Counts(
        sum(cells.get(name, 0) * luts for name, luts in XC7_LUTS.items()),
        sum(cells.get(name, 0) for name in XC7_FFS),
        cells.get("RAMB36E1", 0) + cells.get("RAMB18E1", 0) / 2,
        cells.get("DSP48E1", 0),
        cells,
    )


def synthesise_ecp5(core: Core, folder: Path, top: str, extra: Sequence[Path] = ()) -> Counts:
    """Map a core, inside `top` of the `extra` files, to ECP5; writes `ecp5.json` for nextpnr into `folder`."""
    run_script(
        [
            read(core, "ecp5", extra),
            "read_verilog -lib -specify +/ecp5/cells_sim.v +/ecp5/cells_bb.v",
            f"hierarchy -check -top {top}",
            # LUT4 alone: the wider functions that multiplexers make of two and four of them tie their places together,
            # and save nothing in adders
            f"synth_ecp5 -abc9 -nowidelut -top {top} -json ecp5.json",
            "tee -q -o ecp5_cells.json stat -json",
        ],
        with_tables(core, folder),
        "ecp5",
    )
    cells = _cells(folder / "ecp5_cells.json")
    return Counts(
        sum(cells.get(name, 0) * luts for name, luts in ECP5_LUTS.items()),
        cells.get("TRELLIS_FF", 0),
        cells.get("DP16KD", 0) / 2,
        cells.get("MULT18X18D", 0),
        cells,
    )


def with_tables(core: Core, folder: Path) -> Path:
    """`folder` with the core's tables, which yosys reads from where it runs."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in core.tables:
        (folder / table.name).write_bytes(table.read_bytes())
    return folder


def _netlist(folder: Path, top: str, name: str) -> Path:
    """The mapped top module alone as Verilog."""
    run_script(
        ["read_json xc7.json", "delete t:$scopeinfo", "blackbox =A:blackbox", "write_verilog -noattr all.v"],
        folder,
        name,
    )
    text = (folder / "all.v").read_text()
    (folder / "all.v").unlink()
    module = re.search(rf"(?ms)^module \\?{re.escape(top)} ?\(.*?^endmodule", text)
    if module is None:
        raise ToolError(f"yosys wrote no module {top}: see {folder / name}.log")
    path = folder / "netlist.v"
    path.write_text(module.group(0) + "\n")
    return path


def netlist_xc7(folder: Path, top: str) -> list[Path]:
    """Verilog of the netlist that `synthesise_xc7` left in `folder`, and the models of its cells, for simulation.

    The cell library has no model of RAMB36E1 and RAMB18E1: simulate only networks whose tables fit LUTs.
    """
    import pyosys

    return [Path(pyosys.__file__).parent / "share" / "xilinx" / "cells_sim.v", _netlist(folder, top, "netlist")]


def cell_delay_ns(folder: Path, top: str) -> float:
    """Longest path of the netlist in `folder` by cell delays alone, in ns: no routing, so an optimistic bound."""
    _netlist(folder, top, "timing_netlist")
    log = run_script(
        [
            "read_verilog -lib -specify +/xilinx/cells_sim.v",
            "read_verilog -lib -specify +/xilinx/cells_xtra.v",
            # the library knows no delays of LUT6_2: those of a LUT6
            f"read_verilog -lib -specify -overwrite {Path(__file__).with_name('lut6_2_delays.v')}",
            "read_verilog netlist.v",
            f"hierarchy -check -top {top}",
            "sta",
        ],
        folder,
        "timing",
    )
    found = re.findall(r"Latest arrival time in '\S+' is (\d+)", log.read_text())
    if not found:
        raise ToolError(f"yosys reported no path: see {log}")
    return max(map(int, found)) / 1000


def fits(counts: Counts, part: str) -> bool:
    """Whether a device holds a core."""
    device = DEVICES[part]
    used = (counts.luts, counts.ffs, counts.bram36, counts.dsp)
    return all(value <= limit for value, limit in zip(used, device[:4]))
