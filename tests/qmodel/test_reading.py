"""Answers per step read as beats, class and refusal."""

import dataclasses

import numpy as np
import pytest

from qmodel import models, reading
from qmodel.beats import Beats
from qmodel.data.fragments import CLASSES
from qmodel.errors import InputError


def beats_of(text: str, gap: int = 12) -> Beats:
    """A beat every `gap` steps."""
    kinds = np.array(["NSV".index(letter) for letter in text])
    return Beats(5 + gap * np.arange(len(text)), kinds, np.full(len(text), 16))


def measures(beats: Beats) -> dict[str, float]:
    return dict(zip(reading.FEATURES, reading.beat_measures(beats, beats.sample, 3600)))


class TestMeasures:
    def test_regular(self):
        found = measures(beats_of("N" * 12))
        assert found["irregular"] == found["very irregular"] == found["bigeminy"] == 0
        assert found["mean interval"] == pytest.approx(0.4)  # 12 steps of 1/15 s, halved

    def test_patterns(self):
        assert measures(beats_of("NV" * 6))["bigeminy"] == 1
        assert measures(beats_of("NNV" * 4))["trigeminy"] > 0.5
        assert measures(beats_of("N" * 6 + "V" * 6))["ventricular run"] == 0.5

    def test_irregular(self):
        beats = beats_of("N" * 10)._replace(step=np.array([0, 7, 21, 30, 50, 59, 75, 83, 104, 113]))
        assert measures(beats)["irregular"] > 0.8

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_few_beats(self, number):
        assert np.isfinite(list(measures(beats_of("N" * number)).values())).all()


class TestConstants:
    def test_kept_in_a_file(self):
        random = np.random.default_rng(0)
        out = np.rint(random.normal(0, 1, (len(reading.FEATURES) + 1, 18)) * 64) / 64
        own = reading.Constants(1.0, 2.0, 3.0, (0.0, -1.0, 0.5), 1.5, out, 0.6, 0.1, 4.0)
        network = models.load("rhythm")
        network = dataclasses.replace(network, metadata=dict(network.metadata) | {"reading": own.stored()})
        again = reading.Constants.of(network)
        assert again.step == network.stages[-1].output_format.step
        for name in ("threshold", "early", "offsets", "temperature", "foreign", "ventricular", "energy"):
            assert getattr(again, name) == getattr(own, name)
        np.testing.assert_array_equal(again.out, out)

    def test_nonsense_is_refused(self):
        network = models.load("rhythm")
        for broken in ({"out": "x", "scale": 64}, {"out": [[1]]}, {"out": [[1]], "scale": 64}):
            with pytest.raises(InputError, match="the metadata's out must be"):
                reading.Constants.of(
                    dataclasses.replace(network, metadata=dict(network.metadata) | {"reading": broken})
                )


def test_rhythm_first_then_class():
    """Four kinds of sinus rhythm at 0.15 each stand above fibrillation at 0.4."""
    shares = np.zeros((1, len(CLASSES) + 1))
    for name in ("NSR", "APB", "PVC"):
        shares[0, CLASSES.index(name)] = 0.15
    shares[0, CLASSES.index("RBBBB")] = 0.16
    shares[0, CLASSES.index("AFIB")] = 0.39
    label, share, lead = reading.Reading(shares, np.zeros(1), [], np.zeros(1, bool)).rhythm()
    assert CLASSES[label[0]] == "RBBBB"
    assert share[0] == pytest.approx(0.61)
    assert lead[0] == pytest.approx(0.22)


def test_steps_of_a_recording_are_those_of_its_windows():
    """Every step is answered by a window in whose middle it lies, and a flat stretch has no beats."""
    network = models.load("rhythm")
    random = np.random.default_rng(1)
    signal = np.cumsum(random.integers(-20, 21, 24 * 360)).astype(np.int16)
    signal[: 11 * 360] = 7
    asked = []

    def run(windows):
        asked.append(len(windows))
        return np.arange(len(windows) * 150 * len(reading.OUTPUTS)).reshape(len(windows), -1)

    steps = reading.record_steps(run, signal)
    assert steps.shape == (360, len(reading.OUTPUTS))
    assert (steps[:100, 0] == 1).all()
    assert not reading.decode_beats(steps[:100], reading.Constants.of(network)).step.size
    assert sum(asked) == 3  # windows that begin at 100, 200 and 210 steps; the one at 0 is flat


@pytest.mark.parametrize("text", ["", "N"])
def test_nothing_to_read(text):
    nothing = np.zeros((0, 150, len(reading.OUTPUTS)), np.int64)
    found = reading.read(nothing, np.zeros((0, 3600), np.int16), reading.Constants(1.0))
    assert found.shares.shape == (0, 18)
    assert found.rhythm()[0].shape == (0,)


def test_what_may_be_a_ventricular_rhythm_is_not_refused():
    """A share of 0.7 for no ECG refuses a window; not beside 0.25 of flutter, not with three beats, and not where the
    waves lie in the band of fibrillation."""
    shares = np.full((4, len(CLASSES) + 1), 0.001)
    shares[:, -1] = 0.7
    shares[1, CLASSES.index("VFL")] = 0.25
    beats = [beats_of(text) for text in ("NN", "", "VVV", "")]
    found = reading.Reading(shares, np.zeros(4), beats, np.array([False, False, False, True]))
    assert found.foreign(reading.Constants(1.0)).tolist() == [True, False, False, False]
    label, confidence, _ = found.rhythm()
    assert CLASSES[label[1]] == "VFL"
    assert confidence[1] == pytest.approx(0.25)  # the likeliest class, and not sure
