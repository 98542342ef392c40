"""The 1000 ten-second fragments of the 17-class benchmark, cut from the MIT-BIH records by an index table."""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qmodel.data import mitdb
from qmodel.fixed_point import WINDOW_SAMPLES

CLASSES = (
    "NSR",
    "APB",
    "AFL",
    "AFIB",
    "SVTA",
    "WPW",
    "PVC",
    "Bigeminy",
    "Trigeminy",
    "VT",
    "IVR",
    "VFL",
    "Fusion",
    "LBBBB",
    "RBBBB",
    "SDHB",
    "PR",
)
CLASS_NAMES = {
    "NSR": "normal sinus rhythm",
    "APB": "atrial premature beat",
    "AFL": "atrial flutter",
    "AFIB": "atrial fibrillation",
    "SVTA": "supraventricular tachyarrhythmia",
    "WPW": "pre-excitation (Wolff-Parkinson-White)",
    "PVC": "premature ventricular contraction",
    "Bigeminy": "ventricular bigeminy",
    "Trigeminy": "ventricular trigeminy",
    "VT": "ventricular tachycardia",
    "IVR": "idioventricular rhythm",
    "VFL": "ventricular flutter",
    "Fusion": "fusion of ventricular and normal beat",
    "LBBBB": "left bundle branch block beat",
    "RBBBB": "right bundle branch block beat",
    "SDHB": "second-degree heart block",
    "PR": "pacemaker rhythm",
}
INDEX_COLUMNS = ("fragment", "record", "first_sample", "lead", "class_index", "class_name")


@dataclass(frozen=True)
class Fragments:
    """Where each fragment lies; every field an array of shape (fragment,)."""

    fragment: np.ndarray  # int64, 0 to 999
    record: np.ndarray  # str
    first_sample: np.ndarray  # int64
    lead: np.ndarray  # str
    label: np.ndarray  # int64, index into the classes
    person: np.ndarray | None = None  # str; None: MIT-BIH, whose records tell it (qmodel.data.mitdb.person)
    samples: int = WINDOW_SAMPLES  # of a window
    rate_hz: float = mitdb.SAMPLING_RATE_HZ

    def __len__(self) -> int:
        return len(self.fragment)

    @property
    def persons(self) -> np.ndarray:
        """Whom each is of, str."""
        if self.person is not None:
            return self.person
        return np.array([mitdb.person(str(record)) for record in self.record])


@dataclass(frozen=True)
class Windows:
    """Windows with a class: signals int16, shape (window, sample), or (window, sample, lead) of several leads, in units
    of 1/200 mV less any offset; the other arrays (window,)."""

    signals: np.ndarray
    labels: np.ndarray  # int64, index into classes
    record: np.ndarray  # str
    first_sample: np.ndarray  # int64
    lead: np.ndarray  # str; several joined by +
    source: str  # "MIT-BIH", "synthetic" or a data set; whatever is computed from the windows says it
    classes: tuple[str, ...] = CLASSES
    person: np.ndarray | None = None  # str; None: MIT-BIH, whose records tell it
    rate_hz: float = mitdb.SAMPLING_RATE_HZ
    leads: tuple[str, ...] | None = None  # names of the leads, if all windows have the same; None: any one lead

    def __len__(self) -> int:
        return len(self.signals)

    @property
    def index(self) -> Fragments:
        """Where each window lies: what qmodel.data.splits splits."""
        number = np.arange(len(self), dtype=np.int64)
        samples = self.signals.shape[1]
        return Fragments(
            number, self.record, self.first_sample, self.lead, self.labels, self.person, samples, self.rate_hz
        )

    @property
    def persons(self) -> np.ndarray:
        """Whom each window is of, str."""
        return self.index.persons


def load_index(path: str | os.PathLike | None = None) -> Fragments:
    """Load the index of the fragments.

    Args: path: a CSV file with the columns of INDEX_COLUMNS; the packaged table if not given.
    Raises: DataError: a column is missing, or a row's class is not one of CLASSES.
    Source: Plawiak P., ECG signals (1000 fragments), Mendeley Data v3, doi 10.17632/7dybx7wyfn.3, CC BY 4.0.
    """
    path = Path(path) if path is not None else Path(__file__).parent / "fragments17.csv"
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, restval="")
        if missing := set(INDEX_COLUMNS) - set(reader.fieldnames or ()):
            raise mitdb.DataError(f"An index of fragments needs the columns {INDEX_COLUMNS}: {path} lacks {missing}.")
        rows = list(reader)
    try:
        fragments = Fragments(
            np.array([int(row["fragment"]) for row in rows], np.int64),
            np.array([row["record"] for row in rows]),
            np.array([int(row["first_sample"]) for row in rows], np.int64),
            np.array([row["lead"] for row in rows]),
            np.array([int(row["class_index"]) for row in rows], np.int64),
        )
    except ValueError as error:
        raise mitdb.DataError(f"{path}: fragment, first_sample and class_index must be integers: {error}.") from error
    for line, row in enumerate(rows, start=2):
        if not 0 <= int(row["class_index"]) < len(CLASSES) or CLASSES[int(row["class_index"])] != row["class_name"]:
            raise mitdb.DataError(
                f"{path}, line {line}: class_index {row['class_index']} and class_name {row['class_name']!r} must be "
                f"one of the 17 classes, counted from 0: {', '.join(CLASSES)}."
            )
    return fragments


def load_windows(
    folder: str | os.PathLike, fragments: Fragments | None = None, sums: Mapping[str, str] | None = None
) -> Windows:
    """Cut the fragments' windows from the records.

    Args: folder: the records (qmodel.data.mitdb.find); fragments: the packaged index if not given;
        sums: as in mitdb.read_record.
    Returns: windows in the order of the index, signals int16, shape (window, 3600).
    Raises: DataError: a broken record, a record without the lead asked for, a window beyond the record's end.
    """
    fragments = load_index() if fragments is None else fragments
    signals = np.empty((len(fragments), WINDOW_SAMPLES), np.int16)
    for name in np.unique(fragments.record):
        record = mitdb.read_record(folder, str(name), sums)
        for i in np.flatnonzero(fragments.record == name):
            signals[i] = cut(record, int(fragments.first_sample[i]), str(fragments.lead[i]))
    return Windows(
        signals, fragments.label, fragments.record, fragments.first_sample, fragments.lead, source=mitdb.SOURCE
    )


def cut(record: mitdb.Record, first_sample: int, lead: str) -> np.ndarray:
    """Cut one window of 3600 samples from a record's lead; DataError if the record does not have it."""
    if lead not in record.leads:
        raise mitdb.DataError(
            f"Record {record.name} has no lead {lead!r}: its leads are {', '.join(record.leads)}. Ask for one of them."
        )
    if not 0 <= first_sample <= len(record.signals) - WINDOW_SAMPLES:
        raise mitdb.DataError(
            f"A window of {WINDOW_SAMPLES} samples must lie inside the record: record {record.name} has "
            f"{len(record.signals)} samples, the window starts at {first_sample}."
        )
    return record.signals[first_sample : first_sample + WINDOW_SAMPLES, record.leads.index(lead)]
