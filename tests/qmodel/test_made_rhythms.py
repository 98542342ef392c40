"""Rhythms made of a person's own beats: each kind has the beats that its name says."""

import numpy as np
import pytest

from qmodel import made_rhythms
from qmodel.fixed_point import WINDOW_SAMPLES


@pytest.fixture(scope="module")
def person() -> made_rhythms.Person:
    """Sinus rhythm at 72 a minute with P, QRS and T as bells."""
    time = np.arange(WINDOW_SAMPLES) / 360
    signal = np.zeros(WINDOW_SAMPLES)
    for r in np.arange(0.4, 10, 0.83):
        for height, place, width in ((0.15, -0.16, 0.025), (1.0, 0.0, 0.012), (0.3, 0.26, 0.05)):
            signal += height * np.exp(-(((time - r - place) / width) ** 2))
    found = made_rhythms.person_of((signal - signal.mean()) / signal.std())
    assert found is not None
    return found


def test_taken_apart(person):
    assert person.interval == pytest.approx(0.83 * 360, abs=2)
    assert person.p_wave.max() > 0.1 * person.qrs.shape.max()
    assert np.abs(person.residue).max() < 0.2 * person.qrs.shape.max()


@pytest.mark.parametrize("kind", made_rhythms.SHARES)
def test_kinds(person, kind):
    for seed in range(5):
        made = made_rhythms.make(person, kind, np.random.default_rng(seed))
        again = made_rhythms.make(person, kind, np.random.default_rng(seed))
        np.testing.assert_array_equal(made.signal, again.signal)
        assert made.signal.shape == (WINDOW_SAMPLES,)
        assert np.isfinite(made.signal).all()
        if kind in ("VFL", "VF"):  # waves, of 3 to 7 a second, in place of beats
            assert made.beats is None
            power = np.abs(np.fft.rfft(made.signal)) ** 2
            assert 2.5 <= power[10:].argmax() / 10 + 1 <= 9
            continue
        at, letters = made.beats
        assert (np.diff(at) > 0).all()
        gaps = np.diff(at) / 360
        ventricular = (letters == 2).mean()
        if kind == "AFIB":
            assert gaps.std() > 0.05
        if kind in ("VT", "IVR"):
            assert ventricular >= 0.4
        if kind == "VT":
            assert np.diff(at[letters == 2]).mean() < 0.56 * 360
        if kind == "Bigeminy":
            assert 0.3 <= ventricular <= 0.7
        if kind == "Trigeminy":
            assert 0.15 <= ventricular <= 0.5
        if kind in ("NSR", "AFIB", "AFL"):
            assert ventricular == 0


def test_no_regular_beats_no_person():
    assert made_rhythms.person_of(np.random.default_rng(0).standard_normal(WINDOW_SAMPLES)) is None
