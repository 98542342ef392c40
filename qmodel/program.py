"""Which of our sources decide a result: a module, what it imports, and the files that they name; one hash of all.

A result is stale when this hash changes, whoever keeps it. Comments and docstrings do not count, nor do imports for
type checkers. An import inside a function counts: it runs.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from qmodel.files import sha256

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = (".md", ".pyc")
PACKAGES = ("qmodel", "hls", "board", "flow")


def program(*modules: str) -> str:
    """SHA-256 of everything of ours that the modules reach. Args: modules: dotted names, or files of other people's."""
    digest = hashlib.sha256()
    for path in closure(*modules):
        content = _examined(path).code if path.suffix == ".py" else sha256(path)
        name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


def closure(*modules: str) -> list[Path]:
    """Our files that the modules reach: modules, packages around them, and files and folders named by a string.

    Raises: ModuleNotFoundError: no such module of ours.
    """
    found: dict[Path, None] = {}
    waiting = []
    for module in modules:
        path = Path(module) if module.endswith(".py") else _source(module)
        if path is None or not path.is_file():
            raise ModuleNotFoundError(f"{module} is no module of {', '.join(PACKAGES)}", name=module)
        waiting.append(path)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found[path] = None
        examined = _examined(path)
        waiting += [source for name in examined.names for source in _with_packages(name)]
        found.update(dict.fromkeys(file for text in examined.texts for file in _files(path.parent, text)))
    return sorted(found)


def _source(module: str) -> Path | None:
    """The file of a module or package of ours, or None."""
    parts = module.split(".")
    if parts[0] not in PACKAGES or not all(part.isidentifier() for part in parts):
        return None
    place = ROOT.joinpath(*parts)
    for path in (place.with_suffix(".py"), place / "__init__.py"):
        if path.is_file():
            return path
    return None


def _with_packages(module: str) -> Iterator[Path]:
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        path = _source(".".join(parts[:end]))
        if path is not None:
            yield path


class _Module(NamedTuple):
    """What a module's text tells: names of ours that it imports, its strings, and the hash of what it does."""

    names: frozenset[str]
    texts: frozenset[str]
    code: str


def _examined(path: Path) -> _Module:
    status = path.stat()
    return _examine(path, status.st_mtime_ns, status.st_size, ROOT)


@cache
def _examine(path: Path, changed: int, size: int, root: Path) -> _Module:
    """Args: changed, size: of the file, so that one that changes is examined again."""
    tree = ast.parse(path.read_text("utf-8"), str(path))
    names: set[str] = set()
    texts: set[str] = set()
    package = path.relative_to(root).parent.parts if path.is_relative_to(root) else ()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    names |= texts  # `python -m` of a module of ours
    ours = frozenset(name for name in names if name.partition(".")[0] in PACKAGES)
    return _Module(ours, frozenset(texts), _code_hash(tree))


def _files(folder: Path, name: str) -> set[Path]:
    """A file beside a module, or all files in a folder beside it, unless that is a package."""
    if not name or name.startswith(("/", ".")) or len(name) > 80 or "\0" in name:
        return set()
    named = folder / name
    if named.is_file() and named.suffix not in (".py", *DOCUMENTS):
        return {named}
    if named.is_dir() and not (named / "__init__.py").exists():
        return {path for path in named.rglob("*") if path.is_file() and path.suffix not in DOCUMENTS}
    return set()


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:` and docstrings."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            docstring = _docstring(node)
            waiting += [child for child in ast.iter_child_nodes(node) if child is not docstring]


def _docstring(node: ast.AST) -> ast.AST | None:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and node.body:
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            return first
    return None


def _code_hash(tree: ast.Module) -> str:
    """SHA-256 of what a module does: its syntax tree without docstrings, line numbers and comments."""
    for node in ast.walk(tree):
        docstring = _docstring(node)
        if docstring is not None:
            node.body.remove(docstring)  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()
