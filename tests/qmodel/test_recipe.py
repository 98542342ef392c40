"""Teachers of a recipe: whose they are, and what several of them answer together."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from qmodel.hyperparameters import DataRecipe
from qmodel.quantise import ensemble
from qmodel.recipe import RECIPES, quick, teacher_recipes

SHIPPED = [name for name, recipe in RECIPES.items() if recipe.teachers]


def classifier(seed: int) -> keras.Model:
    """A model of 3 numbers and 4 classes nobody trained."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4)])


def test_an_ensemble_answers_the_mean_probabilities():
    models = [classifier(seed) for seed in range(3)]
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    each = [keras.ops.convert_to_numpy(keras.ops.softmax(model(inputs))) for model in models]
    together = keras.ops.convert_to_numpy(keras.ops.softmax(ensemble(models)(inputs)))
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-5)


def test_teachers_learn_from_the_same_windows_and_seed():
    recipe = replace(RECIPES["tiny"], teachers=("paper", "tiny"), seed=7, data=DataRecipe(320, None))
    found = teacher_recipes(recipe)
    assert [teacher.network for teacher in found] == ["paper", "tiny"]
    assert {(teacher.seed, teacher.data) for teacher in found} == {(7, DataRecipe(320, None))}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_demonstration_trains_no_teachers(name):
    assert quick(RECIPES[name]).teachers == ()
