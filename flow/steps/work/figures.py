"""Figures that the training steps report alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qmodel.experiment import Experiment
from qmodel.metrics import confusion_matrix, mean_loss


def scores(experiment: Experiment, logits_of: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Accuracy, confusion matrix and mean loss on the validation and the test part, as far as they are held out.

    Args: logits_of: network inputs (window, sample, lead) to logits (window, class).
    """
    found: dict = {"confusion": {}, "loss": {}}
    for part, held_out in (("validation", experiment.validation), ("test", experiment.test)):
        if held_out is not None:
            inputs, labels = held_out
            logits = logits_of(inputs).astype(np.float64)
            found[f"accuracy_{part}"] = float((logits.argmax(1) == labels).mean())
            found["confusion"][part] = confusion_matrix(
                labels, logits.argmax(1), len(experiment.loaded.classes)
            ).tolist()
            found["loss"][part] = mean_loss(logits, labels)
    return found


def data_of(experiment: Experiment) -> dict:
    """What windows a network learns from: classes, rate, length, leads, and how many windows and persons of each."""
    windows = experiment.loaded
    counts = np.bincount(windows.labels, minlength=len(windows.classes))
    persons = [len(set(windows.persons[windows.labels == label].tolist())) for label in range(len(windows.classes))]
    return {
        "classes": list(windows.classes),
        "rate_hz": windows.rate_hz,
        "window_samples": windows.signals.shape[1],
        "leads": None if windows.leads is None else list(windows.leads),
        "windows_by_class": dict(zip(windows.classes, counts.tolist(), strict=True)),
        "persons_by_class": dict(zip(windows.classes, persons, strict=True)),
        "persons": len(set(windows.persons.tolist())),
        "own": windows.person is not None,
        "notes": experiment.windows.notes(windows),
    }


def take_history(folder: Path) -> list[dict[str, float]]:
    """Every epoch's metrics out of a finished checkpoint, which is then removed."""
    from qmodel.training import read_history

    history = read_history(folder)
    shutil.rmtree(folder)
    return history
