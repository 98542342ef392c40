"""Products of steps: a folder each, with a manifest of what it was made from; made again only when that changes."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from flow.build.provenance import fingerprint, provenance, versions
from qmodel.errors import InputError
from qmodel.files import alone, folder_sums, json_with, read_sealed, sealed, sha256, swap_folder
from qmodel.program import PACKAGES, program

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


def program_of(work: Callable) -> str:
    """SHA-256 of the program behind a step: its module and all of ours that it imports (`qmodel.program`).

    A step of somebody else's module is hashed by that module's code and what it imports of ours.
    """
    function = work.func if isinstance(work, partial) else work
    module = function.__module__
    if module.partition(".")[0] in PACKAGES:
        return program(module)
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None:
        raise InputError(f"{function} is in no file, so nobody can tell when its product is stale: write it into one")
    return program(file)


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
    """Run a step, unless its product is there, whole, and made from the same: inputs, settings, versions and program.

    The work goes on in a hidden folder that takes the product's name when all is done. Of several processes that ask
    at once, one works and the others wait for it.
    Args: inputs: name -> SHA-256; work: fills a folder, returns its results for JSON;
        resumable: an interrupted folder is handed to the next run of the same inputs.
    Raises: InputError: the product's folder holds something else.
    """
    target, part = build / step, build / f".{step}.part"
    made_with = versions()
    inputs = inputs | {"program": program_of(work)}
    key = fingerprint({"step": step, "inputs": inputs, "settings": settings, "versions": made_with})
    if found := _found(step, target, key):
        return found
    with _held(part):
        if found := _found(step, target, key):  # another process made it
            return found
        return _run(step, target, part, key, inputs, settings, work, resumable)


def _found(step: str, target: Path, key: str) -> Product | None:
    """The product if it is there, whole, and made from the same. Raises: InputError: something else is there."""
    manifest = _manifest(target, step)
    if manifest.get("key") == key:
        damaged, strays = _compared(target, manifest["outputs"])
        if damaged is None:
            if strays:
                more = f" and {len(strays) - 1} more" if len(strays) > 1 else ""
                say(step, f"{strays[0]}{more} in {target} is not of this product and is left alone")
            say(step, f"cached     {target}")
            return Product(target, manifest, True)
        say(step, f"{damaged} was changed or lost: running again")
    return None


def _run(
    step: str, target: Path, part: Path, key: str, inputs: dict, settings: dict, work: Callable, resumable: bool
) -> Product:
    _prepare(part, key, resumable)
    say(step, "running")
    started, clock = datetime.now(timezone.utc), time.monotonic()
    try:
        results = work(part)
        manifest = {
            "step": step,
            "key": key,
            "inputs": inputs,
            "settings": settings,
            **provenance(),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - clock, 3),
            "results": results,
            "outputs": _outputs(part),
        }
        (part / MANIFEST).write_text(json.dumps(sealed(manifest), indent=2) + "\n", "utf-8")
    except BaseException:
        if not (resumable and any(path.is_file() and path != part / _KEY for path in part.rglob("*"))):
            shutil.rmtree(part, ignore_errors=True)
        raise
    (part / _KEY).unlink()
    swap_folder(part, target, _made_with(target))
    say(step, f"{duration(manifest['seconds']):<10} {target}")
    return Product(target, manifest, False)


@contextmanager
def _held(part: Path) -> Iterator[None]:
    """The folder of a step under way, for this process alone; waits while another works in it."""
    part.parent.mkdir(parents=True, exist_ok=True)
    with alone(part.with_suffix(".lock")):
        part.mkdir(exist_ok=True)
        try:
            yield
        finally:
            if part.exists() and not any(part.iterdir()):
                part.rmdir()


def _prepare(part: Path, key: str, resumable: bool) -> None:
    stamp = part / _KEY
    if not (resumable and stamp.is_file() and stamp.read_text() == key):
        for old in part.iterdir():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    for stray in part.rglob(".*.part"):  # of a run that was killed while writing
        stray.unlink()
    stamp.write_text(key)


def _manifest(target: Path, step: str) -> dict:
    """The manifest of a product; empty: there is no product, or a damaged one, which is said.

    Raises: InputError: the folder holds something else.
    """
    path = target / MANIFEST
    if not os.path.lexists(target):
        return {}
    foreign = InputError(f"{target} is not a product of this step: choose another --build or remove it")
    if target.is_symlink() or not target.is_dir():
        raise foreign
    if not any(target.iterdir()):
        return {}
    if not path.is_file():
        raise foreign
    try:
        manifest = read_sealed(path, "running again")
    except InputError as error:
        # who edited or damaged it is not asked where a step of ours has been at work
        if not json_with(MANIFEST, "step", "key")(target) and not _lock(target).is_file():
            raise foreign from None
        say(step, str(error))
        return {}
    if manifest.get("step") != step or not isinstance(manifest.get("outputs"), dict):
        raise foreign
    return manifest


def _lock(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


def _outputs(folder: Path) -> dict[str, str]:
    return {name: value for name, value in folder_sums(folder).items() if name != _KEY}


def _compared(folder: Path, outputs: dict[str, str]) -> tuple[str | None, list[str]]:
    """The first file of a product that was changed or lost, and files that are not of it."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    damaged = (name for name, value in outputs.items() if name not in files or sha256(files[name]) != value)
    return next(damaged, None), [name for name in files if name not in outputs and name != MANIFEST]


def _made_with(target: Path) -> dict[str, str]:
    """SHA-256 of the files of a product as its step left them, the manifest included."""
    try:
        outputs = read_sealed(target / MANIFEST, "")["outputs"]
        return outputs | {MANIFEST: sha256(target / MANIFEST)}
    except (OSError, InputError, KeyError, TypeError):
        return {}


@contextmanager
def locked(build: Path) -> Iterator[None]:
    """The build folder for this process alone; a folder that stays empty is removed again.

    Raises: InputError: another run is at work in it.
    """
    created = [folder for folder in (build, *build.parents) if not folder.exists()]
    build.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(alone(build / ".lock", wait=False))
        except BlockingIOError:
            raise InputError(f"another ecg-alq is running in {build}: wait for it or choose another --build") from None
        try:
            yield
        finally:
            left = list(build.iterdir())
            if all((path.is_file() and path.suffix == ".lock") or path.name == ".lock" for path in left):
                for path in left:
                    path.unlink()
                for folder in created:
                    folder.rmdir()
