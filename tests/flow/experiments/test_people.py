"""Figures of beats and rhythms: counted by hand where a few suffice."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from flow.experiments import people
from qmodel.beats import Beats
from qmodel.data.databases import BEATS, Labelled


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
