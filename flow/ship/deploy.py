"""A deploy folder onto a board over SSH: copied, verified, installed and examined beside the one that works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from board.manifest import MANIFEST, Manifest
from flow.build.products import say
from qmodel.errors import InputError, UserError

PYTHON = "/usr/local/share/pynq-venv/bin/python3"  # of the PYNQ images since 3.0
STEP_TIMEOUT, COPY_TIMEOUT = 300, 900  # seconds
HOST = re.compile(r"([A-Za-z_][\w.-]*@)?([A-Za-z0-9][\w.-]*|[0-9A-Fa-f]*:[0-9A-Fa-f:.]+(%\w+)?)", re.ASCII)
NAME = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*", re.ASCII)
PATH = re.compile(r"(/\.?\w[\w.+-]*)+", re.ASCII)
RESERVED = re.compile(r".*\.(incoming|previous|rejected|kept-\d+)")  # folders that board/install.py makes beside NAME


class DeployError(UserError, RuntimeError):
    """The board was not reached, or a step on it failed; what worked there still does."""


class _Board:
    """Commands on a board, over one connection. Args: socket: folder of the connection's socket."""

    def __init__(self, host: str, socket: Path):
        for tool in ("ssh", "scp"):
            if shutil.which(tool) is None:
                raise InputError(f"{tool} is not installed: install an OpenSSH client")
        self.host = host
        settings = ["StrictHostKeyChecking=ask", "ConnectTimeout=15", "ServerAliveInterval=15", "ServerAliveCountMax=4"]
        settings += ["ControlMaster=auto", f"ControlPath={socket}/%C", "ControlPersist=60"]  # asks for a password once
        if not sys.stdin.isatty():
            settings.append("BatchMode=yes")
        self.options = [word for setting in settings for word in ("-o", setting)]

    def _run(self, what: str, command: list[str], timeout: float, stdin: str | None = None) -> str:
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise DeployError(f"{what} on {self.host} did not end within {timeout:.0f} s") from None
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            hint = ""
            if done.returncode == 255 or "Host key" in done.stderr:
                hint = f"; does `ssh {self.host}` work, and is the host key the board's?"
            raise DeployError(f"{what} on {self.host} failed: {said[-1] if said else f'code {done.returncode}'}{hint}")
        return done.stdout.strip()

    def step(self, name: str, target: str, python: str = "python3") -> str:
        """Run a step of `board/install.py`; returns the last line that it prints, the others go to this terminal."""
        import board

        script = (Path(str(board.__file__)).parent / "install.py").read_text("utf-8")
        command = ["ssh", *self.options, "--", self.host, shlex.join([python, "-", name, target])]
        *notes, last = self._run(name, command, STEP_TIMEOUT, script).splitlines() or [""]
        for note in notes:
            say(name, note)
        return last

    def copy(self, files: Sequence[Path], folder: str) -> None:
        """Copy files into a folder of the board."""
        user, at, address = self.host.rpartition("@")
        host = f"{user}{at}[{address}]" if ":" in address else self.host  # IPv6: a colon ends scp's host
        self._run("copy", ["scp", "-q", *self.options, "--", *map(str, files), f"{host}:{folder}/"], COPY_TIMEOUT)

    def doctor(self, folder: str, python: str, sudo: bool) -> bool:
        """Run the doctor, its findings on this terminal; whether all is good."""
        words = [python, "-m", "board.doctor", folder]
        environment = [f"PYTHONPATH={folder}/lib", "PYTHONDONTWRITEBYTECODE=1", "XILINX_XRT=/usr"]
        terminal = sys.stdin.isatty()
        root = ["sudo", *([] if terminal else ["-n"])] if sudo else []
        command = ["ssh", *self.options, *(["-t"] if terminal else []), "--", self.host]
        try:
            done = subprocess.run(
                [*command, shlex.join([*root, "env", *environment, *words])],
                timeout=STEP_TIMEOUT,
                stdout=sys.stderr,
                stdin=None if terminal else subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise DeployError(f"the doctor on {self.host} did not end within {STEP_TIMEOUT} s") from None
        return done.returncode == 0

    def hang_up(self) -> None:
        """End the shared connection."""
        subprocess.run(["ssh", *self.options, "-O", "exit", "--", self.host], capture_output=True, timeout=30)


def deploy(host: str, folder: Path, name: str = "ecg-alq", python: str = PYTHON, sudo: bool = True) -> dict:
    """Copy a deploy folder to `name` in the home of the board's user; it takes its place when all of it is good.

    Args: host: as ssh takes it, with user if needed; python: with PYNQ, on the board; sudo: for the doctor, who loads
        the bitstream. Returns: where it lies and whether the doctor was content (else it lies beside, rejected).
    Raises: InputError: bad names, or a folder that is damaged; DeployError: a step failed, the old folder is untouched.
    """
    for value, rule, what, said in (
        (
            host,
            HOST,
            "HOST",
            "be a name or an address, USER@ in front where needed, as xilinx@pynq",
        ),
        (name, NAME, "--name", "be a folder below the home folder: letters, digits, _ . - and / between folders"),
        (python, PATH, "--python", "be a program's whole path, as /usr/bin/python3"),
    ):
        if not rule.fullmatch(value):
            raise InputError(f"{what} must {said}, received {value!r}")
    if any(map(RESERVED.fullmatch, name.split("/"))):
        raise InputError(f"--name {name} is one that deployments use themselves: leave out its ending")
    manifest = Manifest.load(folder)
    damaged = manifest.damaged(folder)
    if damaged:
        raise InputError(f"{', '.join(damaged)} in {folder} differ from the manifest: package the network again")
    files = [folder / file for file in (MANIFEST, *manifest.files)]
    with tempfile.TemporaryDirectory(prefix="ecg-alq-") as socket:
        board = _Board(host, Path(socket))
        try:
            incoming = board.step("prepare", name)
            if not PATH.fullmatch(incoming):
                raise DeployError(f"the home folder on {host} must match {PATH.pattern}, received {incoming!r}")
            say("copy", f"{len(files)} files to {host}:{incoming}")
            board.copy(files, incoming)
            say("verify", f"{board.step('verify', name)} files arrived whole")
            say("install", board.step("install", name, python))
            say("doctor", "on the board")
            good = board.doctor(incoming, python, sudo)
            place = board.step("swap" if good else "reject", name)
        finally:
            board.hang_up()
    return {"host": host, "folder": place, "identity": manifest.identity, "doctor": good}


def lines(result: dict) -> list[str]:
    """The result for a terminal."""
    if result["doctor"]:
        return [f"network {result['identity'][:12]}... is on {result['host']}: {result['folder']}"]
    return [f"the doctor is not content: {result['host']}:{result['folder']}; what was there before still is"]
