"""Fixtures for all tests: the real records where they are found, synthetic ECG where not.

What needs wfdb is imported where it is used: a board, on which `--board` runs, has none.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.startup import sitecustomize  # noqa: F401 (before TensorFlow)

if TYPE_CHECKING:
    from qmodel.data import fragments

# Machines that run these tests are shared: how long one example takes says nothing about the code.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
_ROOT = Path(__file__).resolve().parents[1]
# One place for what is compiled, by its content: shared by processes, and found again by the next run.
os.environ["ECG_ALQ_CACHE"] = str(_ROOT / "build" / "tests")
# What trains in processes of its own (notebooks, Dask workers) trains for seconds, and is not compiled either.
_STARTUP = [str(_ROOT / "tests" / "startup"), *filter(None, [os.environ.get("PYTHONPATH")])]
os.environ["PYTHONPATH"] = os.pathsep.join(_STARTUP)
# Where this project's own checkouts keep the records; everybody else has them in the cache folder or names them so.
_BESIDE = _ROOT.parent / "shared" / "data"
for _variable, _folder in (("MITDB_DIR", "mitdb"), ("ECG_ALQ_DATABASES", "databases")):
    if (_BESIDE / _folder).is_dir():
        os.environ.setdefault(_variable, str(_BESIDE / _folder))


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--board FOLDER`: run the checks of `tests/board/test_device.py` on this board instead of in simulation."""
    parser.addoption("--board", metavar="FOLDER", help="deploy folder on this PYNQ board (tests/board/test_device.py)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for the real records; files of slow tests first, so that all processes end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        if "mitdb_folder" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)


def _find_records() -> Path | None:
    from qmodel.data import mitdb

    try:
        return mitdb.find()
    except mitdb.DataError:
        if os.environ.get("MITDB_DIR"):  # set but wrong: say so instead of skipping
            raise
        return None


@pytest.fixture(scope="session")
def mitdb_folder() -> Path:
    """The folder of the real records; the test is skipped where they are not found."""
    folder = _find_records()
    if folder is None:
        pytest.skip("the MIT-BIH records were not found")
    return folder


@pytest.fixture(scope="session")
def ecg_windows() -> fragments.Windows:
    """Windows of all 17 classes: the 1000 real fragments where the records are found, synthetic ECG where not."""
    from qmodel.data import fragments, synthetic

    folder = _find_records()
    return synthetic.synthetic_windows(per_class=20) if folder is None else fragments.load_windows(folder)


@pytest.fixture(scope="session")
def synthetic_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with one whole synthetic record, named 100; copy it before you break it."""
    from qmodel.data import synthetic

    folder = tmp_path_factory.mktemp("synthetic")
    synthetic.write_record(folder, "100", [("NSR", 5 * 3600), ("Bigeminy", 3 * 3600), ("AFIB", 650_000 - 8 * 3600)])
    return folder
