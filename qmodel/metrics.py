"""What a test says: accuracy with its interval, macro F1, per class figures, confusion matrix, loss."""

from __future__ import annotations

import math

import numpy as np

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond 30 the normal quantile is within 2 %.
# Source: NIST/SEMATECH e-Handbook of Statistical Methods, Table 1.3.6.7.2.
STUDENT_95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts, int64, shape (true class, predicted class)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def mean_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross entropy (nats) of logits (window, class): tells more from few windows than their accuracy."""
    return float(losses(logits, labels).mean())


def losses(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Cross entropy (nats) of every window, shape (window,), of logits (window, class)."""
    return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]


def per_class(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Sensitivity, positive predictivity and F1 of every class, shape (class,); NaN where a class has no window."""
    hits, truth, claimed = np.diag(matrix).astype(float), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = hits / truth
        predictivity = np.where(claimed > 0, hits / claimed, 0.0)
        f1 = np.where(truth > 0, 2 * hits / (truth + claimed), np.nan)
    return {"sensitivity": sensitivity, "positive_predictivity": predictivity, "f1": f1}


def macro_f1(matrix: np.ndarray) -> float:
    """Mean F1 over the classes that were tested."""
    return float(np.nanmean(per_class(matrix)["f1"]))


def mean_and_interval(values: list[float]) -> dict[str, float | list[float] | None]:
    """Mean, standard deviation (n - 1) and 95 % interval of the mean by Student's t; one value has no interval."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return {"mean": mean, "std": None, "interval_95": None}
    std = float(np.std(values, ddof=1))
    quantile = STUDENT_95[count - 2] if count <= len(STUDENT_95) + 1 else 1.96
    half = quantile * std / math.sqrt(count)
    return {"mean": mean, "std": std, "interval_95": [mean - half, mean + half]}


def summarise(matrices: list[np.ndarray], classes: tuple[str, ...]) -> dict:
    """Figures of a cross-validation from one confusion matrix per fold.

    Returns: accuracy_mean, accuracy_std, accuracy_interval_95, macro_f1_mean, macro_f1_std, folds, windows, confusion
        (pooled), classes (per class: windows, sensitivity, positive predictivity, F1 of the pooled matrix), ready for
        JSON.
    """
    accuracy = mean_and_interval([float(np.trace(m) / m.sum()) for m in matrices])
    f1 = mean_and_interval([macro_f1(m) for m in matrices])
    pooled = np.sum(matrices, axis=0)
    figures = per_class(pooled)
    return {
        "accuracy_mean": accuracy["mean"],
        "accuracy_std": accuracy["std"],
        "accuracy_interval_95": accuracy["interval_95"],
        "macro_f1_mean": f1["mean"],
        "macro_f1_std": f1["std"],
        "folds": len(matrices),
        "windows": int(pooled.sum()),
        "accuracy_by_fold": [float(np.trace(m) / m.sum()) for m in matrices],
        "classes": [
            {
                "name": name,
                "windows": int(pooled[i].sum()),
                **{figure: None if np.isnan(values[i]) else float(values[i]) for figure, values in figures.items()},
            }
            for i, name in enumerate(classes)
        ],
        "confusion": pooled.tolist(),
    }
