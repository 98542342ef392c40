"""What must not go wrong: mutated manifests and frames, kills of the flow, a full disk, a read-only folder.

Every mutation must be noticed, or leave the meaning as it was; after every fault what was whole must still be, and the
next attempt must give what an undisturbed one gives. Any other outcome is counted, and the exit code is 1.

    python -m benchmarks.robustness            (about five minutes; writes results/robustness.json)
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from board.framing import LOGITS, REFUSED, WINDOW, Frame, Unpacker, pack
from board.manifest import MANIFEST as DEPLOYED
from board.manifest import Manifest, ManifestError
from board.simulation.serial import SerialModel
from flow.build import products
from flow.build.provenance import provenance
from qmodel import models
from qmodel.errors import InputError, UserError
from qmodel.files import folder_sums, read_sealed, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
MANIFESTS, FRAMES, KILLS = 5_000, 10_000, 30  # manifests: of products and of deploy folders each
GOOD = ("noticed", "same meaning", "right")  # every other outcome is a fault
STEP = ("parity", "--synthetic", "--quick", "--json")  # of the flow that is killed


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes with one to three of them flipped, lost, added, or the end cut off."""
    out = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(out)) if out else 0
        kind = draw.choice(("flip", "lose", "add", "cut"))
        if kind == "flip" and out:
            out[place] ^= 1 << draw.randrange(8)
        elif kind == "lose" and out:
            del out[place]
        elif kind == "add":
            out[place:place] = draw.randbytes(1)
        elif kind == "cut" and draw.random() < 0.2:
            del out[place:]
    return bytes(out)


def edited(text: str, draw: random.Random) -> str:
    """JSON with an entry, at any depth, changed, dropped, doubled or made something else."""
    content = json.loads(text)
    places: list[tuple[dict | list, str | int]] = []

    def walk(node: object) -> None:
        if isinstance(node, dict | list):
            for key in node if isinstance(node, dict) else range(len(node)):
                places.append((node, key))
                walk(node[key])

    walk(content)
    node, key = draw.choice(places)
    other = draw.choice((None, [], {}, "", "$x$", -1, 10**30, True, [node[key]], {"a": node[key]}, float("nan")))
    if isinstance(node, dict) and draw.random() < 0.3:
        del node[key]
    elif isinstance(node[key], int | float) and not isinstance(node[key], bool) and draw.random() < 0.7:
        node[key] += draw.choice((1, -1, 0.5))
    else:
        node[key] = other
    return json.dumps(draw.choice((content, content, content, content, [content], None)))


def _mutated(text: str, draw: random.Random) -> bytes:
    return damaged(text.encode(), draw) if draw.random() < 0.5 else edited(text, draw).encode()


def _same(before: str, after: bytes) -> bool:
    try:
        return json.loads(before) == json.loads(after.decode())
    except (ValueError, RecursionError):
        return False


def _small_step(folder: Path) -> dict:
    (folder / "product.txt").write_text("content")
    return {"found": [1, 2.5, "three"], "none": None}


def product_manifests(count: int, draw: random.Random) -> Counter:
    """A product whose manifest was mutated is made again, with the results of the first time."""
    seen: Counter = Counter()
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(io.StringIO()):
        build = Path(name)
        first = products.make(build, "step", {"data": "1"}, {"seed": 0}, _small_step)
        manifest = build / "step" / products.MANIFEST
        text = manifest.read_text("utf-8")
        for _ in range(count):
            changed = _mutated(text, draw)
            manifest.write_bytes(changed)
            try:
                again = products.make(build, "step", {"data": "1"}, {"seed": 0}, _small_step)
                if again.results != first.results:
                    seen["wrong results"] += 1
                elif not again.cached:
                    seen["noticed"] += 1
                else:
                    seen["same meaning" if _same(text, changed) else "edit not noticed"] += 1
            except InputError:
                seen["noticed"] += 1
            except Exception as error:
                seen[f"crash {type(error).__name__}"] += 1
            for path in build.iterdir():
                if ".kept-" in path.name:
                    shutil.rmtree(path)
            manifest.write_text(text, "utf-8")
    return seen


def deploy_manifests(count: int, draw: random.Random) -> Counter:
    """The manifest of a deploy folder, mutated, is refused."""
    files = dict.fromkeys(("network.alq", "a.bit", "a.hwh", "window.json"), "0" * 64)
    whole = Manifest(
        identity="1" * 64,
        network="network.alq",
        bit="a.bit",
        hwh="a.hwh",
        window="window.json",
        engine="rtl",
        part="xc7z020clg400-1",
        clock_mhz=100.0,
        core="ecg_alq_0",
        dma="axi_dma_0",
        address=0x43C0_0000,
        input_bits=8,
        output_bits=32,
        classes=("NSR", "APB"),
        pynq="3.0.1",
        versions={"numpy": "2.4", "vivado": None},
        files=files,
    )
    seen: Counter = Counter()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / DEPLOYED
        for _ in range(count):
            changed = _mutated(whole.text, draw)
            path.write_bytes(changed)
            try:
                same = Manifest.load(name) == whole
                seen["same meaning" if same and _same(whole.text, changed) else "edit not noticed"] += 1
            except ManifestError:
                seen["noticed"] += 1
            except Exception as error:
                seen[f"crash {type(error).__name__}"] += 1
    return seen


def frames(count: int, draw: random.Random) -> Counter:
    """Frames damaged on their way to the board or back: no answer but the right one is taken, and the next is right."""

    def core(window: bytes) -> bytes:
        return bytes((3 * value + place) & 0xFF for place, value in enumerate(window[:12]))

    model, seen = SerialModel(48, core), Counter()

    def exchange(number: int, window: bytes, there: Callable[[bytes], bytes], back: Callable[[bytes], bytes]) -> object:
        said = model.feed(there(pack(Frame(WINDOW, number, window)))) + model.silence()
        for frame in Unpacker(1024).feed(back(said)):
            if frame.number == number and frame.kind in (LOGITS, REFUSED):
                return frame.payload if frame.kind == LOGITS else None
        return None

    def whole(data: bytes) -> bytes:
        return data

    for turn in range(count):
        window, number = draw.randbytes(48), turn & 0xFF
        way = (lambda data: damaged(data, draw), whole)
        answer = exchange(number, window, *(way if draw.random() < 0.5 else reversed(way)))
        if answer is None:
            seen["noticed"] += 1
        else:
            seen["right" if answer == core(window) else "wrong answer"] += 1
        window = draw.randbytes(48)
        if exchange(number + 1 & 0xFF, window, whole, whole) != core(window):
            seen["next frame wrong"] += 1
    return seen


def _flow(build: Path, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "flow", *STEP, "--build", str(build), "--frozen", str(models.path("compact"))]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def _whole(build: Path) -> bool:
    """Whether every product that stands there is whole."""
    for manifest in build.glob("*/" + products.MANIFEST):
        if manifest.parent.name.startswith("."):
            continue
        sums = folder_sums(manifest.parent)
        del sums[products.MANIFEST]
        try:
            if read_sealed(manifest, "")["outputs"] != sums:
                return False
        except InputError:
            return False
    return True


def _results(said: str) -> dict:
    content = json.loads(said)["results"]
    return {name: content[name] for name in ("accuracy", "mismatches", "integers_compared", "layers")}


def kills(count: int, draw: random.Random) -> Counter:
    """The flow, killed at any moment, leaves whole products alone, and in the end gives what it gives undisturbed."""
    seen: Counter = Counter()
    with tempfile.TemporaryDirectory() as name:
        start = time.monotonic()
        calm = _flow(Path(name) / "calm")
        expected = _results(calm.communicate()[0])
        seconds = time.monotonic() - start
        build = Path(name) / "build"
        for _ in range(count):
            process = _flow(build)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0.1, seconds))
            ended = process.poll()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            seen["right" if ended in (None, 0) and _whole(build) else "broken product"] += 1
            if ended == 0:  # it was faster: from the beginning
                shutil.rmtree(build)
        last = _flow(build)
        said, error = last.communicate()
        if last.returncode or _results(said) != expected:
            print(error, file=sys.stderr)
            seen["wrong in the end"] += 1
    return seen


def full_disk(draw: random.Random) -> Counter:
    """No file may grow beyond a limit, as on a full disk: one line says so, nothing half-made stands there."""
    import resource

    seen: Counter = Counter()
    with tempfile.TemporaryDirectory() as name:
        for limit in (0, 100, 2_000, 20_000, 60_000):
            build = Path(name) / str(limit)

            def limited(limit: int = limit) -> None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

            process = _flow(build, preexec_fn=limited)
            error = process.communicate()[1].strip().splitlines()
            told = process.returncode == 2 and bool(error) and error[-1].startswith("ecg-alq parity: ")
            right = told and (not build.exists() or _whole(build))
            seen["noticed" if right else f"code {process.returncode}: {error[-1:]}"] += 1
    return seen


def _as_anybody() -> None:
    """Root may write everywhere: drop that right (CAP_DAC_OVERRIDE) from what the next program gets (prctl(2))."""
    import ctypes

    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def read_only(draw: random.Random) -> Counter:
    """A build folder in which nobody may write: one line says so."""
    seen: Counter = Counter()
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o555)
        process = _flow(Path(name) / "build", preexec_fn=_as_anybody)
        error = process.communicate()[1].strip().splitlines()
        os.chmod(name, 0o755)
        told = process.returncode == 2 and bool(error) and "Permission denied" in error[-1]
        seen["noticed" if told and not list(Path(name).iterdir()) else f"code {process.returncode}: {error[-1:]}"] += 1
    return seen


def measure(seed: int, manifests: int, many: int, times: int) -> dict[str, dict[str, int]]:
    """Outcomes of every kind of fault, by name."""
    parts: dict[str, Callable[[random.Random], Counter]] = {
        "manifests of products": lambda draw: product_manifests(manifests, draw),
        "manifests of deploy folders": lambda draw: deploy_manifests(manifests, draw),
        "frames of serial boards": lambda draw: frames(many, draw),
        "kills of the flow": lambda draw: kills(times, draw),
        "full disk": full_disk,
        "read-only folder": read_only,
    }
    found = {}
    for name, part in parts.items():
        start = time.monotonic()
        found[name] = dict(part(random.Random(f"{seed} {name}")))
        print(f"{name:<28} {found[name]}  {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run all and keep the figures. Returns: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--manifests", type=int, default=MANIFESTS, help="of each kind (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=FRAMES, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=KILLS, help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results", help="default: results")
    given = parser.parse_args(arguments)
    try:
        found = measure(given.seed, given.manifests, given.frames, given.kills)
    except UserError as error:
        print(f"benchmarks.robustness: {error}", file=sys.stderr)
        return 2
    faults = sum(count for outcomes in found.values() for name, count in outcomes.items() if name not in GOOD)
    rows = [{"fault": name, "outcomes": outcomes} for name, outcomes in found.items()]
    write_json(
        given.results / "robustness.json",
        {"rows": rows, "faults_not_survived": faults, "seed": given.seed, "provenance": provenance()},
    )
    print(f"{sum(map(sum, (outcomes.values() for outcomes in found.values())))} faults, {faults} not survived")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
