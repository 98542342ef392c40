"""Deployment with stand-ins for ssh, scp and sudo that act on a folder of this machine."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import board
from board import install
from board.manifest import Manifest
from flow.cli.main import BOARD_PYTHON, CORES, main
from flow.ship import bitstream, deploy, package
from flow.ship.deploy import DeployError
from qmodel.errors import InputError
from tests.board.folders import deploy_folder, ecg_network, manifest_of, write_manifest

HOST = "xilinx@pynq"
SSH = """#!{python}
import os, subprocess, sys
words, options = sys.argv[1:], []
open({log!r}, "a").write(repr(sys.argv) + "\\n")
while words and words[0] != "--":
    options.append(words.pop(0))
if "-O" in options:
    sys.exit(0)
host, command = words[1], " ".join(words[2:])
if host != {host!r}:
    print("Host key verification failed.", file=sys.stderr)
    sys.exit(255)
sys.exit(subprocess.run(["/bin/sh", "-c", command], cwd={home!r}).returncode)
"""
SCP = """#!{python}
import os, shutil, sys
open({log!r}, "a").write(repr(sys.argv) + "\\n")
words = sys.argv[sys.argv.index("--") + 1:]
target = words.pop().partition(":")[2]
for number, word in enumerate(words):
    if os.environ.get("BREAK") == "copy" and number == 2:
        sys.exit("lost connection")
    shutil.copy(word, target)
if os.environ.get("BREAK") == "flip":
    with open(os.path.join(target, "ecg_alq.bit"), "ab") as file:
        file.write(b"!")
"""
SUDO = """#!{python}
import os, sys
words = [word for word in sys.argv[1:] if word != "-n"]
os.execvp(words[0], words)
"""
PYNQ = """
import board
board.__path__.append({simulation!r})
from board.codec import Codec
from board.simulation.model import Board, stand_in
from qmodel.frozen import FrozenNetwork
network = FrozenNetwork.load({network!r})
globals().update(vars(stand_in(Board(network, Codec.of(network)))))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """This package's wheel, built from the sources."""
    return package.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def folder(tmp_path, wheel):
    """A deploy folder with a real wheel."""
    network = ecg_network()
    folder = deploy_folder(tmp_path / "deploy", network)
    (folder / wheel.name).write_bytes(wheel.read_bytes())
    write_manifest(folder, manifest_of(network))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The home folder of a board that ssh reaches."""
    home, tools, site = tmp_path / "home", tmp_path / "tools", tmp_path / "site"
    for place in (home, tools, site, site / "pynq-3.0.1.dist-info"):
        place.mkdir()
    (site / "pynq-3.0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pynq\nVersion: 3.0.1\n")
    network = ecg_network().save(tmp_path / "in_the_core.alq")
    (site / "pynq.py").write_text(PYNQ.format(simulation=str(Path(board.__file__).parent), network=str(network)))
    values = {"python": sys.executable, "log": str(tmp_path / "log"), "home": str(home), "host": HOST}
    for name, text in (("ssh", SSH), ("scp", SCP), ("sudo", SUDO)):
        (tools / name).write_text(text.format(**values))
        (tools / name).chmod(0o755)
    # the board's Python: this one, with PYNQ in sight
    python = tools / "board_python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin:{Path(sys.executable).parent}")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return home


@pytest.fixture
def python(home, tmp_path):
    return str(tmp_path / "tools" / "board_python")


@pytest.mark.slow
def test_a_deployment(folder, home, python, tmp_path, capfd):
    assert main(["deploy", HOST, "--folder", str(folder), "--python", python, "--json"]) == 0
    captured = capfd.readouterr()
    result = json.loads(captured.out)
    assert result == {"host": HOST, "folder": str(home / "ecg-alq"), "identity": ecg_network().identity, "doctor": True}
    assert "3 logits as expected" in captured.err
    assert {path.name for path in home.iterdir()} == {"ecg-alq"}
    assert Manifest.load(home / "ecg-alq").damaged(home / "ecg-alq") == []
    assert (home / "ecg-alq" / "lib" / "board" / "driver.py").is_file()
    calls = (tmp_path / "log").read_text()
    assert "StrictHostKeyChecking=ask" in calls
    assert "assword" not in calls
    # again: the folder before stays as ecg-alq.previous
    deploy.deploy(HOST, folder, python=python)
    assert {path.name for path in home.iterdir()} == {"ecg-alq", "ecg-alq.previous"}


def working(home):
    """A folder that works and must go on working."""
    (home / "ecg-alq").mkdir()
    (home / "ecg-alq" / "proof").write_text("works")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("copy", "copy on xilinx@pynq failed: lost connection"),
        ("flip", "verify .* failed: ecg_alq.bit arrived damaged"),
    ],
)
def test_a_failed_copy_never_replaces_a_working_folder(folder, home, python, monkeypatch, broken, message):
    working(home)
    monkeypatch.setenv("BREAK", broken)
    with pytest.raises(DeployError, match=message):
        deploy.deploy(HOST, folder, python=python)
    assert (home / "ecg-alq" / "proof").read_text() == "works"


@pytest.mark.slow
def test_a_doctor_who_is_not_content_keeps_the_old_folder(folder, home, python, tmp_path, capfd):
    working(home)
    ecg_network(seed=8).save(tmp_path / "in_the_core.alq")  # the core holds another network
    assert main(["deploy", HOST, "--folder", str(folder), "--python", python]) == 1
    captured = capfd.readouterr()
    assert "the bitstream holds network" in captured.err
    assert "what was there before still is" in captured.out
    assert (home / "ecg-alq" / "proof").read_text() == "works"
    assert (home / "ecg-alq.rejected" / "manifest.json").is_file()


def test_a_board_that_is_not_reached(folder, home, python):
    with pytest.raises(DeployError, match=r"Host key verification failed.*does `ssh other` work, and is the host key"):
        deploy.deploy("other", folder, python=python)


def test_what_is_refused_before_anything_is_sent(folder, home, tmp_path):
    for options, message in (
        ({"host": "-oProxyCommand=x"}, "HOST must match"),
        ({"host": "a b"}, "HOST must match"),
        ({"name": "../x"}, "--name must match"),
        ({"name": "x;reboot"}, "--name must match"),
        ({"python": "python3; reboot"}, "--python must match"),
    ):
        with pytest.raises(InputError, match=message):
            deploy.deploy(**{"host": HOST, "folder": folder} | options)
    (folder / "network.alq").write_bytes(b"")
    with pytest.raises(InputError, match=r"network\.alq in .* differ from the manifest"):
        deploy.deploy(HOST, folder)
    assert not (tmp_path / "log").exists()


def test_a_swap_that_fails_gives_the_old_folder_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    name = "jupyter_notebooks/ecg-alq"
    install.prepare(name)
    install.swap(name)
    (tmp_path / name / "proof").write_text("works")
    install.prepare(name)
    (tmp_path / f"{name}.incoming").rmdir()  # lost between the steps
    with pytest.raises(FileNotFoundError):
        install.swap(name)
    assert (tmp_path / name / "proof").read_text() == "works"
    install.prepare(name)
    (tmp_path / f"{name}.incoming" / "manifest.json").write_text('{"files": {"lost": ""}}')
    for step, message in ((install.verify, "lost did not arrive"), (install.install, "one wheel is needed")):
        with pytest.raises(SystemExit, match=message):
            step(name)
    capsys.readouterr()


def test_the_command_line_offers_what_the_modules_have():
    assert BOARD_PYTHON == deploy.PYTHON
    assert CORES == bitstream.ENGINES


def test_without_ssh(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="ssh is not installed"):
        deploy.deploy(HOST, folder)
