"""Epochs that can be killed at any point and resumed to the same bits, and training in floating point."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from qmodel.files import written_beside
from qmodel.training_data import TrainingSet

CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class FloatRecipe:
    """Settings of training in floating point: AdamW with a warm-up and a cosine to zero."""

    epochs: int = 30
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    label_smoothing: float = 0.05
    warm_up_epochs: float = 2.0


def run_epochs(
    number: int,
    epoch: Callable[[int], dict[str, float]],
    variables: Sequence,
    folder: str | os.PathLike,
    settings: dict,
    label: str,
) -> list[dict[str, float]]:
    """Run `number` epochs with a checkpoint after each; resume from the checkpoint that the same settings left.

    All state must be in `variables` (random draws are derived from the epoch's number), so that a run that was killed
    ends in the same bits as an undisturbed one.
    Args: epoch: runs one epoch given its number, returns what the progress bar shows; variables: Keras variables;
        settings: what must be equal for a checkpoint to be used. Returns: every epoch's metrics.
    """
    path = Path(folder) / CHECKPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = json.dumps(settings, sort_keys=True)
    history = _restore(path, variables, fingerprint)
    with tqdm(total=number, initial=len(history), desc=label, unit="epoch", dynamic_ncols=True) as bar:
        for i in range(len(history), number):
            metrics = epoch(i)
            history.append(metrics)
            bar.update()
            bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in metrics.items()))
            with written_beside(path) as beside, open(beside, "wb") as file:
                arrays = {f"v{k}": np.asarray(ops.convert_to_numpy(v)) for k, v in enumerate(variables)}
                np.savez(file, meta=np.array(json.dumps({"settings": fingerprint, "history": history})), **arrays)
    return history


def _restore(path: Path, variables: Sequence, fingerprint: str) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        if meta["settings"] != fingerprint:
            return []
        for k, variable in enumerate(variables):
            variable.assign(file[f"v{k}"])
    return meta["history"]


def epoch_random(seed: int, epoch: int) -> np.random.Generator:
    """The random numbers of one epoch: they depend on the seed and the epoch's number alone."""
    return np.random.default_rng([seed, epoch])


def smooth(targets: np.ndarray, smoothing: float) -> np.ndarray:
    """Class probabilities (window, class) moved towards uniform by `smoothing`."""
    return (1 - smoothing) * targets + np.float32(smoothing / targets.shape[1])


def cross_entropy(targets, logits):
    """Mean cross entropy of logits (batch, class) against probabilities (batch, class)."""
    return -ops.mean(ops.sum(targets * ops.log_softmax(logits), axis=-1))


def predict(model: keras.Model, inputs: np.ndarray, batch: int = 100) -> np.ndarray:
    """Logits (window, class) of network inputs (window, sample, 1)."""
    return np.concatenate(
        [ops.convert_to_numpy(model(inputs[i : i + batch], training=False)) for i in range(0, len(inputs), batch)]
    )


def accuracy(model: keras.Model, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of windows whose largest logit is their label's."""
    return float((predict(model, inputs).argmax(1) == labels).mean())


def train_float(
    model: keras.Model,
    data: TrainingSet,
    validation: tuple[np.ndarray, np.ndarray],
    recipe: FloatRecipe,
    folder: str | os.PathLike,
    seed: int = 0,
    label: str = "float",
) -> list[dict[str, float]]:
    """Train a model in place.

    Args: data: training windows; validation: inputs (window, sample, 1) and labels, only reported;
        folder: where the checkpoint lives. Returns: every epoch's loss and validation accuracy.
    """
    steps = data.batches(recipe.batch)
    warm_up = int(recipe.warm_up_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, recipe.epochs * steps - warm_up), warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimiser.build(model.trainable_variables)

    @tf.function(jit_compile=True, reduce_retracing=True)
    def step(inputs, targets):
        with tf.GradientTape() as tape:
            loss = cross_entropy(targets, model(inputs, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimiser.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def epoch(number: int) -> dict[str, float]:
        losses = [
            step(tf.constant(inputs), tf.constant(smooth(targets, recipe.label_smoothing)))
            for inputs, targets in data.epoch(epoch_random(seed, number), recipe.batch)
        ]
        return {"loss": float(np.mean(losses)), "validation": accuracy(model, *validation)}

    settings = {"recipe": asdict(recipe), "seed": seed, "weights": model.count_params()}
    return run_epochs(recipe.epochs, epoch, [*model.variables, *optimiser.variables], folder, settings, label)
