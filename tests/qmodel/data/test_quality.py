"""Signal quality: clean ECG of every class is usable, and each fault is named."""

import numpy as np
import pytest

from qmodel.data import quality, synthetic
from qmodel.data.quality import assess, clipped_samples
from qmodel.fixed_point import WINDOW_SAMPLES

RNG = np.random.default_rng(3)
SECONDS = np.arange(WINDOW_SAMPLES) / 360


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    """One window of synthetic sinus rhythm in ADC units, float64 (sample,)."""
    return synthetic.synthetic_windows(per_class=1).signals[0].astype(np.float64)


def reason(window: np.ndarray, **shares) -> str:
    return str(assess(np.rint(window).astype(np.int16)[None], **shares).reason[0])


def test_benchmark_windows_are_usable(ecg_windows):
    grade = assess(ecg_windows.signals)
    assert grade.usable.all()
    assert grade.index.min() > 0
    assert grade.index.max() <= 1


class TestReasons:
    def test_lead_off(self, clean):
        window = clean.copy()
        window[: 6 * 360] = 1024 + RNG.integers(0, 3, 6 * 360)
        assert reason(window) == "flat"
        assert reason(np.full(WINDOW_SAMPLES, 7)) == "flat"

    def test_a_pause_of_three_seconds_is_no_lead_off(self, clean):
        window = clean.copy()
        window[: 3 * 360] = 1024
        assert reason(window) == "good"

    def test_amplifier_at_its_limit(self, clean):
        assert reason(np.clip(clean + 300 * np.sin(SECONDS), 1024 - 150, 1024 + 150)) == "saturated"

    def test_what_the_recording_showed_counts_too(self, clean):
        assert reason(clean, clipped=np.array([0.2])) == "saturated"
        assert reason(np.clip(clean, 1024 - 20, 1024 + 20), clipped=np.array([0.0])) == "saturated"

    def test_gaps(self, clean):
        assert reason(clean, missing=np.array([0.25])) == "missing"
        assert reason(clean, missing=np.array([0.1])) == "good"

    @pytest.mark.parametrize("ratio", [1.5, 4])
    def test_white_noise(self, clean, ratio):
        assert reason(clean + ratio * clean.std() * RNG.standard_normal(WINDOW_SAMPLES)) == "noise"

    def test_mains(self, clean):
        assert reason(clean + 2 * clean.std() * np.sin(2 * np.pi * 50 * SECONDS)) == "noise"

    def test_baseline_that_drowns_the_ecg(self, clean):
        assert reason(clean + 15 * clean.std() * np.sin(2 * np.pi * 0.15 * SECONDS)) == "noise"

    def test_little_of_each_is_no_reason(self, clean):
        window = clean + 0.1 * clean.std() * RNG.standard_normal(WINDOW_SAMPLES)
        assert reason(window + clean.std() * np.sin(2 * np.pi * 0.15 * SECONDS)) == "good"


def test_index_falls_as_noise_rises(clean):
    noise = RNG.standard_normal(WINDOW_SAMPLES)
    windows = np.stack([clean + share * clean.std() * noise for share in (0, 0.2, 0.4, 0.6, 2)])
    index = assess(np.rint(windows).astype(np.int16)).index
    assert (np.diff(index) < 0).all()
    assert index[-1] == 0


def test_clipped_samples():
    signal = np.array([0, 5, 5, 5, 5, 5, 5, 1, 5, 5, 2, -1, -1, -1, -1, -1, -1, np.nan, -1])
    assert clipped_samples(signal, 360).nonzero()[0].tolist() == [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
    assert not clipped_samples(np.array([np.nan] * 9), 360).any()
    assert not clipped_samples(np.full(9, 3), 360).any()


def test_shape():
    assert len(assess(np.zeros((0, WINDOW_SAMPLES), np.int16)).index) == 0
    with pytest.raises(ValueError, match="shape"):
        assess(np.zeros(100, np.int16))
    assert quality.REASONS == ("missing", "flat", "saturated", "noise")
