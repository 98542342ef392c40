"""Windows of ECG to the words of a frame, and the words of an answer to logits: the one codec of every board.

The rounding and the words themselves are `qmodel.fixed_point.standardise`, `to_transfers` and `from_transfers`, which
the C++ testbench's vectors and the RTL bench are made with as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qmodel.errors import InputError, InputTypeError
from qmodel.fixed_point import from_transfers, standardise, to_transfers, transfer_bits
from qmodel.frozen import FrozenNetwork


def check_window(window: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One window as an integer array of a shape, (sample,) or (sample, lead).

    Raises: InputTypeError: not integers; InputError: NaN, or of another shape.
    """
    array = np.asarray(window)
    if np.issubdtype(array.dtype, np.floating) and np.isnan(array).any():
        place = int(np.flatnonzero(np.isnan(array.reshape(-1)))[0])
        raise InputError(
            f"a window must not hold NaN, the first is at sample {place}: "
            "leave out windows in which the recorder lost the lead"
        )
    if not np.issubdtype(array.dtype, np.integer):
        raise InputTypeError(
            f"a window must hold integers (ADC units), received {array.dtype}: "
            "convert physical units by the record's gain, as in np.rint(millivolt * gain).astype(int)"
        )
    if array.shape != shape:
        raise InputError(f"a window must have shape {shape}, received {array.shape}: cut the record into windows")
    return array


@dataclass(frozen=True, eq=False)
class Codec:
    """What a frozen network's core takes and gives over its streams.

    Args: network: whose formats and sizes count; input_bits, output_bits: width of one transfer on either stream.
    """

    network: FrozenNetwork
    input_bits: int
    output_bits: int

    @classmethod
    def of(cls, network: FrozenNetwork) -> Codec:
        """The codec of a core with streams as narrow as `hls.core.generate` makes them."""
        output = network.stages[-1].output_format
        return cls(network, transfer_bits(network.input_format), max(32, transfer_bits(output)))

    @property
    def samples(self) -> int:
        """Samples of a window, those of all leads together: words of a frame."""
        return self.network.input.values

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a window: (sample,), of a network of several leads (sample, lead)."""
        length, leads = self.network.input_length, self.network.input_channels
        return (length,) if leads == 1 else (length, leads)

    @property
    def values(self) -> int:
        """Logits of an answer."""
        last = self.network.stages[-1]
        return last.output_length * last.output_channels

    @property
    def frame_dtype(self) -> np.dtype:
        """Type of one word of a frame."""
        return np.dtype(f"<u{self.input_bits // 8}")

    @property
    def answer_dtype(self) -> np.dtype:
        """Type of one word of an answer."""
        return np.dtype(f"<u{self.output_bits // 8}")

    def encode(self, window: np.ndarray) -> np.ndarray:
        """Words of one frame: the window standardised lead by lead, rounded, one sample per word.

        Args: window: ADC units, integers, of `shape`. Returns: `frame_dtype`, shape (word,): the leads of a time step
            one after the other.
        Raises: InputTypeError, InputError: as `check_window` and `standardise`.
        """
        return to_transfers(self._integers(window).reshape(-1), self.input_bits)

    def _integers(self, window: np.ndarray) -> np.ndarray:
        return standardise(check_window(window, self.shape), self.network.input_format, axis=-len(self.shape))

    def words(self, integers: np.ndarray) -> np.ndarray:
        """Words of one frame of integers of the input format, of `shape`: `frame_dtype`, shape (word,).

        Raises: InputError: another shape or range.
        """
        integers, form = check_window(integers, self.shape).reshape(-1), self.network.input_format
        if integers.min() < form.low or integers.max() > form.high:
            raise InputError(f"input must lie in the range of {form}, received {integers.min()} to {integers.max()}")
        return to_transfers(integers, self.input_bits)

    def golden(self, window: np.ndarray) -> np.ndarray:
        """The logits that every engine gives: int64, shape (logit,). Args, raises: as `encode`."""
        return self.network.run(self._integers(window)[None])[0]

    def windows_of(self, record: np.ndarray, step: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
        """Windows of a record with the first sample of each; what is left at its end is no window.

        Args: record: shape (sample,), or (sample, lead); step: samples from one window to the next, default a window.
        Raises: InputError: shorter than one window, or a step below 1.
        """
        record, (length, *leads) = np.asarray(record), self.shape
        step = length if step is None else step
        if step < 1:
            raise InputError(f"step must be at least 1 sample, received {step}")
        if record.ndim == 0 or record.shape[1:] != tuple(leads) or len(record) < length:
            named = ", ".join(["sample", *map(str, leads)]) + ("" if leads else ",")
            raise InputError(f"a record must have shape ({named}), at least {length} samples, received {record.shape}")
        for start in range(0, len(record) - length + 1, step):
            yield start, record[start : start + length]

    def decode(self, words: np.ndarray) -> np.ndarray:
        """Logits of one answer: int64, shape (logit,). Args: words: `answer_dtype`, shape (logit,).

        Raises: InputError: another type or number of words.
        """
        words = np.asarray(words)
        if words.dtype != self.answer_dtype or words.shape != (self.values,):
            raise InputError(
                f"an answer must be {self.values} words of {self.answer_dtype}, received {words.dtype} {words.shape}"
            )
        return from_transfers(words, self.network.stages[-1].output_format.signed)
