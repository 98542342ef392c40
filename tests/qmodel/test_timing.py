"""Supraventricular beats by their timing: what is early, in which rhythm, in integers alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmodel.beats import Beats, by_timing

GAIN = 8


def told(gaps: list[int], kinds: str = "", sums: list[int] | None = None, gain: int = GAIN) -> str:
    """Kinds of beats so many samples apart; sums: of S less N, for every beat, -1 if not given."""
    at = np.cumsum([100, *gaps])
    kind = np.array(["NSV".index(letter) for letter in kinds or "N" * len(at)])
    scores = np.zeros((len(at), 3), np.int64)
    scores[:, 1] = sums or [-1] * len(at)
    found = by_timing(Beats(at // 24, kind, np.ones(len(at), np.int64)), scores, at, gain)
    return "".join("NSV"[k] for k in found.kind)


def test_an_early_beat_in_a_regular_rhythm():
    assert told([300] * 9 + [200, 380] + [300] * 9) == "N" * 10 + "S" + "N" * 10


def test_a_beat_that_is_not_early():
    assert told([300] * 9 + [290] + [300] * 9) == "N" * 20


def test_nothing_is_early_in_an_irregular_rhythm():
    gaps = [300, 200, 340, 220, 380, 180, 300, 240, 360, 200] * 2
    assert told(gaps, "NS" * 10 + "N") == "N" * 21


def test_ventricular_beats_stay():
    assert told([300] * 9 + [200, 380] + [300] * 9, "N" * 10 + "V" + "N" * 10)[10] == "V"


def test_what_the_network_says_counts_against_timing():
    """200 for 300 is worth three tenths twice, 48 for a gain of 8: a sum of -48 for S is as much, -47 less."""
    gaps, place = [300] * 9 + [100, 380] + [300] * 9, 10
    for least, letter in ((-47, "S"), (-48, "N")):
        assert told(gaps, sums=[-1] * place + [least] + [-1] * 10)[place] == letter


@pytest.mark.parametrize("gain", [0, GAIN])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_beats_stay_as_they_are(number, gain):
    at = np.arange(number) * 300
    beats = Beats(at // 24, np.ones(number, np.int64), np.ones(number, np.int64))
    assert by_timing(beats, np.zeros((number, 3), np.int64), at, gain).kind.tolist() == [1] * number


@given(st.lists(st.integers(50, 800), min_size=3, max_size=200), st.integers(2, 9))
def test_scale_does_not_matter(gaps, times):
    """Another sampling rate, whole times ours, tells the same kinds; and no gap but zero breaks it."""
    same = [gap * times for gap in gaps]
    # Worth is rounded down per hundredth: sums that are not near a limit tell the same.
    assert told(gaps, sums=[-1] * (len(gaps) + 1), gain=10**6) == told(same, sums=[-1] * (len(gaps) + 1), gain=10**6)
