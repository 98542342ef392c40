"""What decides a result: everything that is reached, and nothing that is not run."""

import pytest

from qmodel import program

SOURCES = {
    "qmodel/__init__.py": "",
    "qmodel/top.py": """
from typing import TYPE_CHECKING
from qmodel.deep import below
if TYPE_CHECKING:
    from qmodel import types_alone
def late():
    from hls import lazily
    return "table.csv", "kernels", "hls.started", "no such thing", "/etc/passwd", "../table.csv"
""",
    "qmodel/deep/__init__.py": "",
    "qmodel/deep/below.py": "from . import beside",
    "qmodel/deep/beside.py": "from ..leaf import value as another\nimport numpy",
    "qmodel/leaf.py": '''"""What it is for."""
# why
value = 1
def double(x):
    """Twice x."""
    return 2 * x
''',
    "qmodel/types_alone.py": "",
    "qmodel/stranger.py": "",
    "qmodel/table.csv": "1,2",
    "qmodel/kernels/one.h": "int one;",
    "qmodel/kernels/README.md": "of kernels",
    "hls/__init__.py": "",
    "hls/lazily.py": "import qmodel.top",
    "hls/started.py": "",
}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small source tree in the place of ours."""
    for name, text in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(program, "ROOT", tmp_path)
    return tmp_path


def test_reaches_what_runs(tree):
    reached = {path.relative_to(tree).as_posix() for path in program.closure("qmodel.top")}
    assert reached == set(SOURCES) - {"qmodel/types_alone.py", "qmodel/stranger.py", "qmodel/kernels/README.md"}
    assert {path.name for path in program.closure("qmodel.leaf")} == {"leaf.py"}
    with pytest.raises(ModuleNotFoundError, match=r"qmodel\.nothing is no module of"):
        program.closure("qmodel.nothing")


@pytest.mark.parametrize(
    ("name", "old", "new", "counts"),
    [
        ("qmodel/leaf.py", "value = 1", "value = 2", True),
        ("qmodel/leaf.py", "2 * x", "2 + x", True),
        ("qmodel/leaf.py", "Twice x.", "Two times x.", False),
        ("qmodel/leaf.py", "What it is for.", "Its purpose.", False),
        ("qmodel/leaf.py", '    """Twice x."""\n', "", False),
        ("qmodel/leaf.py", "# why", "# a longer reason\n", False),
        ("qmodel/table.csv", "1,2", "1,3", True),
        ("qmodel/kernels/one.h", "one", "two", True),
        ("hls/started.py", "", "started = True", True),
        ("qmodel/types_alone.py", "", "x = 1", False),
        ("qmodel/stranger.py", "", "x = 1", False),
    ],
)
def test_what_counts(tree, name, old, new, counts):
    before = program.program("qmodel.top")
    text = (tree / name).read_text()
    (tree / name).write_text(text.replace(old, new) if old else new)
    assert (program.program("qmodel.top") != before) == counts


def test_somebody_elses_step(tree):
    step = tree / "step.py"
    step.write_text("from qmodel import leaf")
    assert [path.name for path in program.closure(str(step))] == ["__init__.py", "leaf.py", "step.py"]
    before = program.program(str(step))
    (tree / "qmodel" / "leaf.py").write_text("value = 3")
    assert program.program(str(step)) != before
