"""Constants of reading (`qmodel.reading_fit`) of a float network, by what it answers to persons whom it never met."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.build.quiet import import_tensorflow
from flow.experiments import people as measured
from qmodel import reading, reading_fit
from qmodel.data import mitdb
from qmodel.files import write_json
from qmodel.fixed_point import INPUT_FORMAT

ANSWERS, CONSTANTS = "answers.npz", "constants.json"
FLOAT_STEP = 2.0**-12  # of a float network's logits as integers: that of the frozen network's


def answers(folder: Path, base: Path) -> dict:
    """What a float network answers to all persons of MIT-BIH: `answers.npz`."""
    found = measured.answers(float_asked(base), measured.labelled_windows("mitdb", mitdb.RECORDS))
    np.savez(folder / ANSWERS, **found._asdict())
    return {"windows": len(found.mean)}


def fit(folder: Path, answered: Path, persons: tuple[str, ...] | None) -> dict:
    """Constants fitted on some persons' answers: `constants.json`. Args: persons: None: all."""
    with np.load(answered, allow_pickle=False) as opened:
        every = reading_fit.Answers(*(opened[name] for name in reading_fit.Answers._fields))
    own = every if persons is None else every.some(np.isin(every.person, ["", *persons]))
    found = reading_fit.fit(own, FLOAT_STEP).stored()
    write_json(folder / CONSTANTS, found)
    return {"windows": len(own.mean)}


def float_asked(file: Path, constants: reading.Constants | None = None) -> measured.Asked:
    """A float network asked as a frozen one is: integers in, integers out."""
    import_tensorflow()
    import keras
    import tensorflow as tf

    model = keras.models.load_model(file, compile=False)
    forward = tf.function(lambda windows: model(windows, training=False))

    def run(integers: np.ndarray) -> np.ndarray:
        windows = (np.asarray(integers, np.float32) * INPUT_FORMAT.step)[..., None]
        logits = forward(tf.constant(windows)).numpy().reshape(len(windows), -1)
        return np.rint(logits / FLOAT_STEP).astype(np.int64)

    return measured.Asked(run, constants or reading.Constants(FLOAT_STEP))
