"""Training of networks for persons never met: float, then ALQ, on batches of `qmodel.people`; frozen per step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from qmodel import networks
from qmodel.alq.layers import kernels_on_grid
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer
from qmodel.arrays import Array
from qmodel.data.partial import BEAT_TARGETS, MASKED, STEPS
from qmodel.hyperparameters import Schedule
from qmodel.normalisation import absorb, settle
from qmodel.people import OUTPUTS, TARGET_SETS, PeopleRecipe, Sampler
from qmodel.quantised_stage import copy_weights
from qmodel.training import digest, epoch_random, run_epochs

# Two blocks on the shape of a beat, then 2.3 s of context at steps of 67 ms; 4,259 cycles and 12,000 LUT as a core.
RHYTHM = networks.stream(
    networks.same(28, 7, 1, 1),
    networks.same(24, 15, 1, 1),
    networks.same(24, 15, 1, 1),
    networks.same(48, 1, 1, 1),
    outputs=OUTPUTS,
)
RHYTHM_BITS = (2, 2, 2, 1, 1, 2, 1)  # largest bitwidth per layer: what 13,000 LUT hold at a frame in 3,600 cycles


def loss_of(outputs: Array, beats: Array, allowed: Array, recipe: PeopleRecipe) -> tuple[Array, Array, Array]:
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
    model: keras.Model,
    sampler: Sampler,
    epochs: int,
    folder: str | os.PathLike,
    steps: int = 250,
    rate: float = 3e-3,
    seed: int = 0,
    average: float = 0.995,
    label: str = "people float",
) -> list[dict]:
    """Train in place with AdamW, a cosine rate and a running average of weights, which the model ends with.

    Args: folder: where the checkpoint lives, from which a run that was stopped goes on; steps: batches of an epoch.
    Returns: every epoch's losses.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, epochs * steps - steps), warmup_target=rate, warmup_steps=steps
    )
    optimiser = keras.optimizers.AdamW(schedule, weight_decay=1e-4)
    optimiser.build(model.trainable_variables)
    recipe = sampler.recipe

    @tf.function(jit_compile=True)
    def step(inputs: Array, beats: Array, allowed: Array) -> tuple[Array, Array, Array]:
        with tf.GradientTape() as tape:
            loss, beat_loss, class_loss = loss_of(model(inputs, training=True), beats, allowed, recipe)
        optimiser.apply_gradients(
            zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return tf.stack([loss, beat_loss, class_loss])

    # The running average of the trainable weights, over the last quarter of the epochs.
    shadow = [tf.Variable(v.value, trainable=False) for v in model.trainable_variables]
    averaged = max(0, epochs - max(2, epochs // 4))

    def epoch(number: int) -> dict[str, float]:
        losses = []
        if number == averaged:
            for kept_value, variable in zip(shadow, model.trainable_variables):
                kept_value.assign(variable.value)
        for batch in sampler.batches(steps, epoch_random(seed, number)):
            losses.append(
                step(tf.constant(batch.inputs), tf.constant(batch.beats), tf.constant(batch.allowed.astype(np.float32)))
            )
            if number >= averaged:
                for kept_value, variable in zip(shadow, model.trainable_variables):
                    kept_value.assign(average * kept_value + (1 - average) * variable.value)
        loss, of_beats, of_classes = np.mean(losses, 0).tolist()
        return {"loss": loss, "beats": of_beats, "classes": of_classes}

    settings = {
        "epochs": epochs,
        "steps": steps,
        "rate": rate,
        "seed": seed,
        "average": average,
        "recipe": asdict(recipe),
        "start": digest(ops.convert_to_numpy(variable) for variable in model.variables),
        "data": digest(PackedData(sampler, steps).arrays),
    }
    state = [*model.variables, *optimiser.variables, *shadow]
    history = run_epochs(epochs, epoch, state, folder, settings, label)
    for variable, value in zip(model.trainable_variables, shadow if epochs else ()):
        variable.assign(value)
    return history


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

    def __init__(
        self,
        model: keras.Model,
        schedule: Schedule,
        recipe: PeopleRecipe,
        teacher: keras.Model | None = None,
        sketch: bool = True,
    ) -> None:
        super().__init__(model, schedule, None, None, sketch)
        self.people_recipe, self.people_teacher = recipe, teacher

    def _loss_and_gradients(self, inputs: Array, targets: Array) -> tuple[Array, list[Array]]:
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


def _distance(taught: Array, outputs: Array, recipe: PeopleRecipe) -> Array:
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
    keras.utils.set_random_seed(seed + 2)  # what absorbing draws is the same in a run that was resumed
    folded = absorb(quantised)
    last = PeopleTrainer(folded, finish, sampler.recipe, model, sketch=False)
    last.fit(data, None, folder / "folded", seed + 2, "people ALQ finish")
    settle(folded)
    return folded
