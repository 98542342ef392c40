"""Anybody's ECG: read WFDB, EDF or CSV in millivolts, pick a lead, resample to 360 Hz, cut into windows of integers."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from qmodel.data import readers
from qmodel.data.mitdb import SAMPLING_RATE_HZ, DataError
from qmodel.data.quality import clipped_samples
from qmodel.data.readers.channels import (
    COUNTS,
    ECG,
    MV_PER_UNIT,
    NO_UNIT,
    OTHER,
    PHYSICAL,
    TRAINED_LEADS,
    UNKNOWN,
    VOLTAGE,
    Channel,
    Source,
    is_gain,
    kind_of_name,
    kind_of_unit,
    likeliest,
    mv_per,
    plain,
    unnamed,
    voltage_unit,
)
from qmodel.data.resampling import Converter, resample
from qmodel.fixed_point import MAX_ADC_MAGNITUDE, WINDOW_SAMPLES

ADC_UNITS_PER_MV = 200  # of the MIT-BIH records, which the networks are trained on
WINDOW_S = WINDOW_SAMPLES / SAMPLING_RATE_HZ
# Half of 100 Hz still holds the QRS complex (diagnosis asks for 500 Hz: Kligfield et al., Circulation 115:1306, 2007);
# surface ECG is not sampled faster than 5 kHz: such a rate is a slip, or another signal.
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 100.0, 5000.0
CUT_AT_ONCE = 256  # windows: bounds the memory of short hops over long recordings
# Peak to peak in ten seconds; a surface ECG has 0.5 to 10 mV, other figures are in other units.
LOWEST_SPAN_MV, HIGHEST_SPAN_MV = 0.05, 50.0
SUFFIXES = (".hea", ".edf", ".bdf", ".csv", ".tsv", ".txt")

__all__ = ["Recording", "Samples", "Takes", "Windows", "cut", "find", "hop_samples", "mv_per", "read", "resample"]


class Takes(NamedTuple):
    """What a network takes of a recording; the defaults are those of the shipped networks.

    rate_hz: sampling rate; samples: of a window, at that rate; channels: leads of a window; leads: their names, None:
    the one lead may be any, and the likeliest is taken.
    """

    rate_hz: float = SAMPLING_RATE_HZ
    samples: int = WINDOW_SAMPLES
    channels: int = 1
    leads: tuple[str, ...] | None = None

    @property
    def window_s(self) -> float:
        """Seconds of a window."""
        return self.samples / self.rate_hz


STANDARD = Takes()


@dataclass(frozen=True)
class Recording:
    """ECG of any origin: signals float32, shape (sample, lead), in mV, NaN where the recorder gave no value.

    Args: path: of the file that was read; kind: its format; chosen_units: the user said which, so odd amplitudes are
        taken as they are; numbers: places of the leads in the file, from 1 (by default as they stand here); others:
        descriptions of its other channels; notes: what the user should know, a line each; kinds: what the leads' names
        say (qmodel.data.readers.channels), told from the names where it is empty.
    """

    name: str
    signals: np.ndarray
    leads: tuple[str, ...]
    sampling_rate_hz: float
    path: Path | None = None
    kind: str = ""
    chosen_units: bool = False
    numbers: tuple[int, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.signals.ndim != 2 or self.signals.shape[1] != len(self.leads):
            raise ValueError(
                f"signals must have the shape (sample, lead), {len(self.leads)} leads, received {self.signals.shape}"
            )

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.signals) / self.sampling_rate_hz

    @property
    def _numbers(self) -> tuple[int, ...]:
        return self.numbers or tuple(range(1, len(self.leads) + 1))

    def _listed(self) -> str:
        own = [
            f"{lead} (number {number})" if self.numbers else lead
            for number, lead in sorted(zip(self._numbers, self.leads))
        ]  # fmt: skip
        return ", ".join([*own, *self.others][:40])

    def lead(self, name: str | None = None) -> Recording:
        """This recording with one lead alone.

        Args: name: the lead (case does not matter) or its number in the file, from 1; without it MLII or II, else one
            called ECG, else a limb lead, else the first that is named as an ECG lead (aVR last), else the only one.
        Raises: DataError: no such lead; several of one name; none named, and several that may be meant, none of them
            named as an ECG lead. The message lists those there are.
        """
        if name is None:
            column = self._likeliest()
        else:
            same = _by_name(name, self.leads, self._numbers)
            if not same:
                raise DataError(f"{self.name} has no lead {name!r}: choose one of {self._listed()}")
            if len(same) > 1:
                raise DataError(f"{self.name} has {len(same)} leads {name!r}: choose by number of {self._listed()}")
            column = same[0]
        return replace(
            self,
            signals=self.signals[:, column : column + 1],
            leads=(self.leads[column],),
            numbers=(self._numbers[column],) if self.numbers else (),
            kinds=self.kinds[column : column + 1],
        )

    def _likeliest(self) -> int:
        kinds = self.kinds or tuple(kind_of_name(lead, self.leads) for lead in self.leads)
        named = [i for i, kind in enumerate(kinds) if kind == ECG]
        if named:
            return named[likeliest([self.leads[i] for i in named])]
        open_ = [i for i, kind in enumerate(kinds) if kind == UNKNOWN] or list(range(len(self.leads)))
        if len(open_) == 1:
            return open_[0]
        if all(unnamed(self.leads[i]) for i in open_):
            return self._first_plausible(open_)  # columns without names: nothing says that they are no ECG
        raise DataError(
            f"{self.name}: none of its channels is named as an ECG lead, name one with --lead: {self._described(open_)}"
        )

    def _first_plausible(self, columns: Sequence[int]) -> int:
        for column in columns:
            span = _span(self.signals[:, column], self.sampling_rate_hz)
            if span is not None and LOWEST_SPAN_MV <= span <= HIGHEST_SPAN_MV:
                return column
        return columns[0]

    def _described(self, columns: Sequence[int]) -> str:
        found = []
        for i in columns:
            span = _span(self.signals[:, i], self.sampling_rate_hz)
            size = "flat" if span is None else f"{span:.3g} mV from peak to peak"
            found.append(f"{self.leads[i]} (number {self._numbers[i]}, {self.sampling_rate_hz:g} Hz, {size})")
        return ", ".join([*found, *self.others])

    def windows(self, lead: str | None = None, hop_s: float | None = None, takes: Takes = STANDARD) -> Windows:
        """Windows ready for a classifier: pick the leads, resample, cut.

        Args: lead: as in `choose`; hop_s: seconds from window to window, None: a window; takes: what the network takes.
        Raises: DataError: no such lead, shorter than a window, without any value, in another unit than mV; a hop out of
            range.
        """
        names = self.choose(lead, takes)
        heard = [self.samples(name, takes.rate_hz, takes.window_s) for name in names]
        shown = heard[0]
        if takes.rate_hz != SAMPLING_RATE_HZ:
            shown = self.samples(names[0], SAMPLING_RATE_HZ, takes.window_s)
        return windows_of(heard, takes.samples, hop_s, shown)

    def choose(self, lead: str | None, takes: Takes) -> list[str | None]:
        """The leads that a network hears, in the order of its channels; None: the likeliest.

        Args: lead: names or numbers, joined by + where the network takes several; None: those that the network names.
        Raises: DataError: a lead that is not there, another number of leads than the network takes, one twice.
        """
        several = takes.channels > 1
        own = f"the network takes {takes.channels} lead{'s' if several else ''}"
        if takes.leads:
            own += f" ({', '.join(takes.leads)})"
        if lead is None and takes.leads is None:
            if not several:
                return [None]
            raise DataError(f"{own} and does not say which: name them with --lead, joined by +, from {self._listed()}")
        wanted = takes.leads if lead is None else lead.split("+") if several else (lead,)
        assert wanted is not None  # told above
        if len(wanted) != takes.channels:
            raise DataError(f"{own}, received --lead {lead}: name {takes.channels}, joined by +")
        if several and len(self.leads) < takes.channels:
            raise DataError(f"{own}, {self.name} has {len(self.leads)}: {self._listed()}")
        found: list[str | None] = []
        for name in wanted:
            places = _by_name(name, self.leads, self._numbers)
            if not places and lead is None and name.upper() in TRAINED_LEADS:
                alike = [other for other in TRAINED_LEADS if _by_name(other, self.leads, ())]  # MLII is a lead II
                places = _by_name(alike[0], self.leads, ()) if alike else []
            if not places:
                choice = "" if lead is not None else "; if another is to be taken, name it with --lead"
                raise DataError(f"{own}, {self.name} has no lead {name!r}: it has {self._listed()}{choice}")
            if len(places) > 1:
                raise DataError(f"{self.name} has {len(places)} leads {name!r}: choose by number of {self._listed()}")
            found.append(str(self._numbers[places[0]]) if _ambiguous(self.leads, places[0]) else self.leads[places[0]])
        if len(set(found)) != len(found):
            raise DataError(f"{own}, received {'+'.join(wanted)}: each must be another one")
        return found

    def samples(
        self, lead: str | None = None, rate_hz: float = SAMPLING_RATE_HZ, window_s: float = WINDOW_S
    ) -> Samples:
        """One lead at a network's rate, ready to be cut.

        Args: lead: as in `lead`; rate_hz: wanted; window_s: seconds that it must have at least.
        Raises: DataError: no such lead, shorter than a window, without any value, in another unit than mV.
        """
        one = self.lead(lead)
        signal = one.signals[:, 0]
        rate = self.sampling_rate_hz
        check_rate(rate, self.name)
        if np.isnan(signal).all():
            raise DataError(f"{self.name}, lead {one.leads[0]}: all {len(signal):,} samples are missing")
        if self.duration_s < window_s:
            raise DataError(
                f"a window needs {window_s:g} s of ECG: {self.name} has {len(signal)} samples, {self.duration_s:.3g} s "
                f"at {rate:g} Hz"
            )
        if not self.chosen_units:
            _check_span(signal, rate, self.name, one.leads[0])
        converter = Converter(rate, rate_hz)
        parts = [converter.feed(signal), converter.flush()]
        resampled, missing = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        at = np.minimum((np.arange(len(resampled)) * (rate / rate_hz)).astype(np.int64), len(signal) - 1)
        return Samples(one.leads[0], resampled, missing, clipped_samples(signal, rate)[at], rate_hz)


@dataclass(frozen=True)
class Samples:
    """One lead, at 360 Hz where nothing else is said; every array's shape is (sample,).

    Args: lead: its name; signal_mv: float32, gaps bridged; missing, clipped: bool, the recorder gave no value, or one
        at an end of its range; rate_hz: of the samples.
    """

    lead: str
    signal_mv: np.ndarray
    missing: np.ndarray
    clipped: np.ndarray
    rate_hz: float = SAMPLING_RATE_HZ

    def __len__(self) -> int:
        return len(self.signal_mv)

    def __getitem__(self, part: slice) -> Samples:
        return Samples(self.lead, self.signal_mv[part], self.missing[part], self.clipped[part], self.rate_hz)

    def windows(self, hop_s: float | None = None) -> Windows:
        """Windows of ten seconds. Args: hop_s: from window to window. Raises: DataError: as `cut`."""
        return windows_of([self], round(WINDOW_S * self.rate_hz), hop_s)


def windows_of(
    heard: Sequence[Samples], samples: int, hop_s: float | None = None, shown: Samples | None = None
) -> Windows:
    """Windows of one or more leads of one rate.

    Args: heard: the leads in the order of a network's channels; samples: of a window; hop_s: from window to window,
        None: a window; shown: the first lead at 360 Hz, for pictures and beats, where they are of another rate.
    Raises: DataError: as `cut`.
    """
    rate = heard[0].rate_hz
    hop_s = samples / rate if hop_s is None else hop_s
    parts = [cut(lead.signal_mv, hop_s, samples, rate) for lead in heard]
    starts = parts[0][1]
    integers = parts[0][0] if len(heard) == 1 else np.stack([part[0] for part in parts], axis=2)
    # Of several leads the worst counts: a window is not usable if one of them is not.
    missing, clipped = (
        np.max([_shares(getattr(lead, mark), starts, samples) for lead in heard], axis=0)
        for mark in ("missing", "clipped")
    )
    shown = heard[0] if shown is None else shown
    hop = hop_samples(hop_s, samples, rate) / rate
    name = "+".join(lead.lead for lead in heard)
    return Windows(integers, starts / rate, missing, clipped, name, hop, shown.signal_mv, shown.missing, rate)


def _ambiguous(leads: Sequence[str], place: int) -> bool:
    return len(_by_name(leads[place], leads, ())) > 1


@dataclass(frozen=True)
class Windows:
    """Windows of a recording, in order of time; every array's first axis is the window.

    Args: integers: int16, shape (window, sample), or (window, sample, lead) of several leads; 200 ADC units per mV, any
        whole offset (which `standardise` removes);
        start_s: seconds; missing, clipped: share of the window's samples that the recorder did not give, or that stand
        at an end of its range; lead: its name, several joined by +; hop_s: seconds from window to window; signal_mv:
        float32, shape (sample,), the first lead at 360 Hz, gaps bridged; missing_samples: bool (sample,), where
        they were, empty if that is not known; rate_hz: of the windows.
    """

    integers: np.ndarray
    start_s: np.ndarray
    missing: np.ndarray
    clipped: np.ndarray
    lead: str
    hop_s: float
    signal_mv: np.ndarray
    missing_samples: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    rate_hz: float = SAMPLING_RATE_HZ

    def __len__(self) -> int:
        return len(self.integers)

    @property
    def window_s(self) -> float:
        """Seconds of a window."""
        return self.integers.shape[1] / self.rate_hz


def cut(
    signal: np.ndarray, hop_s: float = WINDOW_S, samples: int = WINDOW_SAMPLES, rate_hz: float = SAMPLING_RATE_HZ
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a signal into windows; what is left at the end belongs to none.

    Args: signal: mV, shape (sample,), no NaN; hop_s: seconds from window to window, at most a window; samples: of a
        window; rate_hz: of the signal.
    Returns: int16, shape (window, sample), 200 ADC units per mV less a whole number per window; first samples, int64.
        Of a MIT-BIH record at 360 Hz these are its own ADC samples up to that number.
    Raises: DataError: hop out of range, or a signal shorter than a window.
    """
    hop = hop_samples(hop_s, samples, rate_hz)
    if len(signal) < samples:
        raise DataError(f"a window needs {samples} samples at {rate_hz:g} Hz, received {len(signal)}")
    starts = np.arange(0, len(signal) - samples + 1, hop, dtype=np.int64)
    units = np.rint(ADC_UNITS_PER_MV * np.asarray(signal, np.float64))
    views = np.lib.stride_tricks.sliding_window_view(units, samples)
    windows = np.empty((len(starts), samples), np.int16)
    for first in range(0, len(starts), CUT_AT_ONCE):
        part = views[starts[first : first + CUT_AT_ONCE]]
        # A direct-coupled recorder's electrode offset alone may exceed 16 bits.
        part -= np.rint(np.median(part, axis=1, keepdims=True))
        windows[first : first + len(part)] = np.clip(part, -MAX_ADC_MAGNITUDE, MAX_ADC_MAGNITUDE - 1)
    return windows, starts


def hop_samples(hop_s: float, samples: int = WINDOW_SAMPLES, rate_hz: float = SAMPLING_RATE_HZ) -> int:
    """Samples from window to window. Raises: DataError: less than one, or more than a window."""
    hop = round(hop_s * rate_hz) if math.isfinite(hop_s) else 0
    if not 1 <= hop <= samples:
        raise DataError(f"the hop must be more than 0 and at most {samples / rate_hz:g} s, received {hop_s:g}")
    return hop


def _shares(mark: np.ndarray, starts: np.ndarray, samples: int) -> np.ndarray:
    """Share of marked samples in the windows that begin at `starts`."""
    before = np.concatenate([[0], np.cumsum(mark)])
    return (before[starts + samples] - before[starts]) / samples


def read(
    path: str | os.PathLike,
    sampling_rate_hz: float | None = None,
    units: str | None = None,
    lead: str | Sequence[str] | None = None,
) -> Recording:
    """Read a recording of any format of docs/recordings.md; a WFDB record is named with or without .hea or .dat.

    Args: sampling_rate_hz: of a table that does not tell it; in place of what another file says;
        units: V, mV or uV in place of the unit's name in the file, or a gain like 200/mV for samples that are counts;
        lead: what will be asked for, one or several, by name or number in the file; matters where channels differ in
        rate, or are not named as leads.
    Raises: DataError: missing, empty, truncated or of no known format, no ECG in it, a unit that is not understood,
        rate missing, contradicted or out of range.
    """
    path = Path(path).expanduser()
    if units is not None:
        mv_per(units)
    if sampling_rate_hz is not None:
        check_rate(sampling_rate_hz, "--fs")
    source = readers.read(path, sampling_rate_hz)
    try:
        return _chosen(source, sampling_rate_hz, units, lead)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # channels are decoded when they are taken: the readers' last net holds here too
        raise DataError(
            f"{path} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def read_for(
    takes: Takes,
    path: str | os.PathLike,
    lead: str | None = None,
    sampling_rate_hz: float | None = None,
    units: str | None = None,
) -> Recording:
    """Read a recording for a network. Args: lead: as in Recording.choose; others as in `read`, which raises."""
    if lead is None and takes.leads:
        try:
            return read(path, sampling_rate_hz, units, takes.leads)
        except DataError:
            pass  # what is there instead is read, and `choose` says what is missing
    asked = lead.split("+") if lead is not None and takes.channels > 1 else lead
    return read(path, sampling_rate_hz, units, asked)


def _chosen(source: Source, asked_hz: float | None, units: str | None, lead: str | Sequence[str] | None) -> Recording:
    """The channels of a source that are or may be ECG and have the rate of the one that is asked for."""
    path, channels = source.path, source.channels
    if not channels:
        raise DataError(source.empty or f"{path} holds no signal")
    names = [c.name for c in channels]
    kinds = [kind_of_name(c.name, names) if c.named else UNKNOWN for c in channels]
    candidates = [
        i for i, c in enumerate(channels)
        if kinds[i] != OTHER and (units is not None or kind_of_unit(c.unit) != PHYSICAL)
    ]  # fmt: skip
    asked: list[int] = []
    if lead is not None:
        asked = [_asked(name, channels, path.stem) for name in ([lead] if isinstance(lead, str) else lead)]
        first = asked[0]
    else:
        if not candidates:
            raise DataError(_no_ecg(source, kinds))
        clear = [i for i in candidates if units is not None or _understood(channels[i], source.mv_assumed)]
        named = [i for i in clear if kinds[i] == ECG] or [i for i in candidates if kinds[i] == ECG]
        pool = named or clear or candidates
        first = pool[likeliest([names[i] for i in pool])] if named else pool[0]
        if not named and len(candidates) > len(clear):
            first = next(i for i in candidates if i not in clear)
        if not named and clear and len(candidates) > 1:
            first = clear[0]
    chosen = channels[first]
    for one in [channels[i] for i in asked or [first]]:
        if units is None and not _understood(one, source.mv_assumed):
            raise DataError(
                f"{path}: {one.described} is not in volts: units must be {', '.join(MV_PER_UNIT)} or a gain like "
                f"200/mV for counts; if it is an ECG give --units{_counts_hint(one)}"
            )
        if one.rate_hz != chosen.rate_hz:
            raise DataError(
                f"{path}: leads that are classified together must have one rate, received {chosen.described} and "
                f"{one.described}"
            )
    rate = asked_hz or chosen.rate_hz
    if rate is None:
        raise DataError(f"{path} does not tell its sampling rate: give --fs, in Hz")
    check_rate(rate, path.stem)
    taken = [
        i for i in sorted({*candidates, first, *asked})
        if channels[i].rate_hz == chosen.rate_hz
        and (i in (first, *asked) or units is not None or _understood(channels[i], source.mv_assumed))
    ]  # fmt: skip
    signals = [_millivolts(channels[i], units) for i in taken]
    length = len(signals[taken.index(first)])
    if not length:
        raise DataError(f"{path} holds no samples")
    kept = [(i, signal) for i, signal in zip(taken, signals) if len(signal) == length]
    notes = list(source.notes)
    if asked_hz is not None and chosen.rate_hz and abs(asked_hz / chosen.rate_hz - 1) > 1e-3:
        notes.append(f"{path.name} says {chosen.rate_hz:g} Hz, --fs {asked_hz:g} is used instead")
    alike = [channels[i] for i in candidates if names[i] == names[first]]
    if lead is None and len(alike) > 1:
        notes.append(f"{len(alike)} channels of {path.name} are named {chosen.name}: number {chosen.number} is used "
                     f"(others: --lead {', '.join(str(c.number) for c in alike if c is not chosen)})")  # fmt: skip
    span = _span(signals[taken.index(first)], rate)
    if units is not None and span is not None and not LOWEST_SPAN_MV <= span <= HIGHEST_SPAN_MV:
        notes.append(
            f"with --units {units} {chosen.name} has {span:.3g} mV from peak to peak, which is not plausible for an ECG"
        )
    if lead is None and kinds[first] != ECG:
        how = "its name does not say that it is an ECG" if not unnamed(chosen.name) else "its channels have no names"
        if len(channels) > 1:
            notes.append(f"{chosen.name} of {path.name} is used as the ECG, but {how}")
    return Recording(
        path.stem if source.kind == "WFDB" else stem(path),
        np.stack([signal for _, signal in kept], axis=1),
        tuple(names[i] for i, _ in kept),
        float(rate),
        path,
        source.kind,
        units is not None,
        tuple(channels[i].number for i, _ in kept),
        tuple(c.described for i, c in enumerate(channels) if i not in [k for k, _ in kept]),
        tuple(notes),
        tuple(kinds[i] for i, _ in kept),
    )


def stem(path: Path) -> str:
    """A file's name without the suffixes of its format: two of a packed table, like .csv.gz."""
    inner = Path(path.stem)
    packed = path.suffix.lower() in readers.tables.PACKED and inner.suffix.lower() in readers.tables.SUFFIXES
    return inner.stem if packed else path.stem


def _understood(channel: Channel, mv_assumed: bool) -> bool:
    kind = kind_of_unit(channel.unit)
    return kind == VOLTAGE or (kind == NO_UNIT and mv_assumed)


def _counts_hint(channel: Channel) -> str:
    return ", the gain of the recorder" if kind_of_unit(channel.unit) == COUNTS else ""


def _millivolts(channel: Channel, units: str | None) -> np.ndarray:
    """Samples in mV, float32; a unit's name converts what is calibrated, a gain replaces the calibration."""
    if units is None:
        known = voltage_unit(channel.unit or "mV")
        assert known is not None  # told before
        values = channel.physical() * (MV_PER_UNIT[known[0]] * known[1])
    elif is_gain(units):
        values = channel.counts() * mv_per(units)
    else:
        values = channel.physical() * mv_per(units)
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values) & (np.abs(values) < 1e30), values, np.nan).astype(np.float32)


def _no_ecg(source: Source, kinds: list[str]) -> str:
    channels = source.channels
    listed = ", ".join(c.described for c in channels[:20]) + (", ..." if len(channels) > 20 else "")
    if all(kind_of_unit(c.unit) == PHYSICAL for c in channels):
        units = ", ".join(dict.fromkeys(str(c.unit) for c in channels))
        return (
            f"{source.path} has no signal in volts; its units are {units} (units must be {', '.join(MV_PER_UNIT)}): "
            f"if one is an ECG give --units. Its channels: {listed}"
        )
    return f"{source.path} holds no ECG: its channels are {listed}; if one of them is an ECG, name it with --lead"


def _asked(lead: str, channels: Sequence[Channel], name: str) -> int:
    """Place of the channel that is asked for by name or number. Raises: DataError: none, or several of one name."""
    found = _by_name(lead, [c.name for c in channels], [c.number for c in channels])
    if len(found) == 1:
        return found[0]
    listed = ", ".join(c.described for c in channels[:40])
    if found:
        raise DataError(f"{name} has {len(found)} channels named {lead!r}: give a number; its channels: {listed}")
    raise DataError(f"{name} has no lead {lead!r}: choose one of {listed}")


def _by_name(lead: str, names: Sequence[str], numbers: Sequence[int]) -> list[int]:
    """Places of the channels that a lead's name means: as it is written, as leads are spelled, else by number."""
    asked = lead.strip()
    same = [i for i, name in enumerate(names) if name.casefold() == asked.casefold()]
    same = same or [i for i, name in enumerate(names) if plain(asked) and plain(name) == plain(asked)]
    if not same and asked.isdecimal():
        same = [i for i, number in enumerate(numbers) if number == int(asked)]
    return same


def find(folder: str | os.PathLike, sampling_rate_hz: float | None = None) -> list[Path]:
    """All recordings in a folder and below it, sorted; tables that tell no rate only where one is given, .txt never.

    Raises: DataError: not a folder, or no recording in it.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    there = sorted(p for p in folder.rglob("*") if p.name[0] != "." and p.is_file())
    found = [p for p in there if readers.is_recording(p, sampling_rate_hz is not None)]
    if not found:
        raise DataError(
            f"{folder} holds no recording: looked for WFDB headers (.hea), EDF and BDF, clinical files, tables (.csv, "
            ".tsv) that tell their rate, and with --fs for other such tables, there and in the folders below"
        )
    segments = {
        p.with_name(f"{name}.hea")
        for p in found
        if p.suffix.lower() == ".hea"
        for name in readers.wfdb_record.segments(p)
    }
    return [p for p in found if p not in segments]


def check_rate(rate: float, what: str) -> None:
    """Raise DataError for a sampling rate that no ECG has; what: whose it is."""
    if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise DataError(
            f"{what}: the sampling rate must be {LOWEST_RATE_HZ:g} to {HIGHEST_RATE_HZ:g} Hz, received {rate:g} Hz: "
            "correct it with --fs, or resample the recording first"
        )


def _span(signal: np.ndarray, rate: float) -> float | None:
    """Median height in mV, peak to peak, of stretches of ten seconds; flat and empty ones are left out."""
    length = min(int(WINDOW_S * rate), len(signal))
    if not length:
        return None
    parts = signal[: len(signal) // length * length].reshape(-1, length)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # parts of NaN alone
        spans = np.nanmax(parts, axis=1) - np.nanmin(parts, axis=1)
    spans = spans[spans > 0]  # NaN are not
    return float(np.median(spans)) if len(spans) else None


def _check_span(signal: np.ndarray, rate: float, name: str, lead: str) -> None:
    """Refuse amplitudes that no ECG in mV has."""
    span = _span(signal, rate)
    if span is None or LOWEST_SPAN_MV <= span <= HIGHEST_SPAN_MV:
        return
    guess = "V" if span < LOWEST_SPAN_MV else "uV, or a gain like 200/mV if they are counts"
    raise DataError(
        f"{name}, lead {lead}: {span:.3g} mV from peak to peak is not plausible for an ECG in mV "
        f"({LOWEST_SPAN_MV:g} to {HIGHEST_SPAN_MV:g}): give its units, perhaps --units {guess}"
    )
