"""What the cardiologists' annotations say about every ten-second window of the whole database."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wfdb
from tqdm import tqdm

from qmodel.data import mitdb
from qmodel.data.fragments import Fragments
from qmodel.errors import InputError
from qmodel.fixed_point import WINDOW_SAMPLES

# MIT-BIH's annotation codes: https://archive.physionet.org/physiobank/annotations.shtml
BEATS = {
    "N": "normal beat",
    "L": "left bundle branch block beat",
    "R": "right bundle branch block beat",
    "A": "atrial premature beat",
    "a": "aberrated atrial premature beat",
    "J": "nodal (junctional) premature beat",
    "S": "supraventricular premature beat",
    "V": "premature ventricular contraction",
    "F": "fusion of ventricular and normal beat",
    "!": "ventricular flutter wave",
    "e": "atrial escape beat",
    "j": "nodal (junctional) escape beat",
    "E": "ventricular escape beat",
    "/": "paced beat",
    "f": "fusion of paced and normal beat",
    "x": "non-conducted P wave",
    "Q": "unclassifiable beat",
}
RHYTHMS = {
    "(AB": "atrial bigeminy",
    "(AFIB": "atrial fibrillation",
    "(AFL": "atrial flutter",
    "(B": "ventricular bigeminy",
    "(BII": "second-degree heart block",
    "(IVR": "idioventricular rhythm",
    "(N": "normal sinus rhythm",
    "(NOD": "nodal (junctional) rhythm",
    "(P": "paced rhythm",
    "(PREX": "pre-excitation",
    "(SBR": "sinus bradycardia",
    "(SVTA": "supraventricular tachyarrhythmia",
    "(T": "ventricular trigeminy",
    "(VFL": "ventricular flutter",
    "(VT": "ventricular tachycardia",
}
TARGETS = (*BEATS, *RHYTHMS)
BIN_SAMPLES = 25  # 69 ms: finer than two beats can follow each other
BINS_PER_WINDOW = WINDOW_SAMPLES // BIN_SAMPLES


@dataclass(frozen=True)
class AllWindows:
    """Windows of the whole database with what their annotations say; first axis: window, in order of record and time.

    The first lead is MLII, except in records 102 and 104, which do not have it (V5 there).
    """

    signals: np.ndarray  # int16 (window, sample), ADC units
    second_signals: np.ndarray  # int16 (window, sample), the record's other lead
    record: np.ndarray  # str (window,)
    first_sample: np.ndarray  # int64 (window,)
    lead: np.ndarray  # str (window,)
    second_lead: np.ndarray  # str (window,)
    targets: np.ndarray  # bool (window, target), target as in TARGETS: the beat or rhythm occurs in the window
    beat_counts: np.ndarray  # int16 (window, beat), beat as in BEATS
    beat_map: np.ndarray  # bool (window, bin, beat): a beat is annotated in the bin of BIN_SAMPLES samples
    source: str

    def __len__(self) -> int:
        return len(self.signals)


def window_targets(
    folder: str | os.PathLike, sums: Mapping[str, str] | None = None, hop: int = WINDOW_SAMPLES
) -> AllWindows:
    """Cut all 48 records into windows and count the beats and rhythms annotated in each.

    Args: folder: the records (qmodel.data.mitdb.find); sums: as in mitdb.read_record; hop: samples from one window's
        beginning to the next one's, a multiple of BIN_SAMPLES; less than a window's length makes them overlap.
    Returns: all windows that lie whole in a record, 180 of each without overlap.
    Raises: InputError: another hop; DataError: a record or its annotation file is missing or broken.
    """
    if hop < 1 or hop % BIN_SAMPLES:
        raise InputError(f"hop must be a positive multiple of {BIN_SAMPLES} samples, received {hop}")
    starts = np.arange(0, mitdb.RECORD_SAMPLES - WINDOW_SAMPLES + 1, hop)
    parts, leads = [], []
    for name in tqdm(mitdb.RECORDS, desc="Annotated windows", unit="record"):
        record = mitdb.read_record(folder, name, sums)
        first = record.leads.index("MLII") if "MLII" in record.leads else 0
        leads.append((record.leads[first], record.leads[1 - first]))
        views = np.lib.stride_tricks.sliding_window_view(record.signals, WINDOW_SAMPLES, axis=0)[starts]
        parts.append((views[:, first], views[:, 1 - first], *_annotations(Path(folder), name, sums, starts)))
    signals, second, beat_counts, beats, rhythms = (np.concatenate(part) for part in zip(*parts))
    lead, second_lead = np.repeat(np.array(leads), len(starts), axis=0).T
    return AllWindows(
        signals,
        second,
        np.repeat(mitdb.RECORDS, len(starts)),
        np.tile(starts, len(mitdb.RECORDS)),
        lead,
        second_lead,
        np.concatenate([beat_counts > 0, rhythms], axis=1),
        beat_counts,
        beats,
        source=mitdb.SOURCE,
    )


def _annotations(
    folder: Path, name: str, sums: Mapping[str, str] | None, starts: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the beats (window, beat), mark them (window, bin, beat) and the rhythms (window, rhythm) of a record."""
    mitdb.check_files(folder, name, [".atr"], sums)
    marks = wfdb.rdann(str(folder / name), "atr")
    sample, symbol = np.asarray(marks.sample), np.asarray(marks.symbol)
    ends = starts + WINDOW_SAMPLES
    counts = np.empty((len(starts), len(BEATS)), np.int16)
    bins = np.zeros((mitdb.RECORD_SAMPLES // BIN_SAMPLES, len(BEATS)), bool)
    for column, beat in enumerate(BEATS):
        places = np.sort(sample[(symbol == beat) & (sample >= 0)])
        counts[:, column] = np.searchsorted(places, ends) - np.searchsorted(places, starts)
        bins[places[places < mitdb.RECORD_SAMPLES] // BIN_SAMPLES, column] = True
    beats = np.lib.stride_tricks.sliding_window_view(bins, BINS_PER_WINDOW, axis=0)[starts // BIN_SAMPLES]
    rhythms = np.zeros((len(starts), len(RHYTHMS)), bool)
    changes = [
        (s, note.rstrip("\0")) for s, note, mark in zip(marks.sample, marks.aux_note, marks.symbol) if mark == "+"
    ]
    lasts = [start for start, _ in changes[1:]] + [mitdb.RECORD_SAMPLES]
    for (start, rhythm), end in zip(changes, lasts):
        if rhythm not in RHYTHMS:
            raise mitdb.DataError(f"{name}.atr: rhythm must be one of {', '.join(RHYTHMS)}, received {rhythm!r}.")
        rhythms[(starts < end) & (ends > start), list(RHYTHMS).index(rhythm)] = True
    return counts, beats.swapaxes(1, 2), rhythms


def allowed_for_training(
    all_windows: AllWindows,
    fragments: Fragments,
    held_out: np.ndarray,
    margin_s: float = 60.0,
    whole_person: bool = False,
) -> np.ndarray:
    """Mark the windows that may be trained on when some fragments are held out for test (or validation).

    Args: held_out: indices into fragments; margin_s: a window is allowed if its edges are more than this many seconds
        from those of every held-out fragment of the same record; whole_person: allow no window at all of a held-out
        fragment's person (protocol `patient`).
    Returns: bool, shape (window,).
    """
    allowed = np.ones(len(all_windows), bool)
    distance = WINDOW_SAMPLES + margin_s * mitdb.SAMPLING_RATE_HZ
    for record in np.unique(fragments.record[held_out]):
        here = np.flatnonzero(all_windows.record == record)
        starts = fragments.first_sample[held_out][fragments.record[held_out] == record]
        gaps = np.abs(all_windows.first_sample[here][:, None] - starts)
        allowed[here] = (gaps > distance).all(axis=1)
    if whole_person:
        persons = np.array([mitdb.person(str(record)) for record in all_windows.record])
        allowed &= ~np.isin(persons, [mitdb.person(str(record)) for record in fragments.record[held_out]])
    return allowed
