"""Teachers of a recipe: whose they are, and what several of them answer together."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from qmodel.freeze import freeze
from qmodel.hyperparameters import DataRecipe
from qmodel.networks import build, network
from qmodel.normalisation import absorb, bias_bits, settle
from qmodel.quantised_stage import Ensemble, subchannels_of, weight_quantizers
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
    together = keras.ops.convert_to_numpy(keras.ops.softmax(Ensemble(models)(inputs)))
    np.testing.assert_allclose(together, np.mean(each, axis=0), rtol=1e-5)


def test_an_ensemble_is_asked_once_for_the_same_batch():
    teacher = Ensemble([classifier(0)])
    inputs = np.ones((5, 3), np.float32)
    assert teacher(inputs) is teacher(inputs.copy())
    assert not np.array_equal(teacher(inputs), teacher(2 * inputs))


def test_subchannels_are_as_many_as_leave_enough_weights():
    # Divisors of 216: 4 groups of 54; of 112: 2 of 56; fewer weights than asked for stay together.
    assert [subchannels_of(weights, 54) for weights in (216, 112, 56, 16)] == [4, 2, 1, 1]
    recipe = replace(RECIPES["tiny"], grouping="subchannels", group_weights=10)
    found = weight_quantizers(recipe, build(network("tiny"), "float"))
    assert {name: one.subchannels for name, one in found.items()} == {"conv1": 1, "conv2": 2, "conv3": 1, "dense1": 1}


def test_a_bias_keeps_to_the_width_that_the_budget_counted():
    model = build(network("tiny"), "alq")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(np.full(layer.beta.shape, 0.9, np.float32))
    model.layers[-1].bias.assign(np.full(17, 0.9, np.float32))
    widths = bias_bits(model)
    folded = absorb(model, bias_limits=dict.fromkeys(widths, 9))
    settle(folded)
    assert min(widths.values()) > 9  # or the limit would not be tried
    for stage in freeze(folded).plane_stages:
        assert np.abs(stage.layer.bias).max() < 2**8
    as_counted = absorb(model, bias_limits=widths)
    settle(as_counted)
    for stage in freeze(as_counted).plane_stages:
        assert int(np.abs(stage.layer.bias).max()).bit_length() + 1 == widths[stage.name]


def test_teachers_learn_from_the_same_windows_and_seed():
    recipe = replace(RECIPES["tiny"], teachers=("paper", "tiny"), seed=7, data=DataRecipe(320, None))
    found = teacher_recipes(recipe)
    assert [teacher.network for teacher in found] == ["paper", "tiny"]
    assert {(teacher.seed, teacher.data) for teacher in found} == {(7, DataRecipe(320, None))}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_demonstration_trains_no_teachers(name):
    assert quick(RECIPES[name]).teachers == ()
