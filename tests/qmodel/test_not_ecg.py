"""What is no ECG, and what the shipped network says of it."""

import numpy as np
import pytest

from qmodel import not_ecg
from qmodel.fixed_point import WINDOW_SAMPLES


@pytest.mark.parametrize("kind", not_ecg.KINDS)
def test_kinds(kind):
    for seed in range(3):
        signal = not_ecg.make(kind, np.random.default_rng(seed))
        assert signal.shape == (WINDOW_SAMPLES,)
        assert signal.std() == pytest.approx(1, abs=1e-3)
        np.testing.assert_array_equal(signal, not_ecg.make(kind, np.random.default_rng(seed)))
