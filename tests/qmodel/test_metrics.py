"""Figures of a test, against hand-counted matrices and scikit-learn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from qmodel import metrics


def test_hand_counted():
    """Three classes; class 2 is never predicted, class 1 has 3 of 4 right."""
    matrix = metrics.confusion_matrix(np.array([0, 0, 1, 1, 1, 1, 2]), np.array([0, 1, 1, 1, 1, 0, 1]), 3)
    assert matrix.tolist() == [[1, 1, 0], [1, 3, 0], [0, 1, 0]]
    figures = metrics.per_class(matrix)
    assert figures["sensitivity"].tolist() == [0.5, 0.75, 0.0]
    assert figures["positive_predictivity"].tolist() == [0.5, 0.6, 0.0]
    assert figures["f1"] == pytest.approx([0.5, 2 / 3, 0.0])


@given(st.integers(1, 20), st.integers(2, 17), st.integers(0, 99))
def test_loss_against_scipy(windows, classes, seed):
    random = np.random.default_rng(seed)
    logits, labels = 30 * random.normal(size=(windows, classes)), random.integers(0, classes, windows)
    expected = -np.mean([log_softmax(row)[label] for row, label in zip(logits, labels, strict=True)])
    assert metrics.mean_loss(logits, labels) == pytest.approx(expected, rel=1e-12, abs=1e-12)
    assert metrics.mean_loss(np.zeros((1, 17)), np.array([3])) == pytest.approx(np.log(17))


@given(st.integers(0, 10_000))
def test_against_scikit_learn(seed):
    from sklearn.metrics import f1_score, precision_score, recall_score

    random = np.random.default_rng(seed)
    labels, predicted = random.integers(0, 5, 60), random.integers(0, 5, 60)
    figures = metrics.per_class(metrics.confusion_matrix(labels, predicted, 5))
    classes = np.unique(labels)
    options = {"labels": classes, "average": None, "zero_division": 0}
    assert figures["sensitivity"][classes] == pytest.approx(recall_score(labels, predicted, **options))
    assert figures["positive_predictivity"][classes] == pytest.approx(precision_score(labels, predicted, **options))
    assert figures["f1"][classes] == pytest.approx(f1_score(labels, predicted, **options))


def test_untested_classes_do_not_count():
    matrix = np.zeros((3, 3), int)
    matrix[0, 0] = 4
    assert metrics.macro_f1(matrix) == 1.0
    assert np.isnan(metrics.per_class(matrix)["sensitivity"][1])


def test_interval():
    """Mean 2, deviation 1, three values: 2 +- 4.303 / sqrt(3) (Student's t, two degrees of freedom)."""
    figures = metrics.mean_and_interval([1.0, 2.0, 3.0])
    assert figures["mean"] == 2.0
    assert figures["std"] == 1.0
    assert figures["interval_95"] == pytest.approx([2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5])
    assert metrics.mean_and_interval([0.5])["interval_95"] is None


def test_quantiles_are_students():
    from scipy.stats import t

    assert [round(t.ppf(0.975, n), 3) for n in range(1, 31)] == list(metrics.STUDENT_95)


def test_summary_is_json():
    folds = [np.array([[5, 1], [0, 4]]), np.array([[6, 0], [1, 3]])]
    summary = json.loads(json.dumps(metrics.summarise(folds, ("NSR", "APB"))))
    assert summary["accuracy_mean"] == pytest.approx(0.9)
    assert summary["accuracy_std"] == 0.0
    assert summary["folds"] == 2
    assert summary["windows"] == 20
    assert summary["confusion"] == [[11, 1], [1, 7]]
    assert summary["classes"][1]["sensitivity"] == pytest.approx(7 / 8)
