"""The table of docs/recordings.md, made here: a small file of every format, and what was read of it.

Bring it up to date: python -m tests.qmodel.data.readers.test_table
"""

from __future__ import annotations

import gzip
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

from qmodel.data.recording import read
from tests.qmodel.data.readers import clinical_files, make
from tests.qmodel.data.readers.make import RATE, cells, ecg_mv

PAGE = Path(__file__).resolve().parents[4] / "docs" / "recordings.md"
BEGIN, END = "<!-- read: begin -->", "<!-- read: end -->"
SIGNAL = ecg_mv()
N = len(SIGNAL)
T = np.arange(N) / RATE
COUNTS = np.rint(1000 * SIGNAL).astype(int)


def _wfdb(form: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        gain = {"80": 50.0, "212": 1000.0}.get(form, 1000.0)
        wfdb.wrsamp("r", fs=RATE, p_signal=SIGNAL[:, None], units=["mV"], sig_name=["II"], fmt=[form],
                    adc_gain=[gain], baseline=[0], write_dir=str(folder))  # fmt: skip
        return folder / "r.hea"

    return write


def _frames(folder: Path) -> Path:
    lines = ["r.dat 16x4 1000/mV 16 0 {first} {sum} 0 II", "r.dat 16 100/mmHg 16 0 {first} {sum} 0 ABP"]
    return make.wfdb16(folder, "r", [COUNTS, np.arange(N // 4) % 50], lines, f"2 {RATE / 4:g} {N // 4}")


def _segments(folder: Path) -> Path:
    line = "a.dat 16 1000/mV 16 0 {first} {sum} 0 II"
    make.wfdb16(folder, "a", [COUNTS], [line], f"1 {RATE} {N}")
    (folder / "m.hea").write_text(f"m/3 1 {RATE} {2 * N + 500}\na {N}\n~ 500\na {N}\n")
    return folder / "m.hea"


def _edf(name: str, unit: bytes, scale: float, onsets: list[float] | None = None, bdf: bool = False):
    return lambda folder: make.edf(folder / name, [(b"ECG II", unit, scale * SIGNAL, RATE)], onsets, bdf=bdf)


def _table(name: str, columns: list[list[str]], header: str, delimiter: str = ",", encoding: str = "utf-8"):
    return lambda folder: make.table(folder / name, columns, delimiter, header, encoding)


def _packed(folder: Path) -> Path:
    plain = make.table(folder / "e.csv", [cells(T), cells(SIGNAL)], header="time,II (mV)\n")
    (folder / "e.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    return folder / "e.csv.gz"


MV, UV = cells(SIGNAL), cells(1000 * SIGNAL, "%.0f")
GAP = [float(i + (5 if i > 5 else 0)) for i in range(12)]
ISO = [f"2021-11-02T15:03:{t:06.3f}" for t in T]
NANO = [str(599_616_000_000_000_000 + round(1e9 * t)) for t in T]
COMMA = [[cell.replace(".", ",") for cell in cells(v)] for v in (T, SIGNAL)]
# What it is, how such a file is made, its --fs and --units.
FILES: dict[str, tuple[Callable[[Path], Path], float | None, str | None]] = {
    **{f"WFDB, format {form}": (_wfdb(form), None, None) for form in ("16", "24", "32", "80", "212")},
    "WFDB, several samples per frame": (_frames, None, None),
    "WFDB, segments with a gap": (_segments, None, None),
    "EDF": (_edf("a.edf", b"uV", 1000), None, None),
    "EDF, micro sign in Latin-1, suffix .rec": (_edf("a.rec", b"\xb5V", 1000), None, None),
    "EDF+D, a gap of 5 s": (_edf("a.edf", b"mV", 1, GAP), None, None),
    "BDF": (_edf("a.bdf", b"uV", 1000, bdf=True), None, None),
    "CSV, time in seconds": (_table("e.csv", [cells(T), MV], "time,II (mV)\n"), None, None),
    "CSV, ISO 8601": (_table("e.csv", [ISO, MV], "timestamp,ecg\n"), None, None),
    "CSV, one column, no header": (_table("e.csv", [MV], ""), RATE, None),
    "CSV, counts": (_table("e.csv", [UV], "ECG\n"), RATE, "1000/mV"),
    "CSV, semicolons, decimal commas": (_table("e.csv", COMMA, "Zeit;II\n", ";"), None, None),
    "CSV, `sep=;`, UTF-16": (_table("e.csv", [cells(T), MV], "sep=;\ntime;II\n", ";", "utf-16"), None, None),
    "CSV, gzip": (_packed, None, None),
    "text of rdsamp -p": (_table("e.txt", [cells(T, "%9.3f"), cells(SIGNAL, "%7.3f")], "", "\t"), None, None),
    "Polar Sensor Logger": (
        _table("e.txt", [ISO, NANO, cells(1000 * T, "%.6f"), UV],
               "Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]\n", ";"), None, None),
    "Apple Watch": (
        _table("e.csv", [UV], 'Name,"A"\nSample Rate,250 hertz\n\nLead,Lead I\nUnit,µV\n\n'), None, None),
    "BioSPPy": (_table("e.txt", [MV], "# Sampling Rate (Hz):= 250.00\n# Labels:= ECG\n"), None, None),
    "OpenSignals": (
        _table("e.txt", [[str(i % 16) for i in range(N)], UV],
               '# {"0": {"sensor": ["ECG"], "sampling rate": 250, "column": ["nSeq", "A1"]}}\n# EndOfHeader\n', "\t"),
        None, "1000/mV"),
    "LabChart": (
        _table("e.txt", [cells(T, "%.3f"), MV], "Interval=\t0.004 s\nChannelTitle=\tECG\nRange=\t5 mV\n", "\t"),
            None, None),
    "AliveCor Kardia, ATC": (lambda folder: clinical_files.atc(folder / "k.atc", SIGNAL, RATE), None, None),
    "GE MUSE XML *": (lambda folder: clinical_files.muse(folder / "m.xml", SIGNAL, RATE), None, None),
    "HL7 aECG *": (lambda folder: clinical_files.aecg(folder / "h.xml", SIGNAL, RATE), None, None),
    "ISHNE *": (lambda folder: clinical_files.ishne(folder / "i.ecg", SIGNAL, RATE), None, None),
    "SCP-ECG *": (lambda folder: clinical_files.scp(folder / "s.scp", SIGNAL, RATE), None, None),
    "DICOM waveform *": (lambda folder: clinical_files.dicom(folder / "d.dcm", SIGNAL, RATE), None, None),
    "Philips Sierra XML *": (lambda folder: clinical_files.philips(folder / "p.xml", SIGNAL, RATE), None, None),
}  # fmt: skip


def row(kind: str, folder: Path) -> str:
    """A line of the table. Raises: AssertionError: the signal is not the one that was written."""
    write, rate, units = FILES[kind]
    path = write(folder)
    record = read(path, rate, units)
    one = record.lead()
    signal = one.signals[:, 0]
    missing = int(np.isnan(signal).sum())
    assert record.sampling_rate_hz == RATE
    assert np.abs(signal[:N][~np.isnan(signal[:N])][:1000] - SIGNAL[:1000]).max() < 0.02
    options = " ".join([*([f"--fs {rate:g}"] if rate else []), *([f"--units {units}"] if units else [])])
    return (
        f"| {kind} | {'`' + options + '`' if options else 'none'} | {one.leads[0]} | {record.sampling_rate_hz:g} Hz | "
        f"{record.duration_s:g} s | {missing / RATE:g} s |"
    )


def table() -> str:
    """The whole table."""
    head = "| format | options needed | lead | rate | length | missing |\n|---|---|---|---:|---:|---:|\n"
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i, kind in enumerate(FILES):
            (Path(folder) / str(i)).mkdir()
            lines.append(row(kind, Path(folder) / str(i)))
    return head + "\n".join(lines) + "\n"


@pytest.mark.parametrize("kind", FILES)
def test_docs_say_what_is_read(kind, tmp_path):
    if kind.endswith("*"):
        pytest.importorskip("ecgdatakit")
    assert row(kind, tmp_path) in PAGE.read_text("utf-8")


if __name__ == "__main__":
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}{END}{rest.partition(END)[2]}", "utf-8")
    sys.stdout.write(f"{PAGE}\n")
