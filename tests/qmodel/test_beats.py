"""Beats from logits: the refractory rule in integers, and matching as EC57 asks."""

import numpy as np
import wfdb.processing
from hypothesis import given
from hypothesis import strategies as st

from qmodel import beats

LOGITS = st.integers(1, 60).flatmap(
    lambda n: st.lists(st.lists(st.integers(-40, 40), min_size=4, max_size=4), min_size=n, max_size=n)
)


def naive(logits: list[list[int]], threshold: int) -> list[tuple[int, int, int]]:
    """The rule of the module's docstring, step by step in plain Python."""
    scores = [max(row[1:4]) - row[0] for row in logits]
    found = []
    for i, score in enumerate(scores):
        if score < threshold or any(scores[j] >= score for j in range(max(0, i - 3), i)):
            continue
        if any(scores[j] > score for j in range(i + 1, min(len(scores), i + 4))):
            continue
        sums = [sum(logits[j][k] for j in range(max(0, i - 1), min(len(logits), i + 2))) for k in (1, 2, 3)]
        found.append((i, sums.index(max(sums)), score))
    return found


@given(LOGITS, st.integers(-20, 20))
def test_decode_is_the_rule(logits, threshold):
    found = beats.decode(np.array(logits, np.int64), threshold)
    assert list(zip(*(part.tolist() for part in found))) == naive(logits, threshold)
    assert (np.diff(found.step) >= beats.REFRACTORY_STEPS).all()


@given(
    st.lists(st.integers(0, 4000), max_size=30, unique=True), st.lists(st.integers(0, 4000), max_size=30, unique=True)
)
def test_match_pairs_once_and_within_tolerance(reference, found):
    reference, found = np.sort(np.array(reference, int)), np.sort(np.array(found, int))
    i, j = beats.match(reference, found, 54)
    assert len(set(i.tolist())) == len(i) == len(set(j.tolist()))
    assert (np.abs(reference[i] - found[j]) <= 54).all()
    left, other = np.delete(reference, i), np.delete(found, j)
    assert not len(left) or not len(other) or np.abs(left[:, None] - other).min() > 54


def test_match_counts_what_wfdb_counts():
    """Beats at least 0.27 s apart, as a decoder gives them: wfdb.processing counts the same pairs."""
    random = np.random.default_rng(0)
    for _ in range(20):
        reference = np.cumsum(random.integers(150, 400, 60))
        found = reference + random.integers(-70, 70, 60)
        found = np.sort(found[random.random(60) < 0.9])
        judge = wfdb.processing.compare_annotations(reference, found, 55)  # nearer than, not up to
        assert judge.tp == len(beats.match(reference, found, 54)[0])
