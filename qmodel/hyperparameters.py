"""Settings of training data, float training and ALQ: plain values, so that a command line can read them at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

PROTOCOLS = ("stratified", "blocked", "patient", "file")  # of splits (qmodel.data.splits)
# Persons never met, by a network that learns from several databases (flow.experiments.people_protocols).
PEOPLE_NETWORK, PEOPLE_PROTOCOLS = "rhythm", ("ec57", "database", "svdb", "vfdb", "cinc2017", "patient")
PEOPLE_RECIPE = 3  # of its training and reading together; results of an earlier one are said to be


@dataclass(frozen=True)
class DataRecipe:
    """What training sees of the windows.

    Args:
        epoch_windows: windows per epoch, half of them fragments where there are others.
        other_hop: samples between the beginnings of the database's other windows, less than a window so that every
            beat comes at several places; None: fragments alone.
        max_shift: samples either way: more than the longest time step, yet few beats at the ends leave the window.
        balance: classes are drawn as often as their number of windows to the power 1 - balance tells.
        keep_beats: no shift takes a beat out of the window that is not of its most frequent kind: the class may rest
            on that beat.
        premature: share of the windows of sinus rhythm in which one beat is made a premature one: APB or PVC.
    """

    epoch_windows: int = 4000
    other_hop: int | None = 1200
    max_shift: int = 96
    balance: float = 0.5
    keep_beats: bool = True
    premature: float = 0.3


@dataclass(frozen=True)
class FloatRecipe:
    """Settings of training in floating point: AdamW with a warm-up and a cosine to zero.

    Args: beat_loss: weight of an auxiliary task, to say which annotated beats lie in each time step of a late layer;
        its head is not part of the network.
    """

    epochs: int = 40
    batch: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 1e-4
    label_smoothing: float = 0.02
    warm_up_epochs: float = 2.0
    beat_loss: float = 0.5


@dataclass(frozen=True)
class Schedule:
    """How many epochs each move gets.

    Args:
        rounds: rounds of bases, coordinates and prune; bases, coordinates: epochs of a round.
        finish, finish_coordinates: epochs of the straight-through finish and of the coordinates after it.
        learning_rate: at the start of a round; decay: its factor after every epoch of a round.
        finish_learning_rate: of the finish, a cosine from it to finish_floor times it.
        average: the last epochs of the finish whose latent weights are averaged and quantised again, 0: the last
            step's weights stay. Source: Izmailov et al., Averaging Weights Leads to Wider Optima, UAI 2018.
        top_k: share of a layer's coordinates (at least one) that an iteration considers for pruning.
        prune_share: share of the considered coordinates that an iteration prunes; None: as many as meet the budget
            in equal steps of all rounds.
    """

    rounds: int = 3
    bases: int = 1
    coordinates: int = 1
    finish: int = 10
    finish_coordinates: int = 1
    learning_rate: float = 1e-3
    decay: float = 0.8
    finish_learning_rate: float = 1e-3
    finish_floor: float = 0.1
    average: int = 0
    top_k: float = 0.05
    prune_share: float | None = None
    batch: int = 32
    label_smoothing: float = 0.02
    distillation: float = 0.5

    def phases(self) -> list[tuple[str, float]]:
        """Move and learning rate of every epoch."""
        plan = []
        for _ in range(self.rounds):
            moves = ["bases"] * self.bases + ["coordinates"] * self.coordinates + ["prune"]
            plan += [(move, self.learning_rate * self.decay**i) for i, move in enumerate(moves)]
        for i in range(self.finish):
            cosine = 0.5 + 0.5 * math.cos(math.pi * i / max(1, self.finish - 1))
            share = self.finish_floor + (1 - self.finish_floor) * cosine
            plan.append(("straight_through", self.finish_learning_rate * share))
        return plan + [("coordinates", self.finish_learning_rate / 10)] * self.finish_coordinates


# Sun et al., ICAICE 2021 (arXiv 2202.12943), Section IV: largest bitwidths and the schedule for the nine-layer network.
PAPER_BITS = (7, 7, 6, 6, 6, 6, 6, 6, 6)
PRESETS = {
    "default": Schedule(),
    "paper": Schedule(
        rounds=15, bases=8, coordinates=10, finish=20, finish_coordinates=10, learning_rate=3e-4,
        finish_learning_rate=3e-4, top_k=0.005, prune_share=0.7, batch=16, label_smoothing=0.0, distillation=0.0,
    ),
}  # fmt: skip
