"""How well frozen networks do on persons whom they never met: the figures of every protocol, from integers alone.

`ec57`: DS1 to DS2 of MIT-BIH per beat, matched within 150 ms as ANSI/AAMI EC57 asks, paced records left out;
`database`: each database by a network trained on all others. One network is one row of results/people.json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from flow.recordings.choices import THRESHOLD
from qmodel import beats, not_ecg, reading, reading_fit
from qmodel.data import databases
from qmodel.data.databases import BEATS, Labelled
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.data.partial import window_classes
from qmodel.fixed_point import WINDOW_SAMPLES, standardise
from qmodel.frozen import FrozenNetwork

# De Chazal, O'Dwyer and Reilly, IEEE Trans. Biomed. Eng. 51:1196, 2004. 201 and 202, one person, stand on both sides.
DS1 = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124", "201", "203", "205", "207",
    "208", "209", "215", "220", "223", "230",
)  # fmt: skip
DS2 = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212", "213", "214", "219", "221",
    "222", "228", "231", "232", "233", "234",
)  # fmt: skip
LEARNING_S = 300  # EC57 leaves the first five minutes to algorithms that learn; ours does not, but is counted alike
MISSED = len(beats.KINDS)
FALSE = len(BEATS)
FOREIGN_SEED = 2027  # of the signals that are no ECG and that are tested; training and fitting draw from others
BINS = 10  # of confidence


class Asked(NamedTuple):
    """What is asked. Args: run: network inputs int64 (window, sample) to logits int64 (window, value)."""

    run: Callable[[np.ndarray], np.ndarray]
    constants: reading.Constants

    @classmethod
    def of(cls, network: FrozenNetwork) -> Asked:
        """A frozen network with the constants in its file."""
        return cls(network.run, reading.Constants.of(network))

    def logits(self, windows: np.ndarray) -> np.ndarray:
        """Of windows of whole numbers, none of them flat: int64 (window, step, output)."""
        parts = [self.run(standardise(windows[i : i + reading.BATCH])) for i in range(0, len(windows), reading.BATCH)]
        return np.concatenate(parts).reshape(len(windows), -1, len(reading.OUTPUTS))

    def read(self, windows: np.ndarray) -> reading.Reading:
        """What is read in windows of whole numbers."""
        return reading.read(self.logits(windows), windows, self.constants)


def beat_confusion(record: Labelled, found: beats.Beats, first: int) -> np.ndarray:
    """Annotated against detected beats from sample `first` on: int64 (N S V F Q and none, N S V and missed)."""
    table = np.zeros((len(BEATS) + 1, len(beats.KINDS) + 1), np.int64)
    tolerance = round(beats.TOLERANCE_S * SAMPLING_RATE_HZ)
    annotated, detected = beats.match(record.beat_at, found.sample, tolerance)
    said = np.full(len(record.beat_at), MISSED)
    said[annotated] = found.kind[detected]
    counted = record.beat_at >= first
    np.add.at(table, (record.beat_kind[counted].astype(int), said[counted]), 1)
    extra = np.ones(len(found.step), bool)
    extra[detected] = False
    extra &= found.sample >= first
    np.add.at(table, (np.full(int(extra.sum()), FALSE), found.kind[extra]), 1)
    return table


def beat_scores(table: np.ndarray) -> dict:
    """Sensitivity, positive predictivity and F1 in percent: QRS, S, V. F and Q called V do not count against V.

    Source: ANSI/AAMI EC57:2012, tables of the beat-by-beat comparison.
    """
    scores = {"QRS": _scores(table[:FALSE, :MISSED].sum(), table[:FALSE, MISSED].sum(), table[FALSE, :MISSED].sum())}
    n, s, v, f, q = range(len(BEATS))
    for name, kind, others in (("S", s, [n, v, f, q, FALSE]), ("V", v, [n, s, FALSE])):
        right = table[kind, kind]
        scores[name] = _scores(right, table[kind].sum() - right, table[others, kind].sum())
    return scores


def _scores(right: int, missed: int, wrong: int) -> dict[str, float]:
    sensitivity, predictivity = right / max(1, right + missed), right / max(1, right + wrong)
    f1 = 2 * right / max(1, 2 * right + missed + wrong)
    return {
        "sensitivity": round(100 * float(sensitivity), 2),
        "positive_predictivity": round(100 * float(predictivity), 2),
        "f1": round(100 * float(f1), 2),
    }


def per_beat(asked: Asked, name: str, records: Sequence[str], first_s: float = 0) -> dict:
    """Scores of one lead of every record of a database: its first, MLII in MIT-BIH.

    Args: first_s: seconds that are not counted.
    """
    folder = databases.find(name)
    total, rows = np.zeros((len(BEATS) + 1, len(beats.KINDS) + 1), np.int64), {}
    for record_name in records:
        record = databases.read(name, record_name, folder)
        signal = record.signals[:, _column(record)]
        found = reading.beats_of(reading.record_steps(asked.run, signal), signal, asked.constants)
        table = beat_confusion(record, found, round(first_s * SAMPLING_RATE_HZ))
        total += table
        rows[record.name] = table.tolist()
    return beat_scores(total) | {"confusion": total.tolist(), "records": rows}


def _column(record: Labelled) -> int:
    return record.leads.index("MLII") if "MLII" in record.leads else 0


class Windows(NamedTuple):
    """Windows of a database, none overlapping: cut int16 (window, sample), possible bool (window, class), person."""

    cut: np.ndarray
    possible: np.ndarray
    person: np.ndarray


def labelled_windows(name: str, records: Sequence[str] | None = None) -> Windows:
    """The windows of a database's first lead (MLII) that its labels say something of, and that are not flat."""
    folder = databases.find(name)
    cuts, possible, person = [], [], list[str]()
    for record_name in records or databases.record_names(folder):
        record = databases.read(name, record_name, folder)
        starts = np.arange(0, len(record) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
        sets = np.array([window_classes(record, start) for start in starts]).reshape(len(starts), len(CLASSES))
        signal = record.signals[:, _column(record)]
        keep = sets.any(1) & np.array([np.ptp(signal[s : s + WINDOW_SAMPLES]) > 0 for s in starts], bool)
        if keep.any():
            cuts.append(np.stack([signal[s : s + WINDOW_SAMPLES] for s in starts[keep]]))
            possible.append(sets[keep])
            person += [record.person] * int(keep.sum())
    return Windows(np.concatenate(cuts), np.concatenate(possible), np.array(person))


def foreign_windows(number: int, seed: int) -> np.ndarray:
    """Signals that are no ECG, kind by kind in turn: int16 (window, sample)."""
    random = np.random.default_rng(seed)
    kinds = [not_ecg.KINDS[i % len(not_ecg.KINDS)] for i in range(number)]
    return np.array([np.rint(200 * not_ecg.make(kind, random)) for kind in kinds]).astype(np.int16)


def answers(asked: Asked, windows: Windows) -> reading_fit.Answers:
    """A network's answers to persons whom it never met, and to signals that are no ECG, for `reading_fit.fit`."""
    foreign = foreign_windows(len(windows.cut) // 10, FOREIGN_SEED + 1)
    cut = np.concatenate([windows.cut, foreign])
    logits = asked.logits(cut)
    found = [reading.beats_of(own, window, asked.constants) for own, window in zip(logits, cut)]
    none = np.zeros((len(foreign), len(CLASSES) + 1), bool)
    none[:, -1] = True
    return reading_fit.Answers(
        reading.window_logits(logits, asked.constants.step),
        reading.measures_of(found, cut, asked.constants),
        np.concatenate([np.pad(windows.possible, ((0, 0), (0, 1))), none]),
        np.append(windows.person, np.full(len(foreign), "")),
    )


def area(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the receiver operating characteristic: the share of pairs in the right order, ties half."""
    from scipy.stats import rankdata

    ranks, ones = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / max(1, ones * (len(scores) - ones)))


def rhythm_scores(found: reading.Reading, windows: Windows, constants: reading.Constants, name: str) -> dict:
    """Atrial fibrillation against sinus rhythm on cinc2017, VT and VFL against the rest on vfdb, and how many refused.

    Windows whose labels leave both sides possible do not count, nor does ventricular fibrillation, which is no class.
    A recording's score is the mean of its windows' logits. `ventricular`: by the likeliest class of what is not
    refused; `ventricular_sure`: by what is said with enough confidence, "unsure" being a miss.
    """
    shares, possible = found.shares[:, : len(CLASSES)], windows.possible
    foreign = found.foreign(constants)
    row: dict = {
        "windows": len(shares),
        "persons": len(np.unique(windows.person)),
        "refused_percent": round(100 * float(foreign.mean()), 2),
        "calibration": calibration(found, windows, constants),
    }
    if name == "cinc2017":
        fibrillation, sinus = CLASSES.index("AFIB"), [CLASSES.index(c) for c in databases.SINUS]
        score = np.log(np.maximum(shares[:, fibrillation], 1e-12) / np.maximum(shares[:, sinus].sum(1), 1e-12))
        row["af_auc_windows"] = round(area(score, possible[:, fibrillation]), 4)
        inverse = np.unique(windows.person, return_inverse=True)[1]
        mean = np.bincount(inverse, score) / np.bincount(inverse)
        truth = np.bincount(inverse, possible[:, fibrillation]) > 0
        row["af_auc_records"] = round(area(mean, truth), 4)
    elif name == "vfdb":
        wanted = reading.VENTRICULAR
        some = possible[:, wanted].any(1)
        only = some & ~np.delete(possible, wanted, axis=1).any(1) & ~possible[:, wanted].all(1)
        fibrillation = possible[:, wanted].all(1)
        said = np.isin(found.rhythm()[0], wanted) & ~foreign
        row["ventricular"] = _scores(int((said & only).sum()), int((~said & only).sum()), int((said & ~some).sum()))
        sure = said & (found.rhythm()[1] >= THRESHOLD)
        row["ventricular_sure"] = _scores(
            int((sure & only).sum()), int((~sure & only).sum()), int((sure & ~some).sum())
        )
        row["refused_percent_ventricular"] = round(100 * float(foreign[only].mean()), 2)
        row["fibrillation_called_ventricular_percent"] = round(100 * float(said[fibrillation].mean()), 2)
        row["fibrillation_refused_percent"] = round(100 * float(foreign[fibrillation].mean()), 2)
    return row


def calibration(found: reading.Reading, windows: Windows, constants: reading.Constants) -> dict:
    """Expected calibration error of the confidence that is said, percent, and its bins; see `expected_error`.

    Of windows that are not refused and whose labels leave one rhythm alone (`reading.RHYTHMS`).
    """
    label, confidence, _ = found.rhythm()
    rhythm = np.zeros(len(CLASSES), int)
    for i, members in enumerate(reading.RHYTHMS):
        rhythm[members] = i
    of_rhythm = np.stack([windows.possible[:, members].any(1) for members in reading.RHYTHMS], axis=1)
    counted = (of_rhythm.sum(1) == 1) & ~found.foreign(constants)
    right = of_rhythm.argmax(1) == rhythm[label]
    return expected_error(confidence[counted], right[counted])


def expected_error(confidence: np.ndarray, right: np.ndarray) -> dict:
    """Mean distance of confidence and accuracy over bins of equal width, weighted by their windows, percent.

    Source: Guo et al., On calibration of modern neural networks, ICML 2017.
    """
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    number = np.bincount(place, minlength=BINS)
    sums = [np.bincount(place, values, minlength=BINS) for values in (confidence, right)]
    error = np.abs(sums[0] - sums[1]).sum() / max(1, len(confidence))
    return {
        "error_percent": round(100 * float(error), 2),
        "windows": len(confidence),
        "accuracy_percent": round(100 * float(right.mean()), 2) if len(right) else None,
        "number": number.tolist(),
        "confidence": np.round(sums[0] / np.maximum(number, 1), 4).tolist(),
        "accuracy": np.round(sums[1] / np.maximum(number, 1), 4).tolist(),
    }
