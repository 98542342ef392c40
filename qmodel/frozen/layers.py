"""The layers of a frozen network: what they compute on integers, and the shapes and formats that leave them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from qmodel.errors import InputError
from qmodel.fixed_point import Format, requantise

MAX_EXACT_BITS = 53  # float64 holds every integer of this many magnitude bits, so its matrix products are exact
MAX_STAGES = 1 << 12
UNFOLDED_VALUES = 1 << 21  # of one matrix product: keeps the unfolded input in cache


class Tensor(NamedTuple):
    """What runs between two stages: `length` time steps of `channels` integers of `format`."""

    length: int
    channels: int
    format: Format

    @property
    def values(self) -> int:
        """Integers per frame."""
        return self.length * self.channels


@dataclass(frozen=True, eq=False)
class PlaneLayer:
    """A convolution over time with weights sum_p alpha_p s_p; a dense layer is one whose taps span its whole input.

    Channels and filters are dealt out to `channel_groups` equal runs; a filter sees the channels of its own run alone
    (1: all channels; as many as channels: depthwise). The weights of one filter in the order tap * fan + channel of its
    run are split into `groups` groups of equal size: `contiguous` runs (1 group: channelwise; `taps` groups: pixelwise;
    any other number: subchannels) or `kernelwise` (one group per channel, its taps). Planes are sorted by
    (filter, group).

    Args:
        channels, filters, taps, stride, padding: sizes; padding is zeros (left, right).
        kernelwise: grouping; groups: groups per filter.
        plane_filter, plane_group: int, shape (plane,). coordinates: int, shape (plane,), unsigned.
        signs: bool, shape (plane, group weight), True = +1. bias: int64, shape (filter,), step of the accumulator.
        coordinate_format: unsigned format of the coordinates.
        output: format after requantisation, unsigned: with ReLU; None: accumulators leave as they are.
        dilation: time steps between two taps; channel_groups: runs of channels.
    Raises: InputError: shapes, orders or ranges that break these rules.
    Source: number contract, "Frozen network".
    """

    channels: int
    filters: int
    taps: int
    stride: int
    padding: tuple[int, int]
    kernelwise: bool
    groups: int
    plane_filter: np.ndarray
    plane_group: np.ndarray
    coordinates: np.ndarray
    signs: np.ndarray
    bias: np.ndarray
    coordinate_format: Format
    output: Format | None
    dilation: int = 1
    channel_groups: int = 1

    def __post_init__(self) -> None:
        for name, kind in (
            ("plane_filter", np.int64),
            ("plane_group", np.int64),
            ("coordinates", np.int64),
            ("signs", np.bool_),
            ("bias", np.int64),
        ):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), kind))
        sizes = (self.channels, self.filters, self.taps, self.stride, self.groups, self.dilation, self.channel_groups)
        if min(sizes) < 1 or min(self.padding) < 0:
            raise InputError(f"sizes must be positive and padding at least 0, received {sizes}, padding {self.padding}")
        if max(self.padding) >= self.span:
            raise InputError(
                f"padding must be below the {self.span} time steps that the taps span, so that every output sees a "
                f"time step of the input; received {self.padding}"
            )
        if self.channels % self.channel_groups or self.filters % self.channel_groups:
            raise InputError(
                f"channel_groups must divide {self.channels} channels and {self.filters} filters, "
                f"received {self.channel_groups}"
            )
        if self.kernelwise and self.groups != self.fan:
            raise InputError(f"kernelwise grouping has one group per channel ({self.fan}), received {self.groups}")
        if self.taps * self.fan % self.groups:
            raise InputError(f"groups must divide the {self.taps * self.fan} weights, received {self.groups}")
        planes = len(self.coordinates)
        if self.plane_filter.shape != (planes,) or self.plane_group.shape != (planes,):
            raise InputError("plane_filter, plane_group and coordinates must have one entry per plane")
        if self.signs.shape != (planes, self.group_size):
            raise InputError(f"signs must have shape {(planes, self.group_size)}, received {self.signs.shape}")
        if self.bias.shape != (self.filters,):
            raise InputError(f"bias must have shape {(self.filters,)}, received {self.bias.shape}")
        if planes:
            key = self.plane_filter * self.groups + self.plane_group
            if (np.diff(key) < 0).any() or key[0] < 0 or key[-1] >= self.filters * self.groups:
                raise InputError("planes must be sorted by (filter, group) and lie inside the layer")
            if self.plane_group.min() < 0 or self.plane_group.max() >= self.groups:
                raise InputError(f"plane_group must lie in 0..{self.groups - 1}")
            if self.coordinates.min() < 0 or self.coordinates.max() > self.coordinate_format.high:
                raise InputError(f"coordinates must lie in 0..{self.coordinate_format.high}")
        if self.coordinate_format.signed:
            raise InputError(f"coordinates are unsigned, received {self.coordinate_format}")

    @property
    def span(self) -> int:
        """Time steps from the first tap to the last one."""
        return (self.taps - 1) * self.dilation + 1

    @property
    def fan(self) -> int:
        """Channels that one filter sees."""
        return self.channels // self.channel_groups

    @property
    def group_size(self) -> int:
        """Weights per group."""
        return self.taps * self.fan // self.groups

    @property
    def weight_count(self) -> int:
        """Weights of the layer, biases not counted."""
        return self.taps * self.fan * self.filters

    @cached_property
    def plane_counts(self) -> np.ndarray:
        """Planes (bitwidth) of every group, shape (filter, group)."""
        counts = np.bincount(self.plane_filter * self.groups + self.plane_group, minlength=self.filters * self.groups)
        return counts.reshape(self.filters, self.groups)

    @cached_property
    def weight_index(self) -> np.ndarray:
        """Position tap * fan + channel of every group's weights, shape (group, group weight)."""
        order = np.arange(self.taps * self.fan)
        if self.kernelwise:
            return order.reshape(self.taps, self.fan).T.copy()
        return order.reshape(self.groups, self.group_size)

    @cached_property
    def weights(self) -> np.ndarray:
        """Dense integer weights sum_p A_p s_p, int64, shape (tap, channel of a run, filter)."""
        dense = np.zeros((self.filters, self.taps * self.fan), np.int64)
        terms = self.coordinates[:, None] * np.where(self.signs, 1, -1)
        np.add.at(dense, (self.plane_filter[:, None], self.weight_index[self.plane_group]), terms)
        return dense.T.reshape(self.taps, self.fan, self.filters)

    def output_length(self, length: int) -> int:
        """Time steps that leave for `length` time steps that enter."""
        return (length + sum(self.padding) - self.span) // self.stride + 1

    def accumulator_bits(self, source: Format) -> int:
        """Width of a two's complement accumulator that no input can overflow, in whatever order planes are added.

        Worst case: |bias| + sum over the filter's planes of A_p times the group's largest |sum|.
        Raises: InputError: more bits than any engine holds exactly.
        Source: number contract, "Frozen network".
        """
        positive = self.signs.sum(1)
        negative = self.group_size - positive
        largest = np.maximum(
            source.high * positive - source.low * negative, source.high * negative - source.low * positive
        )
        # In floating point first: an integer sum that wraps around would look small.
        rough = np.bincount(self.plane_filter, self.coordinates * largest.astype(np.float64), self.filters)
        if (rough + np.abs(self.bias.astype(np.float64))).max() >= 2.0 ** (MAX_EXACT_BITS - 1):
            raise InputError(f"accumulators need more than {MAX_EXACT_BITS} bits: use fewer coordinate or input bits")
        bound = np.abs(self.bias)
        np.add.at(bound, self.plane_filter, self.coordinates * largest)
        return int(bound.max()).bit_length() + 1

    def accumulate(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Exact accumulators of integers `x` (batch, time, channel); returns int64 (batch, time, filter).

        The products run in float64, which is exact: every partial sum is an integer below 2**53, and that is checked.
        """
        self.accumulator_bits(source)
        steps, runs = self.output_length(x.shape[1]), self.channel_groups
        kernel = self.weights.reshape(-1, runs, self.filters // runs).swapaxes(0, 1).astype(np.float64)
        out = np.empty((len(x), steps, self.filters), np.int64)
        windows = max(1, UNFOLDED_VALUES // max(1, steps * self.taps * self.channels))
        for start in range(0, len(x), windows):
            part = np.pad(x[start : start + windows].astype(np.float64), ((0, 0), self.padding, (0, 0)))
            views = np.lib.stride_tricks.sliding_window_view(part, self.span, 1)
            views = views[:, :: self.stride][:, :steps, :, :: self.dilation]
            views = views.reshape(len(part), steps, runs, self.fan, self.taps).transpose(2, 0, 1, 4, 3)
            unfolded = np.ascontiguousarray(views).reshape(runs, len(part) * steps, -1)
            sums = (unfolded @ kernel).swapaxes(0, 1)  # (batch * step, run, filter of the run)
            out[start : start + windows] = sums.reshape(len(part), steps, self.filters)
        return out + self.bias

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Output as int64 (batch, time, filter): requantised if `output` is set, or accumulators."""
        accumulators = self.accumulate(x, source)
        if self.output is None:
            return accumulators
        return requantise(accumulators, source.fraction + self.coordinate_format.fraction, self.output)

    def output_format(self, source: Format, length: int) -> Format:
        """Format that leaves the layer."""
        return self.output or Format(
            self.accumulator_bits(source), source.fraction + self.coordinate_format.fraction, True
        )


def _check_pool(size: int, stride: int, padding: tuple[int, int]) -> None:
    if size < 1 or stride < 1:
        raise InputError(f"pool size and stride must be at least 1, received {size}, {stride}")
    if min(padding) < 0 or max(padding) >= size:
        raise InputError(f"padding of a pool must be at least 0 and below its size {size}, received {padding}")


def _pool_windows(x: np.ndarray, size: int, stride: int, padding: tuple[int, int], fill: int) -> np.ndarray:
    """Windows of int64 (batch, time, channel), shape (batch, step, channel, time step of the window)."""
    if any(padding):
        x = np.pad(x, ((0, 0), padding, (0, 0)), constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(x, size, 1)[:, ::stride]


@dataclass(frozen=True)
class MaxPool:
    """Maximum over `size` time steps every `stride` steps; steps that do not fill a window are dropped.

    Padding (left, right) is time steps that never are the maximum: they hold the lowest integer of the format, which
    for unsigned values is the same as zero.
    """

    size: int
    stride: int
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        _check_pool(self.size, self.stride, self.padding)

    def output_length(self, length: int) -> int:
        """Time steps that leave for `length` time steps that enter."""
        return (length + sum(self.padding) - self.size) // self.stride + 1

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Maxima of int64 (batch, time, channel), shape (batch, step, channel)."""
        return _pool_windows(x, self.size, self.stride, self.padding, source.low).max(-1)

    def output_format(self, source: Format, length: int) -> Format:
        """Format that leaves the layer: unchanged."""
        return source


@dataclass(frozen=True)
class AveragePool:
    """Sum over `size` time steps every `stride` steps, read with `shift` more binary places: sum / 2**shift, exactly.

    With size = 2**shift that is the average; with shift 0 the plain sum, whose division the next coordinates absorb.
    Padding (left, right) is zeros, and they count.
    """

    size: int
    stride: int
    padding: tuple[int, int] = (0, 0)
    shift: int = 0

    def __post_init__(self) -> None:
        _check_pool(self.size, self.stride, self.padding)
        if not 0 <= self.shift <= 24:
            raise InputError(f"the shift of an average must lie in 0 to 24, received {self.shift}")

    def output_length(self, length: int) -> int:
        """Time steps that leave for `length` time steps that enter."""
        return (length + sum(self.padding) - self.size) // self.stride + 1

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Sums of int64 (batch, time, channel), shape (batch, step, channel)."""
        return _pool_windows(x, self.size, self.stride, self.padding, 0).sum(-1)

    def output_format(self, source: Format, length: int) -> Format:
        """Format wide enough for `size` addends."""
        return Format(source.bits + (self.size - 1).bit_length(), source.fraction + self.shift, source.signed)


@dataclass(frozen=True)
class TimeSum:
    """Sum over all time steps (global average pooling without its division, which the next coordinates absorb)."""

    def output_length(self, length: int) -> int:
        """Always one time step."""
        return 1

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Sums of int64 (batch, time, channel), shape (batch, 1, channel)."""
        return x.sum(1, keepdims=True)

    def output_format(self, source: Format, length: int) -> Format:
        """Format wide enough for `length` addends."""
        return Format(source.bits + (length - 1).bit_length(), source.fraction, source.signed)


@dataclass(frozen=True)
class Activation:
    """Requantisation by itself: half to even, saturating; with an unsigned `output` that is the ReLU."""

    output: Format

    def output_length(self, length: int) -> int:
        """Unchanged."""
        return length

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Integers of `output`, same shape."""
        return requantise(x, source.fraction, self.output)

    def output_format(self, source: Format, length: int) -> Format:
        """The output format."""
        return self.output


def common_format(sources: Sequence[Format]) -> Format:
    """The narrowest format that holds every value of every source exactly."""
    fraction = max(source.fraction for source in sources)
    return _narrowest(
        min(source.low << (fraction - source.fraction) for source in sources),
        max(source.high << (fraction - source.fraction) for source in sources),
        fraction,
    )


def _narrowest(low: int, high: int, fraction: int) -> Format:
    if low >= 0:
        return Format(max(1, high.bit_length()), fraction, False)
    return Format(max((-low - 1).bit_length(), high.bit_length()) + 1, fraction, True)


@dataclass(frozen=True)
class Add:
    """Sum of several tensors of one shape, all brought to the finest of their grids first: nothing is rounded."""

    def run(self, values: Sequence[np.ndarray], sources: Sequence[Format]) -> np.ndarray:
        """Sum of int64 arrays (batch, time, channel)."""
        fraction = max(source.fraction for source in sources)
        first, *others = (value << (fraction - source.fraction) for value, source in zip(values, sources, strict=True))
        return sum(others, start=first)

    def output_format(self, sources: Sequence[Format]) -> Format:
        """The narrowest format that holds every sum."""
        fraction = max(source.fraction for source in sources)
        return _narrowest(
            sum(source.low << (fraction - source.fraction) for source in sources),
            sum(source.high << (fraction - source.fraction) for source in sources),
            fraction,
        )

    def output_channels(self, channels: Sequence[int]) -> int:
        """Channels that leave. Raises: InputError: sources of different channels."""
        if len(set(channels)) != 1:
            raise InputError(f"an addition needs sources of equal channels, received {list(channels)}")
        return channels[0]


@dataclass(frozen=True)
class Concatenate:
    """The channels of several tensors side by side, all brought to the finest of their grids: nothing is rounded."""

    def run(self, values: Sequence[np.ndarray], sources: Sequence[Format]) -> np.ndarray:
        """Concatenation of int64 arrays (batch, time, channel)."""
        fraction = max(source.fraction for source in sources)
        return np.concatenate([v << (fraction - s.fraction) for v, s in zip(values, sources, strict=True)], axis=2)

    def output_format(self, sources: Sequence[Format]) -> Format:
        """The narrowest format that holds every source."""
        return common_format(sources)

    def output_channels(self, channels: Sequence[int]) -> int:
        """Channels that leave."""
        return sum(channels)


Join = Add | Concatenate
Layer = PlaneLayer | MaxPool | AveragePool | TimeSum | Activation | Add | Concatenate
