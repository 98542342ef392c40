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
from qmodel.hyperparameters import Schedule
from qmodel.normalisation import absorb, settle
from qmodel.people import OUTPUTS, PeopleRecipe, Sampler
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
    target = tf.one_hot(tf.maximum(beats, 0), len(BEAT_TARGETS))
    weight = known * tf.reduce_sum(target * tf.constant(recipe.beat_weights, tf.float32), -1)
    each = -tf.reduce_sum(target * tf.nn.log_softmax(logits), -1)
    beat_loss = tf.reduce_sum(each * weight) / tf.cast(tf.size(weight), tf.float32)
    rhythm = tf.reduce_mean(outputs[..., len(BEAT_TARGETS) :], 1)
    said = tf.reduce_max(allowed, -1)
    inside = tf.nn.log_softmax(rhythm) + tf.where(allowed > 0, 0.0, -30.0)
    class_loss = tf.reduce_mean(-tf.reduce_logsumexp(inside, -1) * said)
    return beat_loss + recipe.rhythm_weight * class_loss, beat_loss, class_loss


def train(
    model, sampler: Sampler, epochs: int, steps: int = 250, rate: float = 3e-3, seed: int = 0, average: float = 0.995
):
    """Train in place with AdamW, a cosine rate and a running average of weights, which the model ends with."""
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

    shadow = None
    for epoch in range(epochs):
        random = np.random.default_rng([seed, epoch])
        losses = []
        for batch in sampler.batches(steps, random):
            losses.append(
                step(tf.constant(batch.inputs), tf.constant(batch.beats), tf.constant(batch.allowed.astype(np.float32)))
            )
            if epoch >= epochs - max(2, epochs // 4):
                now = [v.value for v in model.trainable_variables]
                shadow = (
                    [tf.identity(v) for v in now]
                    if shadow is None
                    else [average * s + (1 - average) * v for s, v in zip(shadow, now)]
                )
        print(f"epoch {epoch + 1} {np.round(np.mean(losses, 0), 4)}", flush=True)
    if shadow is not None:
        for variable, value in zip(model.trainable_variables, shadow):
            variable.assign(value)


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


def polish(
    folded: keras.Model,
    sampler: Sampler,
    teacher: keras.Model,
    schedule: Schedule,
    folder: str | os.PathLike,
    steps: int = 250,
) -> None:
    """Train a folded stage on in place, on other batches; its weights end on their grids."""
    trainer = PeopleTrainer(folded, schedule, sampler.recipe, teacher, sketch=False)
    trainer.fit(PackedData(sampler, steps), None, Path(folder) / "polish", 9, "people polish")
    settle(folded)
