"""Epochs that can be killed at any point and resumed to the same bits, and training in floating point."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from tqdm import tqdm

from qmodel.arrays import Array
from qmodel.files import written_beside
from qmodel.hyperparameters import FloatRecipe
from qmodel.training_data import PlainSet, TrainingSet

CHECKPOINT = "checkpoint.npz"
Validation = tuple[np.ndarray, np.ndarray] | None  # inputs (window, sample, 1) and labels that are held out
MIN_BEAT_STEPS = 12  # time steps of ten seconds that still tell one beat from the next


def run_epochs(
    number: int,
    epoch: Callable[[int], dict],
    variables: Sequence,
    folder: str | os.PathLike,
    settings: dict,
    label: str,
    stop: Callable[[], bool] = lambda: False,
) -> list[dict]:
    """Run `number` epochs with a checkpoint after each; resume from the checkpoint that the same settings left.

    All state must be in `variables` (random draws are derived from the epoch's number), so that a run that was killed
    ends in the same bits as an undisturbed one.
    Args:
        epoch: runs one epoch given its number, returns its metrics, of which the progress bar shows the numbers.
        variables: Keras variables; settings: what must be equal for a checkpoint to be used; stop: asked after every
            epoch whether the run ends early.
    Returns: every epoch's metrics and its seconds.
    """
    path = Path(folder) / CHECKPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    fingerprint = json.dumps(settings, sort_keys=True)
    history = _restore(path, variables, fingerprint)
    with tqdm(total=number, initial=len(history), desc=label, unit="epoch", dynamic_ncols=True) as bar:
        for i in range(len(history), number):
            start = time.perf_counter()
            metrics = epoch(i)
            history.append(metrics | {"seconds": time.perf_counter() - start})
            bar.update()
            numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
            bar.set_postfix_str(" ".join(f"{name} {value:.4g}" for name, value in numbers.items()))
            with written_beside(path) as beside, open(beside, "wb") as file:
                arrays: dict[str, Any] = {f"v{k}": np.asarray(ops.convert_to_numpy(v)) for k, v in enumerate(variables)}
                np.savez(file, meta=np.array(json.dumps({"settings": fingerprint, "history": history})), **arrays)
            if stop():
                break
    return history


def read_history(folder: str | os.PathLike) -> list[dict]:
    """Metrics of every epoch that `run_epochs` has finished in a folder."""
    with np.load(Path(folder) / CHECKPOINT, allow_pickle=False) as file:
        return json.loads(str(file["meta"]))["history"]


def _restore(path: Path, variables: Sequence, fingerprint: str) -> list[dict]:
    if not path.exists():
        return []
    with np.load(path, allow_pickle=False) as file:
        meta = json.loads(str(file["meta"]))
        if meta["settings"] != fingerprint:
            return []
        for k, variable in enumerate(variables):
            variable.assign(file[f"v{k}"])
    return meta["history"]


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 of arrays, their shapes and types."""
    sha = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        sha.update(f"{array.dtype} {array.shape}\0".encode())
        sha.update(array.data)
    return sha.hexdigest()


def epoch_random(seed: int, epoch: int) -> np.random.Generator:
    """The random numbers of one epoch: they depend on the seed and the epoch's number alone."""
    return np.random.default_rng([seed, epoch])


def smooth(targets: np.ndarray, smoothing: float) -> np.ndarray:
    """Class probabilities (window, class) moved towards uniform by `smoothing`."""
    return (1 - smoothing) * targets + np.float32(smoothing / targets.shape[1])


def cross_entropy(targets: Array, logits: Array) -> Array:
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
    data: TrainingSet | PlainSet,
    validation: tuple[np.ndarray, np.ndarray] | None,
    recipe: FloatRecipe,
    folder: str | os.PathLike,
    seed: int = 0,
    label: str = "float",
) -> list[dict[str, float]]:
    """Train a model in place.

    Args: data: training windows; validation: inputs (window, sample, 1) and labels, only reported, or None;
        folder: where the checkpoint lives. Returns: every epoch's loss and, if asked for, validation accuracy.
    """
    learner = model
    if isinstance(data, TrainingSet) and data.beats is not None and recipe.beat_loss:
        learner = with_beat_head(model, data.beats.shape[-1])
    steps = data.batches(recipe.batch)
    warm_up = int(recipe.warm_up_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, recipe.epochs * steps - warm_up), warmup_target=recipe.learning_rate, warmup_steps=warm_up
    )
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay)
    optimiser.build(learner.trainable_variables)

    @tf.function(jit_compile=True)
    def step(inputs: Array, targets: Array, beats: Array | None) -> Array:
        with tf.GradientTape() as tape:
            outputs = learner(inputs, training=True)
            if beats is None:
                loss = cross_entropy(targets, outputs)
            else:
                each = tf.nn.sigmoid_cross_entropy_with_logits(beats, outputs[1])
                loss = cross_entropy(targets, outputs[0]) + recipe.beat_loss * ops.mean(ops.sum(each, -1))
        gradients = tape.gradient(loss, learner.trainable_variables)
        optimiser.apply_gradients(zip(gradients, learner.trainable_variables, strict=True))
        return loss

    def epoch(number: int) -> dict[str, float]:
        losses = []
        for batch in data.epoch(epoch_random(seed, number), recipe.batch):
            targets = tf.constant(smooth(batch.targets, recipe.label_smoothing))
            beats = None
            if learner is not model:
                assert batch.beats is not None
                beats = tf.constant(beats_per_step(batch.beats, learner.outputs[1].shape[1]))
            losses.append(step(tf.constant(batch.inputs), targets, beats))
        watched = {"validation": accuracy(model, *validation)} if validation else {}
        return {"loss": float(np.mean(losses))} | watched

    settings = {"recipe": asdict(recipe), "seed": seed, "weights": learner.count_params()}
    return run_epochs(recipe.epochs, epoch, [*learner.variables, *optimiser.variables], folder, settings, label)


def with_beat_head(model: keras.Model, beats: int) -> keras.Model:
    """The model with a second output (batch, time step, beat): logits from its last ReLU with MIN_BEAT_STEPS steps."""
    late = [
        layer.output
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU) and len(layer.output.shape) == 3
        if layer.output.shape[1] >= MIN_BEAT_STEPS
    ]
    head = keras.layers.Dense(beats, name="beats")
    return keras.Model(model.inputs[0], [model.outputs[0], head(late[-1])])


def beats_per_step(beats: np.ndarray, steps: int) -> np.ndarray:
    """Beats (window, bin, beat) as float32 (window, time step, beat): 1 where a bin of the time step has the beat."""
    starts = np.arange(steps) * beats.shape[1] // steps
    return np.maximum.reduceat(beats, starts, axis=1).astype(np.float32)


def load(path: str | os.PathLike) -> keras.Model:
    """Load a saved stage. Raises: InputError: not a model of ours; OSError: not readable."""
    return keras.models.load_model(path, compile=False)


def save(model: keras.Model, path: Path) -> None:
    """Write a model so that nothing half-written is ever seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside:
        # Keras takes the format from the suffix, so the name beside needs it as well.
        named = beside.with_name(beside.name + ".keras")
        try:
            model.save(named)
            os.replace(named, beside)
        finally:
            named.unlink(missing_ok=True)
