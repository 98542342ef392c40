"""Products of steps: a folder each, with a manifest of what it was made from; made again only when that changes."""

from __future__ import annotations

import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from flow.build.provenance import fingerprint, git_revision, versions
from qmodel.errors import InputError
from qmodel.files import sha256, swap_folder

MANIFEST = "manifest.json"
REPOSITORY = Path(__file__).resolve().parents[2]
_KEY = ".key"


@dataclass(frozen=True)
class Product:
    """A finished step: its folder and manifest, and whether it was there already."""

    folder: Path
    manifest: dict
    cached: bool

    @property
    def results(self) -> dict:
        """What the step found out."""
        return self.manifest["results"]

    @property
    def identity(self) -> str:
        """SHA-256 over all its files: what a later step's manifest names as its input."""
        return fingerprint(self.manifest["outputs"])


@cache
def program(*patterns: str) -> str:
    """SHA-256 of our own sources that match the patterns: a changed program makes a step run again."""
    files = sorted({path for pattern in patterns for path in REPOSITORY.glob(pattern) if path.is_file()})
    return fingerprint({path.relative_to(REPOSITORY).as_posix(): sha256(path) for path in files})


def say(step: str, message: str) -> None:
    """One line of progress on stderr."""
    print(f"{step:<9} {message}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    return f"{seconds:.1f} s" if seconds < 90 else f"{seconds // 60:.0f} min {seconds % 60:02.0f} s"


def make(
    build: Path,
    step: str,
    inputs: dict[str, str],
    settings: dict,
    work: Callable[[Path], dict],
    resumable: bool = False,
) -> Product:
    """Run a step, unless its product is there, whole, and made from the same.

    The work goes on in a hidden folder that takes the product's name when all is done.
    Args: inputs: name -> SHA-256; work: fills a folder, returns its results for JSON;
        resumable: an interrupted folder is handed to the next run of the same inputs.
    Raises: InputError: the product's folder holds something else.
    """
    target, part = build / step, build / f".{step}.part"
    made_with = versions()
    key = fingerprint({"step": step, "inputs": inputs, "settings": settings, "versions": made_with})
    manifest = _manifest(target)
    if manifest and manifest.get("key") == key:
        if damaged := _damaged(target, manifest):
            say(step, f"{damaged} was changed or lost: running again")
        else:
            say(step, f"cached     {target}")
            return Product(target, manifest, True)
    elif target.exists() and manifest is None and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is not a product of this step: choose another --build or remove it")
    _prepare(part, key, resumable)
    say(step, "running")
    started, clock = datetime.now(timezone.utc), time.monotonic()
    try:
        results = work(part)
        seconds = round(time.monotonic() - clock, 3)
        manifest = {
            "step": step,
            "key": key,
            "inputs": inputs,
            "settings": settings,
            "versions": made_with,
            "git_revision": git_revision(),
            "started": started.isoformat(timespec="seconds"),
            "seconds": seconds,
            "results": results,
            "outputs": _outputs(part),
        }
        (part / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    except BaseException:
        if not (resumable and any(path.is_file() and path != part / _KEY for path in part.rglob("*"))):
            shutil.rmtree(part, ignore_errors=True)
        raise
    (part / _KEY).unlink()
    swap_folder(part, target)
    say(step, f"{duration(seconds):<10} {target}")
    return Product(target, manifest, False)


def _prepare(part: Path, key: str, resumable: bool) -> None:
    stamp = part / _KEY
    if part.exists() and not (resumable and stamp.is_file() and stamp.read_text() == key):
        shutil.rmtree(part)
    part.mkdir(parents=True, exist_ok=True)
    for stray in part.rglob(".*.part"):  # of a run that was killed while writing
        stray.unlink()
    stamp.write_text(key)


def _manifest(folder: Path) -> dict | None:
    """None: no manifest; empty: a damaged one."""
    try:
        return json.loads((folder / MANIFEST).read_text("utf-8"))
    except OSError:
        return None
    except ValueError:
        return {}


def _outputs(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / _KEY)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _damaged(folder: Path, manifest: dict) -> str | None:
    for name, sha in manifest["outputs"].items():
        path = folder / name
        if not path.is_file() or sha256(path) != sha:
            return name
    return None


@contextmanager
def locked(build: Path) -> Iterator[None]:
    """The build folder for this process alone; a folder that stays empty is removed again.

    Raises: InputError: another run is at work in it.
    """
    created = [folder for folder in (build, *build.parents) if not folder.exists()]
    build.mkdir(parents=True, exist_ok=True)
    lock = build / ".lock"
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another ecg-alq is at work in {build}: wait for it or choose another --build") from None
        try:
            yield
        finally:
            if list(build.iterdir()) == [lock]:
                lock.unlink()
                for folder in created:
                    folder.rmdir()
