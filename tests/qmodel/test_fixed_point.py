"""The one rounding and the input stage."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qmodel.fixed_point import (
    INPUT_FORMAT,
    Format,
    from_transfers,
    requantise,
    shift_half_even,
    standardise,
    to_transfers,
    transfer_bits,
)


@given(st.integers(-(2**50), 2**50), st.integers(-4, 45))
def test_rounding_is_half_to_even(accumulator, shift):
    assert shift_half_even(np.array([accumulator]), shift)[0] == round(Fraction(accumulator) * Fraction(2) ** -shift)


def test_requantise_saturates_at_both_ends():
    assert requantise(np.array([-5, 0, 8, 24, 40, 10_000]), 4, Format(2, 0, False)).tolist() == [0, 0, 0, 2, 2, 3]


@given(arrays(np.int16, st.integers(2, 40), elements=st.integers(-2048, 2047)).filter(lambda w: np.ptp(w) > 0))
def test_standardise_is_the_exact_quotient_rounded(window):
    """Against integer arithmetic: |X - exact| <= 1/2 of a step plus float64's own rounding."""
    x, n = [int(v) for v in window], len(window)
    spread = n * sum(v * v for v in x) - sum(x) ** 2
    for ours, value in zip(standardise(window), x, strict=True):
        scaled = (n * value - sum(x)) * 16
        magnitude = Fraction(isqrt(scaled * scaled * 10**24 // spread), 10**12)
        exact = magnitude if scaled >= 0 else -magnitude
        assert abs(max(min(exact, 127), -128) - int(ours)) <= Fraction(1, 2) + Fraction(1, 10**9)


def test_standardise_refuses_what_it_cannot_do():
    with pytest.raises(TypeError, match="ADC units"):
        standardise(np.zeros(10))
    with pytest.raises(ValueError, match="flat"):
        standardise(np.ones((2, 10), int))
    with pytest.raises(ValueError, match="16-bit"):
        standardise(np.array([0, 40_000]))
    with pytest.raises(ValueError, match="samples"):
        standardise(np.zeros(0, int))


@pytest.mark.parametrize(
    ("form", "bits"),
    [
        (INPUT_FORMAT, 8),
        (Format(8, 0, False), 16),
        (Format(9, 0, True), 16),
        (Format(17, 0, True), 32),
        (Format(53, 0, True), 64),
    ],
)
def test_transfers_are_whole_powers_of_two(form, bits):
    assert transfer_bits(form) == bits


@given(st.sampled_from([8, 16, 32, 64]), st.data())
def test_transfers_hold_every_integer_of_their_width(bits, data):
    ends = [-(1 << (bits - 1)), -1, 0, (1 << (bits - 1)) - 1]
    values = ends + data.draw(st.lists(st.integers(ends[0], ends[-1])))
    words = to_transfers(np.array(values), bits)
    assert words.tolist() == [value % (1 << bits) for value in values]
    assert words.tobytes() == b"".join(value.to_bytes(bits // 8, "little", signed=True) for value in values)
    assert from_transfers(words).tolist() == values


def test_an_unsigned_transfer_is_not_sign_extended():
    words = np.array([0, 200, 255], np.uint8)
    assert from_transfers(words, signed=False).tolist() == [0, 200, 255]
    assert from_transfers(words).tolist() == [0, -56, -1]


def test_what_fits_no_transfer_is_refused():
    with pytest.raises(ValueError, match="values must fit 8 bits, received 0 to 128"):
        to_transfers(np.array([0, 128]), 8)
    with pytest.raises(ValueError, match="must have 8, 16, 32 or 64 bits, received 24"):
        to_transfers(np.array([0]), 24)


def test_channels_are_standardised_one_by_one():
    windows = np.random.default_rng(0).integers(-2000, 2000, (3, 50, 2)) * np.array([1, 7])
    together = standardise(windows, axis=-2)
    assert together.shape == windows.shape
    for channel in range(2):
        assert (together[..., channel] == standardise(windows[..., channel])).all()


@pytest.mark.parametrize("shift", [-70, -40, -3, 0, 3, 40, 62, 63, 200])
def test_requantise_with_any_shift(shift):
    """Shifts beyond 64 bits are what an exact fraction says, not what a register wraps to."""
    accumulators = np.array([-(1 << 52), -3, -1, 0, 1, 3, 1 << 52])
    for form in (Format(6, 0, False), Format(6, 0, True)):
        wanted = [min(max(round(Fraction(int(a)) / Fraction(2) ** shift), form.low), form.high) for a in accumulators]
        assert requantise(accumulators, shift, form).tolist() == wanted
