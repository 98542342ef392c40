"""hls4ml's own tests of one-dimensional layers, without and with our extension: do they end alike, in the same C++?

hls4ml's tests are not part of its package: FOLDER is `test/pytest` of a clone of its release. They are copied, run
twice in processes of their own (csim with g++, backend Vitis, every test seeded alike), and compared: how each test
ended, and every file of every HLS project that it wrote, byte for byte. What is the same is compiled once for both.

    git clone --branch v1.3.0 https://github.com/fastmachinelearning/hls4ml
    python -m benchmarks.hls4ml_own_tests hls4ml/test/pytest [--cases 1]     writes results/hls4ml_own_tests.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from qmodel.errors import UserError
from qmodel.files import write_json

ROOT = Path(__file__).parents[1]
FILES = (
    "test_keras_v3_api.py", "test_keras_api.py", "test_qkeras.py", "test_pooling.py", "test_globalpooling.py",
    "test_batchnorm.py", "test_causalpadding.py", "test_zeropadding.py", "test_merge.py", "test_pointwiseconv.py",
    "test_depthconv1d.py", "test_sepconv1d.py", "test_conv1d.py", "test_conv1d_narrow.py", "test_extensions.py",
    "test_auto_precision.py",
)  # fmt: skip
OTHER_BACKENDS = ("Vivado", "Quartus", "oneAPI", "Catapult", "Libero")
OTHER_SHAPES = ("2d", "2D", "3d", "conv2")
# They want data from openml.org, or example-models, which an archive of the release does not hold.
WITHOUT_DATA = ("test_qkeras.py::test_accuracy",)
SOURCES = (".h", ".cpp", ".txt", ".dat")
# Stands before g++ on PATH: what both runs compile is compiled once, kept by its preprocessed text and its options.
COMPILER = """#!/bin/bash
set -o pipefail
for word; do case $word in *.o) object=$word;; esac; done
case " $* " in *" -c "*) ;; *) exec {compiler} "$@";; esac
{compiler} "$@" -E || exit
kept={folder}/$( (echo "$*"; cat "$object") | sha256sum | cut -c-64)
[ -f "$kept" ] || {{ {compiler} "$@" && cp "$object" "$kept"; }} || exit
cp "$kept" "$object"
"""


class Watch:
    """Pytest plugin: chooses tests, seeds each, and remembers how it ended."""

    def __init__(self, cases: int) -> None:
        self.cases, self.outcomes = cases, {}

    def pytest_collection_modifyitems(self, items: list) -> None:
        """Leave the one-dimensional tests of backend Vitis, `cases` of each function, from its last to its first."""
        chosen: dict[str, list] = {}
        for item in items:
            name = item.nodeid.rpartition("/")[2]
            if any(word in name for word in (*OTHER_BACKENDS, *OTHER_SHAPES, *WITHOUT_DATA)):
                continue
            chosen.setdefault(name.partition("[")[0], []).append(item)
        items[:] = [
            tests[place]
            for tests in chosen.values()
            for place in sorted({int(place) for place in np.linspace(len(tests) - 1, 0, self.cases)})
        ]

    def pytest_runtest_setup(self, item) -> None:
        """The same weights and inputs in both runs."""
        import keras

        keras.utils.set_random_seed(0)

    def pytest_runtest_logreport(self, report) -> None:
        """How a test ended: passed, skipped, or failed and why."""
        if report.when == "call" or report.outcome != "passed":
            why = report.longreprtext.strip().splitlines()[-1] if report.failed else ""
            self.outcomes[report.nodeid.rpartition("/")[2]] = f"{report.outcome} {why}".strip()


def run_here(folder: Path, cases: int, ours: bool, out: Path) -> None:
    """Run the tests in this process and write how each ended."""
    import pytest

    if ours:
        from hls.cpp.extension import register

        register()
    watch = Watch(cases)
    os.chdir(folder)
    pytest.main(["-q", "-p", "no:cacheprovider", "-o", "addopts=", "--rootdir=.",
                 *[name for name in FILES if Path(name).is_file()]], plugins=[watch])  # fmt: skip
    write_json(out, watch.outcomes)


def run(tests: Path, room: Path, cases: int, ours: bool) -> tuple[dict[str, str], dict[str, str], float]:
    """Outcome by test, SHA-256 by file of the projects, seconds: of a run in a process of its own."""
    folder = room / "test" / "pytest"  # the same for both runs: paths are compiled into the projects
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in tests.glob("*.py"):
        shutil.copy(path, folder)
    out = room / "outcomes.json"
    command = [sys.executable, "-m", __spec__.name, str(folder), "--cases", str(cases), "--run-here", str(out)]
    path = {**os.environ, "PATH": f"{room / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    start = time.monotonic()
    subprocess.run([*command, *(["--ours"] if ours else [])], check=True, cwd=ROOT, stdout=sys.stderr, env=path)
    seconds = time.monotonic() - start
    hashes = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("*/firmware/**/*"))
        if path.suffix in SOURCES and not {"ap_types", "nnet_utils"} & set(path.parts)
    }
    return json.loads(out.read_text("utf-8")), hashes, seconds


def compare(tests: Path, cases: int) -> dict:
    """Both runs and what differs between them.

    Raises: UserError: a folder without hls4ml's tests.
    """
    if not any((tests / name).is_file() for name in FILES):
        raise UserError(f"{tests} has none of hls4ml's tests, such as {FILES[0]}: give test/pytest of its clone")
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        (room / "bin").mkdir()
        (room / "kept").mkdir()
        shim = COMPILER.format(
            compiler=shlex.quote(shutil.which("g++") or "g++"), folder=shlex.quote(f"{room / 'kept'}")
        )
        (room / "bin" / "g++").write_text(shim, "utf-8")
        (room / "bin" / "g++").chmod(0o755)
        if (models := tests.resolve().parents[1] / "example-models").is_dir():
            (room / "example-models").symlink_to(models)
        (without, plain, first), (with_us, extended, second) = (run(tests, room, cases, ours) for ours in (False, True))
    return {
        "tests": len(without),
        "without": dict(Counter(outcome.split()[0] for outcome in without.values())),
        "with": dict(Counter(outcome.split()[0] for outcome in with_us.values())),
        "differing": [
            {"test": test, "without": without.get(test), "with": with_us.get(test)}
            for test in sorted(without.keys() | with_us.keys())
            if without.get(test) != with_us.get(test)
        ],
        "projects": len({name.partition("/")[0] for name in plain}),
        "files": len(plain),
        "differing_files": sorted(
            name for name in plain.keys() | extended.keys() if plain.get(name) != extended.get(name)
        ),
        "not_passed": {test: outcome for test, outcome in sorted(without.items()) if outcome != "passed"},
        "chosen": sorted(without),
        "seconds": [round(first), round(second)],
    }


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, write. Returns: the exit code, 1 where anything differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.hls4ml_own_tests", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("folder", type=Path, help="test/pytest of hls4ml's clone")
    parser.add_argument("--cases", type=int, default=1, help="of each test function at most (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "hls4ml_own_tests.json")
    parser.add_argument("--run-here", type=Path, metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.run_here:
        run_here(given.folder, given.cases, given.ours, given.run_here)
        return 0
    origin = provenance()
    try:
        found = compare(given.folder, given.cases)
    except UserError as error:
        print(f"benchmarks.hls4ml_own_tests: {error}", file=sys.stderr)
        return 2
    print(json.dumps({name: value for name, value in found.items() if name not in ("chosen", "not_passed")}, indent=1))
    write_json(given.out, found | {"cases": given.cases, "provenance": origin})
    return int(bool(found["differing"] or found["differing_files"]))


if __name__ == "__main__":
    sys.exit(main())
