"""EDF and BDF files, plain and with annotations ("+"), told by their first bytes.

The format is a header of fixed fields and records of integers, decoded here: what stands in a label, a date or a unit
must not stop the signal. Source: Kemp et al., Electroenceph. clin. Neurophysiol. 82:391, 1992; Kemp and Olivan, Clin.
Neurophysiol. 114:1755, 2003 (EDF+: time-stamped annotations lists, discontinuous files).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from qmodel.data.mitdb import DataError
from qmodel.data.readers.channels import Channel, Source, check_gaps

MAGIC = {b"0       ": "EDF", b"\xffBIOSEMI": "BDF"}
# Bytes of a signal's fields, in order: label, transducer, unit, physical and digital range, filters, samples, reserved.
_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
_ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
MOST_SIGNALS = 4096
_ONSET = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15[\d.]*)?\x14\x14")


@dataclass(frozen=True)
class _Signal:
    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[float, float]
    samples: int  # a record
    start: int  # of its samples in a record


def kind(first: bytes) -> str | None:
    """EDF or BDF by a file's first bytes, None if it is neither."""
    return MAGIC.get(first[:8])


def _text(field: bytes) -> str:
    """A header field; ASCII by the standard, UTF-8 or Latin-1 in fact, padded with blanks or zeros."""
    try:
        text = field.decode("utf-8")
    except UnicodeDecodeError:
        text = field.decode("latin-1")
    return text.replace("\0", " ").strip()


def _number(field: bytes, path: Path, what: str) -> float:
    text = _text(field).replace(",", ".")
    try:
        if "_" in text:
            raise ValueError
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path} is not an EDF file, or truncated: {what} must be a number, received {text[:20]!r}")
    return value


def _broken(path: Path, why: str) -> DataError:
    return DataError(f"{path} is not an EDF file, or truncated: {why}")


def read(path: Path) -> Source:
    """Read a file's header and map its records; channels are decoded when they are asked for.

    Raises: DataError: not such a file, truncated, or record times that run backward.
    """
    size = path.stat().st_size
    if not size:
        raise DataError(f"{path} is empty")
    with open(path, "rb") as file:
        head = file.read(256)
        form = kind(head)
        if form is None or len(head) < 256:
            raise _broken(path, "its first bytes are not those of a header")
        number = _number(head[252:256], path, "the number of signals")
        if not 1 <= number <= MOST_SIGNALS or number % 1:
            raise _broken(path, f"1 to {MOST_SIGNALS} signals can be read, received {number:g}")
        count = int(number)
        fields = file.read(256 * count)
    if len(fields) < 256 * count:
        raise _broken(path, f"its header ends within the {count} signals that it announces")
    duration = _number(head[244:252], path, "the seconds of a data record")
    described = _number(head[236:244], path, "the number of data records")
    columns, at = [], 0
    for width in _FIELDS:
        columns.append([fields[at + i * width : at + (i + 1) * width] for i in range(count)])
        at += width * count
    signals, start, notes = [], 0, list[str]()
    for i in range(count):
        label = _text(columns[0][i])
        samples = _number(columns[8][i], path, f"the samples of {label or f'signal {i + 1}'}")
        if samples < 0 or samples % 1 or samples > 10**8:
            raise _broken(
                path, f"the samples of {label or f'signal {i + 1}'} must be a whole number, received {samples:g}"
            )
        note = label in _ANNOTATIONS
        ranges = [0.0 if note else _number(columns[k][i], path, f"the range of {label}") for k in (3, 4, 5, 6)]
        unit = _text(columns[2][i])
        signals.append(_Signal(label, unit, (ranges[0], ranges[1]), (ranges[2], ranges[3]), int(samples), start))
        start += int(samples)
    bytes_each = 3 if form == "BDF" else 2
    if not start:
        raise _broken(path, "its data records hold no samples")
    if duration < 0 or (duration == 0 and any(s.samples and s.label not in _ANNOTATIONS for s in signals)):
        raise _broken(path, f"a data record must last longer than 0 s, received {duration:g}")
    begins = _number(head[184:192], path, "the bytes of the header")
    if begins != 256 * (count + 1):
        raise _broken(path, f"a header of {count} signals has {256 * (count + 1)} bytes, received {begins:g}")
    there = (size - int(begins)) // (start * bytes_each)
    if described < 0:  # the recorder never closed the file
        notes.append(f"{path.name} was never closed by its recorder: its {there} whole data records are read")
        described = there
    if described > there:
        raise _broken(path, f"{there} of {described:g} data records are there")
    records = int(described)
    if not records:
        raise _broken(path, "it holds no data record")
    dtype = np.uint8 if form == "BDF" else np.dtype("<i2")
    width = start * (3 if form == "BDF" else 1)
    data = np.memmap(path, dtype, "r", offset=int(begins), shape=(records, width))
    onsets = _onsets(path, head, data, signals, form, duration, notes)
    channels = []
    for i, signal in enumerate(signals):
        if signal.label in _ANNOTATIONS or not signal.samples:
            continue
        rate = signal.samples / duration
        places = _places(path, onsets, rate, signal.samples, records)
        channels.append(
            Channel(
                i + 1,
                signal.label or f"lead {i + 1}",
                signal.unit or None,
                rate,
                partial(_values, path, data, form, signal, places, True),
                partial(_values, path, data, form, signal, places, False),
                bool(signal.label),
            )
        )
    if onsets is not None and channels:
        gaps = np.diff(onsets) - duration
        wide = gaps[gaps > 0.5 / max(c.rate_hz or 1 for c in channels)]
        if len(wide):
            told = "1 gap" if len(wide) == 1 else f"{len(wide)} gaps"
            notes.append(f"{path.name} has {told}, {wide.sum():.6g} s in all, marked as missing")
    return Source(path, form, tuple(channels), tuple(notes), empty=f"{path} holds annotations alone, no signal")


def _onsets(
    path: Path, head: bytes, data: np.ndarray, signals: list[_Signal], form: str, duration: float, notes: list[str]
) -> np.ndarray | None:
    """Seconds at which each data record begins, from the first; None in a file without gaps.

    A file that says that it is continuous and whose records tell gaps has them.
    """
    discontinuous = _text(head[192:236])[:5].upper() in ("EDF+D", "BDF+D")
    each = 3 if form == "BDF" else 2
    kept = next((s for s in signals if s.label in _ANNOTATIONS), None)
    if kept is None:
        if discontinuous:
            raise _broken(path, "it is discontinuous (EDF+D) and has no annotations that tell when its records begin")
        return None
    onsets = np.empty(len(data))
    raw = data.view(np.uint8)
    for i in range(len(data)):
        content = raw[i, kept.start * each : (kept.start + kept.samples) * each].tobytes()
        match = _ONSET.match(content)
        if match is None:
            if not discontinuous:
                return None
            raise _broken(path, f"data record {i + 1} does not tell when it begins")
        onsets[i] = float(match[1])
    onsets -= onsets[0]
    steps = np.diff(onsets)
    # A microsecond: times are told in decimals.
    backward = len(steps) and steps.min() < duration - 1e-6 * max(1.0, duration)
    if backward and discontinuous:
        at = int(np.argmin(steps))
        raise _broken(
            path, f"data record {at + 2} begins {steps[at]:g} s after the one before, which lasts {duration:g} s"
        )
    if discontinuous:
        return onsets
    rate = max((s.samples for s in signals if s is not kept), default=1) / (duration or 1.0)
    if backward:
        if abs(onsets[-1] - duration * len(steps)) > 0.5 * duration:
            notes.append(f"{path.name} gives overlapping times for its data records: they are read one after the other")
        return None
    return onsets if len(steps) and steps.max() - duration > max(0.5 / rate, 1e-3) else None


def _places(path: Path, onsets: np.ndarray | None, rate: float, samples: int, records: int) -> np.ndarray | None:
    """First sample of every data record on the signal's own grid; None where they follow on each other."""
    if onsets is None:
        return None
    places = np.rint(onsets * rate)
    check_gaps(str(path), samples * records, int(places[-1]) + samples, rate)
    # Rounding must not let a record overlap the one before.
    return np.maximum.accumulate(places.astype(np.int64) - samples * np.arange(records)) + samples * np.arange(records)


def _values(
    path: Path, data: np.ndarray, form: str, signal: _Signal, places: np.ndarray | None, physical: bool
) -> np.ndarray:
    """Samples of one signal on its own even grid: calibrated (physical) or as they were stored."""
    first, last = signal.start, signal.start + signal.samples
    if form == "BDF":
        three = np.asarray(data[:, 3 * first : 3 * last]).reshape(-1, 3).astype(np.int32)
        stored = ((three[:, 0] | three[:, 1] << 8 | three[:, 2] << 16) ^ 0x800000) - 0x800000
    else:
        stored = np.asarray(data[:, first:last]).reshape(-1)
    values = stored.astype(np.float64)
    if physical:
        (low, high), (least, most) = signal.physical, signal.digital
        if high == low or most == least:
            raise DataError(
                f"{path}: {signal.label} has no calibration (physical {low:g} to {high:g}, digital {least:g} to "
                f"{most:g}): give its gain, like --units 200/mV"
            )
        values = (values - least) * ((high - low) / (most - least)) + low
    if places is None:
        return values
    whole = np.full(int(places[-1]) + signal.samples, np.nan)
    for place, part in zip(places, values.reshape(-1, signal.samples)):
        whole[place : place + signal.samples] = part
    return whole
