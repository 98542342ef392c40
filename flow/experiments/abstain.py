"""What abstaining gains: accuracy against the share of windows answered, on windows the networks never saw."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.build.provenance import provenance
from flow.build.results import put_rows
from flow.experiments.evaluate import fold_tasks
from flow.recordings.classify import THRESHOLD, Classifier, Findings
from flow.steps.stages import frozen_file
from qmodel.data import fragments, mitdb
from qmodel.data.quality import REASONS
from qmodel.errors import InputError
from qmodel.experiment import Split
from qmodel.frozen import FrozenNetwork

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

RESULTS = "abstain.json"
THRESHOLDS = (*np.round(np.arange(0, 1, 0.05), 2).tolist(), 0.97, 0.98, 0.99)
NOISE_DB = (24, 18, 12, 6, 0, -6, -12)  # power of the ECG against that of the noise
NOISES = ("white", "baseline")
CALIBRATION_BINS = 10


def measure(
    recipe: Recipe,
    split: Split,
    data: str | os.PathLike | None = None,
    build: str | os.PathLike = "build/evaluate",
    results: str | os.PathLike = "results",
    only: list[int] | None = None,
) -> dict:
    """Run every fold's frozen network on the windows held out from it, with and without noise; all folds pooled.

    Args: recipe, split, data, build: of the cross-validation whose frozen networks are taken
        (flow.experiments.evaluate), on the validation parts where the split holds them out, to choose by, else on the
        test parts, to report; only: these folds alone, no result is written unless they are all.
    Returns: one row of results/abstain.json. Raises: InputError: a fold has no frozen network.
    """
    from tqdm import tqdm

    tasks, number = fold_tasks(recipe, split, data, build, only)
    protocol, validate = split.protocol, split.validation
    for task in tasks:
        if not frozen_file(task.experiment, task.build).is_file():
            raise InputError(
                f"fold {task.fold} of {protocol} has no frozen network of {recipe.network} in {build}: run "
                f"`ecg-alq evaluate --protocol {protocol} --network {recipe.network}{' --validate' * validate}` first"
            )
    windows = fragments.load_windows(mitdb.find(data))
    found: dict[tuple[str, int | None], list[Findings]] = {}
    truth, identities = [], []
    for task in tqdm(tasks, desc="Abstention", unit="fold"):
        fold = task.experiment.split.parts(windows.index)
        part = fold.validation if validate else fold.test
        network = FrozenNetwork.load(frozen_file(task.experiment, task.build))
        identities.append(network.identity)
        truth.append(windows.labels[part])
        with Classifier(network, threshold=0) as classifier:
            signals = windows.signals[part]
            found.setdefault(("none", None), []).append(classifier.windows(signals))
            for kind in NOISES:
                for decibels in NOISE_DB:
                    noisy = add_noise(signals, kind, decibels, seed=task.fold)
                    found.setdefault((kind, decibels), []).append(classifier.windows(noisy))
    labels = np.concatenate(truth)
    pooled = {key: _pooled(parts) for key, parts in found.items()}
    label, confidence, reason = pooled["none", None]
    row = {
        "network": recipe.network,
        "protocol": protocol,
        "part": "validation" if validate else "test",
        "kind": "measured",
        "data_source": mitdb.SOURCE,
        "folds": len(tasks),
        "windows": len(labels),
        "threshold": THRESHOLD,
        "at_threshold": answered(labels, label, confidence, THRESHOLD),
        "curve": [answered(labels, label, confidence, threshold) for threshold in THRESHOLDS],
        "calibration": calibration(labels, label, confidence),
        "not_usable": {name: int((reason == name).sum()) for name in REASONS},
        "noise": [
            {
                "noise": kind,
                "signal_to_noise_db": decibels,
                "not_usable": float((pooled[kind, decibels][2] != "good").mean()),
                **answered(labels, *pooled[kind, decibels][:2], THRESHOLD),
                "accuracy_of_guessing": guessing(labels, *pooled[kind, decibels][:2]),
            }
            for kind in NOISES
            for decibels in NOISE_DB
        ],
        "identities": identities,
        "provenance": provenance(),
    }
    if len(tasks) == number:
        put_rows(Path(results) / RESULTS, [row], lambda row: (row["network"], row["protocol"], row["part"]))
    return row


def _pooled(parts: list[Findings]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, confidences and reasons of all folds."""
    label, confidence, reason = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("label", "confidence", "reason")
    )
    return label, confidence, reason


def answered(truth: np.ndarray, label: np.ndarray, confidence: np.ndarray, threshold: float) -> dict:
    """Share of windows of which a class is said at a threshold, and how many of those are right (None if none is).

    Args: truth, label: int (window,), -1 where not usable; confidence: float (window,), NaN where not usable.
    """
    said = np.nan_to_num(confidence, nan=-1.0) >= threshold
    right = label[said] == truth[said]
    return {
        "threshold": threshold,
        "answered": float(said.mean()),
        "accuracy": float(right.mean()) if len(right) else None,
        "wrong": int((~right).sum()),
    }


def guessing(truth: np.ndarray, label: np.ndarray, confidence: np.ndarray) -> float | None:
    """Accuracy if every usable window were answered."""
    return answered(truth, label, confidence, 0.0)["accuracy"]


def calibration(truth: np.ndarray, label: np.ndarray, confidence: np.ndarray) -> dict:
    """Whether confidence is what it says: mean confidence and accuracy in bins, and their mean distance.

    Source: expected calibration error, Guo et al., ICML 2017 (arXiv 1706.04599).
    """
    usable = label >= 0
    truth, label, confidence = truth[usable], label[usable], confidence[usable]
    place = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    bins = [
        {
            "confidence": float(confidence[place == i].mean()),
            "accuracy": float((label == truth)[place == i].mean()),
            "windows": int((place == i).sum()),
        }
        for i in range(CALIBRATION_BINS)
        if (place == i).any()
    ]
    error = sum(abs(b["confidence"] - b["accuracy"]) * b["windows"] for b in bins) / max(len(label), 1)
    return {"expected_error": error, "bins": bins}


def add_noise(windows: np.ndarray, kind: str, decibels: float, seed: int) -> np.ndarray:
    """Windows int16 (window, sample) with noise of a power relative to each window's own.

    Args: kind: white, or baseline (wander up to 0.3 Hz, as of breathing); decibels: of the ECG over the noise.
    """
    random = np.random.default_rng(seed)
    noise = random.standard_normal(windows.shape)
    if kind == "baseline":
        spectrum = np.fft.rfft(noise, axis=1)
        frequency = np.fft.rfftfreq(windows.shape[1], 1 / mitdb.SAMPLING_RATE_HZ)
        spectrum[:, (frequency == 0) | (frequency > 0.3)] = 0
        noise = np.fft.irfft(spectrum, windows.shape[1], axis=1)
    noise /= noise.std(1, keepdims=True)
    noisy = windows + windows.std(1, keepdims=True) * 10 ** (-decibels / 20) * noise
    return np.clip(np.rint(noisy), -(1 << 15), (1 << 15) - 1).astype(np.int16)
