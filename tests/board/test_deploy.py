"""Deployment with stand-ins for ssh, scp and sudo that act on a folder of this machine."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import board
from board import install
from board.manifest import Manifest
from flow.cli.main import main
from flow.ship import deploy, package
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
    # again: the folder before stays as ecg-alq.previous; of the one before that nothing stays, no file of its wheel
    for _ in range(2):
        deploy.deploy(HOST, folder, python=python)
    assert {path.name for path in home.iterdir()} == {"ecg-alq", "ecg-alq.previous"}


def working(home):
    """A deployment that works and must go on working."""
    deploy_folder(home / "ecg-alq", ecg_network())
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


@pytest.mark.parametrize(
    "host", ["-oProxyCommand=x", "a b", "", "@pynq", "a@b@c", "[", ":", "pynq:/tmp", "pynq%x", "ü", "x\n"]
)
def test_hosts_that_are_none(host, folder, tmp_path):
    with pytest.raises(InputError, match=r"HOST must be a name or an address, USER@ in front"):
        deploy.deploy(host, folder)


@pytest.mark.parametrize("host", ["pynq", "me@192.168.2.99", "me.too@board-1.local", "fe80::1%eth0", "me@2001:db8::1"])
def test_hosts_that_ssh_takes(host):
    assert deploy.HOST.fullmatch(host)


@pytest.mark.parametrize("python", ["python3", "/usr/../bin/python3", "/bin/sh -c", "/bin//sh", "/", "/opt/-c", "/x;y"])
def test_programs_that_are_none(python, folder):
    with pytest.raises(InputError, match="--python must be a program's whole path"):
        deploy.deploy(HOST, folder, python=python)


@pytest.mark.parametrize("name", ["../x", "x;reboot", "x/..", "/x", "x/", ".ssh", "-x", "x//y", "é", "x\n"])
def test_names_that_are_none(name, folder):
    with pytest.raises(InputError, match="--name must be a folder below the home folder"):
        deploy.deploy(HOST, folder, name)


@pytest.mark.parametrize("name", ["x.previous", "x.incoming", "x.rejected", "x.kept-1", "x.previous/y"])
def test_names_that_deployments_use_themselves(name, folder):
    with pytest.raises(InputError, match="is one that deployments use themselves"):
        deploy.deploy(HOST, folder, name)


def test_a_damaged_folder_is_refused_before_anything_is_sent(folder, home, tmp_path):
    (folder / "network.alq").write_bytes(b"")
    with pytest.raises(InputError, match=r"network\.alq in .* differ from the manifest"):
        deploy.deploy(HOST, folder)
    assert not (tmp_path / "log").exists()


def arrive(home, name="ecg-alq"):
    """A deployment up to its swap."""
    install.prepare(name)
    deploy_folder(home / f"{name}.incoming", ecg_network())
    install.verify(name)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("suffix", ["", ".incoming", ".previous", ".rejected"])
@pytest.mark.parametrize(
    "manifest", [None, "{}", "null", '{"format": 1, "files": {}}', '{"name": "my app", "files": ["a"]}']
)
def test_a_folder_of_the_users_is_never_touched(suffix, manifest, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    mine = tmp_path / f"jupyter_notebooks{suffix}"
    mine.mkdir()
    (mine / "thesis.ipynb").write_text("years of work")
    if manifest is not None:
        (mine / "manifest.json").write_text(manifest)
    before = contents(tmp_path)
    for step in (install.prepare, install.swap, install.reject):
        with pytest.raises(SystemExit, match=f"jupyter_notebooks{suffix} is not a deployment of ecg-alq: it stays"):
            step("jupyter_notebooks")
    assert contents(tmp_path) == before


def test_links_files_and_places_inside_a_deployment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    deploy_folder(tmp_path / "real", ecg_network())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    for name in ("link", "broken", "file"):
        with pytest.raises(SystemExit, match=f"{name} is not a deployment"):
            install.prepare(name)
    with pytest.raises(SystemExit, match="real is a deployment of ecg-alq: nothing is put inside it"):
        install.prepare("real/lib")
    with pytest.raises(SystemExit, match="file is not a folder"):
        install.prepare("file/below")


def test_what_somebody_changed_or_added_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    arrive(tmp_path)
    install.swap("ecg-alq")
    first = tmp_path / "ecg-alq"
    (first / "test_window.json").write_text("mine")
    (first / "notes").mkdir()
    (first / "notes" / "day.txt").write_text("mine too")
    for _ in range(3):
        arrive(tmp_path)
        install.swap("ecg-alq")
    assert {path.name for path in tmp_path.iterdir()} == {"ecg-alq", "ecg-alq.previous", "ecg-alq.kept-1"}
    kept = contents(tmp_path / "ecg-alq.kept-1")
    assert {name: kept[name] for name in kept if name != "manifest.json"} == {
        "test_window.json": b"mine",
        "notes/day.txt": b"mine too",
    }
    assert "files that were changed or added there are kept:" in capsys.readouterr().out
    for _ in range(2):
        arrive(tmp_path)
        install.reject("ecg-alq")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("ecg-alq", "ecg-alq.previous", "ecg-alq.kept-1", "ecg-alq.rejected")
    }


def test_a_swap_that_fails_gives_the_old_folder_back(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "jupyter_notebooks").mkdir()
    name = "jupyter_notebooks/ecg-alq"
    arrive(tmp_path, name)
    install.swap(name)
    (tmp_path / name / "proof").write_text("works")
    arrive(tmp_path, name)
    rename = os.rename

    def broken(source, target):
        if source.endswith(".incoming"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", broken)
    with pytest.raises(OSError, match="No space left"):
        install.swap(name)
    assert (tmp_path / name / "proof").read_text() == "works"
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path))
    install.prepare(name)
    with pytest.raises(SystemExit, match=r"manifest\.json did not arrive whole"):
        install.verify(name)
    with pytest.raises(SystemExit, match="is not whole: deploy again"):
        install.swap(name)
    with pytest.raises(SystemExit, match="one wheel is needed"):
        install.install(name)
    deploy_folder(tmp_path / f"{name}.incoming", ecg_network())
    (tmp_path / f"{name}.incoming" / "network.alq").unlink()
    with pytest.raises(SystemExit, match=r"network\.alq did not arrive"):
        install.verify(name)
    assert (tmp_path / name / "proof").read_text() == "works"


@pytest.mark.parametrize("kill_at", range(1, 9))
def test_a_kill_at_any_move_loses_nothing(kill_at, tmp_path, monkeypatch, capsys):
    """The process ends before its n-th rename or removal; the next deployment finds its way."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for _ in range(2):  # so that a folder and one before it are there
        arrive(tmp_path)
        install.swap("ecg-alq")
        (tmp_path / "ecg-alq" / "mine").write_text("mine")
    arrive(tmp_path)
    calls = []

    class Killed(BaseException):
        pass

    def killing(real):
        def call(*words, **options):
            calls.append(words)
            if len(calls) == kill_at:
                raise Killed
            return real(*words, **options)

        return call

    for name in ("rename", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, killing(getattr(os, name)))
    with suppress(Killed):
        install.swap("ecg-alq")
    monkeypatch.undo()
    monkeypatch.setenv("HOME", str(tmp_path))
    whole = [path for path in tmp_path.iterdir() if path.is_dir() and install.listed(path) is not None]
    assert any(Manifest.load(path).damaged(path) == [] for path in whole)
    assert len(list(tmp_path.rglob("mine"))) == 2
    arrive(tmp_path)
    install.swap("ecg-alq")
    assert Manifest.load(tmp_path / "ecg-alq").damaged(tmp_path / "ecg-alq") == []
    assert len(list(tmp_path.rglob("mine"))) == 2
