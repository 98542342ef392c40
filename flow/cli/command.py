"""What a command is, and what it gives back."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """What a command found out; `main` prints it, as text or as JSON.

    Args: data: for `--json`; lines: for people; code: the exit code, 1 where something differs or is out of date;
        warnings: lines for stderr, in place of lines that say that all is well.
    """

    data: object
    lines: Sequence[str] = ()
    code: int = 0
    warnings: Sequence[str] = ()


@dataclass(frozen=True)
class Command:
    """One command: what it does, an example of its use, its own options, and the function that runs it.

    Args: options: adds them; called for the command that was asked for alone, so it may import what owns the choices;
        run: gets the parsed arguments; None: it has printed what there is to say.
    """

    name: str
    summary: str
    example: str
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Result | None]
