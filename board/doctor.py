"""What may be wrong with a board and its deploy folder, one finding each, with its remedy.

sudo python3 -m board.doctor deploy
"""

from __future__ import annotations

import argparse
import importlib.machinery
import importlib.metadata
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from board.codec import Codec
from board.driver import ArrhythmiaOverlay
from board.handoff import Handoff, HandoffError
from board.manifest import MANIFEST, Manifest, ManifestError
from qmodel.frozen import FrozenNetwork

TIMEOUT_S = 5.0  # long enough for a board that is busy with other things


class CheckResult(NamedTuple):
    """One question: what was looked at, whether it is as it must be, what was found, and what to do if not."""

    check: str
    good: bool
    found: str
    remedy: str = ""


def examine(folder: Path, timeout_s: float = TIMEOUT_S) -> Iterator[CheckResult]:
    """Look at everything, the board last. Args: folder: a deploy folder; timeout_s: for the test window's answer."""
    yield check_module()
    try:
        manifest = Manifest.load(folder)
    except ManifestError as error:
        yield CheckResult("manifest", False, str(error), "name the folder that `ecg-alq deploy` made, or deploy again")
        return
    yield CheckResult("manifest", True, f"network {manifest.identity[:12]}..., engine {manifest.engine}")
    yield check_files(folder, manifest)
    yield check_pair(folder, manifest)
    yield check_pynq(manifest)
    yield check_design(folder, manifest)
    yield check_window(folder, manifest, timeout_s)


def check_module() -> CheckResult:
    """Is the module `board` this package? Adafruit Blinka has one of that name."""
    ours = Path(__file__).resolve().parent
    found = []
    for entry in dict.fromkeys(sys.path):
        spec = importlib.machinery.PathFinder.find_spec("board", [entry])
        if spec is not None and spec.origin:
            found.append(Path(spec.origin).resolve())
    strays = [str(path) for path in found if path.parent != ours]
    remedy = f"pip uninstall Adafruit-Blinka, or put {ours.parent} first on PYTHONPATH"
    if found and found[0].parent != ours:
        return CheckResult("module", False, f"`import board` gives {found[0]}, not {ours}", remedy)
    if strays:
        return CheckResult("module", True, f"{ours}; behind it lies another module board: {strays[0]}", remedy)
    return CheckResult("module", True, str(ours))


def check_files(folder: Path, manifest: Manifest) -> CheckResult:
    """Are all files there, with the hashes of the manifest?"""
    damaged = manifest.damaged(folder)
    if damaged:
        return CheckResult("hashes", False, f"missing or changed: {', '.join(damaged)}", "deploy the folder again")
    return CheckResult("hashes", True, f"{len(manifest.files)} files as in {MANIFEST}")


def check_pair(folder: Path, manifest: Manifest) -> CheckResult:
    """Does the handoff lie beside the bitstream, under the same stem, as PYNQ wants it?"""
    bit, hwh = folder / manifest.bit, folder / manifest.hwh
    missing = [path.name for path in (bit, hwh) if not path.is_file()]
    remedy = "copy both from the folder of `ecg-alq bitstream`, under one stem, and package again"
    if missing or bit.stem != hwh.stem:
        what = f"missing: {', '.join(missing)}" if missing else f"{bit.name} and {hwh.name} have two stems"
        return CheckResult("bitstream", False, what, remedy)
    return CheckResult("bitstream", True, f"{bit.name} with {hwh.name} beside it")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)[:3]))


def check_pynq(manifest: Manifest) -> CheckResult:
    """Is PYNQ installed, and new enough?"""
    remedy = f"run this on a board with the PYNQ image {manifest.pynq} or later, with the image's own Python"
    try:
        version = importlib.metadata.version("pynq")
    except importlib.metadata.PackageNotFoundError:
        return CheckResult("pynq", False, f"not installed in {sys.executable}", remedy)
    good = _numbers(version) >= _numbers(manifest.pynq)
    return CheckResult("pynq", good, f"version {version}, needed {manifest.pynq}", "" if good else remedy)


def check_design(folder: Path, manifest: Manifest) -> CheckResult:
    """Does the design hold the core and a DMA that is wide enough for it?"""
    remedy = "build the bitstream with `ecg-alq bitstream` from this network and package again"
    try:
        codec = Codec(FrozenNetwork.load(folder / manifest.network), manifest.input_bits, manifest.output_bits)
        problems = Handoff.read(folder / manifest.hwh).problems(manifest, codec.samples, codec.values)
    except (HandoffError, OSError, ValueError) as error:
        return CheckResult("design", False, str(error), remedy)
    if problems:
        return CheckResult("design", False, "; ".join(problems), remedy)
    return CheckResult("design", True, f"{manifest.core} at 0x{manifest.address:08x}, {manifest.dma} wide enough")


def check_window(folder: Path, manifest: Manifest, timeout_s: float) -> CheckResult:
    """Does the board give the test window's expected logits?"""
    remedy = "run as root (sudo); if it persists, power-cycle the board and deploy again"
    try:
        test = json.loads((folder / manifest.window).read_text("utf-8"))
        with ArrhythmiaOverlay(folder, timeout_s) as overlay:
            result = overlay.classify(np.array(test["samples"]))
    except Exception as error:  # whatever PYNQ raises is a finding, not an end
        return CheckResult("window", False, " ".join(f"{type(error).__name__}: {error}".split()), remedy)
    if result.logits.tolist() != test["logits"]:
        wrong = int(np.count_nonzero(result.logits != np.array(test["logits"])))
        return CheckResult(
            "window", False, f"{wrong} of {len(result.logits)} logits differ from the expected ones", remedy
        )
    times = ", ".join(f"{name} {1e6 * seconds:.1f} us" for name, seconds in result.times._asdict().items())
    return CheckResult("window", True, f"{len(result.logits)} logits as expected, {result.label}; {times}")


def lines(findings: list[CheckResult]) -> list[str]:
    """Findings for a terminal."""
    text = []
    for finding in findings:
        text.append(f"{'ok  ' if finding.good else 'FAIL'} {finding.check:<10} {finding.found}")
        if finding.remedy:
            text.append(f"     {'':<10} -> {finding.remedy}")
    return text


def report(findings: list[CheckResult], say: Callable[[str], object] = print) -> int:
    """Print findings; returns 0 if all are good, else 1."""
    for line in lines(findings):
        say(line)
    return 0 if all(finding.good for finding in findings) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run from a command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m board.doctor", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a deploy folder")
    parser.add_argument("--json", action="store_true", help="findings for programs")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="SECONDS", help="for the test window's answer"
    )
    given = parser.parse_args(arguments)
    findings = list(examine(given.folder, given.timeout))
    if given.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return 0 if all(finding.good for finding in findings) else 1
    return report(findings)


if __name__ == "__main__":
    sys.exit(main())
