"""Made-up premature beats: signal, marks and class agree, and nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmodel import premature
from qmodel.data.annotations import BEATS, BIN_SAMPLES
from qmodel.data.fragments import CLASSES

NORMAL, ATRIAL, VENTRICULAR = map(list(BEATS).index, "NAV")
SHAPE = 3 * premature.TAPER * np.sin(np.linspace(0, 2 * np.pi, 250)).astype(np.float32)


def rhythm(places) -> tuple[np.ndarray, np.ndarray]:
    """A window with a spike of height 10 at each place (sample), and its marks (bin, beat)."""
    signal, marks = np.zeros(3600, np.float32), np.zeros((144, len(BEATS)), bool)
    signal[places] = 10
    marks[np.asarray(places) // BIN_SAMPLES, NORMAL] = True
    return signal, marks


def windows(kind: str, number: int = 40):
    """Windows of one class and normal beats every 290 to 310 samples."""
    places = [[12 + 25 * ((150 + i + 300 * k) // 25) for k in range(11)] for i in range(number)]
    signals, beats = map(np.stack, zip(*map(rhythm, places)))
    targets = np.zeros((number, len(CLASSES)), np.float32)
    targets[:, CLASSES.index(kind)] = 1
    return signals, targets, beats


def make(*arguments, share: float = 1.0, seed: int = 0):
    return premature.make_premature(*arguments, SHAPE[None], share, np.random.default_rng(seed))


class TestWindows:
    def test_marks_say_the_class(self):
        before = windows("NSR", 400)
        signals, targets, beats = make(*before)
        labels = targets.argmax(1)
        assert np.array_equal(targets.sum(1), np.ones(400))
        symbols = {CLASSES.index("APB"): ATRIAL, CLASSES.index("PVC"): VENTRICULAR}
        assert set(labels) == set(symbols)
        assert 0.4 < (labels == CLASSES.index("PVC")).mean() < 0.6
        for label, marks in zip(labels, beats, strict=True):
            assert set(np.flatnonzero(marks.any(0))) == {NORMAL, symbols[label]}
            assert marks[:, symbols[label]].sum() == 1
        changed = (signals != before[0]).any(1)
        assert changed.all()

    @pytest.mark.parametrize("kind", ["AFIB", "PVC"])
    def test_other_classes_stay(self, kind):
        before = windows(kind)
        for old, new in zip(before, make(*before), strict=True):
            assert np.array_equal(old, new)

    def test_sinus_rhythm_with_another_beat_stays(self):
        signals, targets, beats = windows("NSR")
        beats[:, 70, VENTRICULAR] = True
        for old, new in zip((signals, targets, beats), make(signals, targets, beats), strict=True):
            assert np.array_equal(old, new)

    def test_a_share_is_made_and_arguments_stay(self):
        before = windows("NSR", 400)
        copies = [array.copy() for array in before]
        _, targets, _ = make(*before, share=0.3)
        assert 0.2 < (targets[:, CLASSES.index("NSR")] == 0).mean() < 0.4
        for old, now in zip(copies, before, strict=True):
            assert np.array_equal(old, now)

    def test_without_shapes_only_atrial_beats_are_made(self):
        before = windows("NSR")
        none = premature.ventricular_shapes(*before[::2])
        _, targets, _ = premature.make_premature(*before, none, 1.0, np.random.default_rng(0))
        assert set(targets.argmax(1)) == {CLASSES.index("APB")}


class TestBeats:
    @given(st.integers(2, 10), st.integers(0, 1000), st.integers(260, 320))
    def test_an_atrial_beat_is_early_and_whole(self, chosen, seed, interval):
        places = np.arange(11) * interval + 100
        signal, _ = rhythm(places)
        made, others, early = premature.early_beat(signal, places, chosen, np.random.default_rng(seed))
        assert 0.14 * interval < places[chosen] - early <= 0.45 * interval + 1
        assert np.array_equal(others[:chosen], places[:chosen])
        moved = places[chosen + 1 :] - others[chosen:]
        assert ((moved >= 0) & (moved <= places[chosen] - early)).all(), "a pause follows"
        assert len(set(moved)) <= 1, "what follows moves as one"
        for place in [*others, early]:  # a spike stays where its mark is; between samples its height is shared by two
            assert made[max(0, place - 1) : place + 3].sum() == pytest.approx(10, rel=1e-4)

    @given(st.integers(1, 10), st.integers(0, 1000))
    def test_a_ventricular_beat_takes_the_place_of_a_normal_one(self, chosen, seed):
        places = np.arange(11) * 300 + 200
        signal, _ = rhythm(places)
        made, others, early = premature.ventricular_beat(signal, places, chosen, SHAPE, np.random.default_rng(seed))
        assert np.array_equal(others, np.delete(places, chosen))
        assert places[chosen - 1] < early < places[chosen]
        expected, _ = rhythm(others)
        start, stop = early - premature.BEFORE_SHAPE, early + premature.AFTER_SHAPE
        expected[max(0, start) : stop] += SHAPE[max(0, -start) : 3600 - start]
        assert np.allclose(made, expected, atol=1e-6)

    def test_shapes_are_those_of_whole_ventricular_beats(self):
        signals, beats = np.full((1, 3600), 5, np.float32), np.zeros((1, 144, len(BEATS)), bool)
        signals[0, 1012 - premature.BEFORE_SHAPE : 1012 + premature.AFTER_SHAPE] += SHAPE
        beats[0, [0, 40, 143], VENTRICULAR] = True  # the first and the last are cut by the window
        shapes = premature.ventricular_shapes(signals, beats)
        assert shapes.shape == (1, 250)
        assert np.allclose(shapes[0], SHAPE * premature.TAPER, atol=1e-5)
