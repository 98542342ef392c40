"""Packages of others under our names, and hgq2, which overwrites the module qkeras."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qmodel import neighbours
from qmodel.errors import InputError

ROOT = Path(neighbours.__file__).resolve().parents[1]


def importing_flow(first: Path) -> str:
    """What `import flow` says with a folder before ours on the path."""
    environment = os.environ | {"PYTHONPATH": f"{first}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", "import flow"], env=environment, cwd=first, capture_output=True, text=True, check=False
    )
    return done.stderr


def test_another_board(tmp_path):
    assert importing_flow(tmp_path) == ""
    (tmp_path / "board.py").write_text("# as Adafruit Blinka's\n")
    said = importing_flow(tmp_path)
    assert f"`import board` gives {tmp_path / 'board.py'}, not ecg-alq's package in {ROOT}" in said
    assert "pip uninstall Adafruit-Blinka" in said


def test_another_qmodel(tmp_path):
    (tmp_path / "qmodel").mkdir()
    (tmp_path / "qmodel" / "__init__.py").write_text("")
    assert f"`import qmodel` gives {tmp_path / 'qmodel' / '__init__.py'}, not ecg-alq's package" in importing_flow(
        tmp_path
    )


def test_a_module_that_ours_hides(tmp_path, monkeypatch):
    packages = tmp_path / "site"
    for name in neighbours.PACKAGES:
        (packages / name).mkdir(parents=True)
        (packages / name / "__init__.py").write_text("")
    (packages / "qmodel" / "neighbours.py").write_text(Path(neighbours.__file__).read_text())
    (packages / "qmodel" / "errors.py").write_text("class InputError(ValueError): ...\n")
    (packages / "board.py").write_text("")
    code = "from qmodel import neighbours; neighbours.check_packages()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{packages / 'board.py'} is another package's and cannot be imported beside ecg-alq's board" in done.stderr


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A place where qkeras-v3 is installed, first on the path."""

    def install(name, version, files):
        folder = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        rows = []
        for file, text in files.items():
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            rows.append(f"{file},sha256={digest},{len(text)}\n")
        (folder / "RECORD").write_text("".join(rows))

    monkeypatch.syspath_prepend(str(tmp_path))
    install("qkeras-v3", "1.2.1", {"qkeras/__init__.py": "v3\n"})
    return install


def test_qkeras_alone(site):
    neighbours.check_qkeras()


def test_hgq2_installed_before(site, tmp_path):
    site("hgq2", "0.1.2", {})
    with pytest.warns(UserWarning, match=r"hgq2 0\.1\.2 is installed beside qkeras-v3.*pip uninstall hgq2, then pip"):
        neighbours.check_qkeras()


def test_hgq2_installed_after(site):
    site("hgq2", "0.1.2", {"qkeras/__init__.py": "another\n"})
    with pytest.raises(InputError, match=r"hgq2 0\.1\.2 has overwritten the module qkeras of qkeras-v3.*force-reinst"):
        neighbours.check_qkeras()


def test_hgq2_gone_and_qkeras_with_it(site, tmp_path):
    (tmp_path / "qkeras" / "__init__.py").unlink()
    with pytest.raises(InputError, match="another package has overwritten or removed the module qkeras"):
        neighbours.check_qkeras()
