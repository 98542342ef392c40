"""Figures that the training steps report alike."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qmodel.data.fragments import CLASSES
from qmodel.experiment import Experiment
from qmodel.metrics import confusion_matrix, mean_loss


def scores(experiment: Experiment, logits_of: Callable[[np.ndarray], np.ndarray]) -> dict:
    """Accuracy, confusion matrix and mean loss on the validation and the test part, as far as they are held out.

    Args: logits_of: network inputs (window, sample, 1) to logits (window, class).
    """
    found: dict = {"confusion": {}, "loss": {}}
    for part, held_out in (("validation", experiment.validation), ("test", experiment.test)):
        if held_out is not None:
            inputs, labels = held_out
            logits = logits_of(inputs).astype(np.float64)
            found[f"accuracy_{part}"] = float((logits.argmax(1) == labels).mean())
            found["confusion"][part] = confusion_matrix(labels, logits.argmax(1), len(CLASSES)).tolist()
            found["loss"][part] = mean_loss(logits, labels)
    return found


def take_history(folder: Path) -> list[dict[str, float]]:
    """Every epoch's metrics out of a finished checkpoint, which is then removed."""
    from qmodel.training import read_history

    history = read_history(folder)
    shutil.rmtree(folder)
    return history
