"""How a network becomes a frozen one: float training, ALQ, folding, finish, freeze; each step saved and resumable."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
from keras import ops

from qmodel import networks
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer, Budget, Schedule, Teacher
from qmodel.errors import InputError
from qmodel.files import written_beside
from qmodel.freeze import freeze
from qmodel.frozen import FrozenNetwork
from qmodel.normalisation import fold, settle
from qmodel.training import FloatRecipe, train_float
from qmodel.training_data import DataRecipe, TrainingSet

FLOAT_MODEL, ALQ_MODEL, FOLDED_MODEL, FROZEN_FILE = "float.keras", "alq.keras", "folded.keras", "network.alq"

Validation = tuple[np.ndarray, np.ndarray] | None
OnEpoch = Callable[[int, dict], None]


# After folding only what is rounded anew has to settle.
_FOLDED_FINISH = Schedule(rounds=0, finish=4, finish_coordinates=1, finish_learning_rate=3e-4)


@dataclass(frozen=True)
class Recipe:
    """All settings between a training set and a frozen network.

    Args:
        network: name in `qmodel.networks`; budget_bytes: of the frozen file.
        bits: largest bitwidth, of all layers or one per layer; grouping: of the weights.
        data: what training sees of the windows.
        teachers: networks whose float stages, trained on the same windows, together teach the quantised one.
        alq: rounds and finish before folding; finish: after it, with fixed-point coordinates and biases.
    """

    network: str
    budget_bytes: int
    bits: int | tuple[int, ...] = 2
    grouping: str = "channelwise"
    activation_bits: int = 6
    data: DataRecipe = field(default_factory=DataRecipe)
    teachers: tuple[str, ...] = ()
    seed: int = 0
    float_training: FloatRecipe = field(default_factory=FloatRecipe)
    alq: Schedule = field(default_factory=Schedule)
    finish: Schedule = _FOLDED_FINISH


# Largest bitwidths are what the byte budget can nearly pay for: early layers hold few weights, so their second plane
# is cheap. Pruning takes the rest, which had better be little: a filter that loses its last plane is lost. The
# straight-through finish then gets most of the epochs.
_SCHEDULE = Schedule(rounds=1, bases=1, coordinates=0, finish=18, finish_learning_rate=5e-3)
_TEACHERS = ("compact", "paper")
RECIPES = {
    # 23.36x by bytes: 4 * 80,973 / 23.36 = 13,865.
    "paper": Recipe("paper", budget_bytes=13_865, bits=(2, 2, 2, 2, 1, 1, 1, 1, 2), alq=_SCHEDULE, teachers=_TEACHERS),
    # The small network needs more epochs than the large one to reach what its windows can teach it, and a rate that
    # falls further: its loss on validation parts falls with both.
    "compact": Recipe(
        "compact",
        budget_bytes=4_450,
        bits=(2, 2, 2, 1, 1, 1, 2),
        float_training=FloatRecipe(epochs=80),
        alq=replace(_SCHEDULE, finish=80, finish_floor=0.01),
        teachers=_TEACHERS,
        finish=replace(_FOLDED_FINISH, finish_floor=0.01),
    ),
    # Three planes and three rounds, so that a demonstration shows bitwidths adapt.
    "tiny": Recipe("tiny", budget_bytes=330, bits=3, alq=replace(_SCHEDULE, rounds=3)),
}


def quick(recipe: Recipe) -> Recipe:
    """The same recipe with few epochs: for demonstrations, not for results."""
    return replace(
        recipe,
        data=replace(recipe.data, epoch_windows=1600),
        teachers=(),
        float_training=FloatRecipe(epochs=12, warm_up_epochs=1.0),
        alq=replace(recipe.alq, finish=4),
        finish=Schedule(rounds=0, finish=2, finish_coordinates=0, finish_learning_rate=3e-4),
    )


def train(recipe: Recipe, data: TrainingSet, validation: Validation, folder: str | os.PathLike) -> keras.Model:
    """Train the float stage; saved as `float.keras` in the folder, beside its checkpoint.

    Args: validation: inputs (window, sample, 1) and labels, reported, never trained on; None: nothing is held out.
    """
    folder = Path(folder)
    keras.utils.set_random_seed(recipe.seed)
    model = networks.build(networks.network(recipe.network), "float")
    label = f"{recipe.network} float"
    train_float(model, data, validation, recipe.float_training, folder / "float", recipe.seed, label)
    _save(model, folder / FLOAT_MODEL)
    return model


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
    _save(quantised, folder / ALQ_MODEL)
    folded = fold(quantised, spec)
    finish = ALQTrainer(folded, recipe.finish, teacher=teacher, sketch=False)
    finish.fit(data, validation, folder / "folded", recipe.seed + 2, f"{label} finish", on_epoch)
    settle(folded)
    _save(folded, folder / FOLDED_MODEL)
    return folded


def teacher_recipes(recipe: Recipe) -> list[Recipe]:
    """Recipes of the teachers' float stages: on the same windows, from the same seed."""
    return [replace(RECIPES[name], data=recipe.data, seed=recipe.seed) for name in recipe.teachers]


def ensemble(models: Sequence[keras.Model]) -> Teacher:
    """A teacher that answers the logarithm of the models' mean class probabilities, in place of logits."""

    def logits(inputs, training: bool = False):
        return ops.log(sum(ops.softmax(model(inputs, training=training)) for model in models) / len(models))

    return logits


def freeze_to(model: keras.Model, folder: str | os.PathLike) -> FrozenNetwork:
    """Freeze a folded stage to `network.alq` in the folder."""
    network = freeze(model)
    network.save(Path(folder) / FROZEN_FILE)
    return network


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


def load(path: str | os.PathLike) -> keras.Model:
    """Load a saved stage. Raises: InputError: not a model of ours; OSError: not readable."""
    return keras.models.load_model(path, compile=False)


def _save(model: keras.Model, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(path) as beside:
        # Keras takes the format from the suffix, so the name beside needs it as well.
        named = beside.with_name(beside.name + ".keras")
        try:
            model.save(named)
            os.replace(named, beside)
        finally:
            named.unlink(missing_ok=True)
