"""All settings between a training set and a frozen network, and those of the networks that are here: plain values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qmodel.hyperparameters import DataRecipe, FloatRecipe, Schedule

# After folding only what is rounded anew has to settle.
_FOLDED_FINISH = Schedule(rounds=0, finish=4, finish_coordinates=1, finish_learning_rate=3e-4)


@dataclass(frozen=True)
class Recipe:
    """All settings between a training set and a frozen network.

    Args:
        network: name in `qmodel.networks`; budget_bytes: of the frozen file.
        bits: largest bitwidth, of all layers or one per layer; what each group keeps of it is found by pruning.
        grouping: of the weights; group_weights: least weights of a group where they are subchannels.
        price: what a plane costs when pruning chooses, bytes of the file or cycles of a core (`Budget.price`).
        data: what training sees of the windows.
        teachers: networks whose float stages, trained on the same windows, together teach the quantised one.
        alq: rounds and finish before folding; finish: after it, with fixed-point coordinates and biases.
    """

    network: str
    budget_bytes: int
    bits: int | tuple[int, ...] = 2
    grouping: str = "channelwise"
    group_weights: int = 54
    price: str = "bytes"
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


def teacher_recipes(recipe: Recipe) -> list[Recipe]:
    """Recipes of the teachers' float stages: on the same windows, from the same seed."""
    return [replace(RECIPES[name], data=recipe.data, seed=recipe.seed) for name in recipe.teachers]
