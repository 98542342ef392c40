"""From the float stage to the absorbed one: ALQ to a budget, normalisation absorbed, finish; saved and resumable."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from qmodel import networks
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer, Budget
from qmodel.arrays import Array
from qmodel.errors import InputError
from qmodel.normalisation import absorb, bias_bits, settle
from qmodel.training import Validation, save
from qmodel.training_data import TrainingSet

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

ALQ_MODEL, ABSORBED_MODEL = "alq.keras", "folded.keras"
OnEpoch = Callable[[int, dict], None]


def quantise(
    recipe: Recipe,
    model: keras.Model,
    data: TrainingSet,
    validation: Validation,
    folder: str | os.PathLike,
    on_epoch: OnEpoch | None = None,
    teachers: Sequence[keras.Model] | Ensemble = (),
) -> keras.Model:
    """Quantise a float stage with ALQ down to the budget, fold and finish; saved as `alq.keras` and `folded.keras`.

    Args: teachers: float stages of `teacher_recipes(recipe)`, of the same windows; several recipes may share an
        ensemble of them, which remembers what it was asked.
    Returns: the absorbed stage, weights on their grids.
    """
    folder = Path(folder)
    spec = networks.for_data(recipe.network, data)
    keras.utils.set_random_seed(recipe.seed + 1)
    quantised = networks.build(
        spec, "alq", weight_quantizer=weight_quantizers(recipe, model).get, activation_bits=recipe.activation_bits
    )
    copy_weights(model, quantised)
    budget = Budget("bytes", networks.budget_for(recipe, data), price=recipe.price)
    teacher = teachers if isinstance(teachers, Ensemble) else Ensemble(teachers) if teachers else None
    trainer = ALQTrainer(quantised, recipe.alq, budget, teacher, bias_bits=bias_bits)
    label = f"{recipe.network} ALQ"
    trainer.fit(data, validation, folder / "alq", recipe.seed + 1, label, on_epoch)
    save(quantised, folder / ALQ_MODEL)
    # The dropout of the absorbed model draws its seed here: a resumed run has drawn fewer numbers until now.
    keras.utils.set_random_seed(recipe.seed + 2)
    # A bias keeps to the width that the budget counted for it, so the file is as long as pruning left it.
    absorbed = absorb(quantised, bias_limits={state.layer.name: state.bias_bits for state in trainer.states})
    finish = ALQTrainer(absorbed, recipe.finish, teacher=teacher, sketch=False)
    finish.fit(data, validation, folder / "folded", recipe.seed + 2, f"{label} finish", on_epoch)
    settle(absorbed)
    save(absorbed, folder / ABSORBED_MODEL)
    return absorbed


class Ensemble:
    """A teacher that answers the logarithm of its models' mean class probabilities, in place of logits.

    It remembers its answers, so that recipes which see the same batches (from one seed) ask the models once.
    """

    def __init__(self, models: Sequence[keras.Model]) -> None:
        def logits(inputs: Array) -> Array:
            return ops.log(sum(ops.softmax(model(inputs, training=False)) for model in models) / len(models))

        self._logits = tf.function(logits, jit_compile=True)
        self._answers: dict[bytes, np.ndarray] = {}

    def __call__(self, inputs: np.ndarray, training: bool = False) -> np.ndarray:
        """Logits (batch, class)."""
        key = hashlib.blake2b(np.ascontiguousarray(inputs).data, digest_size=16).digest()
        if key not in self._answers:
            self._answers[key] = ops.convert_to_numpy(self._logits(tf.constant(inputs)))
        return self._answers[key]


def weight_quantizers(recipe: Recipe, model: keras.Model) -> dict[str, alq]:
    """An `alq` quantizer for every layer with a kernel. Raises: InputError: bits for another number of layers."""
    kernels = {layer.name: tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")}
    bits = (recipe.bits,) * len(kernels) if isinstance(recipe.bits, int) else recipe.bits
    if len(bits) != len(kernels):
        raise InputError(f"bits must be one number or one per layer ({len(kernels)}), received {len(bits)}")

    def quantizer(shape: tuple[int, ...], width: int) -> alq:
        if recipe.grouping == "subchannels":
            return alq(width, "subchannels", subchannels_of(math.prod(shape[:-1]), recipe.group_weights))
        # The weights of a dense unit have neither taps nor channels to be grouped by.
        return alq(width, recipe.grouping if len(shape) == 3 else "channelwise")

    return {name: quantizer(shape, width) for (name, shape), width in zip(kernels.items(), bits, strict=True)}


def subchannels_of(weights: int, least: int) -> int:
    """Most equal groups of a filter's weights that have at least `least` weights each; one group if it has fewer."""
    return max(n for n in range(1, weights + 1) if n == 1 or (weights % n == 0 and weights >= n * least))


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy weights between stages by layer and weight name; weights that only one of them has stay as they are."""
    for layer in target.layers:
        if layer.weights and layer.name in {other.name for other in source.layers}:
            own = {weight.name: weight for weight in source.get_layer(layer.name).weights}
            for weight in layer.weights:
                if weight.name in own:
                    weight.assign(own[weight.name].value)
