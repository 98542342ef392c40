"""Writing files so that nothing half-written is ever seen; what tells one file's content from another's."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
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
