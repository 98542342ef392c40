"""Anybody's ECG: read WFDB, EDF or CSV in millivolts, pick a lead, resample to 360 Hz, cut into windows of integers."""

from __future__ import annotations

import csv
import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qmodel.data.mitdb import SAMPLING_RATE_HZ, DataError
from qmodel.data.quality import clipped_samples
from qmodel.fixed_point import MAX_ADC_MAGNITUDE, WINDOW_SAMPLES

ADC_UNITS_PER_MV = 200  # of the MIT-BIH records, which the networks are trained on
WINDOW_S = WINDOW_SAMPLES / SAMPLING_RATE_HZ
# Half of 100 Hz still holds the QRS complex (diagnosis asks for 500 Hz: Kligfield et al., Circulation 115:1306, 2007);
# surface ECG is not sampled faster than 5 kHz: such a rate is a slip, or another signal.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 100.0, 5000.0
CUT_AT_ONCE = 256  # windows: bounds the memory of short hops over long recordings
# Peak to peak in ten seconds; a surface ECG has 0.5 to 10 mV, other figures are in other units.
LOWEST_SPAN_MV, HIGHEST_SPAN_MV = 0.05, 50.0
MV_PER_UNIT = {"V": 1000.0, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}
TRAINED_LEADS = ("MLII", "II")
LIMB_LEADS = ("I", "III", "AVR", "AVL", "AVF", "ML1", "MLI", "MLIII")
_LEAD_ORDER = (*TRAINED_LEADS, "ECG", "EKG", "ECG1", "ECG2", *LIMB_LEADS)
_TIME_COLUMN = re.compile(r"time|sample|second|elapsed|index|^t$|^n$|^ms$|^s$", re.IGNORECASE)
_TEXT_SUFFIXES = (".csv", ".tsv", ".txt")
_EDF_SUFFIXES = (".edf", ".bdf")
SUFFIXES = (".hea", *_EDF_SUFFIXES, *_TEXT_SUFFIXES)


@dataclass(frozen=True)
class Recording:
    """ECG of any origin: signals float32, shape (sample, lead), in mV, NaN where the recorder gave no value.

    Args: path: of the file that was read; kind: WFDB, EDF or CSV; chosen_units: the user said which, so odd amplitudes
        are taken as they are.
    """

    name: str
    signals: np.ndarray
    leads: tuple[str, ...]
    sampling_rate_hz: float
    path: Path | None = None
    kind: str = ""
    chosen_units: bool = False

    def __post_init__(self):
        if self.signals.ndim != 2 or self.signals.shape[1] != len(self.leads):
            raise ValueError(
                f"signals must have the shape (sample, lead), {len(self.leads)} leads, received {self.signals.shape}"
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.signals) / self.sampling_rate_hz

    def lead(self, name: str | None = None) -> Recording:
        """This recording with one lead alone.

        Args: name: the lead (case does not matter) or its number from 1; without it MLII or II, else a lead called
            ECG, else a limb lead, else the first with ECG in its name, else the first.
        Raises: DataError: no such lead; the message lists those there are.
        """
        if name is None:
            column = _likeliest(self.leads)
        else:
            same = [i for i, lead in enumerate(self.leads) if lead.casefold() == name.strip().casefold()]
            same = same or [i for i, lead in enumerate(self.leads) if _plain(lead) == _plain(name)]
            if not same and name.strip().isdecimal() and 1 <= int(name) <= len(self.leads):
                same = [int(name) - 1]
            if not same:
                raise DataError(f"{self.name} has no lead {name!r}: choose one of {', '.join(self.leads)}")
            column = same[0]
        return replace(self, signals=self.signals[:, column : column + 1], leads=(self.leads[column],))

    def windows(self, lead: str | None = None, hop_s: float = WINDOW_S) -> Windows:
        """Windows of one lead at 360 Hz, ready for a classifier: pick the lead, resample, cut.

        Args: lead: as in `lead`; hop_s: seconds from window to window.
        Raises: DataError: no such lead, shorter than a window, without any value, in another unit than mV; a hop out of
            range.
        """
        return self.samples(lead).windows(hop_s)

    def samples(self, lead: str | None = None) -> Samples:
        """One lead at 360 Hz, ready to be cut.

        Args: lead: as in `lead`.
        Raises: DataError: no such lead, shorter than a window, without any value, in another unit than mV.
        """
        one = self.lead(lead)
        signal = one.signals[:, 0]
        rate = self.sampling_rate_hz
        check_rate(rate, self.name)
        if np.isnan(signal).all():
            raise DataError(f"{self.name}, lead {one.leads[0]}: none of its {len(signal)} samples has a value")
        if self.duration_s < WINDOW_S:
            raise DataError(
                f"a window needs {WINDOW_S:g} s of ECG: {self.name} has {len(signal)} samples, {self.duration_s:.3g} s "
                f"at {rate:g} Hz"
            )
        if not self.chosen_units:
            _check_span(signal, rate, self.name, one.leads[0])
        resampled = resample(signal, rate)
        at = np.minimum((np.arange(len(resampled)) * (rate / SAMPLING_RATE_HZ)).astype(np.int64), len(signal) - 1)
        return Samples(one.leads[0], resampled, np.isnan(signal)[at], clipped_samples(signal, rate)[at])


@dataclass(frozen=True)
class Samples:
    """One lead at 360 Hz; every array's shape is (sample,).

    Args: lead: its name; signal_mv: float32, gaps bridged; missing, clipped: bool, the recorder gave no value, or one
        at an end of its range.
    """

    lead: str
    signal_mv: np.ndarray
    missing: np.ndarray
    clipped: np.ndarray

    def __len__(self) -> int:
        return len(self.signal_mv)

    def __getitem__(self, part: slice) -> Samples:
        return Samples(self.lead, self.signal_mv[part], self.missing[part], self.clipped[part])

    def windows(self, hop_s: float = WINDOW_S) -> Windows:
        """Windows of ten seconds. Args: hop_s: from window to window. Raises: DataError: as `cut`."""
        integers, starts = cut(self.signal_mv, hop_s)
        missing, clipped = (_shares(mark, starts) for mark in (self.missing, self.clipped))
        hop = hop_samples(hop_s) / SAMPLING_RATE_HZ
        return Windows(integers, starts / SAMPLING_RATE_HZ, missing, clipped, self.lead, hop, self.signal_mv)


@dataclass(frozen=True)
class Windows:
    """Windows of one lead, in order of time; every array's first axis is the window.

    Args: integers: int16, shape (window, 3600), 200 ADC units per mV, any whole offset (which `standardise` removes);
        start_s: seconds; missing, clipped: share of the window's samples that the recorder did not give, or that stand
        at an end of its range; lead: its name; hop_s: seconds from window to window; signal_mv: float32, shape
        (sample,), the lead at 360 Hz the windows were cut from, gaps bridged.
    """

    integers: np.ndarray
    start_s: np.ndarray
    missing: np.ndarray
    clipped: np.ndarray
    lead: str
    hop_s: float
    signal_mv: np.ndarray

    def __len__(self) -> int:
        return len(self.integers)


def resample(signal: np.ndarray, from_hz: float, to_hz: float = SAMPLING_RATE_HZ) -> np.ndarray:
    """Resample one signal, float32 (sample,), with a low-pass below half the lower rate; NaN are bridged by a line.

    Polyphase filter, Kaiser window, linear phase, no delay; at the same rate the samples stay what they are.
    Source: Crochiere and Rabiner, Multirate Digital Signal Processing, 1983; scipy.signal.resample_poly.
    """
    signal = np.asarray(signal, np.float32)
    gaps = np.isnan(signal)
    if gaps.any():
        given = np.flatnonzero(~gaps)
        bridge = np.interp(np.flatnonzero(gaps), given, signal[given]) if len(given) else 0.0
        signal = signal.copy()
        signal[gaps] = bridge
    ratio = Fraction(to_hz).limit_denominator(1000) / Fraction(from_hz).limit_denominator(1000)
    if ratio == 1:
        return signal
    from scipy.signal import resample_poly  # takes half a second to import, and most rates of interest are 360 Hz

    level = np.median(signal)  # the filter takes what lies beyond the ends as zero
    return (resample_poly(signal - level, ratio.numerator, ratio.denominator) + level).astype(np.float32)


def cut(signal: np.ndarray, hop_s: float = WINDOW_S) -> tuple[np.ndarray, np.ndarray]:
    """Cut a signal at 360 Hz into windows of ten seconds; what is left at the end belongs to none.

    Args: signal: mV, shape (sample,), no NaN; hop_s: seconds from window to window, at most ten.
    Returns: int16, shape (window, 3600), 200 ADC units per mV less a whole number per window; first samples, int64.
        Of a MIT-BIH record at 360 Hz these are its own ADC samples up to that number.
    Raises: DataError: hop out of range, or a signal shorter than a window.
    """
    hop = hop_samples(hop_s)
    if len(signal) < WINDOW_SAMPLES:
        raise DataError(f"a window needs {WINDOW_SAMPLES} samples at {SAMPLING_RATE_HZ} Hz, received {len(signal)}")
    starts = np.arange(0, len(signal) - WINDOW_SAMPLES + 1, hop, dtype=np.int64)
    units = np.rint(ADC_UNITS_PER_MV * np.asarray(signal, np.float64))
    views = np.lib.stride_tricks.sliding_window_view(units, WINDOW_SAMPLES)
    windows = np.empty((len(starts), WINDOW_SAMPLES), np.int16)
    for first in range(0, len(starts), CUT_AT_ONCE):
        part = views[starts[first : first + CUT_AT_ONCE]]
        # A direct-coupled recorder's electrode offset alone may exceed 16 bits.
        part -= np.rint(np.median(part, axis=1, keepdims=True))
        windows[first : first + len(part)] = np.clip(part, -MAX_ADC_MAGNITUDE, MAX_ADC_MAGNITUDE - 1)
    return windows, starts


def hop_samples(hop_s: float) -> int:
    """Samples from window to window at 360 Hz. Raises: DataError: less than one, or more than a window."""
    hop = round(hop_s * SAMPLING_RATE_HZ) if math.isfinite(hop_s) else 0
    if not 1 <= hop <= WINDOW_SAMPLES:
        raise DataError(f"the hop must be more than 0 and at most {WINDOW_S:g} s, received {hop_s:g}")
    return hop


def _shares(mark: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Share of marked samples in the windows that begin at `starts`."""
    before = np.concatenate([[0], np.cumsum(mark)])
    return (before[starts + WINDOW_SAMPLES] - before[starts]) / WINDOW_SAMPLES


def _plain(lead: str) -> str:
    """A lead's name as the order of leads spells it: "ECG II" -> "II", "lead-ii" -> "II", "ECG" -> "ECG"."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", lead.upper()) if word]
    rest = [word for word in words if word not in ("ECG", "EKG", "LEAD", "MV", "UV", "REF")]
    return "".join(rest) or (words[0] if words else "")


def _likeliest(leads: Sequence[str]) -> int:
    """Which lead to take where none is asked for, by its place: see Recording.lead."""
    plain = [_plain(lead) for lead in leads]
    ordered = [plain.index(wanted) for wanted in _LEAD_ORDER if wanted in plain]
    ordered += [i for i, lead in enumerate(leads) if re.search("ECG|EKG", lead.upper())]
    return (ordered or [0])[0]


def read(
    path: str | os.PathLike,
    sampling_rate_hz: float | None = None,
    units: str | None = None,
    lead: str | None = None,
) -> Recording:
    """Read a recording: a WFDB record (named with or without .hea or .dat), an EDF or BDF file, or a CSV file.

    Args: sampling_rate_hz: of a CSV file, which does not tell it, or in place of what a file says;
        units: V, mV, uV, or a gain like 200/mV for samples that are counts, in place of what the file says;
        lead: the one that will be asked for; matters where the leads of an EDF file differ in rate.
    Raises: DataError: missing, empty, truncated or not such a file, no ECG in it, rate missing or out of range.
    """
    path = Path(path).expanduser()
    scale = None if units is None else mv_per(units)
    if sampling_rate_hz is not None:
        check_rate(sampling_rate_hz, "--fs")
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path} is a folder, a recording is a file")
    if suffix in _TEXT_SUFFIXES and path.is_file():
        recording = _read_csv(path, sampling_rate_hz, scale)
    elif suffix in _EDF_SUFFIXES and path.is_file():
        recording = _read_edf(path, sampling_rate_hz, scale, lead)
    else:
        header = path if suffix == ".hea" else path.with_name(f"{path.stem if suffix == '.dat' else path.name}.hea")
        if not header.is_file():
            raise DataError(_not_found(path, header))
        recording = _read_wfdb(header, sampling_rate_hz, scale)
    check_rate(recording.sampling_rate_hz, recording.name)
    if not len(recording.signals):
        raise DataError(f"{path} holds no samples")
    return recording


def find(folder: str | os.PathLike, sampling_rate_hz: float | None = None) -> list[Path]:
    """All recordings in a folder and below it, sorted; CSV files only where a rate is given, .txt files never.

    Raises: DataError: not a folder, or no recording in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    wanted = {".hea", *_EDF_SUFFIXES} | ({".csv"} if sampling_rate_hz is not None else set())
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in wanted and p.is_file() and p.name[0] != ".")
    if not found:
        raise DataError(
            f"{folder} holds no recording: looked for WFDB headers (.hea), .edf and .bdf files, and with --fs for .csv "
            "files, there and in the folders below"
        )
    segments = {p.with_name(f"{name}.hea") for p in found if p.suffix.lower() == ".hea" for name in _segments(p)}
    return [p for p in found if p not in segments]


def _segments(header: Path) -> list[str]:
    """Names of the segments of a WFDB record that is made of such; they are no recordings of their own."""
    lines = [line.split() for line in header.read_text("latin-1").splitlines() if line.strip() and line[0] != "#"]
    if not lines or "/" not in lines[0][0]:
        return []
    return [words[0] for words in lines[1:] if words[0] != "~"]


def mv_per(units: str) -> float:
    """Millivolts per unit: of V, mV, uV, nV, or of a count where `units` is a gain like 200/mV.

    Raises: DataError: neither.
    """
    text = units.strip().replace("µ", "u").replace("μ", "u")
    gain, slash, unit = text.rpartition("/")
    unit = next((known for known in MV_PER_UNIT if known.casefold() == unit.strip().casefold()), "")
    try:
        counts = float(gain) if slash else 1.0
    except ValueError:
        counts = 0.0
    if not unit or not counts > 0 or math.isinf(counts):
        raise DataError(f"units must be {', '.join(MV_PER_UNIT)} or a gain like 200/mV, received {units!r}")
    return MV_PER_UNIT[unit] / counts


def _not_found(path: Path, header: Path) -> str:
    if path.is_file() and path.suffix.lower() != ".dat":
        return f"{path} is of no kind that can be read: WFDB (.hea), .edf, .bdf, .csv, .tsv or .txt"
    if path.is_file() or path.with_name(f"{path.name}.dat").is_file():
        return f"the header of a WFDB record is missing: {header}"
    return f"no such recording: {path}"


def check_rate(rate: float, what: str) -> None:
    """Raise DataError for a sampling rate that no ECG has; what: whose it is."""
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise DataError(
            f"{what}: the sampling rate must be {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g} Hz, received {rate:g} Hz: "
            "correct it with --fs, or resample the recording first"
        )


def _check_span(signal: np.ndarray, rate: float, name: str, lead: str) -> None:
    """Refuse amplitudes that no ECG in mV has; flat and empty stretches say nothing and are left out."""
    length = int(WINDOW_S * rate)
    parts = signal[: len(signal) // length * length].reshape(-1, length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # parts of NaN alone
        spans = np.nanmax(parts, axis=1) - np.nanmin(parts, axis=1)
    spans = spans[spans > 0]  # NaN are not
    if not len(spans) or LOWEST_SPAN_MV <= (span := float(np.median(spans))) <= HIGHEST_SPAN_MV:
        return
    guess = "V" if span < LOWEST_SPAN_MV else "uV, or a gain like 200/mV if they are counts"
    raise DataError(
        f"{name}, lead {lead}: {span:.3g} mV from peak to peak is no ECG in mV ({LOWEST_SPAN_MV:g} to "
        f"{HIGHEST_SPAN_MV:g}): give its units, perhaps --units {guess}"
    )


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _read_wfdb(header: Path, rate: float | None, scale: float | None) -> Recording:
    import wfdb

    record = str(header.with_suffix(""))
    # wfdb meets broken files with whatever its parsing runs into.
    try:
        if not any(line.strip() and line[0] != "#" for line in header.read_text("latin-1").splitlines()):
            raise DataError(f"{header} is empty")
        described = wfdb.rdheader(record)
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"{header} is not a WFDB header: {_why(error)}") from error
    if not described.n_sig or not described.fs:
        raise DataError(f"{header} describes no signal")
    if isinstance(described, wfdb.Record) and (lines := len(described.file_name or ())) != described.n_sig:
        raise DataError(f"{header} is truncated: it announces {described.n_sig} signals and describes {lines}")
    if described.sig_len is not None and described.sig_len < 1:
        raise DataError(f"{header} describes {described.sig_len} samples")
    try:
        content = wfdb.rdrecord(record, return_res=32)
    except FileNotFoundError as error:
        raise DataError(f"{header} names a signal file that is missing: {error.filename}") from error
    except Exception as error:
        raise DataError(
            f"the signal files of {header} do not hold what it describes ({described.sig_len} samples of "
            f"{described.n_sig} signals): truncated, or not this record's: {_why(error)}"
        ) from error
    columns, leads = [], []
    for column, (lead, unit) in enumerate(zip(content.sig_name, content.units)):
        try:
            factor = mv_per(unit) if scale is None else scale * content.adc_gain[column]
        except (DataError, AttributeError):
            continue  # pressure, respiration: no voltage
        signal = content.p_signal[:, column]
        if scale is not None:  # back to counts: the user tells what they are
            signal = signal + np.float32(content.baseline[column] / content.adc_gain[column])
        columns.append(signal * np.float32(factor))
        leads.append(lead or f"lead {column + 1}")
    if not leads:
        raise DataError(
            f"{header} has no signal in volts, its units are {', '.join(map(str, content.units))}: if one is an ECG "
            "give --units"
        )
    return Recording(
        header.stem,
        np.stack(columns, axis=1),
        tuple(leads),
        rate or float(content.fs),
        header,
        "WFDB",
        scale is not None,
    )


def _read_edf(path: Path, rate: float | None, scale: float | None, lead: str | None) -> Recording:
    import edfio

    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    found, data = [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about fields that deviate from the standard
            content = (edfio.read_bdf if path.suffix.lower() == ".bdf" else edfio.read_edf)(path)
            with open(path, "rb") as file:
                described = int(file.read(244)[236:])  # -1 where the recorder never closed the file
            if described > content.num_data_records:
                raise ValueError(f"{content.num_data_records} of {described} data records are there")
            for signal in content.signals:
                try:
                    found.append((signal, mv_per(signal.physical_dimension) if scale is None else scale))
                except DataError:
                    continue  # pressure, respiration: no voltage
            if found:
                rate_hz = _edf_rate([signal for signal, _ in found], lead)
                found = [(s, factor) for s, factor in found if s.sampling_frequency == rate_hz]
                data = [(s.digital if scale is not None else s.data) * factor for s, factor in found]
    except Exception as error:  # edfio meets broken files with whatever its parsing runs into
        raise DataError(f"{path} is not an EDF file, or truncated: {_why(error)}") from error
    if not found:
        units = ", ".join(sorted({s.physical_dimension or "none" for s in content.signals}))
        raise DataError(f"{path} has no signal in volts, its units are {units}: if one is an ECG give --units")
    return Recording(
        path.stem,
        np.stack(data, axis=1).astype(np.float32),
        tuple(s.label or f"lead {i + 1}" for i, (s, _) in enumerate(found)),
        rate or float(rate_hz),
        path,
        "EDF",
        scale is not None,
    )


def _edf_rate(signals: Sequence, lead: str | None) -> float:
    """Sampling rate of the lead asked for, else of the signals that look most like ECG: others may have another."""
    labels = [signal.label for signal in signals]
    same = [i for i, label in enumerate(labels) if lead is not None and _plain(label) == _plain(lead)]
    return signals[same[0] if same else _likeliest(labels)].sampling_frequency


def _read_csv(path: Path, rate: float | None, scale: float | None) -> Recording:
    if rate is None:
        raise DataError(f"{path}: a CSV file does not tell its sampling rate: give --fs, in Hz")
    header = _csv_header(path)
    names, units = header.names, header.units
    import pandas

    try:
        table = pandas.read_csv(
            path, sep=header.delimiter, decimal=header.decimal, header=None, skiprows=header.lines, quotechar="'",
            na_values=["-", "null", "None"], encoding="utf-8-sig", encoding_errors="replace", low_memory=False,
        )  # fmt: skip
    except Exception as error:
        raise DataError(f"{path} is not a table of numbers: {_why(error)}") from error
    if table.shape[1] < len(names):
        raise DataError(f"{path}: the header names {len(names)} columns, the rows have {table.shape[1]}")
    columns, leads = [], []
    for i in range(table.shape[1]):
        name = (names[i] if i < len(names) else "") or f"lead {i + 1}"
        if i < len(names) and _TIME_COLUMN.search(names[i]):
            continue
        column = table[i]
        if column.isna().all() and table.shape[1] > 1:
            continue  # what a delimiter at the end of each line leaves
        if column.dtype.kind not in "iuf":
            text = next(value for value in column if isinstance(value, str) and not _is_number(value))
            raise DataError(f"{path}: column {name!r} must hold numbers, received {text[:40]!r}")
        values = column.to_numpy(np.float64)
        unnamed = i >= len(names) or not names[i]
        if i == 0 and unnamed and table.shape[1] > 1 and _counts_evenly(values):
            continue
        unit = units[i] if scale is None and i < len(units) else None
        factor = scale if scale is not None else _unit_factor(unit, path, name)
        columns.append((np.where(np.isfinite(values), values, np.nan) * factor).astype(np.float32))
        leads.append(name)
    if not columns:
        raise DataError(f"{path} holds no signal")
    if len(set(leads)) < len(leads):
        raise DataError(f"{path}: two columns have one name: {', '.join(leads)}")
    return Recording(path.stem, np.stack(columns, axis=1), tuple(leads), rate, path, "CSV", scale is not None)


class _CsvHeader(NamedTuple):
    """What comes before the numbers of a CSV file: names and units by column (none without a header), lines, marks."""

    names: list[str]
    units: list[str | None]
    lines: int
    delimiter: str
    decimal: str


def _csv_header(path: Path) -> _CsvHeader:
    with open(path, encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = [line for _, line in zip(range(20), file)]
    filled = [line for line in lines if line.strip()]
    if not filled:
        raise DataError(f"{path} is empty")
    if "\0" in "".join(lines):
        raise DataError(f"{path} is not a text file")
    delimiter = max((";", "\t", ",", " "), key=lambda d: (min(line.count(d) for line in filled), d != " "))
    decimal = "," if delimiter in ";\t" and re.search(r"\d,\d", filled[-1]) else "."
    rows = [[field.strip(" '\"\r\n") for field in row] for row in csv.reader(lines, delimiter=delimiter)]
    first = next((i for i, row in enumerate(rows) if _is_data(row, decimal)), None)
    above = [row for row in rows[:first] if any(row)]
    if first is None or len(above) > 2:
        raise DataError(f"{path} is not a table of numbers: one column per lead, after at most two lines of header")
    names: list[str] = above[0] if above else []
    units: list[str | None] = list(above[1]) if len(above) == 2 else []
    if len(above) == 1:  # "MLII (mV)", "MLII [mV]"
        parts = [re.fullmatch(r"(.*?)\s*[(\[]([^)\]]*)[)\]]", name) for name in names]
        units = [part[2] if part else None for part in parts]
        names = [part[1] if part else name for part, name in zip(parts, names)]
    return _CsvHeader(names, units, first, delimiter, decimal)


def _is_data(row: Sequence[str], decimal: str) -> bool:
    """Whether a row has numbers and no words; times of day and gaps are neither."""
    numbers = [_is_number(field.replace(decimal, ".")) for field in row]
    return any(numbers) and not any(re.search("[A-Za-z]", f) and not number for f, number in zip(row, numbers))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _unit_factor(unit: str | None, path: Path, name: str) -> float:
    if unit is None:
        return 1.0
    try:
        return mv_per(unit)
    except DataError as error:
        raise DataError(f"{path}, column {name!r}: {error}") from None


def _counts_evenly(values: np.ndarray) -> bool:
    """Whether a column is sample numbers or times: every step the same, upward."""
    steps = np.diff(values[:1000])
    return len(steps) > 1 and steps[0] > 0 and bool(np.allclose(steps, steps.mean(), rtol=0.01, atol=0))
