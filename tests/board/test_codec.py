"""The codec: what lies in memory and on the line, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from board.codec import Codec
from qmodel.fixed_point import from_transfers, standardise
from tests.board.folders import ecg_network, windows


@pytest.fixture(scope="module")
def codec():
    return Codec.of(ecg_network())


def test_a_frame_is_one_byte_per_standardised_sample(codec):
    window = windows(1)[0]
    words = codec.encode(window)
    assert words.tobytes() == standardise(window).astype(np.int8).tobytes()
    assert (codec.samples, codec.values, codec.frame_dtype, codec.answer_dtype) == (3600, 3, "u1", "<u4")


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_wider_words_hold_the_same_integers(bits):
    window = windows(1)[0]
    words = Codec(ecg_network(), bits, 32).encode(window)
    assert words.itemsize == bits // 8
    assert np.array_equal(from_transfers(words), standardise(window))


def test_an_answer_is_the_golden_logits(codec):
    window = windows(1)[0]
    logits = codec.golden(window)
    assert np.array_equal(codec.decode(logits.astype("<i4").view("<u4")), logits)
    assert (logits < 0).any()


def test_an_answer_of_another_shape_is_refused(codec):
    for words in (np.zeros(2, "<u4"), np.zeros(3, "<u2"), np.zeros((1, 3), "<u4")):
        with pytest.raises(ValueError, match="an answer must be 3 words of uint32, received"):
            codec.decode(words)


def test_lists_are_windows_too(codec):
    window = windows(1)[0]
    assert np.array_equal(codec.encode(window.tolist()), codec.encode(window))
