"""Running a tool: argument list, log file, time limit, clear errors."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qmodel.errors import UserError


class ToolError(UserError, RuntimeError):
    """A tool is missing, failed or did not end; the message names its log."""


def find(name: str) -> str:
    """Path of a program that pip installed beside this Python, or that lies on PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise ToolError(f"{name} was not found: pip install 'ecg-alq[hardware]'")
    return found


def run(
    argv: Sequence[str], folder: Path, log_name: str, timeout: float, environment: Mapping[str, str] | None = None
) -> Path:
    """Run a program in `folder`, its output in `folder/log_name`; returns the log. Raises: ToolError.

    The program gets a session of its own, so that a time limit or Ctrl-C ends what it started as well.
    """
    log = folder / log_name
    with log.open("w") as stream:
        process = subprocess.Popen(
            list(argv), cwd=folder, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise ToolError(f"{Path(argv[0]).name} did not end within {timeout:.0f} s: see {log}") from None
            raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise ToolError(f"{Path(argv[0]).name} failed with code {code}, see {log}:\n{tail}")
    return log


def set_parameter(text: str, name: str, value: int | str) -> str:
    """A Verilog module's text with another default of one parameter. Raises: ToolError: it has no such parameter."""
    found = re.search(rf"parameter (?:integer |\[[^\]]*\] )?{name} = ([^,\n]*)", text)
    if found is None:
        raise ToolError(f"the Verilog has no parameter {name}")
    return f"{text[: found.start(1)]}{value}{text[found.end(1) :]}"
