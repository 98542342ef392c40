"""Ten-second windows of all databases with partial labels: what each says of beats and of class, the rest masked.

Per time step: which beat, where beats are annotated. Per window: the set of classes that what is said leaves possible;
training asks that the probability lie inside the set, and no label is made up. Persons stand apart: every track has a
person, and folds are made of persons.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from qmodel.data import databases, fragments
from qmodel.data.databases import CLASSES_OF_RHYTHM, Labelled
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.files import written_beside
from qmodel.fixed_point import WINDOW_SAMPLES

STEP_SAMPLES = 24  # 67 ms: two beats cannot follow each other within four steps
STEPS = WINDOW_SAMPLES // STEP_SAMPLES
BEAT_TARGETS = ("none", "N", "S", "V")
MASKED = -1
HOP_SAMPLES = 1200
EDGE_SAMPLES = 54  # a beat nearer a window's end does not decide its class
_MAIN_SHARE = 0.7  # of a window that a rhythm must fill to be its rhythm
_SINUS_LIKE = ("NSR", "LBBBB", "RBBBB")


@dataclass(frozen=True)
class Tracks:
    """All leads of all records, one after the other, and their windows.

    Args: signals: int16 (sample,), every track's samples behind each other; track_*: per track (record and lead);
        beat_*: of every track that has beats, behind each other; window_*: per window; allowed: bool (window, class),
        all False where nothing is said of its class.
    """

    signals: np.ndarray
    track_database: np.ndarray
    track_record: np.ndarray
    track_person: np.ndarray
    track_lead: np.ndarray
    track_first: np.ndarray
    track_samples: np.ndarray
    track_has_beats: np.ndarray
    beat_first: np.ndarray
    beat_count: np.ndarray
    beat_at: np.ndarray
    beat_kind: np.ndarray
    window_track: np.ndarray
    window_start: np.ndarray
    window_earlier: np.ndarray
    window_later: np.ndarray
    window_fragment: np.ndarray
    allowed: np.ndarray

    @property
    def window_person(self) -> np.ndarray:
        """Person of every window."""
        return self.track_person[self.window_track]

    @property
    def window_database(self) -> np.ndarray:
        """Database of every window."""
        return self.track_database[self.window_track]

    def cut(self, window: int, shift: int = 0, track: int | None = None) -> np.ndarray:
        """Samples int16 (sample,) of a window, moved by `shift` samples, inside its track.

        Args: track: another lead of the same record.
        """
        track = self.window_track[window] if track is None else track
        last = self.track_samples[track] - WINDOW_SAMPLES
        start = self.track_first[track] + min(max(self.window_start[window] + shift, 0), last)
        return self.signals[start : start + WINDOW_SAMPLES]

    def beats(self, window: int, shift: int = 0) -> tuple[np.ndarray, np.ndarray] | None:
        """Samples within a (moved) window and kinds of its beats; None where the track is silent on beats."""
        track = self.window_track[window]
        if not self.track_has_beats[track]:
            return None
        last = self.track_samples[track] - WINDOW_SAMPLES
        start = min(max(self.window_start[window] + shift, 0), last)
        part = slice(self.beat_first[track], self.beat_first[track] + self.beat_count[track])
        at = self.beat_at[part]
        low, high = np.searchsorted(at, (start, start + WINDOW_SAMPLES))
        return at[low:high] - start, self.beat_kind[part][low:high]

    def save(self, path: str | os.PathLike) -> None:
        """Write all arrays to an .npz."""
        with written_beside(Path(path)) as beside, open(beside, "wb") as file:
            np.savez(file, **{name: getattr(self, name) for name in self.__dataclass_fields__})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Tracks:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            return cls(**{name: file[name] for name in cls.__dataclass_fields__})


def step_targets(beats: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Beat target of every time step, int8 (step,), index into BEAT_TARGETS or MASKED.

    The steps beside a beat's are masked: its position is known to a few samples only, and so are fusion and
    unclassified beats, whose kind is none of the targets.
    Args: beats: samples in the window and kinds (index into databases.BEATS), None: all masked.
    """
    if beats is None:
        return np.full(STEPS, MASKED, np.int8)
    target = np.zeros(STEPS + 2, np.int8)  # a step more at each end
    at, kind = beats
    step = at // STEP_SAMPLES + 1
    for side in (-1, 1):
        target[step + side] = MASKED
    known = kind < 3
    target[step[~known]] = MASKED
    target[step[known]] = kind[known] + 1
    return target[1:-1]


def window_classes(record: Labelled, start: int) -> np.ndarray:
    """Bool (class,): the classes that the record's labels leave possible in the window at `start`; all False: silent.

    A rhythm that fills most of the window stands above its beats. Without a rhythm the beats decide: runs, bigeminy,
    trigeminy, single premature ones, or none.
    """
    named = set(_window_classes(record, start))
    return np.array([name in named for name in CLASSES])


def _window_classes(record: Labelled, start: int) -> Iterable[str]:
    end = start + WINDOW_SAMPLES
    if record.diagnosis is not None:
        if start < record.event_from - SAMPLING_RATE_HZ:
            return ()
        return [name for name, is_so in zip(CLASSES, record.diagnosis, strict=True) if is_so]
    sinus: Iterable[str] | None = None
    if record.rhythm is not None:
        assert record.rhythm_from is not None  # said together with the rhythms
        share: dict[str, int] = {}
        ends = [*record.rhythm_from[1:], len(record)]
        for note, first, last in zip(record.rhythm, record.rhythm_from, ends, strict=True):
            overlap = min(end, last) - max(start, first)
            if overlap > 0:
                share[note] = share.get(note, 0) + overlap
        named = [CLASSES_OF_RHYTHM.get(note) for note in share]
        main = max(share, key=share.__getitem__) if share else ""
        if share.get(main, 0) < _MAIN_SHARE * WINDOW_SAMPLES:
            known = [classes for classes in named if classes is not None]
            if not share or len(known) < len(named) or sum(share.values()) < WINDOW_SAMPLES - 1:
                return ()
            return sorted(set[str]().union(*known))
        sinus = CLASSES_OF_RHYTHM.get(main)
        if sinus is None:
            return ()
        if "NSR" not in sinus or record.beat_at is None:
            return sinus
    if record.beat_at is None:
        return ()
    assert record.beat_kind is not None  # said together with the beats, as is the conduction
    assert record.conduction is not None
    inside = (record.beat_at >= start + EDGE_SAMPLES) & (record.beat_at < end - EDGE_SAMPLES)
    at, kind, conduction = record.beat_at[inside], record.beat_kind[inside], record.conduction[inside]
    if len(at) < 2:
        return ()
    return _classes_of_beats(at, kind, conduction, sinus is not None, record.irregular)


def _classes_of_beats(
    at: np.ndarray, kind: np.ndarray, conduction: np.ndarray, sinus: bool, irregular: bool
) -> Iterable[str]:
    letters = "".join(databases.BEATS[k] for k in kind)
    found = set()
    if sum(c in ("/", "f") for c in conduction) > len(at) / 2:
        return ("PR",)
    for symbol, name in (("L", "LBBBB"), ("R", "RBBBB")):
        if (conduction == symbol).sum() > len(at) / 2:
            found.add(name)
    if "B" in conduction:
        found |= {"LBBBB", "RBBBB"}
    if not sinus:  # the rhythm is not said: patterns of beats say it, where they are plain
        if irregular:
            return ()
        run = _longest(letters, "V")
        if run >= 3:
            rate = np.median(np.diff(at[kind == 2])) / SAMPLING_RATE_HZ
            return ("VT",) if rate < 0.55 and run > 5 else ("VT", "IVR", "PVC")
        if _longest(letters, "S") >= 5:
            return ("SVTA", "AFIB", "APB")
        for pattern, name in (("NV", "Bigeminy"), ("NNV", "Trigeminy")):
            if _repeats(letters, pattern, len(letters) - 2):
                return (name,)
            if _repeats(letters, pattern, 3 * len(pattern)):
                return (name, "PVC")
    if "V" in letters:
        found.add("PVC")
    if "F" in letters:
        found.add("Fusion")
    if "S" in letters:
        found.add("APB")
    return found or (("NSR",) if sinus else _SINUS_LIKE)


def _longest(letters: str, letter: str) -> int:
    return max((len(run) for run in "".join(c if c == letter else " " for c in letters).split()), default=0)


def _repeats(letters: str, pattern: str, length: int) -> bool:
    """Whether a stretch of `length` letters repeats the pattern, from any of its places on."""
    if length < 3 * len(pattern) - 1:
        return False
    endless = pattern * (length // len(pattern) + 2)
    return any(endless[i : i + length] in letters for i in range(len(pattern)))


def collect(names: Iterable[str] | None = None, path: str | os.PathLike | None = None) -> Tracks:
    """Read databases and label the windows of all their leads.

    Args: names: databases, those that are found if not given; path: as in databases.find.
    Raises: DataError: what databases.read raises.
    """
    names = databases.available(path) if names is None else list(names)
    index = fragments.load_index()
    given = {
        (str(r), str(lead), int(s)): (int(c), int(f))
        for r, lead, s, c, f in zip(
            index.record, index.lead, index.first_sample, index.label, index.fragment, strict=True
        )
    }
    signals, beats_at, beats_kind, windows, allowed = [], [], [], [], []
    tracks: list[tuple[str, str, str, str, int, int, bool, int, int]] = []
    first = beat_first = 0
    for name in names:
        folder = databases.find(name, path if name != "mitdb" else None)
        for record_name in tqdm(databases.record_names(folder), desc=name, unit="record"):
            record = databases.read(name, record_name, folder)
            if len(record) < WINDOW_SAMPLES:
                continue
            starts = np.arange(0, len(record) - WINDOW_SAMPLES + 1, HOP_SAMPLES)
            sets = np.array([window_classes(record, int(start)) for start in starts])
            room = np.array([_room(record, int(start)) for start in starts])
            has_beats = record.beat_at is not None
            at, kind = np.zeros(0, np.int64), np.zeros(0, np.int8)
            if record.beat_at is not None:
                assert record.beat_kind is not None  # said together with the beats
                at, kind = record.beat_at, record.beat_kind
            for column, lead in enumerate(record.leads):
                signal = record.signals[:, column]
                own = np.zeros(len(starts), np.int64) - 1
                own_sets = sets.copy()
                if name == "mitdb":
                    for i, start in enumerate(starts):
                        label = given.get((record.name, lead, int(start)))
                        if label:
                            own_sets[i], own[i] = np.arange(len(CLASSES)) == label[0], label[1]
                flat = np.array([signal[s : s + WINDOW_SAMPLES].std() < 1 for s in starts])
                keep = ~flat & (own_sets.any(1) | has_beats)
                if not keep.any():
                    continue
                number = int(keep.sum())
                windows.append(np.stack([np.full(number, len(tracks)), starts[keep], *room[keep].T, own[keep]], axis=1))
                allowed.append(own_sets[keep])
                tracks.append(
                    (name, record.name, record.person, lead, first, len(signal), has_beats, beat_first, len(at))
                )
                signals.append(signal)
                first += len(signal)
            beats_at.append(at)
            beats_kind.append(kind)
            beat_first += len(at)
    window = np.concatenate(windows)
    columns = list(zip(*tracks, strict=True))
    return Tracks(
        signals=np.concatenate(signals),
        track_database=np.array(columns[0]),
        track_record=np.array(columns[1]),
        track_person=np.array(columns[2]),
        track_lead=np.array(columns[3]),
        track_first=np.array(columns[4], np.int64),
        track_samples=np.array(columns[5], np.int64),
        track_has_beats=np.array(columns[6], bool),
        beat_first=np.array(columns[7], np.int64),
        beat_count=np.array(columns[8], np.int64),
        beat_at=np.concatenate(beats_at),
        beat_kind=np.concatenate(beats_kind),
        window_track=np.ascontiguousarray(window[:, 0]),
        window_start=np.ascontiguousarray(window[:, 1]),
        window_earlier=np.ascontiguousarray(window[:, 2]),
        window_later=np.ascontiguousarray(window[:, 3]),
        window_fragment=np.ascontiguousarray(window[:, 4]),
        allowed=np.concatenate(allowed),
    )


def _room(record: Labelled, start: int) -> tuple[int, int]:
    """Most negative and most positive shift that leave the window's class what it is: its rare beats stay inside."""
    least, most = -HOP_SAMPLES // 8, HOP_SAMPLES // 8
    if record.beat_at is None:
        return least, most
    at = record.beat_at - start
    rare = at[(at >= EDGE_SAMPLES) & (at < WINDOW_SAMPLES - EDGE_SAMPLES) & (record.beat_kind != 0)]
    if len(rare):
        least = max(least, int(rare[-1]) - (WINDOW_SAMPLES - EDGE_SAMPLES))
        most = min(most, int(rare[0]) - EDGE_SAMPLES)
    outside = at[(record.beat_kind != 0) & ((at < EDGE_SAMPLES) | (at >= WINDOW_SAMPLES - EDGE_SAMPLES))]
    before, after = outside[outside < EDGE_SAMPLES], outside[outside >= WINDOW_SAMPLES - EDGE_SAMPLES]
    if not len(rare):  # no premature beat may come in either
        least = max(least, int(before[-1]) - EDGE_SAMPLES + 1) if len(before) else least
        most = min(most, int(after[0]) - (WINDOW_SAMPLES - EDGE_SAMPLES)) if len(after) else most
    return min(least, 0), max(most, 0)
