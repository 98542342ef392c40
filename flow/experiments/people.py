"""How well frozen networks do on persons whom they never met: the figures of every protocol, from integers alone.

`ec57`: DS1 to DS2 of MIT-BIH per beat, matched within 150 ms as ANSI/AAMI EC57 asks, paced records left out;
`database`: each database by a network trained on all others. One network is one row of results/people.json.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qmodel import beats, reading
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


def per_beat(network: FrozenNetwork, name: str, records: Sequence[str], first_s: float = 0) -> dict:
    """Scores of one lead of every record of a database: its first, MLII in MIT-BIH.

    Args: first_s: seconds that are not counted.
    """
    constants, folder = reading.Constants.of(network), databases.find(name)
    total, rows = np.zeros((len(BEATS) + 1, len(beats.KINDS) + 1), np.int64), {}
    for record_name in records:
        record = databases.read(name, record_name, folder)
        column = record.leads.index("MLII") if "MLII" in record.leads else 0
        steps = reading.record_steps(network.run, record.signals[:, column])
        table = beat_confusion(record, reading.decode_beats(steps, constants), round(first_s * SAMPLING_RATE_HZ))
        total += table
        rows[record.name] = table.tolist()
    return beat_scores(total) | {"confusion": total.tolist(), "records": rows}


def windows_of(network: FrozenNetwork, name: str, records: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Shares (window, class), what is possible (window, class) and person of a database's windows, none overlapping."""
    constants, folder = reading.Constants.of(network), databases.find(name)
    shares, possible, person, foreign = [], [], [], []
    for record_name in records or databases.record_names(folder):
        record = databases.read(name, record_name, folder)
        starts = np.arange(0, len(record) - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
        sets = np.array([window_classes(record, start) for start in starts]).reshape(len(starts), len(CLASSES))
        signal = record.signals[:, 0]
        keep = sets.any(1) & np.array([np.ptp(signal[s : s + WINDOW_SAMPLES]) > 0 for s in starts], bool)
        if not keep.any():
            continue
        cut = np.stack([signal[s : s + WINDOW_SAMPLES] for s in starts[keep]])
        found = reading.read(network.run(standardise(cut)).reshape(len(cut), -1, len(reading.OUTPUTS)), constants)
        shares.append(found.shares)
        foreign.append(found.foreign(constants))
        possible.append(sets[keep])
        person += [record.person] * len(cut)
    return {
        "shares": np.concatenate(shares),
        "possible": np.concatenate(possible),
        "foreign": np.concatenate(foreign),
        "person": np.array(person),
    }


def area(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the receiver operating characteristic: the share of pairs in the right order, ties half."""
    from scipy.stats import rankdata

    ranks, ones = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / max(1, ones * (len(scores) - ones)))


def rhythm_scores(found: dict[str, np.ndarray], name: str) -> dict:
    """Atrial fibrillation against sinus rhythm on cinc2017, VT and VFL against the rest on vfdb, and how many refused.

    Windows whose labels leave both sides possible do not count, nor does ventricular fibrillation, which is no class.
    """
    shares, possible = found["shares"][:, : len(CLASSES)], found["possible"]
    row: dict = {
        "windows": len(shares),
        "persons": len(np.unique(found["person"])),
        "refused_percent": round(100 * float(found["foreign"].mean()), 2),
    }
    if name == "cinc2017":
        fibrillation, sinus = CLASSES.index("AFIB"), [CLASSES.index(c) for c in databases.SINUS]
        score = shares[:, fibrillation] / np.maximum(shares[:, fibrillation] + shares[:, sinus].sum(1), 1e-12)
        row["af_auc_windows"] = round(area(score, possible[:, fibrillation]), 4)
        inverse = np.unique(found["person"], return_inverse=True)[1]
        mean = np.bincount(inverse, score) / np.bincount(inverse)
        truth = np.bincount(inverse, possible[:, fibrillation]) > 0
        row["af_auc_records"] = round(area(mean, truth), 4)
    elif name == "vfdb":
        wanted = [CLASSES.index("VT"), CLASSES.index("VFL")]
        some = possible[:, wanted].any(1)
        only = some & ~np.delete(possible, wanted, axis=1).any(1) & ~possible[:, wanted].all(1)
        said = np.isin(shares.argmax(1), wanted) & ~found["foreign"]
        row["ventricular"] = _scores(int((said & only).sum()), int((~said & only).sum()), int((said & ~some).sum()))
        said = np.isin(shares.argmax(1), wanted)  # what refusing costs: the same, had nobody asked whether it is an ECG
        row["ventricular_none_refused"] = _scores(
            int((said & only).sum()), int((~said & only).sum()), int((said & ~some).sum())
        )
    return row
