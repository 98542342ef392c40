"""The float stage: a network trained in floating point, from which quantisation starts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from qmodel import networks
from qmodel.training import Validation, save, train_float
from qmodel.training_data import TrainingSet

if TYPE_CHECKING:
    from qmodel.recipe import Recipe

FLOAT_MODEL = "float.keras"


def train(recipe: Recipe, data: TrainingSet, validation: Validation, folder: str | os.PathLike) -> keras.Model:
    """Train the float stage; saved as `float.keras` in the folder, beside its checkpoint.

    Args: validation: inputs (window, sample, lead) and labels, reported, never trained on; None: nothing is held out.
    """
    folder = Path(folder)
    keras.utils.set_random_seed(recipe.seed)
    model = networks.build(networks.for_data(recipe.network, data), "float")
    label = f"{recipe.network} float"
    train_float(model, data, validation, recipe.float_training, folder / "float", recipe.seed, label)
    save(model, folder / FLOAT_MODEL)
    return model
