"""Steps of a deployment that run on the board, before anything of ours is installed there: standard library alone.

`ecg-alq deploy` sends this file over SSH: python3 - STEP NAME. All folders lie in the user's home:
NAME.incoming is filled, checked and installed, and takes the place of NAME only then; NAME.previous is the one before.
A folder that no deployment made is never moved, replaced or removed, and a file that was changed or added in one is
kept, in NAME.kept-N.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MANIFEST, MARK = "manifest.json", ".ecg-alq-incoming"
SUFFIXES = (".incoming", ".previous", ".rejected")
IDENTITY = re.compile("[0-9a-f]{64}")


def beside(name: str, suffix: str) -> Path:
    return Path.home() / (name + suffix)


def listed(folder: Path) -> dict[str, str] | None:
    """The files of a deployment with their sums; None: the folder is no deployment."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or type(content.get("format")) is not int:
        return None
    identity, files = content.get("identity"), content.get("files")
    if not isinstance(identity, str) or not IDENTITY.fullmatch(identity) or not isinstance(files, dict):
        return None
    sums = list(files.values())
    return files if all(isinstance(value, str) and IDENTITY.fullmatch(value) for value in sums) else None


def present(folder: Path) -> bool:
    """Whether something lies there, a broken link as well."""
    return os.path.lexists(str(folder))


def ours(folder: Path) -> bool:
    """Whether a deployment made this folder, or began to."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    return listed(folder) is not None or (folder / MARK).is_file()


def check(name: str) -> None:
    """Refuse a name whose folders, or a folder above, belong to somebody else."""
    for suffix in ("", *SUFFIXES):
        folder = beside(name, suffix)
        if present(folder) and not ours(folder) and not (suffix and folder.is_dir() and not any(folder.iterdir())):
            sys.exit(f"{folder} is not a deployment of ecg-alq: it stays as it is; choose another --name")
    for parent in beside(name, "").parents:
        if parent == Path.home():
            break
        if ours(parent):
            sys.exit(f"{parent} is a deployment of ecg-alq: nothing is put inside it; choose another --name")
        if present(parent) and not parent.is_dir():
            sys.exit(f"{parent} is not a folder: choose another --name")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def installed(lib: Path) -> dict[str, str | None]:
    """Files that pip put into a folder, with their sums as `sha256` writes them; None: it has no sum."""
    files = {}
    for record in lib.glob("*.dist-info/RECORD"):
        for row in csv.reader(record.read_text(encoding="utf-8").splitlines()):
            if len(row) == 3:
                kind, _, text = row[1].partition("=")
                raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)) if kind == "sha256" else b""
                files[re.sub(r"^(\.\./)+", "", row[0])] = raw.hex() or None  # programs: ../../bin/NAME for lib/bin/NAME
    return files


def retire(name: str, folder: Path) -> None:
    """Remove what a deployment put into its folder; what somebody changed or added stays in NAME.kept-N."""
    if not present(folder):
        return
    number = 1
    while present(beside(name, f".kept-{number}")):
        number += 1
    kept = beside(name, f".kept-{number}")
    os.rename(str(folder), str(kept))  # one move, so that a kill leaves either all of it or what is still to be removed
    files: dict[str, str | None] = dict(listed(kept) or {})
    files.update(("lib/" + file, value) for file, value in installed(kept / "lib").items())
    files[MARK] = None
    for path in sorted(kept.rglob("*")):
        file = path.relative_to(kept).as_posix()
        if path.is_file() and not path.is_symlink():
            compiled = path.parent.name == "__pycache__" and path.suffix == ".pyc"
            if compiled or (file in files and files[file] in (None, sha256(path))):
                path.unlink()
    for path in sorted(kept.rglob("*"), key=lambda path: -len(path.parts)):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
    left = [path for path in kept.iterdir() if path != kept / MANIFEST]
    if left:
        print(f"files that were changed or added there are kept: {kept}")
    else:
        shutil.rmtree(str(kept))


def prepare(name: str) -> None:
    """An empty NAME.incoming; prints its path."""
    check(name)
    folder = beside(name, ".incoming")
    if (folder / MARK).is_file():  # a copy that was broken off: all of it is ours
        shutil.rmtree(str(folder))
    else:
        retire(name, folder)
    folder.mkdir(parents=True)
    (folder / MARK).touch()
    print(folder)


def verify(name: str) -> None:
    """Compare every file with the manifest; prints how many."""
    folder = beside(name, ".incoming")
    files = listed(folder)
    if files is None:
        sys.exit(f"{MANIFEST} did not arrive whole")
    for file, expected in files.items():
        path = folder / file
        if not path.is_file():
            sys.exit(f"{file} did not arrive")
        if sha256(path) != expected:
            sys.exit(f"{file} arrived damaged")
    print(len(files))


def install(name: str) -> None:
    """The wheel into NAME.incoming/lib: nothing outside of the folder changes. Prints the wheel's name."""
    folder = beside(name, ".incoming")
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        sys.exit(f"one wheel is needed in the folder, found {len(wheels)}")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(folder / "lib"), str(wheels[0])]
    subprocess.run(command, check=True)
    print(wheels[0].name)


def swap(name: str) -> None:
    """NAME.incoming becomes NAME and NAME becomes NAME.previous; if that fails, NAME is what it was."""
    check(name)
    arrived, target, previous = beside(name, ".incoming"), beside(name, ""), beside(name, ".previous")
    if listed(arrived) is None:
        sys.exit(f"{arrived} is not whole: deploy again")
    if present(target):
        retire(name, previous)
        os.rename(str(target), str(previous))
    try:
        os.rename(str(arrived), str(target))
    except OSError:
        if present(previous) and not present(target):
            os.rename(str(previous), str(target))
        raise
    (target / MARK).unlink()
    print(target)


def reject(name: str) -> None:
    """NAME.incoming becomes NAME.rejected, for a look at it; NAME stays."""
    check(name)
    rejected = beside(name, ".rejected")
    retire(name, rejected)
    os.rename(str(beside(name, ".incoming")), str(rejected))
    (rejected / MARK).unlink()
    print(rejected)


STEPS = {"prepare": prepare, "verify": verify, "install": install, "swap": swap, "reject": reject}

if __name__ == "__main__":
    try:
        STEPS[sys.argv[1]](sys.argv[2])
    except OSError as error:
        sys.exit(f"{error.strerror or error}: {error.filename or ''}")
