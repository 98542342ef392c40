"""A frozen network that nobody trained, for the steps behind training."""

from pathlib import Path

import numpy as np
import pytest

from qmodel.data.fragments import CLASSES
from qmodel.fixed_point import INPUT_FORMAT, WINDOW_SAMPLES, Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer


@pytest.fixture(scope="session")
def untrained() -> FrozenNetwork:
    """A small network of random planes with the input and output of the real ones."""
    rng = np.random.default_rng(5)
    return FrozenNetwork(
        WINDOW_SAMPLES,
        INPUT_FORMAT,
        (
            random_plane_layer(rng, 1, 3, 16, stride=8, output=Format(4, 2, False)),
            MaxPool(4, 4),
            TimeSum(),
            random_plane_layer(rng, 3, len(CLASSES), 1, output=None),
        ),
    )


@pytest.fixture
def frozen_file(untrained, tmp_path) -> Path:
    """The network's file."""
    return untrained.save(tmp_path / "untrained.alq")
