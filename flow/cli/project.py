"""Commands about the project: report, notebooks, README, completion of shells."""

from __future__ import annotations

import argparse
from pathlib import Path

from flow.cli import help
from flow.cli.command import Command, Result
from flow.cli.steps import flow_options, step
from qmodel.errors import InputError

TITLE = "Document the project"


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
    parser.add_argument(
        "--dataset",
        action=help.Refused,
        const="the notebooks teach with MIT-BIH. For your own recordings run `ecg-alq flow --dataset FOLDER` and open "
        "build/flow/report.html",
    )


def _completion_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=help.SHELLS, help="shell to complete in")


def _readme(arguments: argparse.Namespace) -> Result:
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
    stale = [page for page, differs in changed.items() if differs]
    wrong = stale if arguments.check else []
    return Result(
        {"changed": stale},
        [f"{page}: {'brought up to date' if page in stale else 'up to date'}" for page in changed if page not in wrong],
        1 if wrong else 0,
        [f"{page} does not agree with {arguments.results}/: run `ecg-alq readme`" for page in wrong],
    )


def _notebook(arguments: argparse.Namespace) -> Result:
    if arguments.full and not arguments.html:
        raise InputError("--full goes with --html; in JupyterLab set FULL = True in a notebook's first code cell")
    from flow.publish import notebooks

    paths = notebooks.find(arguments.names)
    if arguments.check or arguments.clean:
        found = (notebooks.clean if arguments.clean else notebooks.with_outputs)(paths)
        does = "outputs removed" if arguments.clean else "holds outputs: run `ecg-alq notebook --clean`"
        names = [str(path) for path in found]
        return Result({"notebooks": names}, [f"{name}: {does}" for name in names], int(bool(found) and arguments.check))
    if arguments.html:
        written = [str(path) for path in notebooks.export(arguments.html, arguments.names, arguments.full)]
        return Result({"pages": written}, written)
    code = notebooks.open_lab(paths[0] if arguments.names else notebooks.FOLDER, not arguments.no_browser)
    return Result(None, code=code)


def _completion(arguments: argparse.Namespace) -> Result:
    script = help.completion(arguments.parser(), arguments.shell)
    return Result({"shell": arguments.shell, "script": script}, script.splitlines())


COMMANDS = (
    Command(
        "report",
        "Write report.html, one self-contained page, and report.json.",
        "ecg-alq report",
        flow_options,
        step("report"),
    ),
    Command(
        "notebook",
        "Open the tutorial notebooks in JupyterLab, or run them to HTML.",
        "ecg-alq notebook --html build/notebooks",
        _notebook_options,
        _notebook,
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
