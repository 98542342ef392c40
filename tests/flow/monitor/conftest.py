"""A recording with every kind of trouble in it, a classifier, and what the classifier says of all windows at once."""

from pathlib import Path

import numpy as np
import pytest

from flow.recordings.choices import NETWORK
from flow.recordings.classify import Classifier
from qmodel import models
from qmodel.data import recording, synthetic

RATE = 360


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    with Classifier(models.load(NETWORK)) as classifier:
        yield classifier


@pytest.fixture(scope="session")
def rhythms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Header of a synthetic record of 75 s with several rhythms, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("monitor") / "two words"
    segments = [("NSR", 25 * RATE), ("PVC", 25 * RATE), ("Bigeminy", 25 * RATE)]
    return synthetic.write_record(folder, "rhythms", segments, seed=1)


@pytest.fixture(scope="session")
def troubled(rhythms: Path) -> recording.Samples:
    """The record's first lead with a gap, a flat stretch, a saturated one and a noisy one."""
    whole = recording.read(rhythms)
    signals = whole.signals.copy()
    signals[15 * RATE : 18 * RATE, 0] = np.nan
    signals[22 * RATE : 28 * RATE, 0] = 0.1
    signals[40 * RATE : 42 * RATE, 0] = 5.0
    signals[52 * RATE : 60 * RATE, 0] += np.random.default_rng(0).standard_normal(8 * RATE)
    return recording.Recording("troubled", signals, whole.leads, RATE).samples()
