"""Supraventricular beats by their timing: what is early, in which rhythm, in integers alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmodel.beats import Beats, by_timing

GAIN = 8


def told(gaps: list[int], kinds: str = "", sums: list[int] | None = None, gain: int = GAIN, fibrillating=True) -> str:
    """Kinds of beats so many samples apart; sums: of S less N, for every beat, -1 if not given."""
    at = np.cumsum([100, *gaps])
    kind = np.array(["NSV".index(letter) for letter in kinds or "N" * len(at)])
    scores = np.zeros((len(at), 3), np.int64)
    scores[:, 1] = sums or [-1] * len(at)
    beats = Beats(at // 24, kind, np.ones(len(at), np.int64))
    found = by_timing(beats, scores, at, gain, np.full(len(at), fibrillating))
    return "".join("NSV"[k] for k in found.kind)


def test_an_early_beat_in_a_regular_rhythm():
    assert told([300] * 9 + [200, 380] + [300] * 9) == "N" * 10 + "S" + "N" * 10


def test_a_beat_that_is_not_early():
    assert told([300] * 9 + [290] + [300] * 9) == "N" * 20


IRREGULAR = [300, 200, 340, 220, 380, 180, 300, 240, 360, 200] * 2


def test_nothing_is_early_in_atrial_fibrillation():
    assert told(IRREGULAR, "NS" * 10 + "N") == "N" * 21


def test_frequent_early_beats_are_told_where_nothing_fibrillates():
    """Intervals below nine tenths of the usual one (300, later 270 or so) and of the mean, 272."""
    found = told(IRREGULAR, fibrillating=False)
    assert [i for i, letter in enumerate(found) if letter == "S"] == [
        i for i, gap in enumerate(IRREGULAR, 1) if gap <= 240 and i > 1
    ]


def test_a_pause_behind_counts_only_after_an_early_beat():
    """290 of 300 is early by less than a tenth: the pause of 400 behind it is worth nothing."""
    assert told([300] * 9 + [290, 400] + [300] * 9) == "N" * 21


def test_the_network_alone_decides_no_further_than_four_gains():
    """200 for 300, 380 behind it: 3 times 18 and 21 for a gain of 8, more than any sum speaks against."""
    place = 10
    sums = [-1] * place + [-(10**6)] + [-1] * 10
    assert told([300] * 9 + [200, 380] + [300] * 9, sums=sums)[place] == "S"


def test_ventricular_beats_stay():
    assert told([300] * 9 + [200, 380] + [300] * 9, "N" * 10 + "V" + "N" * 10)[10] == "V"


def test_what_the_network_says_counts_against_timing():
    """260 for 300 is worth 2 three times (a third of a tenth of 8), 340 behind it 10: a sum of -16 for S is as much."""
    gaps, place = [300] * 9 + [260, 340] + [300] * 9, 10
    for least, letter in ((-15, "S"), (-16, "N")):
        assert told(gaps, sums=[-1] * place + [least] + [-1] * 10)[place] == letter


@pytest.mark.parametrize("gain", [0, GAIN])
@pytest.mark.parametrize("number", [0, 1, 2])
def test_too_few_beats_stay_as_they_are(number, gain):
    at = np.arange(number) * 300
    beats = Beats(at // 24, np.ones(number, np.int64), np.ones(number, np.int64))
    assert (
        by_timing(beats, np.zeros((number, 3), np.int64), at, gain, np.zeros(number, bool)).kind.tolist()
        == [1] * number
    )


@given(st.lists(st.integers(50, 800), min_size=3, max_size=200), st.integers(2, 9))
def test_scale_does_not_matter(gaps, times):
    """Another sampling rate, whole times ours, tells the same kinds; and no gap but zero breaks it."""
    same = [gap * times for gap in gaps]
    # Worth is rounded down per hundredth: sums that are not near a limit tell the same.
    assert told(gaps, sums=[-1] * (len(gaps) + 1), gain=10**6) == told(same, sums=[-1] * (len(gaps) + 1), gain=10**6)
