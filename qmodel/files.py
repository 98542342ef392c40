"""Writing files so that nothing half-written is ever seen; what tells one file's content from another's."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from qmodel.errors import InputError

if TYPE_CHECKING:
    import hashlib
    import tempfile


def _folder(path: Path) -> tempfile.TemporaryDirectory:
    """An empty folder beside `path`, until the end of the block."""
    import tempfile  # here, as what hashes and removes: a command line that asks for help needs none of them

    return tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent)


def _digest() -> hashlib._Hash:
    """A SHA-256 to be updated."""
    import hashlib

    return hashlib.sha256()


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
def folder_beside(path: str | os.PathLike, ours: Callable[[Path], bool], kind: str) -> Iterator[Path]:
    """An empty folder beside `path` to fill; takes its place at the end, removed on any error or interruption.

    A block that removes the folder again leaves `path` as it is. What somebody changed or added in the folder before
    is kept (`swap_folder`); what it was made with stands beside it as `.NAME.made`.
    Args: ours: whether a folder is one of this kind (`json_with`); kind: what to call it, as "an HLS project".
    Raises: InputError: `path` holds something else, which is never replaced.
    """
    path = Path(path).absolute()
    stamp = path.with_name(f".{path.name}.made")
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or (any(path.iterdir()) and not ours(path))):
        raise InputError(f"{path} is not {kind}: choose another folder or remove it")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _folder(path) as beside:
        made = Path(beside) / path.name
        made.mkdir()
        yield made
        if made.exists():
            sums = folder_sums(made)
            swap_folder(made, path, read_sums(stamp))
            write_json(stamp, sealed({"sums": sums}))


def json_with(name: str, *keys: str) -> Callable[[Path], bool]:
    """Whether a folder holds a JSON file of that name, an object with all these keys: how its kind is told."""

    def holds(folder: Path) -> bool:
        try:
            content = json.loads((folder / name).read_bytes().decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and content.keys() >= set(keys)

    return holds


def read_sums(stamp: Path) -> dict[str, str]:
    """SHA-256 of the files of a folder as it was made, by their path there; none where that is not known."""
    try:
        sums = read_sealed(stamp, "")["sums"]
    except (OSError, InputError, KeyError):
        return {}
    return sums if isinstance(sums, dict) else {}


def swap_folder(made: Path, path: Path, sums: Mapping[str, str] | None = None) -> Path | None:
    """A finished folder takes the place of `path`, in the same file system; if that fails, `path` is what it was.

    Args: sums: SHA-256 of the files that the folder before was made with: they go; what was changed or added since
        then stays in NAME.kept-N beside it, and that is said on stderr. None: nothing of it stays.
    Returns: where it stays. A process that ends at any moment leaves both folders, under one name or the other.
    """
    if not path.exists():
        os.replace(made, path)
        return None
    number = 1
    while os.path.lexists(old := path.with_name(f"{path.name}.kept-{number}")):
        number += 1
    os.replace(path, old)
    try:
        os.replace(made, path)
    except BaseException:
        os.replace(old, path)
        raise
    if sums is not None and (left := _remove_known(old, sums)):
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        print(f"kept      {old}: {left[0]}{more} was changed or added there", file=sys.stderr, flush=True)
        return old
    import shutil

    shutil.rmtree(old, ignore_errors=True)
    return None


def _remove_known(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """Remove files whose SHA-256 is the one given, and empty folders. Returns: the files that stay."""
    left = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        if path.is_symlink() or not path.is_file() or sums.get(name) != sha256(path):
            left.append(name)
        else:
            path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
    return left


def sealed(content: Mapping[str, object]) -> dict[str, object]:
    """JSON content with the SHA-256 over it, so that `read_sealed` notices an edited figure."""
    plain = json.loads(json.dumps(content))
    return plain | {"sha256": _seal(plain)}


def _seal(content: Mapping[str, object]) -> str:
    digest = _digest()
    digest.update(json.dumps(content, sort_keys=True).encode())
    return digest.hexdigest()


def read_sealed(path: str | os.PathLike, again: str) -> dict:
    """The content of a JSON file that `sealed` made. Args: again: how to make it again, for the message.

    Raises: InputError: no object, damaged, or edited; OSError: not readable.
    """
    try:
        content = json.loads(Path(path).read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}): {again}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} must be a JSON object, received {type(content).__name__}: {again}")
    given = content.pop("sha256", None)
    if given != _seal(content):
        raise InputError(f"{path} was edited or damaged (its entries do not match its own SHA-256): {again}")
    return content


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
    digest = _digest()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_hash(*parts: object) -> str:
    """SHA-256, hexadecimal, of values by what they print as, and of files (every `Path`) by name and content."""
    digest = _digest()
    for part in parts:
        text = f"{part.name}\0{sha256(part)}" if isinstance(part, Path) else repr(part)
        digest.update(f"{len(text)}\0{text}".encode())
    return digest.hexdigest()


def folder_sums(folder: str | os.PathLike) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path there."""
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


@contextmanager
def alone(lock: str | os.PathLike, wait: bool = True) -> Iterator[None]:
    """For this process alone while it holds a lock file, which stays; the lock itself ends with the process.

    Raises: BlockingIOError: another process holds it, and `wait` is not set.
    """
    from filelock import FileLock, Timeout  # not where this package is only read, on a board for one

    held = FileLock(lock, timeout=-1 if wait else 0)
    try:
        held.acquire()
    except Timeout:
        raise BlockingIOError(f"{lock} is held by another process") from None
    try:
        yield
    finally:
        held.release()


def kept(path: str | os.PathLike, key: str, make: Callable[[Path], object]) -> bool:
    """Make a file or folder, unless it is there, whole, and was made with the same key; False: it was there.

    Of several processes that ask at once, one makes it and the others wait.
    Args: key: hash of everything that decides the content (`content_hash`, `qmodel.program.program`);
        make: writes to the path it is given, beside `path`. What was made from stands beside as `.NAME.kept`.
    """
    path = Path(path)
    stamp = path.with_name(f".{path.name}.kept")
    path.parent.mkdir(parents=True, exist_ok=True)
    with alone(path.with_name(f".{path.name}.lock")):
        if _stamped(path, stamp) == key:
            return False
        with _folder(path) as beside:
            made = Path(beside) / path.name
            make(made)
            content = {"key": key, "sums": _sums(made)}
            stamp.unlink(missing_ok=True)
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
