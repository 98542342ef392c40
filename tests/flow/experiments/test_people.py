"""Figures of beats and rhythms: counted by hand where a few suffice."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flow.experiments import people
from qmodel import reading
from qmodel.beats import Beats
from qmodel.data.databases import BEATS, Labelled
from qmodel.data.fragments import CLASSES


def labelled(letters: str) -> Labelled:
    at = 372 + 360 * np.arange(len(letters))  # the middle of a step
    kind = np.array([BEATS.index(letter) for letter in letters], np.int8)
    return Labelled("mitdb", "x", "x", ("MLII",), np.zeros((7200, 1), np.int16), at, kind)


def found(steps: list[int], kinds: str) -> Beats:
    return Beats(np.array(steps), np.array(["NSV".index(kind) for kind in kinds]), np.ones(len(steps), int))


def test_sides_are_apart_and_paced_records_out():
    assert len(people.DS1) == len(people.DS2) == 22
    assert not set(people.DS1) & set(people.DS2)
    assert not {"102", "104", "107", "217"} & {*people.DS1, *people.DS2}


def test_confusion_and_scores():
    # Annotated N S V F V; found N, S as N, V, F as V, the last V not, and one that is none.
    table = people.beat_confusion(labelled("NSVFV"), found([15, 30, 45, 60, 90], "NNVVS"), 0)
    assert table.sum() == 6
    scores = people.beat_scores(table)
    assert scores["QRS"] == {"sensitivity": 80.0, "positive_predictivity": 80.0, "f1": 80.0}
    assert scores["V"] == {"sensitivity": 50.0, "positive_predictivity": 100.0, "f1": 66.67}
    assert scores["S"]["sensitivity"] == 0


def test_first_minutes_may_be_left_out():
    table = people.beat_confusion(labelled("NNN"), found([15, 30, 45], "NNN"), 700)
    assert table[0, 0] == 2


def test_area_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    scores, positive = random.integers(0, 9, 200), random.random(200) < 0.3
    assert people.area(scores, positive) == pytest.approx(roc_auc_score(positive, scores))


def test_expected_calibration_error_by_hand():
    """Half of the windows sure at 0.95 and all right, half at 0.55 and one of two right: (0.05 + 0.05) / 2."""
    found = people.expected_error(np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, True, True, False]))
    assert found["error_percent"] == pytest.approx(5.0)
    assert found["accuracy_percent"] == 75
    assert found["number"] == [0, 0, 0, 0, 0, 2, 0, 0, 0, 2]
    assert people.expected_error(np.zeros(0), np.zeros(0, bool))["windows"] == 0


def reading_of(*said: dict[str, float]) -> reading.Reading:
    names = (*CLASSES, reading.NOT_AN_ECG)
    shares = np.array([[window.get(name, 0.0) for name in names] for window in said])
    nothing = Beats(*np.zeros((3, 0), int))
    return reading.Reading(shares, np.zeros(len(said)), [nothing] * len(said), np.zeros(len(said), bool))


def possible(*named: str) -> people.Windows:
    sets = np.array([np.isin(CLASSES, name.split()) for name in named])
    return people.Windows(np.zeros((len(named), 2), np.int16), sets, np.array([str(i) for i in range(len(named))]))


def test_ventricular_rhythms_found_refused_and_invented():
    """VT found, VT refused, sinus called VFL; of two fibrillations one is called VT and one refused."""
    noise, constants = {"not an ECG": 0.9, "NSR": 0.1}, reading.Constants(1.0)
    found = reading_of({"VT": 1.0}, noise, {"VFL": 0.8}, {"VT": 0.6, "not an ECG": 0.4}, noise)
    row = people.rhythm_scores(found, possible("VT", "VT", "NSR", "VT VFL", "VT VFL"), constants, "vfdb")
    assert row["ventricular"] == {"sensitivity": 50.0, "positive_predictivity": 50.0, "f1": 50.0}
    assert row["refused_percent_ventricular"] == 50
    assert row["fibrillation_called_ventricular_percent"] == row["fibrillation_refused_percent"] == 50


def test_calibration_counts_windows_of_one_rhythm():
    found = reading_of({"NSR": 0.9, "AFIB": 0.1}, {"AFIB": 0.8, "NSR": 0.2}, {"NSR": 1.0})
    bins = people.calibration(found, possible("NSR PVC", "NSR", "NSR AFIB"), reading.Constants(1.0))
    assert bins["windows"] == 2  # the third may be two rhythms
    assert bins["accuracy_percent"] == 50
    assert bins["error_percent"] == pytest.approx(100 * (0.1 + 0.8) / 2)
