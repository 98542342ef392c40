"""Pictures of an ALQ run: planes per layer and accuracy over the epochs, once or live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from qmodel.files import written_beside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOVE_COLOURS = {"bases": "#4c78a8", "coordinates": "#72b7b2", "prune": "#e45756", "straight_through": "#b279a2"}


def draw_history(history: list[dict], phases: list[tuple[str, float]] | None = None) -> Figure:
    """A Matplotlib figure, by epoch: mean planes per group of every layer; validation accuracy, or else the loss.

    Args: history: as `ALQTrainer.fit` returns it; phases: `Schedule.phases()`, shown as a coloured band.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    planes, score = figure.subplots(2, 1, sharex=True)
    epochs = range(1, len(history) + 1)
    for layer in history[0]["planes"] if history else ():
        planes.plot(epochs, [entry["planes"][layer] for entry in history], label=layer)
    planes.set(ylabel="planes per group (mean)", title="bitwidth per layer")
    planes.set_ylim(bottom=0)
    planes.legend(ncols=5, fontsize="small", loc="lower left")
    what, factor, label = ("loss", 1, "training loss")
    if history and "validation" in history[0]:
        what, factor, label = ("validation", 100, "validation accuracy (%)")
    score.plot(epochs, [factor * entry[what] for entry in history], color="black")
    score.set(xlabel="epoch", ylabel=label)
    shown: set[str] = set()
    for number, (move, _) in enumerate((phases or [])[: len(history)], 1):
        new = None if move in shown else move.replace("_", " ")
        shown.add(move)
        score.axvspan(number - 0.5, number + 0.5, color=MOVE_COLOURS[move], alpha=0.25, lw=0, label=new)
    if shown:
        score.legend(fontsize="small", loc="lower right")
    for axes in (planes, score):
        axes.grid(alpha=0.3)
    return figure


class LiveView:
    """Redraws the history after every epoch: give it to `ALQTrainer.fit(on_epoch=...)`.

    Args: phases: `Schedule.phases()`; path: a file to redraw (its suffix is the format); None: the notebook's output.
    """

    def __init__(self, phases: list[tuple[str, float]] | None = None, path: str | os.PathLike | None = None) -> None:
        self.phases, self.path = phases, path
        self.history: list[dict] = []
        self._shown = None

    def __call__(self, number: int, metrics: dict) -> None:
        self.history.append(metrics)
        figure = draw_history(self.history, self.phases)
        if self.path is not None:
            with written_beside(self.path) as beside:
                figure.savefig(beside, format=Path(self.path).suffix.removeprefix(".") or "png")
            return
        from IPython.display import display

        if self._shown is None:
            self._shown = display(figure, display_id=True)
        else:
            self._shown.update(figure)
