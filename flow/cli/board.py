"""Commands from a bitstream to a board that answers."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.build.settings import Settings
from flow.cli.command import Command, Result
from qmodel.errors import InputError

TITLE = "Run on a board"


def _bitstream_options(parser: argparse.ArgumentParser) -> None:
    from flow.ship.bitstream import ENGINES

    parser.add_argument(
        "--build",
        default=Settings.build,
        metavar="FOLDER",
        help="folder with the frozen network (default: %(default)s)",
    )
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="build the Verilog core or the HLS project (default: %(default)s)",
    )
    parser.add_argument(
        "--clock-mhz", type=float, metavar="MHZ", default=Settings.clock_mhz, help="clock (default: %(default)g)"
    )
    parser.add_argument("--cycles", type=int, help="cycles between frames, for rtl (default: the fewest)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: BUILD/bitstream")


def _package_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build", default=Settings.build, metavar="FOLDER", help="folder with the bitstream (default: %(default)s)"
    )
    parser.add_argument("--bitstream", type=Path, metavar="FOLDER", help="use this folder instead of BUILD/bitstream")
    parser.add_argument("--wheel", type=Path, metavar="FILE", help="wheel of ecg-alq (default: built from the sources)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: BUILD/deploy")


def _deploy_options(parser: argparse.ArgumentParser) -> None:
    from flow.ship.deploy import PYTHON

    parser.add_argument("host", metavar="HOST", help="for example xilinx@pynq, or a name from ~/.ssh/config")
    parser.add_argument(
        "--build", default=Settings.build, metavar="FOLDER", help="folder with the deploy folder (default: %(default)s)"
    )
    parser.add_argument("--folder", type=Path, metavar="FOLDER", help="use this folder instead of BUILD/deploy")
    parser.add_argument(
        "--name",
        default="ecg-alq",
        help="folder in the board's home (default: %(default)s); jupyter_notebooks/ecg-alq makes it visible in Jupyter",
    )
    parser.add_argument("--python", default=PYTHON, help="Python with PYNQ, on the board (default: %(default)s)")
    parser.add_argument("--sudo", action=argparse.BooleanOptionalAction, default=True, help="run the doctor as root")


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a deploy folder")


def _bitstream(arguments: argparse.Namespace) -> Result:
    from flow.experiments.hardware import frozen_file
    from flow.ship import bitstream

    file = frozen_file(arguments.build, arguments.frozen)
    folder = arguments.output or Path(arguments.build) / "bitstream"
    project = Path(arguments.build) / "convert" / "project"
    bitstream.write(file, folder, arguments.engine, arguments.clock_mhz, arguments.cycles, project)
    bitstream.run_vivado(folder)
    found = bitstream.result(folder)
    return Result(found, bitstream.lines(found))


def _package(arguments: argparse.Namespace) -> Result:
    from flow.ship import package

    folder = arguments.bitstream or Path(arguments.build) / "bitstream"
    output = arguments.output or Path(arguments.build) / "deploy"
    manifest = package.package(folder, output, arguments.wheel)
    return Result(manifest, package.lines(manifest, output))


def _deploy(arguments: argparse.Namespace) -> Result:
    from flow.ship import deploy

    folder = arguments.folder or Path(arguments.build) / "deploy"
    result = deploy.deploy(arguments.host, folder, arguments.name, arguments.python, arguments.sudo)
    return Result(result, deploy.lines(result), 0 if result["doctor"] else 1)


def _doctor(arguments: argparse.Namespace) -> Result:
    from importlib.util import find_spec

    spec = find_spec("board")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"`import board` gives {spec and spec.origin}, not ecg-alq's package: pip uninstall Adafruit-Blinka"
        )
    from board import doctor

    findings = list(doctor.examine(arguments.folder))
    data, lines = [finding._asdict() for finding in findings], doctor.lines(findings)
    return Result(data, lines, 0 if all(finding.good for finding in findings) else 1)


COMMANDS = (
    Command(
        "bitstream",
        "Build the bitstream for a PYNQ-Z2 with Vivado. Without Vivado, packs a folder that another machine builds "
        "with one command.",
        "ecg-alq bitstream --engine rtl --clock-mhz 100",
        _bitstream_options,
        _bitstream,
    ),
    Command(
        "package",
        "Pack everything a board needs into one folder. It holds bitstream, network, test window, driver, notebook "
        "and manifest.",
        "ecg-alq package",
        _package_options,
        _package,
    ),
    Command(
        "deploy",
        "Install the deploy folder on a board over SSH. The copy is verified and tested on the board first; only then "
        "does it replace an earlier one.",
        "ecg-alq deploy xilinx@pynq",
        _deploy_options,
        _deploy,
    ),
    Command(
        "doctor",
        "Check a board and its deploy folder. Run it on the board: it checks Python module, files, PYNQ, design and "
        "the logits of the test window.",
        "ecg-alq doctor ~/ecg-alq",
        _doctor_options,
        _doctor,
    ),
)
