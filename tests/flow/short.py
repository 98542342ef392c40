"""Trainings that have every kind of epoch and take seconds. Alone in its file: a kernel runs its text."""

from dataclasses import replace

from qmodel import recipe
from qmodel.hyperparameters import DataRecipe, FloatRecipe, Schedule

quick = recipe.quick


def shortest(full: recipe.Recipe) -> recipe.Recipe:
    """Every kind of epoch that an interruption could meet, twice at most, on few windows: it learns nothing."""
    return replace(shortly_quantised(full), data=DataRecipe(epoch_windows=64), float_training=FloatRecipe(epochs=2))


def shortly_quantised(full: recipe.Recipe) -> recipe.Recipe:
    """The float training of quick mode; of its quantisation every kind of epoch."""
    return replace(
        quick(full),
        alq=Schedule(rounds=1, bases=1, coordinates=0, finish=1, finish_coordinates=0),
        finish=Schedule(rounds=0, finish=2, finish_coordinates=0, finish_learning_rate=3e-4),
    )
