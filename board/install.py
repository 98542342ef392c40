"""Steps of a deployment that run on the board, before anything of ours is installed there: standard library alone.

`ecg-alq deploy` sends this file over SSH: python3 - STEP NAME. All folders lie in the user's home:
NAME.incoming is filled, checked and installed, and takes the place of NAME only then; NAME.previous is the one before.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


def incoming(name):
    return Path.home() / (name + ".incoming")


def prepare(name):
    """An empty NAME.incoming; prints its path."""
    folder = incoming(name)
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    print(folder)


def verify(name):
    """Compare every file with the manifest; prints how many."""
    folder = incoming(name)
    files = json.loads((folder / "manifest.json").read_text())["files"]
    for file, expected in files.items():
        path = folder / file
        if not path.is_file():
            sys.exit(f"{file} did not arrive")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected:
            sys.exit(f"{file} arrived damaged")
    print(len(files))


def install(name):
    """The wheel into NAME.incoming/lib: nothing outside of the folder changes. Prints the wheel's name."""
    folder = incoming(name)
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"one wheel is needed in the folder, found {len(wheels)}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(folder / "lib"), str(wheels[0])]
    subprocess.run(command, check=True)
    print(wheels[0].name)


def swap(name):
    """NAME.incoming becomes NAME; if that fails, NAME is what it was."""
    target, previous = Path.home() / name, Path.home() / (name + ".previous")
    shutil.rmtree(str(previous), ignore_errors=True)
    if target.exists():
        os.rename(str(target), str(previous))
    try:
        os.rename(str(incoming(name)), str(target))
    except OSError:
        if previous.exists():
            os.rename(str(previous), str(target))
        raise
    print(target)


def reject(name):
    """NAME.incoming becomes NAME.rejected, for a look at it; NAME stays."""
    rejected = Path.home() / (name + ".rejected")
    shutil.rmtree(str(rejected), ignore_errors=True)
    os.rename(str(incoming(name)), str(rejected))
    print(rejected)


STEPS = {"prepare": prepare, "verify": verify, "install": install, "swap": swap, "reject": reject}

if __name__ == "__main__":
    STEPS[sys.argv[1]](sys.argv[2])
