"""The notebooks of the repository: opened in JupyterLab, executed, written as HTML, kept without outputs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flow.build.products import REPOSITORY
from qmodel.errors import InputError, UserError
from qmodel.files import write_text

if TYPE_CHECKING:
    from nbformat import NotebookNode

FOLDER = REPOSITORY / "notebooks"
SWITCH = "parameters"  # tag of the one cell that sets FULL
# What the template leaves of the scripts it would load from the network: our pages have no formulas and no diagrams.
EMPTY_SCRIPTS = re.compile(
    r'<script src="">\s*</script>|<script type="module">\s*document\.addEventListener.*?</script>', re.DOTALL
)
CELL_SECONDS = 24 * 3600  # full mode trains


class NotebookError(UserError, RuntimeError):
    """A cell of a notebook failed; the message names it and what it said."""


def find(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Path]:
    """The notebooks, in their order; those named, if any. Raises: InputError: no such notebook, or none at all."""
    paths = sorted(folder.glob("[0-9]*.ipynb"))
    if not paths:
        raise InputError(f"{folder} holds no notebooks: they are part of the repository, not of the installed package")
    known = {path.stem: path for path in paths}
    if unknown := [name for name in names if Path(name).stem not in known]:
        raise InputError(f"notebook must be one of {', '.join(known)}, received {', '.join(unknown)}")
    return [known[Path(name).stem] for name in names] or paths


def open_lab(path: Path, browser: bool = True) -> int:
    """Start JupyterLab on a notebook or folder; returns its exit code when it is ended."""
    command = [sys.executable, "-m", "jupyterlab", str(path)]
    command += [] if browser else ["--no-browser"]
    command += ["--allow-root"] if os.geteuid() == 0 else []  # in containers; it listens to this machine alone
    return subprocess.call(command, cwd=FOLDER, env=_environment())


def execute(path: Path, full: bool = False, folder: Path | None = None) -> NotebookNode:
    """Run all cells in a kernel of their own, with progress; the file itself stays as it is.

    Args: full: sets the switch; folder: where the notebook runs (its products go to ../build of it), default its own.
    Raises: NotebookError: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError
    from tqdm import tqdm

    notebook = nbformat.read(path, as_version=4)
    _set_switch(notebook, full, path)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    with tqdm(total=len(cells), desc=path.stem, unit="cell") as bar:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            startup_timeout=600,  # a shared machine may be busy
            kernel_name="python3",
            extra_arguments=["--Application.log_level=40"],  # errors alone
            resources={"metadata": {"path": str(folder or path.parent)}},
            on_cell_executed=lambda **_: bar.update(),
        )
        client.coalesce_streams = True
        try:
            client.execute(env=_environment())
        except CellExecutionError as error:
            number = sum(bool(cell.execution_count) for cell in cells)
            raise NotebookError(f"{path.stem}, code cell {number}: {error.ename}: {error.evalue}") from error
        except DeadKernelError as error:
            raise NotebookError(f"{path.stem}: its kernel died (out of memory?)") from error
    return notebook


def to_html(notebook: NotebookNode, path: Path, title: str) -> Path:
    """Write an executed notebook as one page that loads nothing from elsewhere."""
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(require_js_url="", jquery_url="", mathjax_url="", mermaid_js_url="")
    page, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": title}})
    write_text(path, EMPTY_SCRIPTS.sub("", page))
    return path


def export(output: Path, names: Sequence[str] = (), full: bool = False) -> list[Path]:
    """Execute the notebooks one after the other and write their HTML copies to a folder.

    The executed notebooks are left beside them: the documentation shows their outputs.
    """
    import nbformat

    pages = []
    for path in find(names):
        notebook = execute(path, full)
        pages.append(to_html(notebook, output / f"{path.stem}.html", path.stem))
        write_text(output / path.name, nbformat.writes(notebook) + "\n")
    return pages


def with_outputs(paths: Iterable[Path]) -> list[Path]:
    """Those that hold outputs or execution counts, which do not belong into the repository."""
    import nbformat

    return [path for path in paths if any(map(_ran, nbformat.read(path, as_version=4).cells))]


def clean(paths: Iterable[Path]) -> list[Path]:
    """Remove outputs and execution counts; returns the files that changed."""
    import nbformat

    changed = with_outputs(paths)
    for path in changed:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        write_text(path, nbformat.writes(notebook) + "\n")
    return changed


def _ran(cell: NotebookNode) -> bool:
    return cell.cell_type == "code" and bool(cell.outputs or cell.execution_count)


def _set_switch(notebook: NotebookNode, full: bool, path: Path) -> None:
    switches = [cell for cell in notebook.cells if SWITCH in cell.metadata.get("tags", ())]
    if len(switches) != 1:
        raise InputError(f"{path.name} must have one cell with the tag {SWITCH}, it has {len(switches)}")
    switches[0].source = f"FULL = {full}"


def _environment() -> dict[str, str]:
    """This checkout's packages first, whatever else is installed."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
