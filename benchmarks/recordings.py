"""Readers under fire, and against others: damaged files, and every record of a folder read by other libraries as well.

    python -m benchmarks.recordings fuzz               (20,000 files, about ten minutes)
    python -m benchmarks.recordings compare FOLDER

Both write their figures into results/recordings.json.
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

from flow.build.provenance import provenance
from flow.build.results import put_rows
from qmodel.data.readers.channels import MV_PER_UNIT
from qmodel.data.recording import find, read
from qmodel.errors import UserError

REPOSITORY = Path(__file__).resolve().parents[1]
RATE = 250
EVERY = 20  # of so many records one is written as EDF and as BDF, and read again


def seeds(folder: Path) -> list[Path]:
    """Small whole files of every kind, to be damaged."""
    from tests.qmodel.data.readers import clinical_files, make

    signal = make.ecg_mv(10.4)
    t = np.arange(len(signal)) / RATE
    counts = np.rint(1000 * signal).astype(int)
    columns = [make.cells(t, "%.3f"), make.cells(signal)]
    comma = [[cell.replace(".", ",") for cell in column] for column in columns]
    iso = [f"2021-11-02T15:03:{at:06.3f}" for at in t]
    line = "{0}.dat 16 1000/mV 16 0 {{first}} {{sum}} 0 II"
    for name in ("w", "s"):
        make.wfdb16(folder, name, [counts], [line.format(name)], f"1 {RATE} {len(counts)}")
    (folder / "m.hea").write_text(f"m/3 1 {RATE} {2 * len(counts) + 100}\ns {len(counts)}\n~ 100\ns {len(counts)}\n")
    channel = [(b"ECG", b"mV", signal, 260)]
    return [
        make.table(folder / "a.csv", columns, header="time,II (mV)\n"),
        make.table(folder / "b.csv", columns[1:], header="# Sampling Rate (Hz):= 250\n"),
        make.table(folder / "c.csv", comma, ";", "Zeit;II\n"),
        make.table(folder / "d.csv", [iso, columns[1]], "\t", "timestamp\tecg\n"),
        folder / "w.hea",
        folder / "m.hea",
        make.edf(folder / "e.edf", channel, duration=1.04),
        make.edf(folder / "f.bdf", channel, duration=1.04, bdf=True),
        make.edf(folder / "g.edf", channel, [1.04 * i + (2 if i > 5 else 0) for i in range(10)], duration=1.04),
        clinical_files.atc(folder / "h.atc", signal, RATE),
        clinical_files.muse(folder / "i.xml", signal, RATE),
        clinical_files.aecg(folder / "j.xml", signal, RATE),
        clinical_files.ishne(folder / "k.ecg", signal, RATE),
        clinical_files.scp(folder / "l.scp", signal, RATE),
        clinical_files.dicom(folder / "n.dcm", signal, RATE),
        clinical_files.philips(folder / "o.xml", signal, RATE),
    ]


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
    random, counts, slowest = np.random.default_rng(seed), Counter[str](read=0, refused=0), dict[str, float]()
    others: list[str] = []
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = Path(name)
        whole = {path: path.read_bytes() for path in seeds(folder)}
        paths = list(whole)
        for i in range(number):
            path = paths[i % len(paths)]
            path.write_bytes(damage(whole[path], random))
            began = time.process_time()  # of this process alone: the machine may be shared
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
            slowest[path.suffix[1:]] = max(slowest.get(path.suffix[1:], 0.0), time.process_time() - began)
            path.write_bytes(whole[path])
    return {"inputs": number, **counts, "others": others, "slowest_cpu_s": {k: round(v, 3) for k, v in slowest.items()}}


def compare(folder: Path) -> dict:
    """Read every WFDB record of a folder here and by wfdb; one of EVERY also as EDF and BDF, by edfio and pyedflib.

    Samples, gaps, rate and unit must be the same. Returns: counts, and which differ.
    """
    import wfdb

    counts, different = Counter[str](records=0, signals=0, edf_signals=0), list[str]()
    with tempfile.TemporaryDirectory() as name:
        for path in find(folder):
            if path.suffix != ".hea":
                continue
            told = str(path.relative_to(folder))
            try:
                ours = read(path)
            except UserError as error:
                different.append(f"{told}: refused: {error}")
                continue
            theirs = wfdb.rdrecord(str(path.with_suffix("")), smooth_frames=False)
            for column, place in enumerate(ours.numbers):
                expected = theirs.e_p_signal[place - 1] * MV_PER_UNIT[theirs.units[place - 1]]
                rate = theirs.fs * theirs.samps_per_frame[place - 1]
                if not _same(ours.signals[:, column], expected) or rate != ours.sampling_rate_hz:
                    different.append(f"{told}, signal {place}")
                counts["signals"] += 1
            if counts["records"] % EVERY == 0:
                for wrong in _as_edf(Path(name), ours.signals[: 60 * int(ours.sampling_rate_hz), 0], ours):
                    different.append(f"{told}, as {wrong}")
                counts["edf_signals"] += 2
            counts["records"] += 1
    return {**counts, "different": different}


def _same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two signals in mV are the same: gaps at the same places, values as near as float32 allows."""
    if len(found) != len(expected) or not np.array_equal(np.isnan(found), np.isnan(expected)):
        return False
    largest = np.nanmax(np.abs(expected), initial=0.0)
    return bool(np.nanmax(np.abs(found - expected), initial=0.0) <= 1e-6 * max(1.0, largest))


def _as_edf(folder: Path, signal: np.ndarray, recording) -> list[str]:
    """Write a signal by edfio as EDF and by pyedflib as BDF, read each here and by the other; what differs."""
    import edfio
    import pyedflib

    rate, wrong = recording.sampling_rate_hz, []
    values = np.nan_to_num(signal[: len(signal) // int(rate) * int(rate)].astype(np.float64)) * 1000  # uV
    span = max(1.0, float(np.abs(values).max()))
    edfio.Edf([edfio.EdfSignal(values, rate, label="ECG", physical_dimension="uV",
                               physical_range=(-span, span))]).write(folder / "a.edf")  # fmt: skip
    with pyedflib.EdfReader(str(folder / "a.edf")) as reader:
        expected, hertz = reader.readSignal(0), reader.getSampleFrequency(0)
    ours = read(folder / "a.edf")
    if not _same(ours.signals[:, 0], expected / 1000) or ours.sampling_rate_hz != hertz:
        wrong.append("EDF")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it rounds the ends of the range and says so
        with pyedflib.EdfWriter(str(folder / "a.bdf"), 1, file_type=pyedflib.FILETYPE_BDFPLUS) as writer:
            writer.setSignalHeader(0, {"label": "ECG", "dimension": "uV", "sample_frequency": rate, "physical_min":
                                       -span - 1, "physical_max": span + 1, "digital_min": -8_388_608, "digital_max":
                                       8_388_607, "transducer": "", "prefilter": ""})  # fmt: skip
            writer.writeSamples([values])
    theirs = edfio.read_bdf(folder / "a.bdf").signals[0]
    ours = read(folder / "a.bdf")
    if not _same(ours.signals[:, 0], theirs.data / 1000) or ours.sampling_rate_hz != theirs.sampling_frequency:
        wrong.append("BDF")
    return wrong


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 where something is not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recordings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=REPOSITORY / "results", help="default: results")
    commands = parser.add_subparsers(dest="command", required=True)
    fuzzing = commands.add_parser("fuzz", help="read damaged files of every kind")
    fuzzing.add_argument("--number", type=int, default=20_000)
    fuzzing.add_argument("--seed", type=int, default=0)
    commands.add_parser("compare", help="read a folder by other libraries as well").add_argument("folder", type=Path)
    asked = parser.parse_args(arguments)
    found = fuzz(asked.number, asked.seed) if asked.command == "fuzz" else compare(asked.folder)
    row = {"measure": asked.command} | ({"seed": asked.seed} if asked.command == "fuzz" else {}) | found
    put_rows(asked.results / "recordings.json", [row | {"provenance": provenance()}], lambda row: (row["measure"],))
    sys.stdout.write(json.dumps(row, indent=1) + "\n")
    return 1 if found.get("others") or found.get("different") else 0


if __name__ == "__main__":
    sys.exit(main())
