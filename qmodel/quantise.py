"""From the float stage to the folded one: ALQ down to a budget, normalisation folded, finish; saved and resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import keras
from keras import ops

from qmodel import networks
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer, Budget, Teacher
from qmodel.errors import InputError
from qmodel.normalisation import fold, settle
from qmodel.training import Validation, save
from qmodel.training_data import TrainingSet

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

ALQ_MODEL, FOLDED_MODEL = "alq.keras", "folded.keras"
OnEpoch = Callable[[int, dict], None]


def quantise(
    recipe: Recipe,
    model: keras.Model,
    data: TrainingSet,
    validation: Validation,
    folder: str | os.PathLike,
    on_epoch: OnEpoch | None = None,
    teachers: Sequence[keras.Model] = (),
) -> keras.Model:
    """Quantise a float stage with ALQ down to the budget, fold and finish; saved as `alq.keras` and `folded.keras`.

    Args: teachers: float stages of `teacher_recipes(recipe)`, of the same windows.
    Returns: the folded stage, weights on their grids.
    """
    folder = Path(folder)
    spec = networks.network(recipe.network)
    keras.utils.set_random_seed(recipe.seed + 1)
    quantised = networks.build(
        spec, "alq", weight_quantizer=weight_quantizers(recipe, model).get, activation_bits=recipe.activation_bits
    )
    copy_weights(model, quantised)
    budget = Budget("bytes", recipe.budget_bytes)
    teacher = ensemble(teachers) if teachers else None
    trainer = ALQTrainer(quantised, recipe.alq, budget, teacher)
    label = f"{recipe.network} ALQ"
    trainer.fit(data, validation, folder / "alq", recipe.seed + 1, label, on_epoch)
    save(quantised, folder / ALQ_MODEL)
    folded = fold(quantised, spec)
    finish = ALQTrainer(folded, recipe.finish, teacher=teacher, sketch=False)
    finish.fit(data, validation, folder / "folded", recipe.seed + 2, f"{label} finish", on_epoch)
    settle(folded)
    save(folded, folder / FOLDED_MODEL)
    return folded


def ensemble(models: Sequence[keras.Model]) -> Teacher:
    """A teacher that answers the logarithm of the models' mean class probabilities, in place of logits."""

    def logits(inputs, training: bool = False):
        return ops.log(sum(ops.softmax(model(inputs, training=training)) for model in models) / len(models))

    return logits


def weight_quantizers(recipe: Recipe, model: keras.Model) -> dict[str, alq]:
    """An `alq` quantizer for every layer with a kernel. Raises: InputError: bits for another number of layers."""
    names = [layer.name for layer in model.layers if hasattr(layer, "kernel")]
    bits = (recipe.bits,) * len(names) if isinstance(recipe.bits, int) else recipe.bits
    if len(bits) != len(names):
        raise InputError(f"bits must be one number or one per layer ({len(names)}), received {len(bits)}")
    dense = "channelwise" if recipe.grouping in ("pixelwise", "kernelwise") else recipe.grouping
    return {
        name: alq(bits=width, grouping=recipe.grouping if name.startswith("conv") else dense)
        for name, width in zip(names, bits, strict=True)
    }


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copy weights between stages by layer and weight name; weights that only one of them has stay as they are."""
    for layer in target.layers:
        if layer.weights and layer.name in {other.name for other in source.layers}:
            own = {weight.name: weight for weight in source.get_layer(layer.name).weights}
            for weight in layer.weights:
                if weight.name in own:
                    weight.assign(own[weight.name].value)
