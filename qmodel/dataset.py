"""Anybody's labelled recordings: a folder of them, and a table that says what they show.

`labels.csv` has a row per label: the recording (its file, with or without suffix), start and end in seconds (both
empty: all of it), the label, and, where known, the person and the lead that the label is about (several joined by +: a
network of several leads). Every fault of the table is told by its line, with the rule, the value and the way out.
"""

from __future__ import annotations

import csv
import math
import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qmodel.data import quality, readers, recording
from qmodel.data.fragments import CLASSES, Windows
from qmodel.data.mitdb import DataError
from qmodel.data.readers.channels import plain, unnamed
from qmodel.data.recording import STANDARD, Recording, Samples, Takes
from qmodel.files import sha256
from qmodel.fixed_point import MAX_ADC_MAGNITUDE
from qmodel.usage import unusable_names

LABELS = "labels.csv"
REQUIRED, OPTIONAL = ("recording", "start", "end", "label"), ("person", "lead", "comment")
MOST_TOLD = 20  # faults that are told; the others are counted
RATE_GIVEN = 360.0  # any: tables count as recordings whether they tell a rate or not
FEWEST_SAMPLES = 16  # of a window
SLOWEST_HZ = 20.0
SAME_MOMENT_S = 1e-3  # by which times that were rounded may differ


class LabelsError(DataError):
    """Faults of a table, each in a line of its own."""

    lines_apart = True


class Row(NamedTuple):
    """A label. line: of the table; start_s, end_s: None: all of the recording; leads: none: those of the command."""

    line: int
    recording: str
    start_s: float | None
    end_s: float | None
    label: str
    person: str
    leads: tuple[str, ...]


class _Faults:
    """Faults of a table, in order of its lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._found = path, dict[int, str]()

    def add(self, line: int, fault: object) -> None:
        """Keep a line's first fault."""
        self._found.setdefault(line, " ".join(str(fault).split()))

    def stop(self) -> None:
        """Raise LabelsError if there are any."""
        if not self._found:
            return
        told = [f"{self._path}, line {line}: {self._found[line]}" for line in sorted(self._found)]
        if len(told) > MOST_TOLD:
            told = [*told[:MOST_TOLD], f"{self._path}: {len(told) - MOST_TOLD} further lines are refused"]
        raise LabelsError("\n".join(told))


def read_labels(path: str | os.PathLike) -> list[Row]:
    """Read a table of labels: CSV with a head, separated by comma, semicolon or tab, UTF-8.

    Raises: DataError: no such file, another encoding, no rows, columns that are missing or not known; LabelsError: rows
        that cannot be understood, contradict each other or stand twice.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): a data set is a folder with {LABELS}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8, byte {error.start} is not: save it as UTF-8") from None
    first = text.partition("\n")[0]
    mark = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=mark, strict=True)
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not a table ({error}): check its quotation marks") from None
    if not rows:
        raise DataError(f"{path} is empty: its head is {','.join((*REQUIRED, *OPTIONAL))}")
    columns = [cell.strip().casefold() for cell in rows[0][1]]
    known = (*REQUIRED, *OPTIONAL)
    for wrong, rule in (
        ([c for c in columns if c not in known], f"are not known: rename or remove them; known are {', '.join(known)}"),
        ([c for c in REQUIRED if c not in columns], f"are missing: the head is {','.join(known)}"),
        (sorted({c for c in columns if columns.count(c) > 1}), "stand twice: keep one of each"),
    ):
        if wrong:
            raise DataError(
                f"{path}, line {rows[0][0]}: columns {', '.join(c[:40] or '(empty)' for c in wrong)} {rule}"
            )
    faults, found = _Faults(path), list[Row]()
    for line, cells in rows[1:]:
        if len(cells) != len(columns):
            faults.add(line, f"a row must have {len(columns)} cells like the head, received {len(cells)}")
            continue
        try:
            found.append(_row(line, dict(zip(columns, (cell.strip() for cell in cells))), mark == ";"))
        except DataError as error:
            faults.add(line, error)
    _check_together(found, faults)
    faults.stop()
    if not found:
        raise DataError(f"{path} has a head and no rows: give every label a row")
    return found


def _row(line: int, cells: dict[str, str], comma: bool) -> Row:
    name, label = cells["recording"], cells["label"]
    if not name or Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name:
        raise DataError(f"recording must be a file in the folder, received {name[:60]!r}: write its path there")
    for rule in unusable_names([label]).values():
        raise DataError(rule if label else "label must say what the recording shows, received none: fill it in")
    times: dict[str, float | None] = {}
    for column in ("start", "end"):
        text = cells[column]
        if not text:
            times[column] = None
            continue
        try:
            value = float(text.replace(",", ".") if comma else text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            raise DataError(f"{column} must be seconds from the beginning, 0 or more, as 12.5; received {text[:40]!r}")
        times[column] = value
    start, end = times["start"], times["end"]
    if (start is None) != (end is None):
        raise DataError("give start and end both, or leave both empty for all of the recording; received one of them")
    if start is not None and end is not None and end <= start:
        raise DataError(f"end must be after start, received start {start:g} and end {end:g}: swap or correct them")
    leads = tuple(lead.strip() for lead in cells.get("lead", "").split("+")) if cells.get("lead") else ()
    if not all(leads) or len(set(map(str.casefold, leads))) != len(leads):
        raise DataError(f"lead must be names joined by +, each another one, received {cells['lead'][:60]!r}")
    return Row(line, name, start, end, label, cells.get("person", ""), leads)


def _check_together(rows: Sequence[Row], faults: _Faults) -> None:
    """Faults that show between rows."""
    persons, labels, people = dict[str, Row](), dict[str, Row](), dict[str, Row]()
    places: dict[tuple, Row] = {}
    for row in rows:
        key = unicodedata.normalize("NFKC", row.label).casefold()
        other = labels.setdefault(key, row)
        if other.label != row.label:
            faults.add(row.line, f"label {row.label!r} and {other.label!r} of line {other.line} differ by case or "
                                 "spelling alone: write them alike, or rename one")  # fmt: skip
        if row.person:
            other = people.setdefault(unicodedata.normalize("NFKC", row.person).casefold(), row)
            if other.person != row.person:
                faults.add(row.line, f"person {row.person!r} and {other.person!r} of line {other.line} differ by case "
                                     "or spelling alone: write them alike, or rename one")  # fmt: skip
            other = persons.setdefault(row.recording, row)
            if other.person != row.person:
                faults.add(row.line, f"{row.recording} is of person {row.person!r} here and of {other.person!r} in "
                                     f"line {other.line}: a recording is of one person")  # fmt: skip
        other = places.setdefault((row.recording, row.start_s, row.end_s, row.leads), row)
        if other is not row:
            what = "again" if other.label == row.label else f"as {other.label!r}"
            faults.add(
                row.line, f"the same part of {row.recording} stands in line {other.line} {what}: keep one of them"
            )
    _check_overlaps(rows, faults)


def _check_overlaps(rows: Sequence[Row], faults: _Faults) -> None:
    """A moment of a lead has one label: windows of two could not be told apart by any network."""

    def start(row: Row) -> float:
        return row.start_s or 0.0

    def end(row: Row) -> float:
        return math.inf if row.end_s is None else row.end_s

    latest: dict[tuple, dict[str, Row]] = {}  # of every lead of a recording: label -> the row that ends last so far
    for row in sorted(rows, key=lambda row: (start(row), row.line)):
        by_label = latest.setdefault((row.recording, row.leads), {})
        for label, other in by_label.items():
            if label != row.label and end(other) - start(row) > SAME_MOMENT_S:
                first, second = sorted((row, other), key=lambda one: one.line)
                faults.add(
                    second.line,
                    f"{row.recording} is {second.label!r} here and {first.label!r} in line {first.line}, and the two "
                    "overlap: give every moment one label",
                )
        if row.label not in by_label or end(row) > end(by_label[row.label]):
            by_label[row.label] = row


@dataclass(frozen=True)
class Cutting:
    """How windows are cut from the recordings; what is None is told by the data, and refused where it does not tell.

    Args: window_s: seconds of a window (None: the one length of all labels); rate_hz: of the network (None: the one
        rate of all recordings); leads: for rows that name none (none: the likeliest); sampling_rate_hz, units: as in
        qmodel.data.recording.read.
    """

    window_s: float | None = None
    rate_hz: float | None = None
    leads: tuple[str, ...] = ()
    sampling_rate_hz: float | None = None
    units: str | None = None


@dataclass(frozen=True)
class Dataset:
    """A folder with recordings and labels.csv. Raises, in every method: DataError, LabelsError."""

    folder: Path
    cutting: Cutting = Cutting()

    @property
    def table(self) -> Path:
        """The table of labels."""
        return self.folder / LABELS

    @cached_property
    def rows(self) -> list[Row]:
        """The labels."""
        return read_labels(self.table)

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The file of every recording that the table names."""
        faults, found = _Faults(self.table), dict[str, Path]()
        for row in self.rows:
            if row.recording not in found:
                try:
                    found[row.recording] = _find(self.folder, row.recording)
                except DataError as error:
                    faults.add(row.line, error)
        files: dict[Path, str] = {}
        for row in self.rows:
            path = found.get(row.recording)
            if path is not None and files.setdefault(path, row.recording) != row.recording:
                faults.add(row.line, f"{row.recording} and {files[path]} are one file: write them alike")
        faults.stop()
        return found

    @property
    def sums(self) -> dict[str, str]:
        """SHA-256 of the table and of every file of the recordings that it names, by their path in the folder."""
        there = {self.table} | {file for path in self.paths.values() for file in readers.files(path)}
        return {os.path.relpath(file, self.folder): sha256(file) for file in sorted(there)}

    def load(self) -> Windows:
        """The windows of all labels, in the order of the table; a longer label gives several, one after the other."""
        window_s, rate = self._window_s(), self.cutting.rate_hz
        if rate is not None and not SLOWEST_HZ <= rate <= recording.HIGHEST_RATE_HZ:
            raise DataError(f"--rate must be {SLOWEST_HZ:g} to {recording.HIGHEST_RATE_HZ:g} Hz, received {rate:g}")
        faults, parts = _Faults(self.table), list[_Part]()
        channels = self._channels(faults)
        faults.stop()
        told_by = ""  # the recording whose rate the others must have
        for name, path in self.paths.items():
            held: dict[tuple[str, ...], list[Samples] | DataError] = {}
            for row in (row for row in self.rows if row.recording == name):
                leads = row.leads or self.cutting.leads
                if leads not in held:
                    try:
                        source = recording.read(path, self.cutting.sampling_rate_hz, self.cutting.units, leads or None)
                        if rate is None:
                            rate, told_by = source.sampling_rate_hz, name
                        elif self.cutting.rate_hz is None and source.sampling_rate_hz != rate:
                            raise DataError(
                                f"{name} has {source.sampling_rate_hz:g} Hz, {told_by} {rate:g} Hz: say with --rate "
                                "which one the network takes; the others are resampled"
                            )
                        samples = _samples(window_s, rate)
                        held[leads] = _hear(source, leads, Takes(rate, samples, channels, leads or None))
                    except DataError as error:
                        held[leads] = error
                try:
                    found = held[leads]
                    if isinstance(found, DataError):
                        raise found
                    assert rate is not None
                    parts.append(_cut(row, found, window_s, _samples(window_s, rate), rate))
                except DataError as error:
                    faults.add(row.line, error)
        faults.stop()
        assert rate is not None  # there are rows, and none is refused
        return self._joined(sorted(parts, key=lambda part: part.row.line), rate)

    def _window_s(self) -> float:
        """Seconds of a window: as asked, else the one length of all labels."""
        asked = self.cutting.window_s
        lengths = [row.end_s - row.start_s for row in self.rows if row.start_s is not None and row.end_s is not None]
        if asked is None:
            if len(lengths) < len(self.rows):
                raise DataError(
                    f"{self.table} has labels of whole recordings: give the length of a window with --window"
                )
            if max(lengths) - min(lengths) > 1e-3:
                raise DataError(
                    f"{self.table}: labels last {min(lengths):g} to {max(lengths):g} s: give a window's seconds "
                    "with --window; longer labels give several windows"
                )
            asked = float(np.median(lengths))
        if not math.isfinite(asked) or asked <= 0:
            raise DataError(f"--window must be more than 0 s, received {asked:g}")
        return asked

    def _channels(self, faults: _Faults) -> int:
        """Leads of a window, the same number in all rows."""
        number = {row.line: len(row.leads or self.cutting.leads or ("any",)) for row in self.rows}
        first = self.rows[0].line
        for line, leads in number.items():
            if leads != number[first]:
                faults.add(line, f"every row must name as many leads, {number[first]} like line {first}, received "
                                 f"{leads}: a network takes one number of leads")  # fmt: skip
        return number[first]

    def _joined(self, parts: Sequence[_Part], rate: float) -> Windows:
        names = {part.row.label for part in parts}
        if len(names) < 2:
            raise DataError(f"{self.table} has one label, {names.pop()!r}: a classifier needs at least two")
        ours = all(name in CLASSES for name in names)
        classes = tuple(name for name in CLASSES if name in names) if ours else tuple(sorted(names))
        known = {part.row.recording: part.row.person for part in parts if part.row.person}

        def each(values: Iterator[str]) -> np.ndarray:
            return np.array([v for part, v in zip(parts, values, strict=True) for _ in part.starts])

        return Windows(
            np.concatenate([part.integers for part in parts]),
            np.array([classes.index(part.row.label) for part in parts for _ in part.starts], np.int64),
            each(part.row.recording for part in parts),
            np.concatenate([part.starts for part in parts]),
            each("+".join(part.leads) for part in parts),
            f"data set {self.folder.resolve().name}",
            classes,
            # A recording whose person is not known counts as a person of its own; the prefix keeps it from a person's
            # name.
            each(f"person {known[name]}" if (name := part.row.recording) in known else f"recording {name}"
                 for part in parts),
            rate,
            _lead_names(parts),
        )  # fmt: skip

    def notes(self, windows: Windows) -> list[str]:
        """What a person should know about a data set, a line each."""
        said = []
        unknown = set(windows.record[np.char.startswith(windows.persons, "recording ")].tolist())
        if unknown:
            said.append(
                f"{len(unknown)} recordings have no person in the table: each counts as a person of its own, so what "
                "is told about persons not seen holds only if it is so"
            )
        try:
            there = set(recording.find(self.folder, RATE_GIVEN)) - {self.table}
        except DataError:
            there = set()
        if idle := len(there - set(self.paths.values())):
            said.append(f"{idle} recordings in the folder have no label and are not used")
        return said


class _Part(NamedTuple):
    """Windows of a row: integers int16 (window, sample) or (window, sample, lead), first samples, leads."""

    row: Row
    integers: np.ndarray
    starts: np.ndarray
    leads: tuple[str, ...]


def _samples(window_s: float, rate: float) -> int:
    samples = round(window_s * rate)
    if not FEWEST_SAMPLES <= samples <= MAX_ADC_MAGNITUDE:
        raise DataError(
            f"a window must have {FEWEST_SAMPLES} to {MAX_ADC_MAGNITUDE} samples, {window_s:g} s at {rate:g} Hz are "
            f"{samples}: choose another --window or --rate"
        )
    return samples


def _find(folder: Path, name: str) -> Path:
    """The file of a recording. Raises: DataError: none, or several of that name."""
    path = folder / name
    if path.is_file():
        if path.name == LABELS:
            raise DataError(f"{name} is the table itself: name a recording")
        return path
    header = path.with_name(f"{path.name}.hea")
    if header.is_file():
        return header
    same = []
    if path.parent.is_dir():
        same = [p for p in sorted(path.parent.iterdir()) if p.is_file() and p.name.startswith(f"{path.name}.")]
        same = [p for p in same if readers.is_recording(p, True) or p.suffix.lower() == ".txt"]
    if len(same) != 1:
        listed = ", ".join(p.name for p in same[:5])
        what = f"several recordings are called {name!r} ({listed}): write the suffix too" if same else (
            f"there is no recording {name!r} in the folder: correct its name, or remove the row")  # fmt: skip
        raise DataError(what)
    return same[0]


def _hear(source: Recording, leads: tuple[str, ...], takes: Takes) -> list[Samples]:
    """The leads of a recording at the network's rate."""
    names = source.choose(None, takes) if leads else [None]
    return [source.samples(name, takes.rate_hz, takes.window_s) for name in names]


def _cut(row: Row, heard: Sequence[Samples], window_s: float, samples: int, rate: float) -> _Part:
    """A row's windows. Raises: DataError: beyond the recording, shorter than a window, flat, or not given."""
    whole = len(heard[0])
    start = 0 if row.start_s is None else round(row.start_s * rate)
    end = whole if row.end_s is None else round(row.end_s * rate)
    if end > whole + 1 or start >= whole:
        raise DataError(
            f"end must lie in the recording, which lasts {whole / rate:.3f} s, received {row.start_s:g} to "
            f"{row.end_s:g}: correct the times"
        )
    end = min(end, whole)
    if end - start < samples - 1:
        raise DataError(
            f"a label must last at least a window, {window_s:g} s, received {(end - start) / rate:.3g} s: lengthen it, "
            "or choose a shorter --window"
        )
    start = min(start, whole - samples)  # a window that ends within a sample of the recording's end
    number = max(1, (end - start) // samples)
    starts = start + samples * np.arange(number)
    parts = []
    for lead in heard:
        stretch = slice(start, start + number * samples)
        units, _ = recording.cut(lead.signal_mv[stretch], samples / rate, samples, rate)
        gone = lead.missing[stretch].reshape(number, samples).mean(1)
        for i in range(number):
            at = f"lead {lead.lead}, {starts[i] / rate:g} to {(starts[i] + samples) / rate:g} s"
            if gone[i] >= quality.MISSING_LIMIT:
                raise DataError(
                    f"the recorder gave no value for {gone[i]:.0%} of {at}: label a part that it recorded, or remove "
                    "the row"
                )
            if not np.ptp(units[i]):
                raise DataError(f"the signal is flat in {at}: label another part or lead, or remove the row")
        parts.append(units)
    integers = parts[0] if len(parts) == 1 else np.stack(parts, axis=2)
    return _Part(row, integers, starts.astype(np.int64), tuple(lead.lead for lead in heard))


def _lead_names(parts: Sequence[_Part]) -> tuple[str, ...] | None:
    """The leads' names if all windows have the same; None: they differ, or the columns have no names."""
    first = parts[0].leads
    same = all([plain(name) for name in part.leads] == [plain(name) for name in first] for part in parts)
    return first if same and not any(map(unnamed, first)) else None


def takes_of(windows: Windows) -> Takes:
    """What a network that learns from windows takes."""
    channels = 1 if windows.signals.ndim == 2 else windows.signals.shape[2]
    return STANDARD._replace(
        rate_hz=windows.rate_hz, samples=windows.signals.shape[1], channels=channels, leads=windows.leads
    )
