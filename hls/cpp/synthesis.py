"""Vendor synthesis of an HLS project: run Vitis HLS (or Vivado HLS) and Vivado where installed, read their reports.

Every figure read here is of the kind *vendor*: it comes from a report of AMD's tools, never from a formula of ours.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from hls.area import Area, device_of
from hls.estimate import estimate
from hls.folding import Folding, LayerFolding
from hls.plan import Plan
from qmodel.errors import InputError, UserError
from qmodel.files import read_sealed
from qmodel.frozen import FrozenNetwork

STEPS = ("csim", "csynth", "cosim", "export")
DOWNLOAD = "https://www.xilinx.com/support/download.html"
LOG = "synthesis.log"
COMMANDS = {  # backend -> command lines that run build_prj.tcl, the first installed one is taken
    "Vitis": (["vitis-run", "--mode", "hls", "--tcl", "build_prj.tcl"], ["vitis_hls", "-f", "build_prj.tcl"]),
    "Vivado": (["vivado_hls", "-f", "build_prj.tcl"],),
}
VIVADO = ["vivado", "-mode", "batch", "-nojournal", "-nolog", "-source", "vivado.tcl"]
PRODUCTS = {"Vitis": "AMD Vitis 2022.1 or later", "Vivado": "Xilinx Vivado HLS 2019.2 or 2020.1"}


class SynthesisError(UserError, RuntimeError):
    """A tool is not installed, failed, or left no report; the message says what to do."""


@dataclass(frozen=True)
class Figures:
    """Resources and speed of the core as one tool reports them; None where it does not say.

    Args: tool: name and step; kind: always "vendor" here; area: LUTs, flip-flops, block RAM (36 kbit), multipliers;
        cycles_per_frame: first sample to last logit; cycles_between_frames: initiation interval of frames;
        clock_mhz: highest clock that the tool expects or, after routing, proves; target: device.
    """

    tool: str
    kind: str
    area: Area | None = None
    cycles_per_frame: int | None = None
    cycles_between_frames: int | None = None
    clock_mhz: float | None = None
    target: str | None = None

    @property
    def row(self) -> dict[str, float | int | str | None]:
        """The figures under the names of the estimates' rows (`hls.estimate.Estimate.row`), for one table of both."""
        luts, ffs, bram36, dsps = self.area or (None,) * 4
        return {
            "kind": self.kind,
            "tool": self.tool,
            "target": self.target,
            "cycles_per_frame": self.cycles_per_frame,
            "cycles_between_frames": self.cycles_between_frames,
            "luts": luts,
            "ffs": ffs,
            "bram36": bram36,
            "dsp": dsps,
            "clock_mhz": self.clock_mhz,
        }


def installed(backend: str) -> list[str] | None:
    """The command line that runs the project's script, or None if no tool for it is installed."""
    return next((list(command) for command in COMMANDS[backend] if shutil.which(command[0])), None)


def synthesise(
    folder: str | os.PathLike, steps: Iterable[str] = ("csim", "csynth"), vivado: bool = False, progress: bool = True
) -> list[Figures]:
    """Run the vendor's tools on a project and read their reports.

    Args: folder: an HLS project; steps: any of csim, csynth, cosim, export; vivado: place and route the core as well
        (needs csynth); progress: show the tool's own messages passing by. The whole log goes to `synthesis.log`.
    Returns: figures of every report. Raises: SynthesisError: a tool that is missing or fails; ValueError: unknown step.
    """
    folder = Path(folder)
    steps = tuple(steps)
    unknown = [step for step in steps if step not in STEPS]
    if unknown or not steps:
        raise InputError(f"steps must be any of {', '.join(STEPS)}, received {', '.join(unknown) or 'none'}")
    manifest = _manifest(folder)
    command = installed(manifest["backend"])
    if command is None:
        raise SynthesisError(missing(folder, manifest["backend"]))
    if vivado and shutil.which(VIVADO[0]) is None:
        raise SynthesisError(missing(folder, "vivado"))
    (folder / LOG).unlink(missing_ok=True)
    run_logged(command, folder, os.environ | {"ECG_ALQ_STEPS": " ".join(steps)}, progress)
    if vivado:
        run_logged(VIVADO, folder, dict(os.environ), progress)
    return read_reports(folder)


def missing(folder: Path, tool: str) -> str:
    """What to install, and how to go on on another machine, when a tool is not there."""
    source = f"{DOWNLOAD}, the free Standard edition covers the xc7z020"
    if tool == "vivado":
        return (
            f"Vivado is not installed (no `vivado` on the PATH): install {PRODUCTS['Vitis']}, which contains it "
            f"({source}), and source its settings64.sh; or copy {folder} to a machine that has it, run "
            f"`{' '.join(VIVADO)}` there and copy vivado_*.rpt back"
        )
    names = " or ".join(f"`{command[0]}`" for command in COMMANDS[tool])
    script = " ".join(COMMANDS[tool][-1])
    return (
        f"{PRODUCTS[tool]} is not installed (no {names} on the PATH): install it ({source}) and source its "
        f"settings64.sh; or copy {folder} to a machine that has it, run `{script}` there and copy its folder "
        "ecg_alq_prj back: the reports are read from it"
    )


def _manifest(folder: Path) -> dict:
    path = folder / "manifest.json"
    if not path.is_file():
        raise SynthesisError(f"{folder} is not an HLS project (no manifest.json): run convert first")
    return read_sealed(path, "run convert again")


def run_logged(command: list[str], folder: Path, environment: dict[str, str], progress: bool) -> None:
    """Run a tool, its messages into the log and, the latest one, beside a progress bar."""
    errors: list[str] = []
    with (
        (folder / LOG).open("a") as log,
        tqdm(desc=command[0], unit="line", disable=not progress) as bar,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process,
    ):
        try:
            for line in process.stdout:  # type: ignore[union-attr]
                log.write(line)
                bar.update()
                if line.startswith("ERROR"):
                    errors.append(line.strip())
                if line.strip():
                    bar.set_postfix_str(line.strip()[:80], refresh=False)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0 or errors:
        what = "\n".join(errors[:5]) or "no ERROR line"
        raise SynthesisError(f"{command[0]} ended with code {process.returncode}; see {folder / LOG}\n{what}")


def read_reports(folder: str | os.PathLike) -> list[Figures]:
    """Figures of all reports that a project's folder holds, wherever they were made.

    Raises: SynthesisError: no report at all.
    """
    folder = Path(folder)
    top = _manifest(folder)["top"]
    solution = folder / f"{top}_prj" / "solution1"
    found = []
    synthesis = solution / "syn" / "report" / f"{top}_csynth.xml"
    if synthesis.is_file():
        found.append(read_csynth(synthesis))
    cosimulation = solution / "sim" / "report" / f"{top}_cosim.rpt"
    if cosimulation.is_file():
        found.append(read_cosim(cosimulation))
    utilisation, timing = folder / "vivado_utilization.rpt", folder / "vivado_timing.rpt"
    if utilisation.is_file() and timing.is_file():
        period = 1000 / _manifest(folder)["clock_mhz"]
        found.append(read_vivado(utilisation, timing, period))
    if not found:
        raise SynthesisError(f"{folder} holds no report of a vendor's tool yet: run the synthesis first")
    return [replace(entry, target=_manifest(folder)["part"]) for entry in found]


def estimated(folder: str | os.PathLike) -> list[dict]:
    """The row of our own estimate of a project, to stand above its reports; none for a part that we cannot estimate."""
    manifest = _manifest(Path(folder))
    part = device_of(manifest["part"])
    if part is None:
        return []
    network = FrozenNetwork.load(Path(folder) / "network.alq")
    folding = Folding(tuple(LayerFolding(**manifest["folding"][stage.name]) for stage in network.plane_stages))
    return [estimate(Plan.of(network, folding, part)).row]


def read_csynth(path: str | os.PathLike) -> Figures:
    """Synthesis report of Vitis HLS or Vivado HLS (`<top>_csynth.xml`): estimates of the vendor's scheduler.

    Source: UG1399, "Synthesis Report".
    """
    root = ElementTree.parse(path).getroot()
    area = root.find("AreaEstimates/Resources")
    latency = root.find("PerformanceEstimates/SummaryOfOverallLatency")
    clock = root.findtext("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")
    if area is None or latency is None or clock is None:
        raise SynthesisError(f"{path} is not a synthesis report: it has no area, latency or clock estimates")

    def count(*names: str) -> float:
        return next(float(text) for name in names if (text := area.findtext(name)) is not None)

    def cycles(name: str) -> int | None:
        text = latency.findtext(name, "").strip()
        return int(text) if text.isdigit() else None  # "undef" where a loop has no fixed bound

    return Figures(
        tool=f"Vitis HLS {root.findtext('ReportVersion/Version', '').strip()} csynth".replace("  ", " "),
        kind="vendor",
        area=Area(count("LUT"), count("FF"), count("BRAM_18K") / 2, int(count("DSP", "DSP48E"))),
        cycles_per_frame=cycles("Worst-caseLatency"),
        cycles_between_frames=cycles("Interval-max"),
        clock_mhz=1000 / float(clock),
    )


def read_cosim(path: str | os.PathLike) -> Figures:
    """Co-simulation report (`<top>_cosim.rpt`): cycles counted in RTL.

    Source: UG1399, "C/RTL Co-Simulation Report". Raises: SynthesisError: the co-simulation did not pass.
    """
    for line in Path(path).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] not in ("VHDL", "Verilog") or len(cells) < 8 or cells[1] == "NA":
            continue
        if cells[1].lower() != "pass":
            raise SynthesisError(f"{path}: the co-simulation of {cells[0]} ended with {cells[1]!r}, not Pass")
        # After the status: latency min, avg, max, then interval min, avg, max.
        latency, interval = cells[4], cells[7]
        return Figures(
            tool=f"co-simulation ({cells[0]})",
            kind="vendor",
            cycles_per_frame=int(latency),
            cycles_between_frames=int(interval) if interval.isdigit() else None,
        )
    raise SynthesisError(f"{path} is not a co-simulation report: it has no result of VHDL or Verilog")


def read_vivado(utilisation: str | os.PathLike, timing: str | os.PathLike, period_ns: float) -> Figures:
    """Reports after routing: `report_utilization` and `report_timing_summary` of Vivado.

    Args: period_ns: the clock that was asked for; the reached one follows from the worst slack.
    Source: UG906, "Report Utilization", "Report Timing Summary".
    """
    rows: dict[str, float] = {}
    for line in Path(utilisation).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) > 2 and re.fullmatch(r"\d+(\.\d+)?", cells[1]):
            rows.setdefault(cells[0].rstrip("*"), float(cells[1]))

    def used(*names: str) -> float:
        for name in names:
            if name in rows:
                return rows[name]
        raise SynthesisError(f"{utilisation} is not a utilisation report: it has no row {' or '.join(names)}")

    area = Area(
        used("Slice LUTs", "CLB LUTs"),
        used("Slice Registers", "CLB Registers"),
        used("Block RAM Tile"),
        int(used("DSPs")),
    )
    lines = Path(timing).read_text().splitlines()
    for number, line in enumerate(lines):
        if line.split()[:1] == ["WNS(ns)"]:
            slack = float(lines[number + 2].split()[0])
            return Figures("Vivado, routed", "vendor", area, clock_mhz=1000 / (period_ns - slack))
    raise SynthesisError(f"{timing} is not a timing summary: it has no worst negative slack")


def table(rows: Iterable[dict]) -> str:
    """Rows of estimates and of reports (`.row` of either) as lines of text."""
    columns = {
        "luts": ("LUT", 8),
        "ffs": ("FF", 8),
        "bram36": ("BRAM36", 8),
        "dsp": ("DSP", 5),
        "cycles_per_frame": ("cycles", 8),
        "cycles_between_frames": ("between", 9),
        "clock_mhz": ("MHz", 7),
    }
    lines = [f"{'':<28}{'kind':<11}" + "".join(f"{title:>{width}}" for title, width in columns.values())]
    for row in rows:
        cells = "".join(
            f"{'-' if row.get(name) is None else f'{row[name]:.6g}':>{width}}" for name, (_, width) in columns.items()
        )
        lines.append(f"{row.get('tool') or row['target']:<28}{row['kind']:<11}{cells}")
    return "\n".join(lines)
