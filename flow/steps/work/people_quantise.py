"""The frozen network of a task for persons never met: ALQ on all of its persons, its base as teacher."""

from __future__ import annotations

from pathlib import Path

from flow.build.quiet import import_tensorflow
from flow.steps.work.figures import take_history
from flow.steps.work.names import FROZEN
from flow.steps.work.people_collect import TRACKS, sampler
from qmodel.data import partial
from qmodel.hyperparameters import Schedule
from qmodel.people_tasks import Task


def work(
    folder: Path, task: Task, collected: Path, base: Path, before: Schedule, after: Schedule, steps: int, seed: int
) -> dict:
    """Quantise and freeze: `network.alq`, without constants of reading.

    Args: base: its float network; before, after: epochs until normalisation is absorbed, and then.
    """
    tracks = partial.Tracks.load(collected / TRACKS)
    drawn = sampler(collected, task.windows(tracks), tracks)
    import_tensorflow()
    import keras

    from qmodel import people_training
    from qmodel.freeze import freeze

    folded = people_training.quantise(
        people_training.RHYTHM,
        keras.models.load_model(base, compile=False),
        drawn,
        folder,
        people_training.RHYTHM_BITS,
        before,
        after,
        steps,
        seed=seed,
    )
    network = freeze(folded)
    network.save(folder / FROZEN)
    history = [*take_history(folder / "alq"), *take_history(folder / "folded")]
    return {"bytes": network.size_bytes, "identity": network.identity, "history": history}
