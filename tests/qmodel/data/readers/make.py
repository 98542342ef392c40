"""Files of every kind, made in code: EDF bytes, tables, WFDB records with what devices write into them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE = 250


def ecg_mv(seconds: float = 12.0, rate: float = RATE, bpm: float = 72.0) -> np.ndarray:
    """A made-up ECG, float64 (sample,): an R wave of 1 mV and a T wave a beat, on a slow wander."""
    t = np.arange(round(seconds * rate)) / rate
    phase = (t * bpm / 60) % 1
    r = np.exp(-(((phase - 0.3) / 0.012) ** 2)) - 0.15 * np.exp(-(((phase - 0.33) / 0.012) ** 2))
    return r + 0.25 * np.exp(-(((phase - 0.55) / 0.05) ** 2)) + 0.02 * np.sin(2 * np.pi * 0.3 * t)


def edf(
    path: Path,
    channels: list[tuple[bytes, bytes, np.ndarray, int]],
    onsets: list[float] | None = None,
    duration: float = 1.0,
    bdf: bool = False,
    described: int | None = None,
    reserved: bytes | None = None,
) -> Path:
    """An EDF or BDF file, byte by byte. Args: channels: label, unit, values in that unit, samples a record; onsets: of
    every data record, in an EDF+D file; described: data records that the header tells; reserved: its field."""
    most = 8_388_607 if bdf else 32_767
    records = len(channels[0][2]) // channels[0][3]
    fields: list[list[bytes]] = [[] for _ in range(10)]
    stored = []
    for label, unit, values, each in channels:
        high = float(np.ceil(np.abs(values).max() * 1.1)) or 1.0
        stored.append(np.rint(values[: records * each] / high * most).astype(np.int64).reshape(records, each))
        for column, field in zip(fields, (label, b"", unit, b"%g" % -high, b"%g" % high, b"%d" % -most, b"%d" % most,
                                          b"", b"%d" % each, b"")):  # fmt: skip
            column.append(field)
    notes = []
    if onsets is not None:
        for at in onsets:
            notes.append((b"+%.12g\x14\x14\0" % at).ljust(60, b"\0"))
        each = 20 if bdf else 30
        for column, field in zip(fields, (b"BDF Annotations" if bdf else b"EDF Annotations", b"", b"", b"-1", b"1",
                                          b"%d" % (-most - 1), b"%d" % most, b"", b"%d" % each, b"")):  # fmt: skip
            column.append(field)
    widths = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
    count = len(fields[0])
    version = b"\xffBIOSEMI" if bdf else b"0       "
    reserved = reserved if reserved is not None else (b"BDF+D" if bdf else b"EDF+D") if onsets is not None else b""
    head = version + b"X X X X".ljust(80) + b"Startdate X X X X".ljust(80) + b"01.01.20" + b"00.00.00"
    head += b"%-8d" % (256 * (count + 1)) + reserved.ljust(44)
    head += b"%-8d" % (records if described is None else described) + (b"%g" % duration).ljust(8) + b"%-4d" % count
    for column, width in zip(fields, widths):
        head += b"".join(field.ljust(width) for field in column)
    body = b""
    for i in range(records):
        for values in stored:
            if bdf:
                body += b"".join(int(v).to_bytes(3, "little", signed=True) for v in values[i])
            else:
                body += values[i].astype("<i2").tobytes()
        if onsets is not None:
            body += notes[i]
    path.write_bytes(head + body)
    return path


def wfdb16(folder: Path, name: str, signals: list[np.ndarray], lines: list[str], record: str) -> Path:
    """A WFDB record of format 16, its header line by line. Args: signals: integers, (frame * per_frame,); lines: of the
    signals, with {sum} and {first} for checksum and first value; record: the record line after its name."""
    per = [len(s) // min(len(x) for x in signals) for s in signals]
    frames = len(signals[0]) // per[0]
    table = np.concatenate([s.reshape(frames, k) for s, k in zip(signals, per)], 1)
    (folder / f"{name}.dat").write_bytes(table.astype("<i2").tobytes())
    told = [line.format(sum=int(s.sum()) % 65536, first=int(s[0])) for line, s in zip(lines, signals)]
    (folder / f"{name}.hea").write_bytes("\n".join([f"{name} {record}", *told, ""]).encode("latin-1"))
    return folder / f"{name}.hea"


def table(
    path: Path, columns: list[list[str]], delimiter: str = ",", header: str = "", encoding: str = "utf-8"
) -> Path:
    """A text file: header, then a row of cells per line."""
    rows = "\n".join(delimiter.join(row) for row in zip(*columns))
    path.write_bytes(f"{header}{rows}\n".encode(encoding))
    return path


def cells(values: np.ndarray, form: str = "%.4f") -> list[str]:
    """Numbers as text."""
    return [form % value for value in values]
