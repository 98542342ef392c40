"""How the command line presents itself: commands in groups, `--version`, "did you mean", completion of shells.

Nothing heavy is imported: help, a slip of the fingers and Tab answer at once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
_CHOICE = re.compile(r"argument (?P<name>.+?): invalid choice: '(?P<given>[^']*)' \(choose from (?P<choices>.*)\)$")
_UNKNOWN = re.compile(r"unrecognized arguments: (?P<given>\S+)")
_TYPE = re.compile(r"argument (?P<name>.+?): invalid (?P<type>\w+) value: '(?P<given>.*)'$")
_TYPES = {"int": "a whole number", "float": "a number"}
_MISSING = re.compile(r"the following arguments are required: (?P<names>.*)$")
_FILES, _FOLDERS = ("FILE", "PATH", "CSV"), ("FOLDER",)


class Parser(argparse.ArgumentParser):
    """A parser that ends with one line for a bad argument, and names what was probably meant.

    Args: strict: refuse arguments that this parser does not know, instead of leaving them to the parser above it.
    """

    def __init__(self, *args: Any, strict: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._strict = strict

    def error(self, message: str) -> NoReturn:
        """Exit with code 2; see `explained`."""
        self.exit(2, f"{self.prog}: {self.explained(message)}\n")

    def explained(self, message: str) -> str:
        """argparse's message in our words: what is wrong, then what was probably meant or where to look."""
        if found := _CHOICE.search(message):
            choices = [choice.strip(" '") for choice in found["choices"].split(",")]
            is_command = found["name"] == "COMMAND"
            what = "command" if is_command else f"value for {found['name']}"
            guess = guessed(found["given"], choices) or ("" if is_command else f"choose from {', '.join(choices)}")
            return f"unknown {what} {found['given']!r}: {guess or self._look}"
        if found := _UNKNOWN.search(message):
            given = found["given"].partition("=")[0]
            if not given.startswith("-"):
                return f"unexpected argument {given!r}: {self._look}"
            return f"unknown option {given!r}: {guessed(given, list(self._option_string_actions)) or self._look}"
        if found := _TYPE.search(message):
            return f"{found['name']} must be {_TYPES.get(found['type'], found['type'])}, received {found['given']!r}"
        if found := _MISSING.search(message):
            return f"missing: {found['names']}: {self._look}"
        return message.removeprefix("argument ")

    @property
    def _look(self) -> str:
        return f"see `{self.prog} --help`"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does it; strict parsers leave nothing over, so that their own options are proposed."""
        found, rest = super().parse_known_args(args, namespace)
        if rest and self._strict:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest


class Refused(argparse.Action):
    """An option of other commands that this one cannot honour. Args: const: why, and the way out."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS})

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        parser.error(f"{option_string} does not go with this command: {self.const}")


class Version(argparse.Action):
    """`--version`: looked up only when it is asked for."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        print(version())
        parser.exit()


def version() -> str:
    """Version of the package and of Python, in one line."""
    import sys

    from qmodel import __version__

    return f"ecg-alq {__version__} (Python {'.'.join(map(str, sys.version_info[:3]))})"


def guessed(given: str, known: Sequence[str]) -> str:
    """`did you mean ...?`, or nothing where nothing is near."""
    import difflib

    near = difflib.get_close_matches(given, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""


def overview(groups: Mapping[str, Sequence[str]], summaries: Mapping[str, str], width: int | None = None) -> str:
    """The commands by group, one line or two each. Args: groups: title -> commands; summaries: of each command."""
    import shutil
    import textwrap

    width = min(width or shutil.get_terminal_size().columns, 100)
    blocks = []
    for group, names in groups.items():
        lines = [f"{group}:"]
        for name in names:
            lines += textwrap.wrap(f"  {name:<11} {summaries[name]}", width, subsequent_indent=" " * 14)
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def usage(parser: argparse.ArgumentParser) -> str:
    """A command's first line of help: what must be given, and that there are options."""
    given = []
    for action in parser._get_positional_actions():
        name = action.metavar or "|".join(action.choices or (action.dest.upper(),))
        given.append({"?": f"[{name}]", "*": f"[{name} ...]"}.get(str(action.nargs), name))
    return " ".join([parser.prog, *given, "[options]"])


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes commands, options, choices and files. Args: parser: is changed; shell: of SHELLS."""
    import shtab

    _complete_files(parser, shtab)
    return shtab.complete(parser, shell=shell)


def _complete_files(parser: argparse.ArgumentParser, shtab: ModuleType) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = None  # hidden from help, which lists commands by group, but not from shells
            for sub in action.choices.values():
                _complete_files(sub, shtab)
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.metavar in _FILES or action.type is Path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
