"""Recordings that a network was trained on are known by their first ten seconds, whatever their offset."""

import numpy as np
import pytest

from qmodel import models
from qmodel.data import known, sample
from qmodel.errors import InputError


def lead(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-200, 200, 5000) / 200


def test_same_lead_same_key():
    own = known.key(lead(0))
    assert len(own) == known.DIGITS
    assert known.key(lead(0) + 1.5) == own  # another offset
    assert known.key(lead(0)[:3600]) == own  # what follows does not count
    assert known.key(lead(1)) != own
    assert known.key(lead(0)[1:]) != own


@pytest.mark.parametrize("signal", [lead(0)[:3599], np.zeros(5000), np.full(5000, 2.0)])
def test_nothing_to_know_it_by(signal):
    assert known.key(signal) is None


def test_kept_in_a_file(tmp_path):
    keys = [known.key(lead(seed)) for seed in range(3)]
    known.write(tmp_path / "x.txt", "a" * 64, [*keys, keys[0]])
    assert known.read(tmp_path / "x.txt") == ("a" * 64, frozenset(keys))
    for broken in ("", "abc\n", "a" * 64 + "\nshort\n"):
        (tmp_path / "x.txt").write_text(broken)
        with pytest.raises(InputError, match="must hold an identity"):
            known.read(tmp_path / "x.txt")


@pytest.mark.parametrize("name", models.names())
def test_shipped_networks_know_what_they_were_trained_on(name):
    keys = models.trained_on(models.load(name).identity)
    assert len(keys) >= 96  # the leads of MIT-BIH's 48 records
    cut = sample.read()
    assert {known.key(cut.samples(lead).signal_mv) for lead in cut.leads} <= keys
    assert models.trained_on("0" * 64) is None
