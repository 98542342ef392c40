"""WFDB records: headers, signal files of every format, segments.

The header is parsed here, since what is not needed for the signal (a date that nobody can read, a unit in another
encoding) must not stop it. Source of the formats: WFDB Applications Guide, header(5) and signal(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from qmodel.data.mitdb import DataError
from qmodel.data.readers.channels import LONGEST_SAMPLES, Channel, Source, check_gaps

DEFAULT_RATE_HZ, DEFAULT_GAIN = 250.0, 200.0  # header(5)
# Value that stands for no sample: signal(5); wfdb has the same.
_INVALID = {
    "8": -(2**7), "16": -(2**15), "24": -(2**23), "32": -(2**31), "61": -(2**15), "80": -(2**7), "160": -(2**15),
    "212": -(2**11), "310": -(2**9), "311": -(2**9), "508": -(2**7), "516": -(2**15), "524": -(2**23),
}  # fmt: skip
_NO_SAMPLE = -(2**31)  # of format 0, a signal without samples
_SIGNAL_FORMAT = re.compile(r"(\d+)(?:x(\d+))?(?::(\d+))?(?:\+(\d+))?")
_GAIN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?:\(([-+]?\d+)\))?(?:/(.*))?")


@dataclass(frozen=True)
class SignalLine:
    """What a header says of one signal; see header(5). unit: None where it says none (then it is mV)."""

    file: str
    form: str
    per_frame: int
    skew: int
    offset: int
    gain: float
    baseline: int
    unit: str | None
    first: int | None
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """A header: of a record with signals, or with segments (name, frames), "~" for a gap."""

    path: Path
    rate_hz: float
    frames: int | None
    signals: tuple[SignalLine, ...]
    segments: tuple[tuple[str, int], ...]


def _lines(path: Path) -> list[str]:
    data = path.read_bytes()
    if b"\0" in data:
        raise DataError(f"{path} is not a WFDB header: it is no text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return [line for line in text.splitlines() if line.strip() and line.lstrip()[0] != "#"]


def segments(path: Path) -> list[str]:
    """Names of a record's segments; they are no recordings of their own. Empty where the header is not to be read."""
    try:
        return [name for name, _ in read_header(path).segments if name != "~"]
    except (DataError, OSError):
        return []


def read_header(path: Path) -> Header:
    """Parse a header. Raises: DataError: the line that is none, and why."""
    lines = _lines(path)
    if not lines:
        raise DataError(f"{path} is empty")
    fields = lines[0].split()
    if len(fields) < 2:
        raise DataError(f"{path} is not a WFDB header: its first line must be `name signals rate samples`, received "
                        f"{lines[0][:60]!r}")  # fmt: skip
    _, slash, count = fields[0].partition("/")
    if slash and not re.fullmatch(r"\d+", count):
        raise DataError(
            f"{path} is not a WFDB header of this folder: the name of a record must not contain a folder, "
            f"received {fields[0][:60]!r}"
        )
    announced = _whole(fields[1], path, "the number of signals")
    rate = _rate(fields[2], path) if len(fields) > 2 else DEFAULT_RATE_HZ
    frames = _whole(fields[3], path, "the number of samples") if len(fields) > 3 else None
    if not announced or not rate > 0:
        raise DataError(f"{path} describes no signal")
    rest = lines[1:]
    if slash:
        parts = []
        for line in rest[: int(count)]:
            words = line.split()
            if len(words) != 2 or Path(words[0]).name != words[0]:
                raise DataError(
                    f"{path}: a segment is told by its name and its samples, received {line.strip()[:60]!r}"
                )
            parts.append((words[0], _whole(words[1], path, "the samples of a segment")))
        if len(parts) < int(count):
            raise DataError(f"{path} is truncated: it announces {count} segments and describes {len(parts)}")
        return Header(path, rate, frames, (), tuple(parts))
    signals = tuple(_signal(line, path) for line in rest[:announced])
    if len(signals) < announced:
        raise DataError(f"{path} is truncated: it announces {announced} signals and describes {len(signals)}")
    return Header(path, rate, frames or None, signals, ())


def _whole(text: str, path: Path, what: str) -> int:
    if not re.fullmatch(r"\d{1,12}", text):
        raise DataError(f"{path} is not a WFDB header: {what} must be a whole number, received {text[:40]!r}")
    return int(text)


def _rate(text: str, path: Path) -> float:
    match = re.match(r"(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)(?:/.*)?$", text)
    if match is None:
        raise DataError(f"{path} is not a WFDB header: the rate must be a number, received {text[:40]!r}")
    return float(match[1])


def _signal(line: str, path: Path) -> SignalLine:
    words = line.split(None, 8)
    form = _SIGNAL_FORMAT.fullmatch(words[1]) if len(words) > 1 else None
    if form is None:
        raise DataError(f"{path}: a signal is told by its file and its format, received {line.strip()[:60]!r}")
    gain = _GAIN.fullmatch(words[2]) if len(words) > 2 else None
    if len(words) > 2 and gain is None:
        raise DataError(f"{path}: the gain of a signal must be like 200, 200/mV or 200(1024)/mV, received {words[2]!r}")
    number = [int(w) if re.fullmatch(r"[-+]?\d{1,18}", w) else None for w in words[3:8]]
    number += [None] * (5 - len(number))
    zero = number[1] or 0
    value = float(gain[1]) if gain else 0.0
    return SignalLine(
        words[0],
        form[1],
        int(form[2] or 1),
        int(form[3] or 0),
        int(form[4] or 0),
        value or DEFAULT_GAIN,
        int(gain[2]) if gain and gain[2] else zero,
        (gain[3] if gain else None) or None,
        number[2],
        number[3],
        words[8].strip() if len(words) > 8 else "",
    )


def files(path: Path) -> list[Path]:
    """Every file that a record is read from, its header first, those that are missing included.

    Raises: DataError: no header, or one that cannot be parsed.
    """
    header = read_header(path)
    found = [path]
    for name, _ in header.segments:
        if name != "~":
            segment = path.with_name(f"{name}.hea")
            found.append(segment)
            if segment.is_file():
                found += [_beside(segment, s.file) for s in read_header(segment).signals if s.file != "~"]
    found += [_beside(path, signal.file) for signal in header.signals if signal.file != "~"]
    return list(dict.fromkeys(found))


def _beside(header: Path, name: str) -> Path:
    if Path(name).name != name or name in ("", ".", ".."):
        raise DataError(
            f"{header}: a signal file lies beside its header and must not contain a folder, received {name!r}"
        )
    return header.with_name(name)


def read(path: Path) -> Source:
    """Read a record. Args: path: of its header. Raises: DataError: not a record, files missing or not its own."""
    header = read_header(path)
    if header.segments:
        return _of_segments(header)
    notes: list[str] = []
    digital = _digital(header, notes)
    channels = []
    for i, (signal, values) in enumerate(zip(header.signals, digital)):
        channels.append(
            Channel(
                i + 1,
                signal.name or f"lead {i + 1}",
                signal.unit or "mV",
                header.rate_hz * signal.per_frame,
                partial(_physical, signal, values),
                partial(_counts, signal, values),
                bool(signal.name),
            )
        )
    return Source(path, "WFDB", tuple(channels), tuple(notes))


def _missing(signal: SignalLine, values: np.ndarray) -> np.ndarray:
    return values == _INVALID.get(signal.form, _NO_SAMPLE)


def _physical(signal: SignalLine, values: np.ndarray) -> np.ndarray:
    return np.where(_missing(signal, values), np.nan, (values - float(signal.baseline)) / signal.gain)


def _counts(signal: SignalLine, values: np.ndarray) -> np.ndarray:
    return np.where(_missing(signal, values), np.nan, values - float(signal.baseline))


def _digital(header: Header, notes: list[str]) -> list[np.ndarray]:
    """Samples as they are stored, one array per signal; checks lengths, checksums and first values."""
    path, found, absent = header.path, dict[int, np.ndarray](), list[int]()  # absent: signals without samples
    groups: dict[str, list[int]] = {}
    for i, signal in enumerate(header.signals):
        if signal.form == "0" or signal.file == "~":
            absent.append(i)
            continue
        if signal.form not in _INVALID:
            raise DataError(f"{path}: the formats {', '.join(_INVALID)} can be read, received {signal.form}")
        if not 1 <= signal.per_frame <= 100_000:
            raise DataError(
                f"{path}: signal {i + 1} must have 1 to 100000 samples per frame, received {signal.per_frame}"
            )
        groups.setdefault(signal.file, []).append(i)
    for name, members in groups.items():
        lines = [header.signals[i] for i in members]
        if len({line.form for line in lines}) > 1:
            raise DataError(f"{path}: the signals of {name} must have one format")
        file = _beside(path, name)
        if not file.is_file():
            raise DataError(f"{path} names a signal file that is missing: {file}")
        per_frame = sum(line.per_frame for line in lines)
        frames = header.frames
        flat, whole = _decode(file, lines, per_frame, frames, path)
        if frames is None:
            frames = whole
        table = flat.reshape(frames, per_frame)
        at = 0
        for i, line in zip(members, lines):
            values = table[:, at : at + line.per_frame].reshape(-1)
            at += line.per_frame
            if line.form == "8":
                values = np.cumsum(values, dtype=np.int64) + (line.first or 0)
            _check_sum(path, i, line, values, notes)
            if line.skew:  # the header's way to say that this signal was stored late
                late = line.skew * line.per_frame
                values = np.concatenate([values[late:], np.full(min(late, len(values)), _INVALID[line.form])])
            found[i] = np.ascontiguousarray(values)
    if not found:
        raise DataError(f"{path}: its signals have no file")
    frames = len(found[min(found)]) // header.signals[min(found)].per_frame
    for i in absent:
        each = max(header.signals[i].per_frame, 1)
        check_gaps(str(header.path), frames, frames * each, header.rate_hz)
        found[i] = np.full(frames * each, _NO_SAMPLE)
    return [found[i] for i in range(len(header.signals))]


def _decode(
    file: Path, lines: list[SignalLine], per_frame: int, frames: int | None, header: Path
) -> tuple[np.ndarray, int]:
    """Samples of a signal file, int (frame * per_frame,), and the frames in it."""
    form, offset = lines[0].form, lines[0].offset
    if form in ("508", "516", "524"):
        return _decode_flac(file, len(lines), frames, header)
    size = file.stat().st_size - offset
    bytes_per = {"8": 1, "80": 1, "16": 2, "61": 2, "160": 2, "24": 3, "32": 4, "212": 1.5, "310": 4 / 3, "311": 4 / 3}
    if frames is None:
        frames = max(int(size / bytes_per[form] / per_frame + 1e-9), 0)
    number = frames * per_frame
    if number > LONGEST_SAMPLES * len(lines):
        raise DataError(f"{header} describes {number} samples: more than can be read")
    needed = {"212": -(-number * 3 // 2), "310": -(-number // 3) * 4, "311": -(-number // 3) * 4}.get(form)
    needed = int(number * bytes_per[form]) if needed is None else needed
    if form in ("310", "311"):  # a last group may be cut short: two bytes hold one sample of it
        needed -= {0: 0, 1: 2, 2: 0}[number % 3]
    if size < needed or not number:
        raise DataError(
            f"the signal file {file} of {header} holds {max(size, 0)} bytes, {needed} are described ({frames} samples "
            f"of {per_frame} a frame): truncated, or not this record's"
        )
    with open(file, "rb") as stream:
        stream.seek(offset)
        data = np.frombuffer(stream.read(needed), np.uint8)
    if form == "8":
        return data.view(np.int8).astype(np.int32), frames
    if form == "80":
        return data.astype(np.int16) - 128, frames
    if form == "16":
        return data.view("<i2"), frames
    if form == "61":
        return data.view(">i2").astype(np.int16), frames
    if form == "160":
        return data.view("<u2").astype(np.int32) - 32768, frames
    if form == "32":
        return data.view("<i4"), frames
    if form == "24":
        three = data.reshape(-1, 3).astype(np.int32)
        return ((three[:, 0] | three[:, 1] << 8 | three[:, 2] << 16) ^ 0x800000) - 0x800000, frames
    if form == "212":
        three = np.concatenate([data, np.zeros(-len(data) % 3, np.uint8)]).reshape(-1, 3).astype(np.int16)
        pairs = np.stack([three[:, 0] | (three[:, 1] & 0x0F) << 8, three[:, 2] | (three[:, 1] & 0xF0) << 4], 1)
        return ((pairs.reshape(-1)[:number] ^ 0x800) - 0x800).astype(np.int16), frames
    words = np.concatenate([data, np.zeros(-len(data) % 4, np.uint8)]).view("<u2").reshape(-1, 2).astype(np.int32)
    if form == "310":
        third = (words[:, 0] >> 11) | (words[:, 1] >> 11) << 5
        triples = np.stack([words[:, 0] >> 1 & 0x3FF, words[:, 1] >> 1 & 0x3FF, third], 1)
    else:
        both = words[:, 0] | words[:, 1] << 16
        triples = np.stack([both & 0x3FF, both >> 10 & 0x3FF, both >> 20 & 0x3FF], 1)
    return ((triples.reshape(-1)[:number] ^ 0x200) - 0x200).astype(np.int16), frames


def _decode_flac(file: Path, signals: int, frames: int | None, header: Path) -> tuple[np.ndarray, int]:
    """FLAC: channels are the signals; those of several samples per frame are not supported by the format itself."""
    import soundfile

    try:
        values, _ = soundfile.read(file, dtype="int32", always_2d=True)
        kind = soundfile.info(file).subtype
    except Exception as error:
        raise DataError(f"the signal file {file} of {header} is no FLAC file: {error}") from error
    if values.shape[1] != signals or (frames is not None and len(values) < frames):
        raise DataError(f"the signal file {file} of {header} holds {values.shape[1]} signals of {len(values)} samples: "
                        "truncated, or not this record's")  # fmt: skip
    shift = 32 - {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(kind, 16)
    frames = frames or len(values)
    return (values[:frames] >> shift).reshape(-1), frames


def _check_sum(path: Path, i: int, line: SignalLine, values: np.ndarray, notes: list[str]) -> None:
    """Compare with the header's checksum, 16 bits with or without a sign; many programs write 0 for none."""
    if not line.checksum or not len(values):
        return
    found = int(values.sum(dtype=np.int64)) % 65536
    if found == line.checksum % 65536:
        return
    first, name = int(values[0]), line.name or f"signal {i + 1}"
    if line.first is not None and first != line.first and line.form != "8":
        raise DataError(
            f"{line.file} does not belong to {path}: for {name} the header states the first value {line.first} and the "
            f"checksum {line.checksum}, the file has {first} and {found}. If the file is right, remove both from the "
            "header"
        )
    notes.append(
        f"{line.file} was changed after its header was written: for {name} {path.name} states the checksum "
        f"{line.checksum}, the file has {found}"
    )


def _of_segments(header: Header) -> Source:
    """A record of segments: each at its place, gaps as missing, each with its own gains and units."""
    path, notes = header.path, list[str]()
    layout: Header | None = None
    parts: list[tuple[int, Header, list[np.ndarray]]] = []
    at = recorded = 0
    for name, frames in header.segments:
        if name != "~":
            segment = path.with_name(f"{name}.hea")
            if not segment.is_file():
                raise DataError(f"{path} names a segment that is missing: {segment}")
            described = read_header(segment)
            if described.segments:
                raise DataError(f"{segment} has segments itself: those of {path} must hold signals")
            if frames == 0:
                layout = layout or described
                continue
            if described.rate_hz != header.rate_hz:
                raise DataError(f"{segment} has {described.rate_hz:g} Hz, {path} {header.rate_hz:g} Hz")
            if described.frames is not None and described.frames < frames:
                raise DataError(f"{path} takes {frames} samples of {name}, which has {described.frames}: truncated")
            parts.append((at, described, [v[: frames * s.per_frame] for s, v in
                                          zip(described.signals, _digital(described, notes))]))  # fmt: skip
            recorded += frames
        at += frames
    if header.frames and header.frames != at:
        notes.append(f"{path.name} announces {header.frames} samples, its segments have {at}: these are read")
    check_gaps(str(path), recorded, at, header.rate_hz)
    lines = layout.signals if layout is not None else parts[0][1].signals if parts else ()
    if not lines:
        raise DataError(f"{path} describes no signal")
    channels = []
    for i, line in enumerate(lines):
        own: list[tuple[int, SignalLine, np.ndarray]] = []
        for start, described, values in parts:
            if layout is None:
                match = _same_place(path, lines, described, i)
            else:
                match = [k for k, signal in enumerate(described.signals) if signal.name == line.name][:1]
            own += [(start, described.signals[k], values[k]) for k in match]
        per_frame = {signal.per_frame for _, signal, _ in own} | (set() if own else {line.per_frame})
        if len(per_frame) > 1:
            raise DataError(f"{path}: {line.name} has {sorted(per_frame)} samples per frame in its segments")
        each = per_frame.pop()
        unit = own[0][1].unit or "mV" if own else line.unit or "mV"
        channels.append(
            Channel(
                i + 1,
                line.name or f"lead {i + 1}",
                unit,
                header.rate_hz * each,
                partial(_joined, path, unit, at * each, each, own, False),
                partial(_joined, path, unit, at * each, each, own, True),
                bool(line.name),
            )
        )
    return Source(path, "WFDB", tuple(channels), tuple(notes))


def _same_place(path: Path, lines: tuple[SignalLine, ...], segment: Header, i: int) -> list[int]:
    """Where a segment without a layout has signal i of the first: by place, or by name where its order is another.

    Raises: DataError: the segment has other signals.
    """
    names, there = [line.name for line in lines], [signal.name for signal in segment.signals]
    if there == names[: len(there)] or not all(names) or not all(there):
        return [i] if i < len(there) else []
    if len(set(names)) < len(names) or not set(there) <= set(names):
        raise DataError(f"{segment.path} has the signals {', '.join(there)}, the first segment of {path} has "
                        f"{', '.join(names)}: a record of such segments begins with a layout")  # fmt: skip
    return [there.index(names[i])] if names[i] in there else []


def _joined(
    path: Path,
    unit: str,
    length: int,
    per_frame: int,
    own: list[tuple[int, SignalLine, np.ndarray]],
    counts: bool,
) -> np.ndarray:
    from qmodel.data.readers.channels import MV_PER_UNIT, voltage_unit

    gains = sorted({(signal.gain, signal.unit or "mV") for _, signal, _ in own})
    if counts and len(gains) > 1:
        told = ", ".join(f"{gain:g}/{name}" for gain, name in gains)
        raise DataError(f"the segments of {path} have gains of their own ({told}): one gain cannot replace them; give "
                        "--units V, mV or uV to correct a unit")  # fmt: skip
    joined = np.full(length, np.nan)
    convert: Callable = _counts if counts else _physical
    for start, signal, values in own:
        factor = 1.0
        if not counts and (signal.unit or "mV") != unit:
            here, there = voltage_unit(signal.unit or "mV"), voltage_unit(unit)
            if here is None or there is None:
                raise DataError(f"{path}: {signal.name} has the units {signal.unit} and {unit} in its segments")
            factor = MV_PER_UNIT[here[0]] * here[1] / (MV_PER_UNIT[there[0]] * there[1])
        joined[start * per_frame : start * per_frame + len(values)] = convert(signal, values) * factor
    return joined
