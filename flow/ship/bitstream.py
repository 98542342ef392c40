"""The PYNQ-Z2's bitstream: a folder that Vivado builds with one command, here where it is installed or elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from board.codec import Codec
from flow.build.provenance import fingerprint, provenance
from qmodel.errors import InputError
from qmodel.files import folder_beside, json_with, read_sealed, sealed, sha256
from qmodel.frozen import FrozenNetwork

ENGINES = ("rtl", "hls")
PART = "xc7z020clg400-1"
CORE, DMA = "ecg_alq_0", "axi_dma_0"  # names in board/vivado/design.tcl
CORE_ADDRESS, DMA_ADDRESS = 0x43C0_0000, 0x4040_0000
BIT, HWH = "ecg_alq.bit", "ecg_alq.hwh"
DESIGN = "design.json"
COMMAND = ["vivado", "-mode", "batch", "-nojournal", "-log", "vivado.log", "-source", "build.tcl"]
CLOCKS_MHZ = 10, 250  # of the processing system's fabric clock, and of what this part can reach


def _tcl() -> Path:
    import board

    return Path(str(board.__file__)).parent / "vivado"


def hls_block(network: FrozenNetwork, sample_bits: int, logit_bits: int) -> str:
    """Verilog of the block that gives the HLS core its registers."""
    from hls.process import set_parameter

    text = (_tcl() / "alq_pynq_hls.v").read_text("utf-8")
    for name, value in (
        ("SAMPLE_BITS", sample_bits),
        ("LOGIT_BITS", logit_bits),
        ("SAMPLES", network.input.values),
        ("VALUES", Codec.of(network).values),
        ("IDENTITY", f"256'h{network.identity}"),
    ):
        text = set_parameter(text, name, value)
    return text


def write(
    file: Path,
    folder: Path,
    engine: str = "rtl",
    clock_mhz: float = 100.0,
    cycles: int | None = None,
    project: Path | None = None,
) -> dict:
    """Write everything that Vivado needs into a folder; what was built there from the same is kept.

    Args: file: frozen network; engine: "rtl", the Verilog core, or "hls", the core of an HLS `project`;
        cycles: between two frames, for rtl. Returns: what `design.json` says.
    Raises: InputError: an engine, clock or project that does not fit, or the folder holds something else.
    """
    if engine not in ENGINES:
        raise InputError(f"engine must be one of {', '.join(ENGINES)}, received {engine}")
    if not CLOCKS_MHZ[0] <= clock_mhz <= CLOCKS_MHZ[1]:
        raise InputError(f"--clock-mhz must lie in {CLOCKS_MHZ[0]} to {CLOCKS_MHZ[1]}, received {clock_mhz:g}")
    network = FrozenNetwork.load(file)
    hls = _check_project(network, project) if engine == "hls" else None
    with folder_beside(folder, json_with(DESIGN, "engine", "identity", "sources"), "a folder of this command") as made:
        bits = _write_rtl(network, made, cycles) if hls is None else _write_hls(network, made, hls)
        for name in ("build.tcl", "design.tcl"):
            shutil.copyfile(_tcl() / name, made / name)
        settings = {
            "engine": engine,
            "part": PART,
            "clock_mhz": f"{clock_mhz:g}",
            "sample_bits": bits[0],
            "logit_bits": bits[1],
            "core_address": f"0x{CORE_ADDRESS:08X}",
            "dma_address": f"0x{DMA_ADDRESS:08X}",
        }
        words = " ".join(f"{name} {value}" for name, value in settings.items())
        (made / "settings.tcl").write_text(f"set settings {{{words}}}\n", "utf-8")
        shutil.copyfile(file, made / "network.alq")
        sources = {
            path.relative_to(made).as_posix(): sha256(path) for path in sorted(made.rglob("*")) if path.is_file()
        }
        design = settings | {"identity": network.identity, "clock_mhz": clock_mhz, "sources": fingerprint(sources)}
        text = json.dumps(sealed(design | {"provenance": provenance()}), indent=2)
        (made / DESIGN).write_text(text + "\n", "utf-8")
        if folder.is_dir() and _sources(folder) == design["sources"]:
            shutil.rmtree(made)
    return design


def _sources(folder: Path) -> str | None:
    try:
        return read_design(folder)["sources"]
    except (InputError, KeyError):
        return None


def _write_rtl(network: FrozenNetwork, made: Path, cycles: int | None) -> tuple[int, int]:
    from hls.core.generate import generate
    from hls.folding import fold
    from hls.plan import Plan
    from hls.process import set_parameter

    core = generate(Plan.of(network, fold(network, cycles)), made / "core")
    text = (_tcl() / "alq_pynq_rtl.v").read_text("utf-8")
    for name, value in (("SAMPLE_BITS", core.input_bits), ("LOGIT_BITS", core.output_bits)):
        text = set_parameter(text, name, value)
    (made / "core" / "alq_pynq_rtl.v").write_text(text, "utf-8")
    return core.input_bits, core.output_bits


def _check_project(network: FrozenNetwork, project: Path | None) -> Path:
    if project is None or not (project / "manifest.json").is_file():
        raise InputError(f"{project or 'the build'} holds no HLS project: run `ecg-alq convert`")
    manifest = read_sealed(project / "manifest.json", "run `ecg-alq convert` again")
    if manifest["identity"] != network.identity:
        raise InputError(f"{project} is of another network: run `ecg-alq convert` again")
    if manifest["io_type"] != "io_stream":
        raise InputError(f"{project} has io_type {manifest['io_type']}, the design streams: convert with io_stream")
    return project


def _write_hls(network: FrozenNetwork, made: Path, project: Path) -> tuple[int, int]:
    from hls.core.generate import VERILOG

    manifest = read_sealed(project / "manifest.json", "run `ecg-alq convert` again")
    shutil.copytree(project, made / "hls")
    (made / "core").mkdir()
    bits = manifest["input"]["transfer_bits"], manifest["output"]["transfer_bits"]
    (made / "core" / "alq_pynq_hls.v").write_text(hls_block(network, *bits), "utf-8")
    shutil.copyfile(VERILOG / "alq_registers.v", made / "core" / "alq_registers.v")
    return bits


def read_design(folder: Path) -> dict:
    """What a folder of `write` is for. Raises: InputError: it is none."""
    try:
        return read_sealed(folder / DESIGN, "run `ecg-alq bitstream` again")
    except OSError as error:
        raise InputError(f"{folder} holds no design ({error}): run `ecg-alq bitstream`") from None


def built(folder: Path) -> bool:
    """Whether both files are there, made here or copied back."""
    return (folder / BIT).is_file() and (folder / HWH).is_file()


def run_vivado(folder: Path, progress: bool = True) -> bool:
    """Build the bitstream, unless it is there; False: Vivado is not installed.

    Raises: SynthesisError: Vivado failed, or the clock was not reached.
    """
    from hls.cpp.synthesis import run_logged

    if built(folder):
        return True
    if shutil.which(COMMAND[0]) is None:
        return False
    run_logged(COMMAND, folder, dict(os.environ), progress)
    if not built(folder):
        raise InputError(f"Vivado ended without {BIT} and {HWH}: see {folder / 'vivado.log'}")
    return True


def result(folder: Path) -> dict:
    """What stands in the folder: files, and the figures of Vivado's reports where there are some."""
    from hls.cpp.synthesis import read_vivado

    design = read_design(folder)
    found: dict = {"folder": str(folder), "built": built(folder), **design}
    reports = folder / "vivado_utilization.rpt", folder / "vivado_timing.rpt"
    if all(path.is_file() for path in reports):
        found["vendor"] = read_vivado(*reports, period_ns=1000 / design["clock_mhz"]).row
    if not found["built"]:
        found["next"] = (
            f"Vivado is not installed here (no `vivado` on the PATH). Copy {folder} to a machine that has Vivado "
            f"2022.1 or later, run `{' '.join(COMMAND)}` in it, copy {BIT} and {HWH} back, then `ecg-alq package`"
        )
    return found


def lines(found: dict) -> list[str]:
    """The result for a terminal."""
    if not found["built"]:
        return [f"not built: {found['folder']} holds all that Vivado needs", found["next"]]
    text = [f"{BIT}, {HWH}: {found['folder']}"]
    if vendor := found.get("vendor"):
        text.append(
            f"  LUT {vendor['luts']:,g}, FF {vendor['ffs']:,g}, BRAM36 {vendor['bram36']:g}, DSP {vendor['dsp']}, "
            f"highest clock {vendor['clock_mhz']:.1f} MHz (vendor, {vendor['tool']})"
        )
    return text
