"""Writing files so that nothing half-written is ever seen."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8; its folder is made if it is missing."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside:
        beside.write_text(text, "utf-8")


def write_json(path: str | os.PathLike, content: object) -> None:
    """Write a JSON file; its folder is made if it is missing."""
    write_text(path, json.dumps(content, indent=1) + "\n")
