"""Made-up recordings of somebody's own, in place of yours: a CSV file per person at 250 Hz, and labels.csv.

Run: python -m examples.own_data.make_data FOLDER
"""

from __future__ import annotations

import csv
import sys
import tempfile
from pathlib import Path

import numpy as np

from qmodel.data import recording
from qmodel.data.synthetic import write_record

RATE_HZ = 250
# What this person calls what the recordings show, and what is drawn for it.
LABELS = {"calm": "NSR", "racing": "SVTA", "every second beat early": "Bigeminy"}


def make(folder: Path, persons: int = 9, seconds: int = 40) -> Path:
    """Write the recordings and their table. Args: seconds: of every label. Returns: the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for person in range(1, persons + 1):
            parts = [(drawn, seconds * 360) for drawn in LABELS.values()]
            made = recording.read(write_record(scratch, f"p{person}", parts, seed=person))
            signal = recording.resample(made.signals[:, 0], 360, RATE_HZ)
            name = f"person{person}.csv"
            table = np.column_stack([np.arange(len(signal)) / RATE_HZ, signal])
            np.savetxt(folder / name, table, fmt=["%.3f", "%.4f"], delimiter=",", header="time,ECG", comments="")
            for i, label in enumerate(LABELS):
                rows.append([name, i * seconds, (i + 1) * seconds, label, f"P{person}"])
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["recording", "start", "end", "label", "person"], *rows])
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
