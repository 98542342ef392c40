"""Commands from a frozen network to C++ and Verilog, their simulation and synthesis."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from flow.build.settings import PARITY_ENGINES, Settings
from flow.cli.command import Command, Result
from flow.cli.steps import frozen_options, network_of, step
from qmodel.errors import InputError

TITLE = "Generate hardware"


def _convert_options(parser: argparse.ArgumentParser) -> None:
    frozen_options(parser)
    group = parser.add_argument_group("HLS project")

    def add(*names: str, **options: Any) -> None:
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


def _core_options(parser: argparse.ArgumentParser) -> None:
    from hls.area import DEVICES

    parser.add_argument(
        "--build",
        default=Settings.build,
        metavar="FOLDER",
        help="folder with the frozen network (default: %(default)s)",
    )
    parser.add_argument("--frozen", metavar="FILE", help="use this frozen network (.alq) instead")
    parser.add_argument("--target", choices=tuple(DEVICES), default="xc7z020", help="FPGA (default: %(default)s)")
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


def _prove_options(parser: argparse.ArgumentParser) -> None:
    _core_options(parser)
    parser.add_argument(
        "--shipped", action="store_true", help="the fastest and the smallest core of every network that ships, instead"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: BUILD/prove-TARGET")


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
    from hls.cpp.synthesis import STEPS

    parser.add_argument(
        "--build", default=Settings.build, metavar="FOLDER", help="folder with the HLS project (default: %(default)s)"
    )
    parser.add_argument(
        "--steps",
        nargs="+",
        choices=STEPS,
        default=["csim", "csynth"],
        help="steps of AMD's HLS tool (default: csim csynth)",
    )
    parser.add_argument("--vivado", action="store_true", help="also place and route with Vivado")


def _core(arguments: argparse.Namespace) -> tuple[Path, dict]:
    """The frozen network's file, and which folding of it is wanted (`flow.experiments.hardware.planned`)."""
    from flow.experiments.hardware import frozen_file

    goal = {"cycles": arguments.cycles, "luts": arguments.luts, "least": arguments.smallest}
    return frozen_file(arguments.build, arguments.frozen), goal


def _estimate(arguments: argparse.Namespace) -> Result:
    from flow.experiments import hardware

    file, goal = _core(arguments)
    result = hardware.estimated(file, arguments.target, arguments.picture, **goal)
    return Result(result, hardware.layer_table(result))


def _rtl(arguments: argparse.Namespace) -> Result:
    from flow.experiments import hardware

    file, goal = _core(arguments)
    folder = arguments.output or Path(arguments.build) / f"rtl-{arguments.target}"
    result = hardware.write_core(file, folder, arguments.target, **goal)
    return Result(result, [f"{result['top']} for {result['target']}, {result['lanes']} lanes: {result['folder']}"])


def _hardware(arguments: argparse.Namespace) -> Result:
    if arguments.windows < 2:
        raise InputError(f"--windows must be at least 2, received {arguments.windows}")
    file, goal = _core(arguments)
    if arguments.sweep and any(goal.values()):
        raise InputError("--sweep chooses the foldings: leave out --cycles, --luts and --smallest")
    from flow.experiments import hardware
    from hls.tools.measure import sweep_foldings
    from qmodel.frozen import FrozenNetwork

    network, target = FrozenNetwork.load(file), arguments.target
    folder = arguments.output or Path(arguments.build) / f"hardware-{target}"
    foldings = (
        sweep_foldings(network, target) if arguments.sweep else [hardware.planned(network, target, **goal).folding]
    )
    rows = hardware.measure(file, folder, target, foldings, arguments.clock_mhz, arguments.windows, arguments.build)
    if not arguments.sweep:
        rows = [row | {"goal": hardware.goal_of(**goal)} for row in rows]
    if arguments.results:
        hardware.add_rows(arguments.results, hardware.ends_of(rows) if arguments.sweep else rows)
        if arguments.sweep:
            hardware.add_sweep(arguments.results, rows)
    return Result(rows, hardware.lines(rows))


def _prove(arguments: argparse.Namespace) -> Result:
    from flow.experiments import hardware
    from qmodel import models

    if arguments.shipped:
        if arguments.frozen or arguments.cycles or arguments.luts or arguments.smallest:
            raise InputError(
                "--shipped chooses networks and foldings: leave out --frozen, --cycles, --luts, --smallest"
            )
        files = [models.path(name) for name in models.names()]
        fastest: dict = {"cycles": None, "luts": None, "least": False}
        goals = [fastest, fastest | {"least": True}]
    else:
        file, goal = _core(arguments)
        files, goals = [file], [goal]
    folder = arguments.output or Path(arguments.build) / f"prove-{arguments.target}"
    rows = hardware.prove(files, folder, arguments.target, goals)
    done = all(row["proved"] == row["promises"] for row in rows)
    return Result(rows, hardware.proof_lines(rows), 0 if done else 1)


def _export(arguments: argparse.Namespace) -> Result:
    if arguments.results and not arguments.emulate:
        raise InputError("--results keeps what --emulate measures: give both")
    from flow.ship import microcontroller

    network = network_of(arguments.frozen)
    result = microcontroller.exported(network, arguments.c)
    row = microcontroller.emulated(network, arguments.windows) if arguments.emulate else None
    if row is not None:
        result["cortex-m4"] = row
        if arguments.results:
            name = "compact" if arguments.frozen is None else Path(arguments.frozen).stem
            microcontroller.add_row(arguments.results, name, row)
    return Result(result, microcontroller.lines(result), 0 if row is None or row["exact"] else 1)


def _synth(arguments: argparse.Namespace) -> Result:
    from flow.experiments import hardware

    rows = hardware.vendor(arguments.build, arguments.steps, arguments.vivado)
    from hls.cpp.synthesis import table

    return Result(rows, table(rows).splitlines())


COMMANDS = (
    Command(
        "convert",
        "Write the HLS project of a frozen network.",
        "ecg-alq convert --frozen network.alq --clock-mhz 100",
        _convert_options,
        step("convert"),
    ),
    Command(
        "csim",
        "Compile the HLS project with g++ and run the test windows.",
        "ecg-alq csim",
        _convert_options,
        step("csim"),
    ),
    Command(
        "parity",
        "Compare golden model, Keras and other engines bit for bit. Every integer of every layer must be equal, on "
        "every test window.",
        "ecg-alq parity --engines csim rtl",
        _parity_options,
        step("parity"),
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
        "Build the Verilog core with open tools and measure it. Simulates it bit for bit, proves its control and "
        "synthesises it; for ECP5 "
        "it also places, routes and writes a bitstream.",
        "ecg-alq hardware --target ecp5-85k --results results",
        _hardware_options,
        _hardware,
    ),
    Command(
        "prove",
        "Prove what the control of a Verilog core promises, for all time. No FIFO overflows, streams hold, a frame in "
        "is a frame out, stalls end, AXI4-Lite; fails if a promise is broken or not decided.",
        "ecg-alq prove --shipped",
        _prove_options,
        _prove,
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
)
