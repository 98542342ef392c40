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
WINDOWS_PER_RECORD = mitdb.RECORD_SAMPLES // WINDOW_SAMPLES
BIN_SAMPLES = 25  # 69 ms: finer than two beats can follow each other
BINS_PER_WINDOW = WINDOW_SAMPLES // BIN_SAMPLES


@dataclass(frozen=True)
class AllWindows:
    """Every window of the database with what its annotations say; first axis: window, in order of record and time.

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


def window_targets(folder: str | os.PathLike, sums: Mapping[str, str] | None = None) -> AllWindows:
    """Cut all 48 records into windows and count the beats and rhythms annotated in each.

    Args: folder: the records (qmodel.data.mitdb.find); sums: as in mitdb.read_record.
    Returns: 8640 windows, 180 of each record; the last 2000 samples of a record belong to none.
    Raises: DataError: a record or its annotation file is missing or broken.
    """
    shape = (len(mitdb.RECORDS), WINDOWS_PER_RECORD)
    signals, second = (np.empty((*shape, WINDOW_SAMPLES), np.int16) for _ in range(2))
    counts = np.zeros((*shape, len(BEATS)), np.int16)
    beats = np.zeros((*shape, BINS_PER_WINDOW, len(BEATS)), bool)
    rhythms = np.zeros((*shape, len(RHYTHMS)), bool)
    leads = []
    for i, name in enumerate(tqdm(mitdb.RECORDS, desc="Annotated windows", unit="record")):
        record = mitdb.read_record(folder, name, sums)
        first = record.leads.index("MLII") if "MLII" in record.leads else 0
        leads.append((record.leads[first], record.leads[1 - first]))
        windows = record.signals[: WINDOWS_PER_RECORD * WINDOW_SAMPLES].reshape(WINDOWS_PER_RECORD, WINDOW_SAMPLES, 2)
        signals[i], second[i] = windows[:, :, first], windows[:, :, 1 - first]
        counts[i], beats[i], rhythms[i] = _annotations(Path(folder), name, sums)
    total = shape[0] * shape[1]
    lead, second_lead = np.repeat(np.array(leads), WINDOWS_PER_RECORD, axis=0).T
    beat_counts = counts.reshape(total, -1)
    return AllWindows(
        signals.reshape(total, -1),
        second.reshape(total, -1),
        np.repeat(mitdb.RECORDS, WINDOWS_PER_RECORD),
        np.tile(np.arange(WINDOWS_PER_RECORD, dtype=np.int64) * WINDOW_SAMPLES, shape[0]),
        lead,
        second_lead,
        np.concatenate([beat_counts > 0, rhythms.reshape(total, -1)], axis=1),
        beat_counts,
        beats.reshape(total, BINS_PER_WINDOW, -1),
        source=mitdb.SOURCE,
    )


def _annotations(folder: Path, name: str, sums: Mapping[str, str] | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the beats (window, beat), mark them (window, bin, beat) and the rhythms (window, rhythm) of a record."""
    mitdb.check_files(folder, name, [".atr"], sums)
    marks = wfdb.rdann(str(folder / name), "atr")
    window = np.asarray(marks.sample) // WINDOW_SAMPLES
    inside = (window >= 0) & (window < WINDOWS_PER_RECORD)
    counts = np.zeros((WINDOWS_PER_RECORD, len(BEATS)), np.int16)
    beats = np.zeros((WINDOWS_PER_RECORD, BINS_PER_WINDOW, len(BEATS)), bool)
    place = np.asarray(marks.sample) % WINDOW_SAMPLES // BIN_SAMPLES
    for column, symbol in enumerate(BEATS):
        chosen = inside & (np.asarray(marks.symbol) == symbol)
        np.add.at(counts[:, column], window[chosen], 1)
        beats[window[chosen], place[chosen], column] = True
    rhythms = np.zeros((WINDOWS_PER_RECORD, len(RHYTHMS)), bool)
    starts = [
        (s, note.rstrip("\0")) for s, note, symbol in zip(marks.sample, marks.aux_note, marks.symbol) if symbol == "+"
    ]
    ends = [start for start, _ in starts[1:]] + [mitdb.RECORD_SAMPLES]
    for (start, rhythm), end in zip(starts, ends):
        if rhythm not in RHYTHMS:
            raise mitdb.DataError(f"{name}.atr: rhythm must be one of {', '.join(RHYTHMS)}, received {rhythm!r}.")
        rhythms[start // WINDOW_SAMPLES : (end - 1) // WINDOW_SAMPLES + 1, list(RHYTHMS).index(rhythm)] = True
    return counts, beats, rhythms


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
