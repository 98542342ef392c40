"""What is installed: every module of the four packages, and the files they read."""

import ast
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("qmodel", "hls", "board", "flow")
LEFT_OUT = ROOT / "board" / "simulation" / "rtl"  # see pyproject.toml


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_of_modules_is_a_package(package):
    """A folder without `__init__.py` is not in the wheel; one that git ignores is in no clone."""
    folders = {path.parent for path in (ROOT / package).rglob("*.py")} - {LEFT_OUT}
    missing = [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert missing == []
    files = [str(folder / "__init__.py") for folder in folders]
    done = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""


TWICE = {
    "TimeSum",  # one operation as a Keras layer, whose name saved models hold, and on integers
    "Table",  # of a core, and of the C++
}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_class_name_means_one_thing(package):
    modules = [ast.parse(path.read_text("utf-8")) for path in (ROOT / package).rglob("*.py")]
    names = Counter(node.name for tree in modules for node in tree.body if isinstance(node, ast.ClassDef))
    assert {name for name, number in names.items() if number > 1 and name[0] != "_"} <= TWICE


def test_pages_name_no_developers_folder():
    pages = [ROOT / "README.md", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    assert [str(page) for page in pages if "../shared" in page.read_text("utf-8")] == []
