"""Readers under fire, and against others: damaged files, and every record of a folder read by wfdb as well.

python benchmarks/recordings.py fuzz --number 20000
python benchmarks/recordings.py compare FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from qmodel.data.recording import find, read
from qmodel.errors import UserError


def seeds(folder: Path) -> list[Path]:
    """Small whole files of every kind, to be damaged."""
    t = np.arange(2600) / 250
    signal = np.exp(-(((t * 1.2 % 1 - 0.3) / 0.02) ** 2))
    cells = [f"{value:.4f}" for value in signal]
    (folder / "a.csv").write_text("time,II (mV)\n" + "\n".join(f"{a:.3f},{b}" for a, b in zip(t, cells)))
    (folder / "b.csv").write_text("# Sampling Rate (Hz):= 250\n" + "\n".join(cells))
    (folder / "c.csv").write_text("Zeit;II\n" + "\n".join(f"{a:.3f};{b}".replace(".", ",") for a, b in zip(t, cells)))
    counts = np.rint(1000 * signal).astype("<i2")
    (folder / "w.dat").write_bytes(counts.tobytes())
    (folder / "w.hea").write_text(f"w 1 250 2600\nw.dat 16 1000/mV 16 0 {counts[0]} {int(counts.sum()) % 65536} 0 II\n")
    for name, version, width in (("e.edf", b"0       ", 2), ("f.bdf", b"\xffBIOSEMI", 3)):
        fields = [b"ECG", b"", b"mV", b"-10", b"10", b"-10000", b"10000", b"", b"260", b""]
        widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
        head = version + b"X".ljust(80) + b"X".ljust(80) + b"01.01.20" + b"00.00.00" + b"512".ljust(8) + b"".ljust(44)
        head += b"10".ljust(8) + b"1.04".ljust(8) + b"1".ljust(4) + b"".join(f.ljust(w) for f, w in zip(fields, widths))
        body = b"".join(int(v).to_bytes(width, "little", signed=True) for v in counts)
        (folder / name).write_bytes(head + body)
    return sorted(path for path in folder.iterdir() if path.suffix != ".dat")


def damage(data: bytes, random: np.random.Generator) -> bytes:
    """A file with a few bytes changed, cut out, repeated or put in, most of them near its beginning."""
    content = bytearray(data)
    for _ in range(int(random.integers(1, 6))):
        size = max(len(content), 1)
        at = int(random.integers(0, size if random.random() < 0.4 else min(size, 600)))
        kind = random.integers(0, 5)
        if kind == 0:
            content[at : at + 1] = bytes([int(random.integers(0, 256))])
        elif kind == 1:
            del content[at : at + int(random.integers(1, 40))]
        elif kind == 2:
            content[at:at] = content[at : at + int(random.integers(1, 40))]
        elif kind == 3:
            words = (
                b"nan",
                b"-1",
                b"1e999",
                b"0",
                b"99999999",
                b",",
                b";",
                b"\0",
                b"\xff\xfe",
                b"\n",
                b"12:00:00",
                b'"',
            )
            word = words[int(random.integers(len(words)))]
            content[at : at + len(word)] = word
        else:
            del content[at if random.random() < 0.3 else size :]
    return bytes(content)


def fuzz(number: int, seed: int = 0) -> dict:
    """Read damaged files. Returns: how many were read, refused, and anything else that happened, which must be none."""
    random, counts, slowest = np.random.default_rng(seed), Counter[str](), 0.0
    others: list[str] = []
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = Path(name)
        whole = {path: path.read_bytes() for path in seeds(folder)}
        paths = list(whole)
        for i in range(number):
            path = paths[i % len(paths)]
            path.write_bytes(damage(whole[path], random))
            began = time.perf_counter()
            try:
                record = read(path, 250 if random.random() < 0.5 else None)
                record.samples()
                counts["read"] += 1
            except UserError as error:
                counts["refused"] += 1
                if "\n" in str(error).strip():
                    others.append(f"{path.name} {i}: a message of several lines")
            except Exception as error:
                others.append(f"{path.name} {i}: {type(error).__name__}: {error}")
            slowest = max(slowest, time.perf_counter() - began)
            path.write_bytes(whole[path])
    return {"inputs": number, **counts, "others": others, "slowest_s": round(slowest, 3)}


def compare(folder: Path) -> dict:
    """Read every WFDB record of a folder here and by wfdb: samples, gaps and rate must be the same."""
    import wfdb

    counts, different = Counter[str](), []
    for path in find(folder):
        if path.suffix != ".hea":
            continue
        try:
            ours = read(path)
        except UserError as error:
            counts["refused"] += 1
            different.append(f"{path}: {error}")
            continue
        theirs = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
        for column, place in enumerate(ours.numbers):
            factor = {"mV": 1.0, "uV": 1e-3, "V": 1e3}[theirs.units[place - 1]]
            expected, found = theirs.e_p_signal[place - 1] * factor, ours.signals[:, column]
            same = len(expected) == len(found) and np.array_equal(np.isnan(expected), np.isnan(found))
            near = same and np.nanmax(np.abs(expected - found), initial=0) <= 1e-6 * max(1, np.nanmax(np.abs(expected)))
            rate = theirs.fs * theirs.samps_per_frame[place - 1]
            if not near or rate != ours.sampling_rate_hz:
                different.append(f"{path}, signal {place}")
            counts["signals"] += 1
        counts["records"] += 1
    return {**counts, "different": different}


def main() -> int:
    """Run what is asked for; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fuzzing = commands.add_parser("fuzz")
    fuzzing.add_argument("--number", type=int, default=20_000)
    fuzzing.add_argument("--seed", type=int, default=0)
    commands.add_parser("compare").add_argument("folder", type=Path)
    asked = parser.parse_args()
    found = fuzz(asked.number, asked.seed) if asked.command == "fuzz" else compare(asked.folder)
    print(json.dumps(found, indent=1))
    return 1 if found.get("others") or found.get("different") else 0


if __name__ == "__main__":
    sys.exit(main())
