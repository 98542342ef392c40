"""Training of networks for persons never met: float, then ALQ, on batches of `qmodel.people`; frozen per step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from qmodel import networks
from qmodel.alq.layers import kernels_on_grid
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer
from qmodel.data.partial import BEAT_TARGETS, MASKED, STEPS
from qmodel.files import written_beside
from qmodel.hyperparameters import Schedule
from qmodel.normalisation import absorb, settle
from qmodel.people import OUTPUTS, TARGET_SETS, PeopleRecipe, Sampler
from qmodel.quantised_stage import copy_weights

# Two blocks on the shape of a beat, then 2.3 s of context at steps of 67 ms; 4,259 cycles and 12,000 LUT as a core.
RHYTHM = networks.stream(
    networks.same(28, 7, 1, 1),
    networks.same(24, 15, 1, 1),
    networks.same(24, 15, 1, 1),
    networks.same(48, 1, 1, 1),
    outputs=OUTPUTS,
)
RHYTHM_BITS = (2, 2, 2, 1, 1, 2, 1)  # largest bitwidth per layer: what 13,000 LUT hold at a frame in 3,600 cycles


def loss_of(outputs, beats, allowed, recipe: PeopleRecipe):
    """The sum of both losses, the beats' and the classes': scalars.

    Args: outputs: logits (batch, step, output); beats: (batch, step), MASKED where silent; allowed: (batch, class).
    """
    logits = outputs[..., : len(BEAT_TARGETS)]
    beats = tf.cast(beats, tf.int32)
    known = tf.cast(beats != MASKED, tf.float32)
    target = tf.one_hot(tf.maximum(beats, 0), len(TARGET_SETS))
    weights = tf.constant([*recipe.beat_weights, recipe.not_early_weight], tf.float32)
    weight = known * tf.linalg.matvec(target, weights)
    outside = -30 * (1 - tf.matmul(target, tf.constant(TARGET_SETS)))
    each = -tf.reduce_logsumexp(tf.nn.log_softmax(logits) + outside, -1)
    beat_loss = tf.reduce_sum(each * weight) / tf.cast(tf.size(weight), tf.float32)
    rhythm = tf.reduce_mean(outputs[..., len(BEAT_TARGETS) :], 1)
    said = tf.reduce_max(allowed, -1)
    inside = tf.nn.log_softmax(rhythm) + tf.where(allowed > 0, 0.0, -30.0)
    class_loss = tf.reduce_mean(-tf.reduce_logsumexp(inside, -1) * said)
    return beat_loss + recipe.rhythm_weight * class_loss, beat_loss, class_loss


def train(
    model,
    sampler: Sampler,
    epochs: int,
    steps: int = 250,
    rate: float = 3e-3,
    seed: int = 0,
    average: float = 0.995,
    checkpoint: Path | None = None,
):
    """Train in place with AdamW, a cosine rate and a running average of weights, which the model ends with.

    Args: checkpoint: file (.npz) that holds the state after the last epoch, from which a run that was stopped goes on.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, epochs * steps - steps), warmup_target=rate, warmup_steps=steps
    )
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
    optimiser.build(model.trainable_variables)
    recipe = sampler.recipe

    @tf.function(jit_compile=True)
    def step(inputs, beats, allowed):
        with tf.GradientTape() as tape:
            loss, beat_loss, class_loss = loss_of(model(inputs, training=True), beats, allowed, recipe)
        optimiser.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return tf.stack([loss, beat_loss, class_loss])

    # The running average of the trainable weights, over the last quarter of the epochs.
    shadow = [tf.Variable(v.value, trainable=False) for v in model.trainable_variables]
    state = [*model.variables, *optimiser.variables, *shadow]
    begin = 0
    if checkpoint is not None and checkpoint.exists():
        with np.load(checkpoint, allow_pickle=False) as kept:
            begin = int(kept["epoch"])
            for i, variable in enumerate(state):
                variable.assign(kept[f"v{i}"])
    averaged = max(0, epochs - max(2, epochs // 4))
    for epoch in range(begin, epochs):
        random = np.random.default_rng([seed, epoch])
        losses = []
        if epoch == averaged:
            for kept_value, variable in zip(shadow, model.trainable_variables):
                kept_value.assign(variable.value)
        for batch in sampler.batches(steps, random):
            losses.append(
                step(tf.constant(batch.inputs), tf.constant(batch.beats), tf.constant(batch.allowed.astype(np.float32)))
            )
            if epoch >= averaged:
                for kept_value, variable in zip(shadow, model.trainable_variables):
                    kept_value.assign(average * kept_value + (1 - average) * variable.value)
        _told(epoch + 1, np.mean(losses, 0))
        if checkpoint is not None:
            with written_beside(checkpoint) as beside, open(beside, "wb") as file:
                np.savez(file, epoch=epoch + 1, **{f"v{i}": np.asarray(v) for i, v in enumerate(state)})
    if epochs:
        for variable, value in zip(model.trainable_variables, shadow):
            variable.assign(value)


def _told(epoch: int, losses: np.ndarray) -> None:
    print(f"epoch {epoch}: loss {losses[0]:.4f}, of beats {losses[1]:.4f}, of classes {losses[2]:.4f}", flush=True)


@dataclass(frozen=True)
class _Packed:
    """inputs, and targets float32 (window, step + class): beats behind each other with allowed classes."""

    inputs: np.ndarray
    targets: np.ndarray


class PackedData:
    """Batches of a sampler as an ALQ trainer asks for them. Args: steps: batches of an epoch."""

    def __init__(self, sampler: Sampler, steps: int) -> None:
        self.sampler, self.steps = sampler, steps

    def epoch(self, random: np.random.Generator, batch: int) -> Iterator[_Packed]:
        """Batches; their size is the sampler's."""
        for drawn in self.sampler.batches(self.steps, random):
            targets = np.concatenate([drawn.beats.astype(np.float32), drawn.allowed.astype(np.float32)], axis=1)
            yield _Packed(drawn.inputs, targets)

    def batches(self, batch: int) -> int:
        """Batches per epoch."""
        return self.steps

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What tells these examples from others: which windows are drawn, and how often."""
        drawn = self.sampler
        return drawn.by_class, drawn.class_weights, drawn.by_beats, drawn.beat_weights


class PeopleTrainer(ALQTrainer):
    """The ALQ moves with the losses of `loss_of`; a teacher's logits per step are followed beside the labels."""

    def __init__(self, model: keras.Model, schedule: Schedule, recipe: PeopleRecipe, teacher=None, sketch: bool = True):
        super().__init__(model, schedule, None, None, sketch)
        self.people_recipe, self.people_teacher = recipe, teacher

    def _loss_and_gradients(self, inputs, targets):
        kernels = [state.layer.kernel.value for state in self.trained]
        beats, allowed = targets[:, :STEPS], targets[:, STEPS:]
        recipe, share = self.people_recipe, self.schedule.distillation
        with kernels_on_grid(state.layer for state in self.states), tf.GradientTape() as tape:
            outputs = self.model(inputs, training=True)
            loss, _, _ = loss_of(outputs, beats, allowed, recipe)
            if self.people_teacher is not None and share:
                taught = ops.stop_gradient(self.people_teacher(inputs, training=False))
                loss = (1 - share) * loss + share * _distance(taught, outputs, recipe)
        others = [v.value for v in self.others]
        gradients = tape.gradient(loss, kernels + others)
        self.optimiser.apply_gradients(zip(gradients[len(kernels) :], self.others, strict=True))
        return loss, gradients[: len(kernels)]


def _distance(taught, outputs, recipe: PeopleRecipe):
    """Cross entropies of a network's answers against its teacher's: of the steps' beats, and of the window's class."""
    split = len(BEAT_TARGETS)
    beats = ops.softmax(taught[..., :split])
    weight = ops.sum(beats * tf.constant(recipe.beat_weights, tf.float32), -1)
    each = -ops.sum(beats * ops.log_softmax(outputs[..., :split]), -1)
    classes = ops.softmax(ops.mean(taught[..., split:], 1))
    of_class = -ops.sum(classes * ops.log_softmax(ops.mean(outputs[..., split:], 1)), -1)
    return ops.mean(each * weight) + recipe.rhythm_weight * ops.mean(of_class)


def quantise(
    spec: networks.Network,
    model: keras.Model,
    sampler: Sampler,
    folder: str | os.PathLike,
    bits: tuple[int, ...],
    schedule: Schedule,
    finish: Schedule,
    steps: int = 250,
    activation_bits: int = 6,
    seed: int = 0,
) -> keras.Model:
    """The folded stage of a float model, which also teaches it; resumable.

    Args: bits: largest bitwidth per layer; schedule: before normalisation is folded, finish: after it.
    """
    folder = Path(folder)
    keras.utils.set_random_seed(seed + 1)
    names = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    quantizers = {name: alq(bits=width) for name, width in zip(names, bits, strict=True)}
    quantised = networks.build(spec, "alq", weight_quantizer=quantizers.get, activation_bits=activation_bits)
    copy_weights(model, quantised)
    data = PackedData(sampler, steps)
    trainer = PeopleTrainer(quantised, schedule, sampler.recipe, model)
    trainer.fit(data, None, folder / "alq", seed + 1, "people ALQ")
    folded = absorb(quantised)
    last = PeopleTrainer(folded, finish, sampler.recipe, model, sketch=False)
    last.fit(data, None, folder / "folded", seed + 2, "people ALQ finish")
    settle(folded)
    return folded
