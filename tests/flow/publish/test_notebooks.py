"""The notebooks: the lines that matter, an exercise, no outputs stored, executed in quick mode, same numbers as the
commands."""

import ast
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from flow.cli.main import main, parser
from flow.cli.steps import _settings
from flow.lessons.walk import FULL, QUICK, Check, checked
from flow.publish import notebooks
from qmodel import recipe
from qmodel.errors import InputError
from tests.flow import short

nbformat = pytest.importorskip("nbformat")
PATHS = notebooks.find()
NAMES = [path.stem for path in PATHS]
LONGEST_CELL = 20  # lines
DEFINITIONS = (ast.FunctionDef, ast.ClassDef, ast.Lambda, ast.Try, ast.While)  # a cell is read from top to bottom


def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def sources(path: Path) -> list[str]:
    return [cell.source for cell in cells_of(path) if cell.cell_type == "code"]


@pytest.mark.parametrize("path", PATHS, ids=NAMES)
class TestStored:
    def test_valid_without_outputs_and_with_stable_ids(self, path):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert notebooks.with_outputs([path]) == []
        identifiers = [cell.id for cell in notebook.cells]
        assert len(set(identifiers)) == len(identifiers)
        assert not [name for name in identifiers if re.fullmatch(r"[0-9a-f]{8}", name)]  # a name, not a random number

    def test_says_goal_time_in_and_out_at_the_top(self, path):
        first = cells_of(path)[0]
        assert first.cell_type == "markdown"
        assert re.findall(r"^\| \*\*(\w+)\*\* \| ", first.source, re.MULTILINE) == ["Goal", "Time", "In", "Out"]

    def test_one_switch_the_same_in_all(self, path):
        switches = [cell.source for cell in cells_of(path) if notebooks.SWITCH in cell.metadata.get("tags", ())]
        assert switches == [source for source in sources(PATHS[0]) if source.startswith("FULL = False")]

    def test_cells_are_short_and_plain(self, path):
        for source in sources(path):
            assert len(source.splitlines()) <= LONGEST_CELL, source
            assert not [node for node in ast.walk(ast.parse(source)) if isinstance(node, DEFINITIONS)], source

    def test_shows_the_lines_that_matter(self, path):
        """At least one cell does the work itself: several statements, more than calls into flow.lessons."""
        own = [s for s in sources(path) if len(s.splitlines()) >= 6 and "walk = Walk" not in s]
        assert own, path.name

    def test_asks_one_question(self, path):
        identifiers = [cell.id for cell in cells_of(path)]
        assert identifiers.index("exercise") == identifiers.index("exercise-text") + 1
        source = next(cell.source for cell in cells_of(path) if cell.id == "exercise")
        assert re.fullmatch(r"answer = None  # your number\n\w+\.exercise\(\)\.check\(answer\)", source)

    def test_ends_in_a_checked_table(self, path):
        assert re.search(r"\bfinal_table\(", sources(path)[-1])

    def test_links_lead_somewhere(self, path):
        for cell in cells_of(path):
            for target in re.findall(r"\]\((\w+\.ipynb)\)", cell.source if cell.cell_type == "markdown" else ""):
                assert (path.parent / target).is_file()


def test_full_mode_is_the_command_line_without_options():
    asked = _settings(parser().parse_args(["flow"]), fresh=True)
    assert replace(FULL, build=asked.build) == asked
    assert (notebooks.FOLDER / FULL.build).resolve() == notebooks.REPOSITORY / asked.build
    assert QUICK.quick
    assert QUICK.build != FULL.build


def test_a_figure_that_is_wrong_stops_the_notebook():
    right = Check("bytes", 313, "at most 330", True)
    table = checked([right])
    assert repr(table) == "bytes: 313 (at most 330)"
    assert table.figures == {"bytes": 313}
    with pytest.raises(AssertionError, match="windows is 3, must be: 4"):
        checked([right, Check("windows", 3, "4", False)])


def written(folder: Path, *code: str) -> Path:
    """A notebook with a switch and cells of code."""
    from nbformat.v4 import new_code_cell, new_notebook

    switch = new_code_cell("FULL = False", id="switch", metadata={"tags": [notebooks.SWITCH]})
    cells = [switch, *(new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(code))]
    path = folder / "01_test.ipynb"
    path.write_text(nbformat.writes(new_notebook(cells=cells)), "utf-8")
    return path


class TestExecution:
    def test_switch_outputs_and_page(self, tmp_path):
        path = written(tmp_path, "import flow\nprint('mode', FULL, flow.__file__)")
        before = path.read_bytes()
        ran = notebooks.execute(path, full=True)
        assert path.read_bytes() == before
        assert f"mode True {notebooks.REPOSITORY}" in ran.cells[1].outputs[0].text
        page = notebooks.to_html(ran, tmp_path / "html" / "page.html", "test").read_text("utf-8")
        assert "mode True" in page
        assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//|import\(|@import|<script[^>]*src""", page)

    def test_a_failing_cell_is_named(self, tmp_path):
        path = written(tmp_path, "1", "1 / 0")
        with pytest.raises(notebooks.NotebookError, match=r"01_test, code cell 3: ZeroDivisionError: division by zero"):
            notebooks.execute(path)

    def test_clean_removes_outputs(self, tmp_path):
        path = written(tmp_path, "'an output'")
        clean = nbformat.read(path, as_version=4)
        nbformat.write(notebooks.execute(path), path)
        assert notebooks.with_outputs([path]) == [path]
        assert notebooks.clean([path]) == [path]
        assert notebooks.with_outputs([path]) == []
        assert [cell.source for cell in nbformat.read(path, as_version=4).cells] == [c.source for c in clean.cells]

    def test_no_switch(self, tmp_path):
        path = written(tmp_path)
        notebook = nbformat.read(path, as_version=4)
        notebook.cells[0].metadata.clear()
        nbformat.write(notebook, path)
        with pytest.raises(InputError, match="must have one cell with the tag parameters, it has 0"):
            notebooks.execute(path)


class TestCommand:
    def test_check(self, capsys):
        assert main(["notebook", "--check", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"notebooks": []}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [(["nothing"], "must be one of 01_ecg"), (["--full"], "--full goes with --html")],
    )
    def test_refuses(self, arguments, message, capsys):
        assert main(["notebook", *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_opens_jupyterlab_there(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            notebooks.subprocess, "call", lambda command, **options: asked.append((command, options)) or 0
        )
        assert main(["notebook", "02_train", "--no-browser"]) == 0
        ((command, options),) = asked
        assert command[1:4] == ["-m", "jupyterlab", str(notebooks.FOLDER / "02_train.ipynb")]
        assert "--no-browser" in command
        assert options["cwd"] == notebooks.FOLDER

    def test_installed_without_the_repository(self, tmp_path):
        with pytest.raises(InputError, match="part of the repository"):
            notebooks.find(folder=tmp_path)


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> Path:
    """Where the notebooks run; their products go to `build` beside it, so that each finds those of the ones before."""
    folder = tmp_path_factory.mktemp("walk") / "notebooks"
    folder.mkdir()
    return folder


def last_table(notebook) -> dict[str, str]:
    """Figures of a notebook's last table, as text."""
    lines = notebook.cells and [c for c in notebook.cells if c.cell_type == "code"][-1].outputs[-1].data["text/plain"]
    return dict(re.fullmatch(r"(.*?): (.*) \(.*?\)", line).groups() for line in lines.splitlines())


def shortened(path: Path, folder: Path) -> Path:
    """A copy that quantises for seconds: the first notebook that trains, 02, trains as its reader does."""
    notebook = nbformat.read(path, as_version=4)
    text = Path(short.__file__).read_text("utf-8") + "\nrecipe.quick = shortly_quantised\n"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(text, id="short"))
    nbformat.write(notebook, folder / path.name)
    return folder / path.name


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS, ids=NAMES)
def test_runs_in_quick_mode(path, walk, monkeypatch):
    monkeypatch.setattr(recipe, "quick", short.shortly_quantised)
    ran = notebooks.execute(shortened(path, walk), folder=walk)
    assert last_table(ran)
    shown = [output for cell in ran.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [o.text for o in shown if o.output_type == "stream" and o.name == "stderr"] == []  # progress is no error
    if path.stem == "04_convert":
        _same_as_commands(last_table(ran), walk.parent / "build" / "walk")


def _same_as_commands(figures: dict[str, str], build: Path) -> None:
    """Asked for the same build, the command line finds every product in place and says the same figures."""
    from flow.steps.chain import Flow

    flow = Flow(replace(QUICK, build=str(build)))
    report = flow.report()
    assert report.cached
    assert all(product.cached for product in flow._products.values())
    summary = json.loads((build / "report.json").read_text())
    for key in ("bytes", "windows_compared", "integers_compared", "mismatches"):
        assert int(figures[key].replace(",", "")) == summary[key]
    for key in ("accuracy_float", "accuracy_frozen"):
        assert float(figures[key]) == pytest.approx(summary[key], abs=5e-5)
    assert figures["identity"] == summary["identity"]
