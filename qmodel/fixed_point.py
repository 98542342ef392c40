"""Fixed-point formats, the one rounding and the input stage that every engine reproduces bit for bit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from qmodel.errors import InputError, InputTypeError

WINDOW_SAMPLES = 3600  # ten seconds at 360 Hz
MAX_ADC_MAGNITUDE = 1 << 15  # 16-bit samples; keeps every sum of `standardise` below 2**63


class Format(NamedTuple):
    """A fixed-point number format: an integer X of `bits` bits stands for X * 2**-fraction.

    Args: bits: width, sign included; fraction: binary places (may be negative); signed: two's complement or unsigned.
    """

    bits: int
    fraction: int
    signed: bool

    @property
    def low(self) -> int:
        """Smallest integer of the format."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        """Largest integer of the format."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def step(self) -> float:
        """Value of the least significant bit."""
        return 2.0**-self.fraction


INPUT_FORMAT = Format(bits=8, fraction=4, signed=True)  # standard deviations: -8 to +7.94 in steps of 1/16


def transfer_bits(form: Format) -> int:
    """Width of a bus transfer that holds a signed or unsigned integer of `form`: 8, 16, 32 or 64 bits."""
    return max(8, 1 << (form.bits + (not form.signed) - 1).bit_length())


def to_transfers(values: np.ndarray, bits: int) -> np.ndarray:
    """Integers as bus transfers: two's complement in the low bits, sign-extended.

    Args: values: integers, any shape; bits: width of a transfer, 8, 16, 32 or 64.
    Returns: little-endian unsigned integers of that width, same shape; `tobytes()` is what lies in memory or on a line.
    Raises: InputError: a value that does not fit, or another width.
    """
    if bits not in (8, 16, 32, 64):
        raise InputError(f"a transfer must have 8, 16, 32 or 64 bits, received {bits}")
    values = np.asarray(values, np.int64)
    if values.size and (values.min() < -1 << (bits - 1) or values.max() >= 1 << (bits - 1)):
        raise InputError(f"values must fit {bits} bits, received {values.min()} to {values.max()}")
    return values.astype(f"<i{bits // 8}").view(f"<u{bits // 8}")


def from_transfers(words: np.ndarray, signed: bool = True) -> np.ndarray:
    """The integers that transfers stand for: int64, same shape. Args: words: unsigned, as wide as a transfer."""
    words = np.asarray(words)
    return (words.view(f"<i{words.dtype.itemsize}") if signed else words).astype(np.int64)


def shift_half_even(accumulators: np.ndarray, shift: int) -> np.ndarray:
    """Drop `shift` low bits, rounding half to even (AP_RND_CONV); a negative shift appends zeros.

    Args: accumulators: int64, any shape; shift: bits to drop.
    Returns: int64, same shape.
    Source: number contract, "Frozen network"; Vitis HLS User Guide UG1399, ap_fixed quantisation modes.
    """
    accumulators = np.asarray(accumulators, np.int64)
    if shift <= 0:
        return accumulators << -shift
    floor = accumulators >> shift
    rest = accumulators - (floor << shift)
    half = np.int64(1) << (shift - 1)
    return floor + ((rest > half) | ((rest == half) & (floor & 1 == 1)))


def requantise(accumulators: np.ndarray, fraction: int, output: Format) -> np.ndarray:
    """Round accumulators to the integers of `output` (half to even, saturating).

    With an unsigned `output` the saturation at zero is the ReLU.
    Args: accumulators: int64, any shape, step 2**-fraction; fraction: binary places of the accumulators.
    Returns: int64, same shape, step 2**-output.fraction.
    Source: number contract, "Frozen network"; AP_RND_CONV, AP_SAT.
    """
    shift = fraction - output.fraction
    if shift >= 0:  # beyond 62 bits everything rounds to zero as it does at 62
        return np.clip(shift_half_even(accumulators, min(shift, 62)), output.low, output.high)
    up = min(-shift, 62)  # saturated first: a shift to the left may leave 64 bits
    accumulators = np.asarray(accumulators, np.int64)
    lowest, highest = -(-output.low >> up), output.high >> up
    shifted = np.clip(accumulators, lowest, highest) << up
    return np.where(accumulators > highest, output.high, np.where(accumulators < lowest, output.low, shifted))


def standardise(windows: np.ndarray, output: Format = INPUT_FORMAT, axis: int = -1) -> np.ndarray:
    """Standardise each window to zero mean and unit deviation and round to `output`: the input stage of every engine.

    With N samples, S1 = sum x and S2 = sum x*x as exact integers:
    X = round_half_even((N*x - S1) * 2**fraction / sqrt(N*S2 - S1**2)), saturated. The sums are integers and IEEE 754
    fixes the results of conversion, square root, product and quotient, so C++, NumPy and the board agree bit for bit.

    Args: windows: integers (ADC units), shape (..., sample), magnitudes below 2**15, at most 2**15 samples;
        axis: of the samples: -2 for windows (..., sample, channel), whose channels are standardised one by one.
    Returns: int64, same shape, step 2**-output.fraction.
    Raises: InputTypeError: not integers (convert physical units by the record's gain first); InputError: empty, too
        long, out of range, or a flat window, whose deviation is zero.
    """
    windows = np.asarray(windows)
    if not np.issubdtype(windows.dtype, np.integer):
        raise InputTypeError(
            f"windows must hold integers (ADC units), received {windows.dtype}: "
            "convert physical units by the record's gain"
        )
    if axis != -1 and windows.ndim:
        return np.moveaxis(standardise(np.moveaxis(windows, axis, -1), output), -1, axis)
    samples = windows.shape[-1] if windows.ndim else 0
    if not 0 < samples <= MAX_ADC_MAGNITUDE:
        raise InputError(f"a window must have 1 to {MAX_ADC_MAGNITUDE} samples, received {samples}")
    x = windows.astype(np.int64)
    if x.size and (x.min() < -MAX_ADC_MAGNITUDE or x.max() >= MAX_ADC_MAGNITUDE):
        raise InputError(f"samples must be 16-bit integers, received {x.min()} to {x.max()}: rescale the signal")
    total = x.sum(-1, keepdims=True)
    spread = samples * (x * x).sum(-1, keepdims=True) - total * total
    if (spread == 0).any():
        flat = np.flatnonzero((spread == 0).reshape(-1))[:5].tolist()
        raise InputError(f"a window must not be flat (zero deviation); flat windows: {flat}: check lead and electrode")
    scaled = (samples * x - total).astype(np.float64) * 2.0**output.fraction
    return np.clip(np.rint(scaled / np.sqrt(spread.astype(np.float64))), output.low, output.high).astype(np.int64)
