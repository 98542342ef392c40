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


def test_learning_leaves_out_what_could_be_fibrillation():
    frequency = np.fft.rfftfreq(WINDOW_SAMPLES, 1 / 360)
    inside = (frequency > 2.5) & (frequency < 8)
    shares = {}
    for clear in (False, True):
        signals = [not_ecg.make("band noise", np.random.default_rng(seed), clear) for seed in range(60)]
        power = np.abs(np.fft.rfft(signals)) ** 2
        shares[clear] = power[:, inside].sum(1) / power.sum(1)
    assert shares[False].max() > 0.8
    assert shares[True].max() < 0.75  # what is added to it after counts too
