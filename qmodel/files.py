"""Writing files so that nothing half-written is ever seen; what tells one file's content from another's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qmodel.errors import InputError


@contextmanager
def written_beside(path: str | os.PathLike) -> Iterator[Path]:
    """A path beside `path` to write to; renamed to `path` at the end, removed on any error or interruption."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextmanager
def folder_beside(path: str | os.PathLike, mark: str, kind: str) -> Iterator[Path]:
    """An empty folder beside `path` to fill; takes its place at the end, removed on any error or interruption.

    A block that removes the folder again leaves `path` as it is.
    Args: mark: a file that every folder of this kind holds; kind: what to call it, as "an HLS project".
    Raises: InputError: `path` holds something else, which is never replaced.
    """
    path = Path(path).absolute()
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / mark).is_file())):
        raise InputError(f"{path} is not {kind}: choose another folder or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
        made = Path(beside) / path.name
        made.mkdir()
        yield made
        if made.exists():
            swap_folder(made, path)


def swap_folder(made: Path, path: Path) -> None:
    """A finished folder takes the place of `path`, in the same file system; if that fails, `path` is what it was."""
    old = made.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    held = path.exists()
    if held:
        os.replace(path, old)
    try:
        os.replace(made, path)
    except BaseException:
        if held:
            os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8; its folder is made if it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside:
        beside.write_text(text, "utf-8")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write a JSON file; its folder is made if it is missing."""
    write_text(path, json.dumps(content, indent=1) + "\n")


def sha256(path: str | os.PathLike) -> str:
    """SHA-256 of a file, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_hash(*parts: object) -> str:
    """SHA-256, hexadecimal, of values by what they print as, and of files (every `Path`) by name and content."""
    digest = hashlib.sha256()
    for part in parts:
        text = f"{part.name}\0{sha256(part)}" if isinstance(part, Path) else repr(part)
        digest.update(f"{len(text)}\0{text}".encode())
    return digest.hexdigest()


def folder_sums(folder: str | os.PathLike) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path there."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


def kept(path: str | os.PathLike, key: str, make: Callable[[Path], object]) -> bool:
    """Make a file or folder, unless it is there, whole, and was made with the same key; False: it was there.

    Of several processes that ask at once, one makes it and the others wait.
    Args: key: hash of everything that decides the content (`content_hash`, `qmodel.program.program`);
        make: writes to the path it is given, beside `path`. What was made from stands beside as `.NAME.kept`.
    """
    import fcntl  # not where this package is only read, as on Windows

    path = Path(path)
    stamp = path.with_name(f".{path.name}.kept")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if _stamped(path, stamp) == key:
            return False
        stamp.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:
            made = Path(beside) / path.name
            make(made)
            content = {"key": key, "sums": _sums(made)}
            if made.is_dir():
                swap_folder(made, path)
            else:
                os.replace(made, path)
        write_json(stamp, content)
    return True


def _sums(path: Path) -> dict[str, str]:
    return folder_sums(path) if path.is_dir() else {"": sha256(path)}


def _stamped(path: Path, stamp: Path) -> str | None:
    """The key of what is there, or None: nothing, or not what was made."""
    try:
        content = json.loads(stamp.read_text("utf-8"))
        return content["key"] if content["sums"] == _sums(path) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
