"""The float network that a task for persons never met begins with: it has met nobody of MIT-BIH."""

from __future__ import annotations

from pathlib import Path

from flow.build.quiet import import_tensorflow
from flow.steps.work.figures import take_history
from flow.steps.work.people_collect import TRACKS, sampler
from qmodel.data import partial
from qmodel.people_tasks import Task

FLOAT_MODEL = "float.keras"


def work(folder: Path, task: Task, collected: Path, epochs: int, steps: int, rate: float, seed: int) -> dict:
    """Train it: `float.keras`. Args: collected: product of `people_collect`; steps: batches of an epoch."""
    tracks = partial.Tracks.load(collected / TRACKS)
    drawn = sampler(collected, task.windows(tracks, mit=False), tracks)
    import_tensorflow()
    import keras

    from qmodel import people_training
    from qmodel.networks import build
    from qmodel.training import save

    keras.utils.set_random_seed(seed)
    model = build(people_training.RHYTHM, "float")
    people_training.train(model, drawn, epochs, folder / "float", steps, rate, seed)
    save(model, folder / FLOAT_MODEL)
    return {"history": take_history(folder / "float")}
