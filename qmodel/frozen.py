"""The frozen network: plane tables and integers, their file, and the golden model that defines every engine's output.

File format, version 1 (little endian; `varint` is unsigned LEB128; a bit stream fills bytes from bit 0 upward):

    4 bytes  magic "ALQF"          1 byte  version
    varint   input length          3 bytes input format (bits, fraction as int8, signed)
    varint   number of layers
    per layer 1 byte kind, then
      0 planes   varints filters, taps, stride, padding left, padding right
                 1 byte grouping (0 kernelwise, 1 contiguous), varint groups per filter
                 2 bytes coordinate format (bits, fraction as int8), 1 byte accumulator bits
                 3 bytes output format (bits = 0: the accumulators leave as they are)
                 2 bytes bits per plane count, bits per bias, then one bit stream:
                   plane count of every group (filter by filter), coordinates, biases (two's complement), signs
                   in the same order, padded with zeros to a whole byte
      1 pool     varints size, stride
      2 sum over time
    4 bytes  CRC-32 of everything before
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from qmodel.errors import InputError
from qmodel.files import written_beside
from qmodel.fixed_point import Format, requantise

MAGIC = b"ALQF"
VERSION = 1
MAX_EXACT_BITS = 53  # float64 holds every integer of this many magnitude bits, so its matrix products are exact
BATCH = 64  # windows per matrix product: keeps the unfolded input in cache


class FrozenFileError(InputError):
    """A file is not a frozen network that this version reads."""


@dataclass(frozen=True, eq=False)
class PlaneLayer:
    """A convolution over time with weights sum_p alpha_p s_p; a dense layer is one whose taps span its whole input.

    The weights of one filter in the order tap * channels + channel are split into `groups` groups of equal size:
    `contiguous` runs (1 group: channelwise; `taps` groups: pixelwise; any other number: subchannels) or `kernelwise`
    (one group per channel, its taps). Planes are sorted by (filter, group).

    Args:
        channels, filters, taps, stride, padding: sizes; padding is zeros (left, right).
        kernelwise: grouping; groups: groups per filter.
        plane_filter, plane_group: int, shape (plane,). coordinates: int, shape (plane,), unsigned.
        signs: bool, shape (plane, group weight), True = +1. bias: int64, shape (filter,), step of the accumulator.
        coordinate_format: unsigned format of the coordinates.
        output: format after ReLU and requantisation; None: accumulators leave as logits.
    Raises: ValueError: shapes, orders or ranges that break these rules.
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

    def __post_init__(self):
        for name, kind in (
            ("plane_filter", np.int64),
            ("plane_group", np.int64),
            ("coordinates", np.int64),
            ("signs", np.bool_),
            ("bias", np.int64),
        ):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), kind))
        sizes = (self.channels, self.filters, self.taps, self.stride, self.groups)
        if min(sizes) < 1 or min(self.padding) < 0:
            raise ValueError(f"sizes must be positive and padding at least 0, received {sizes}, padding {self.padding}")
        if self.kernelwise and self.groups != self.channels:
            raise ValueError(f"kernelwise grouping has one group per channel ({self.channels}), received {self.groups}")
        if self.taps * self.channels % self.groups:
            raise ValueError(f"groups must divide the {self.taps * self.channels} weights, received {self.groups}")
        planes = len(self.coordinates)
        if self.plane_filter.shape != (planes,) or self.plane_group.shape != (planes,):
            raise ValueError("plane_filter, plane_group and coordinates must have one entry per plane")
        if self.signs.shape != (planes, self.group_size):
            raise ValueError(f"signs must have shape {(planes, self.group_size)}, received {self.signs.shape}")
        if self.bias.shape != (self.filters,):
            raise ValueError(f"bias must have shape {(self.filters,)}, received {self.bias.shape}")
        if planes:
            key = self.plane_filter * self.groups + self.plane_group
            if (np.diff(key) < 0).any() or key[0] < 0 or key[-1] >= self.filters * self.groups:
                raise ValueError("planes must be sorted by (filter, group) and lie inside the layer")
            if self.plane_group.min() < 0 or self.plane_group.max() >= self.groups:
                raise ValueError(f"plane_group must lie in 0..{self.groups - 1}")
            if self.coordinates.min() < 0 or self.coordinates.max() > self.coordinate_format.high:
                raise ValueError(f"coordinates must lie in 0..{self.coordinate_format.high}")
        if self.output is not None and self.output.signed:
            raise ValueError(f"an activation is unsigned (ReLU), received {self.output}")

    @property
    def group_size(self) -> int:
        """Weights per group."""
        return self.taps * self.channels // self.groups

    @property
    def weight_count(self) -> int:
        """Weights of the layer, biases not counted."""
        return self.taps * self.channels * self.filters

    @cached_property
    def plane_counts(self) -> np.ndarray:
        """Planes (bitwidth) of every group, shape (filter, group)."""
        counts = np.zeros((self.filters, self.groups), np.int64)
        np.add.at(counts, (self.plane_filter, self.plane_group), 1)
        return counts

    @cached_property
    def weight_index(self) -> np.ndarray:
        """Position tap * channels + channel of every group's weights, shape (group, group weight)."""
        order = np.arange(self.taps * self.channels)
        if self.kernelwise:
            return order.reshape(self.taps, self.channels).T.copy()
        return order.reshape(self.groups, self.group_size)

    @cached_property
    def weights(self) -> np.ndarray:
        """Dense integer weights sum_p A_p s_p, int64, shape (tap, channel, filter), step 2**-coordinate fraction."""
        dense = np.zeros((self.filters, self.taps * self.channels), np.int64)
        terms = self.coordinates[:, None] * np.where(self.signs, 1, -1)
        np.add.at(dense, (self.plane_filter[:, None], self.weight_index[self.plane_group]), terms)
        return dense.T.reshape(self.taps, self.channels, self.filters)

    def output_length(self, length: int) -> int:
        """Time steps that leave for `length` time steps that enter."""
        return (length + sum(self.padding) - self.taps) // self.stride + 1

    def accumulator_bits(self, source: Format) -> int:
        """Width of a two's complement accumulator that no input can overflow, in whatever order planes are added.

        Worst case: |bias| + sum over the filter's planes of A_p times the group's largest |sum|.
        Source: number contract, "Frozen network".
        """
        positive = self.signs.sum(1)
        negative = self.group_size - positive
        largest = np.maximum(
            source.high * positive - source.low * negative, source.high * negative - source.low * positive
        )
        bound = np.abs(self.bias)
        np.add.at(bound, self.plane_filter, self.coordinates * largest)
        return int(bound.max()).bit_length() + 1

    def accumulate(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Exact accumulators of integers `x` (batch, time, channel); returns int64 (batch, time, filter).

        The products run in float64, which is exact: every partial sum is an integer below 2**53, and that is checked.
        """
        bits = self.accumulator_bits(source)
        if bits > MAX_EXACT_BITS:
            raise ValueError(f"accumulators need {bits} bits, at most {MAX_EXACT_BITS} are exact")
        steps = self.output_length(x.shape[1])
        kernel = self.weights.reshape(-1, self.filters).astype(np.float64)
        out = np.empty((len(x), steps, self.filters), np.int64)
        for start in range(0, len(x), BATCH):
            part = np.pad(x[start : start + BATCH].astype(np.float64), ((0, 0), self.padding, (0, 0)))
            views = np.lib.stride_tricks.sliding_window_view(part, self.taps, 1)[:, :: self.stride][:, :steps]
            unfolded = np.ascontiguousarray(views.swapaxes(2, 3)).reshape(len(part) * steps, -1)
            out[start : start + BATCH] = (unfolded @ kernel).reshape(len(part), steps, self.filters)
        return out + self.bias

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Output as int64 (batch, time, filter): requantised if `output` is set (that is the ReLU), or accumulators."""
        accumulators = self.accumulate(x, source)
        if self.output is None:
            return accumulators
        return requantise(accumulators, source.fraction + self.coordinate_format.fraction, self.output)

    def output_format(self, source: Format, length: int) -> Format:
        """Format that leaves the layer."""
        return self.output or Format(
            self.accumulator_bits(source), source.fraction + self.coordinate_format.fraction, True
        )


@dataclass(frozen=True)
class MaxPool:
    """Maximum over `size` time steps every `stride` steps; steps that do not fill a window are dropped."""

    size: int
    stride: int

    def __post_init__(self):
        if self.size < 1 or self.stride < 1:
            raise ValueError(f"pool size and stride must be at least 1, received {self.size}, {self.stride}")

    def output_length(self, length: int) -> int:
        """Time steps that leave for `length` time steps that enter."""
        return (length - self.size) // self.stride + 1

    def run(self, x: np.ndarray, source: Format) -> np.ndarray:
        """Maxima of int64 (batch, time, channel), shape (batch, time // stride, channel)."""
        views = np.lib.stride_tricks.sliding_window_view(x, self.size, 1)[:, :: self.stride]
        return views.max(-1)

    def output_format(self, source: Format, length: int) -> Format:
        """Format that leaves the layer: unchanged."""
        return source


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


Layer = PlaneLayer | MaxPool | TimeSum


@dataclass(frozen=True)
class Stage:
    """One layer in its place: its name, and length, channels and format of what enters and leaves."""

    name: str
    layer: Layer
    input_length: int
    input_channels: int
    input_format: Format
    output_length: int
    output_channels: int
    output_format: Format


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network of integers, input one channel of `input_length` samples; equal when its file is equal.

    Raises: ValueError: channels that do not chain, an input shorter than a layer's taps or pool, a layer after logits.
    """

    input_length: int
    input_format: Format
    layers: tuple[Layer, ...]
    stages: tuple[Stage, ...] = field(init=False, repr=False)

    def __post_init__(self):
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "stages", tuple(self._chain()))

    def _chain(self) -> Iterator[Stage]:
        length, channels, source = self.input_length, 1, self.input_format
        if not self.layers:
            raise ValueError("a frozen network needs at least one layer")
        counts: dict[str, int] = {}
        for position, layer in enumerate(self.layers):
            if isinstance(layer, PlaneLayer):
                if layer.channels != channels:
                    raise ValueError(f"layer {position} expects {layer.channels} channels, receives {channels}")
                if layer.output is None and position != len(self.layers) - 1:
                    raise ValueError(f"layer {position} gives logits, so it must be the last of {len(self.layers)}")
            after = layer.output_length(length)
            if after < 1:
                raise ValueError(f"layer {position} receives {length} time steps, fewer than it needs: {layer}")
            if isinstance(layer, PlaneLayer):
                kind = "dense" if after == 1 and sum(layer.padding) == 0 and layer.taps == length else "conv"
            else:
                kind = "pool" if isinstance(layer, MaxPool) else "sum"
            counts[kind] = counts.get(kind, 0) + 1
            leaving = layer.filters if isinstance(layer, PlaneLayer) else channels
            target = layer.output_format(source, length)
            yield Stage(f"{kind}{counts[kind]}", layer, length, channels, source, after, leaving, target)
            length, channels, source = after, leaving, target

    @property
    def plane_stages(self) -> list[Stage]:
        """The stages that hold weights."""
        return [stage for stage in self.stages if isinstance(stage.layer, PlaneLayer)]

    @property
    def plane_layers(self) -> list[PlaneLayer]:
        """The layers that hold weights."""
        return [layer for layer in self.layers if isinstance(layer, PlaneLayer)]

    @property
    def parameter_count(self) -> int:
        """Weights and biases of the same network in floating point."""
        return sum(layer.weight_count + layer.filters for layer in self.plane_layers)

    @property
    def plane_bits(self) -> int:
        """Sign bits: sum over planes of their group size."""
        return sum(layer.signs.size for layer in self.plane_layers)

    @property
    def average_bits(self) -> float:
        """Sign bits per weight."""
        return self.plane_bits / sum(layer.weight_count for layer in self.plane_layers)

    @cached_property
    def file_bytes(self) -> bytes:
        """The file of this network (module docstring)."""
        return _encode(self)

    @property
    def size_bytes(self) -> int:
        """Size of the file: everything needed to run the network."""
        return len(self.file_bytes)

    @property
    def compression_bytes(self) -> float:
        """Parameters as float32 divided by the file."""
        return 4 * self.parameter_count / self.size_bytes

    @property
    def compression_bits(self) -> float:
        """32 bits per weight divided by sign bits per weight: what papers that count sign bits alone report."""
        return 32 / self.average_bits if self.plane_bits else float("inf")

    @property
    def identity(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.file_bytes).hexdigest()

    def trace(self, x: np.ndarray) -> list[np.ndarray]:
        """Outputs of every stage for input integers.

        Args: x: integers of `input_format`, shape (batch, time).
        Returns: one int64 array (batch, time, channel) per stage. Raises: ValueError: wrong shape or range.
        """
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.input_length or not np.issubdtype(x.dtype, np.integer):
            raise ValueError(
                f"input must be integers of shape (batch, {self.input_length}), received {x.dtype} {x.shape}"
            )
        if x.size and (x.min() < self.input_format.low or x.max() > self.input_format.high):
            raise ValueError(f"input must lie in the range of {self.input_format}, received {x.min()} to {x.max()}")
        outputs, value = [], x.astype(np.int64)[:, :, None]
        for stage in self.stages:
            value = stage.layer.run(value, stage.input_format)
            outputs.append(value)
        return outputs

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, time * channel of the last stage)."""
        last = self.trace(x)[-1]
        return last.reshape(len(last), -1)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the file beside `path`, then rename, so that a full disk leaves nothing half-written."""
        with written_beside(path) as beside:
            beside.write_bytes(self.file_bytes)
        return Path(path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> FrozenNetwork:
        """Read a file. Raises: FrozenFileError: not such a file, another version, damaged; OSError: not readable."""
        try:
            return cls.from_bytes(Path(path).read_bytes())
        except FrozenFileError as error:
            raise FrozenFileError(f"{path}: {error}") from None

    @classmethod
    def from_bytes(cls, data: bytes) -> FrozenNetwork:
        """Decode a file's bytes. Raises: FrozenFileError: wrong magic number, version, checksum or content."""
        if data[:4] != MAGIC:
            raise FrozenFileError(f"a frozen network starts with {MAGIC!r}, received {data[:4]!r}: is it an .alq file?")
        if len(data) < 5 or data[4] != VERSION:
            raise FrozenFileError(f"this program reads version {VERSION}, received {data[4:5].hex() or 'no'} version")
        if len(data) < 9 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise FrozenFileError("the checksum does not match: the file is damaged, freeze or copy it again")
        try:
            return _decode(_Reader(data[5:-4]))
        except (ValueError, IndexError) as error:
            raise FrozenFileError(f"the content breaks the format: {error}") from None


def stored_bits(plane_counts: np.ndarray, group_size: int, coordinate_bits: int, bias_bits: int) -> int:
    """Bits of one layer's stream in the file: plane counts, coordinates, biases, signs (module docstring).

    Args: plane_counts: (filter, group).
    """
    planes = int(plane_counts.sum())
    count_bits = int(plane_counts.max()).bit_length()
    return plane_counts.size * count_bits + planes * (coordinate_bits + group_size) + len(plane_counts) * bias_bits


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _format(form: Format | None) -> bytes:
    if form is None:
        return bytes(3)
    return bytes([form.bits]) + form.fraction.to_bytes(1, "little", signed=True) + bytes([form.signed])


def _bits(values: np.ndarray, width: int) -> np.ndarray:
    """Bits of integers (two's complement when negative), least significant first, flat."""
    return (np.asarray(values, np.int64).reshape(-1, 1) >> np.arange(width) & 1).astype(np.uint8).reshape(-1)


def _encode(network: FrozenNetwork) -> bytes:
    out = bytearray(MAGIC + bytes([VERSION]))
    out += _varint(network.input_length) + _format(network.input_format) + _varint(len(network.layers))
    for stage in network.stages:
        layer = stage.layer
        if isinstance(layer, MaxPool):
            out += b"\x01" + _varint(layer.size) + _varint(layer.stride)
        elif isinstance(layer, TimeSum):
            out += b"\x02"
        else:
            sizes = (layer.filters, layer.taps, layer.stride, *layer.padding)
            out += b"\x00" + b"".join(map(_varint, sizes))
            out += bytes([not layer.kernelwise]) + _varint(layer.groups)
            out += _format(layer.coordinate_format)[:2] + bytes([layer.accumulator_bits(stage.input_format)])
            out += _format(layer.output)
            count_bits = int(layer.plane_counts.max()).bit_length()
            bias_bits = max(int(b if b >= 0 else ~b).bit_length() for b in layer.bias) + 1
            stream = (
                _bits(layer.plane_counts, count_bits),
                _bits(layer.coordinates, layer.coordinate_format.bits),
                _bits(layer.bias, bias_bits),
                layer.signs.reshape(-1).astype(np.uint8),
            )
            out += bytes([count_bits, bias_bits]) + np.packbits(np.concatenate(stream), bitorder="little").tobytes()
    return bytes(out) + zlib.crc32(out).to_bytes(4, "little")


class _Reader:
    """Takes fields from bytes, one after the other."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def small(self) -> int:
        return int.from_bytes(bytes([self.byte()]), "little", signed=True)

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 28:
                raise ValueError("a size is larger than 28 bits")

    def format(self) -> Format | None:
        bits, fraction, signed = self.byte(), self.small(), bool(self.byte())
        return Format(bits, fraction, signed) if bits else None


def _take(bits: np.ndarray, number: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `number` integers of `width` bits, and the bits after them."""
    if number * width > len(bits):
        raise ValueError("the bit stream ends too early")
    part = bits[: number * width].reshape(number, width).astype(np.int64)
    return part @ (np.int64(1) << np.arange(width, dtype=np.int64)), bits[number * width :]


def _decode(reader: _Reader) -> FrozenNetwork:
    length, form = reader.varint(), reader.format()
    if form is None:
        raise ValueError("the input format has no bits")
    layers: list[Layer] = []
    channels, source, steps = 1, form, length
    for _ in range(reader.varint()):
        kind = reader.byte()
        layer: Layer
        if kind == 0:
            layer, stored = _decode_planes(reader, channels)
            derived = layer.accumulator_bits(source)
            if stored != derived:
                raise ValueError(f"stored accumulator width {stored} differs from the derived one {derived}")
            channels = layer.filters
        elif kind == 1:
            layer = MaxPool(reader.varint(), reader.varint())
        elif kind == 2:
            layer = TimeSum()
        else:
            raise ValueError(f"unknown layer kind {kind}")
        source, steps = layer.output_format(source, steps), layer.output_length(steps)
        layers.append(layer)
    if reader.at != len(reader.data):
        raise ValueError(f"{len(reader.data) - reader.at} bytes left over")
    return FrozenNetwork(length, form, tuple(layers))


def _decode_planes(reader: _Reader, channels: int) -> tuple[PlaneLayer, int]:
    filters, taps, stride, left, right = (reader.varint() for _ in range(5))
    kernelwise, groups = not reader.byte(), reader.varint()
    coordinate_format = Format(reader.byte(), reader.small(), False)
    accumulator_bits, output = reader.byte(), reader.format()
    count_bits, bias_bits = reader.byte(), reader.byte()
    if groups < 1 or taps * channels % groups:
        raise ValueError(f"{groups} groups do not divide {taps * channels} weights")
    group_size = taps * channels // groups
    bits = np.unpackbits(np.frombuffer(reader.data, np.uint8, offset=reader.at), bitorder="little")
    counts, rest = _take(bits, filters * groups, count_bits)
    planes = int(counts.sum())
    coordinates, rest = _take(rest, planes, coordinate_format.bits)
    bias, rest = _take(rest, filters, bias_bits)
    signs, rest = _take(rest, planes * group_size, 1)
    reader.at += (len(bits) - len(rest) + 7) // 8
    owner = np.repeat(np.arange(filters * groups), counts)
    layer = PlaneLayer(
        channels=channels,
        filters=filters,
        taps=taps,
        stride=stride,
        padding=(left, right),
        kernelwise=kernelwise,
        groups=groups,
        plane_filter=owner // groups,
        plane_group=owner % groups,
        coordinates=coordinates,
        signs=signs.reshape(planes, group_size).astype(bool),
        bias=np.where(bias >> (bias_bits - 1) & 1, bias - (1 << bias_bits), bias),
        coordinate_format=coordinate_format,
        output=output,
    )
    return layer, accumulator_bits
