"""What is installed: every module of the four packages, and the files they read."""

import subprocess
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


def test_pages_name_no_developers_folder():
    pages = [ROOT / "README.md", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    assert [str(page) for page in pages if "../shared" in page.read_text("utf-8")] == []
