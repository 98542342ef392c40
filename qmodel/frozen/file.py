"""The file of a frozen network.

Little endian; `varint` is unsigned LEB128; a bit stream fills bytes from bit 0 upward and is padded with zeros to a
whole byte. A network has one file: a chain of one input channel that version 1 can hold is written as version 1,
everything else as version 2, and no other encoding is read.

    4 bytes  magic "ALQF"          1 byte  version
    varint   input length          version 2: varint input channels
    3 bytes  input format (bits, fraction as int8, signed)
    varint   number of stages
    per stage 1 byte kind
      version 2: varint how many stages back its source lies (1: the one before; the input is before the first);
      kinds 5 and 6: varint number of sources, then that for each of them
      0 planes         varints filters, taps, stride, padding left, padding right
                       version 2: varints dilation, channel groups
                       1 byte grouping (0 kernelwise, 1 contiguous), varint groups per filter
                       2 bytes coordinate format (bits, fraction as int8), 1 byte accumulator bits
                       3 bytes output format (bits = 0: the accumulators leave as they are)
                       2 bytes bits per plane count, bits per bias, then one bit stream:
                         plane count of every group (filter by filter), coordinates, biases (two's complement), signs
      1 maximum pool   varints size, stride; version 2: padding left, padding right
      2 sum over time
      3 average pool   varints size, stride, padding left, padding right, shift (version 2)
      4 activation     3 bytes output format (version 2)
      5 addition, 6 concatenation (version 2)
    version 2: varint bytes of metadata, then metadata: JSON, keys sorted, no spaces, UTF-8; 0 bytes: none
    4 bytes  CRC-32 of everything before
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qmodel.errors import InputError
from qmodel.fixed_point import Format
from qmodel.frozen.layers import (
    MAX_EXACT_BITS,
    MAX_STAGES,
    Activation,
    Add,
    AveragePool,
    Concatenate,
    Layer,
    MaxPool,
    PlaneLayer,
    Tensor,
    TimeSum,
)

if TYPE_CHECKING:
    from qmodel.frozen.network import FrozenNetwork

MAGIC = b"ALQF"
VERSIONS = (1, 2)
PLANES, MAXIMUM, SUM, AVERAGE, ACTIVATION, ADD, CONCATENATE = range(7)
MAX_METADATA_BYTES = 1 << 16
MAX_COORDINATE_BITS = 32
MAX_COUNT_BITS = 16
MAX_EMPTY_GROUPS = 1 << 16  # groups of a layer without planes, which take no bits in the file


class FrozenFileError(InputError):
    """A file is not a frozen network that this version reads."""


def stored_bits(plane_counts: np.ndarray, group_size: int, coordinate_bits: int, bias_bits: int) -> int:
    """Bits of one layer's stream in the file: plane counts, coordinates, biases, signs (module docstring).

    Args: plane_counts: (filter, group).
    """
    planes = int(plane_counts.sum())
    count_bits = int(plane_counts.max()).bit_length()
    return plane_counts.size * count_bits + planes * (coordinate_bits + group_size) + len(plane_counts) * bias_bits


def plain_metadata(metadata: Mapping[str, object] | None) -> dict[str, object]:
    """Metadata as JSON gives it back. Raises: InputError: not JSON, or too long."""
    if not metadata:
        return {}
    try:
        text = _json(dict(metadata))
        data = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"metadata must be JSON values under string keys: {error}") from None
    if len(data) > MAX_METADATA_BYTES:
        raise InputError(f"metadata must be at most {MAX_METADATA_BYTES} bytes, received {len(data)}")
    return json.loads(text)


def _json(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
    if not -128 <= form.fraction <= 127:
        raise InputError(f"the fraction of a format must lie in -128 to 127, received {form}")
    return bytes([form.bits]) + form.fraction.to_bytes(1, "little", signed=True) + bytes([form.signed])


def _bits(values: np.ndarray, width: int) -> np.ndarray:
    """Bits of integers (two's complement when negative), least significant first, flat."""
    return (np.asarray(values, np.int64).reshape(-1, 1) >> np.arange(width) & 1).astype(np.uint8).reshape(-1)


def _fits_version_1(network: FrozenNetwork) -> bool:
    def fits(layer: Layer) -> bool:
        if isinstance(layer, PlaneLayer):
            signed = layer.output is not None and layer.output.signed
            last = layer is network.layers[-1] or layer.output is not None
            return layer.dilation == 1 and layer.channel_groups == 1 and not signed and last
        return isinstance(layer, TimeSum) or (isinstance(layer, MaxPool) and not any(layer.padding))

    return network.input_channels == 1 and network.is_chain and not network.metadata and all(map(fits, network.layers))


def encode(network: FrozenNetwork) -> bytes:
    """The bytes of a network's file (module docstring)."""
    version = 1 if _fits_version_1(network) else 2
    out = bytearray(MAGIC + bytes([version])) + _varint(network.input_length)
    if version == 2:
        out += _varint(network.input_channels)
    out += _format(network.input_format) + _varint(len(network.layers))
    for index, stage in enumerate(network.stages):
        layer = stage.layer
        kind, body = _body(layer, stage.inputs[0], version)
        out.append(kind)
        if version == 2:
            if kind in (ADD, CONCATENATE):
                out += _varint(len(stage.sources))
            out += b"".join(_varint(index - source) for source in stage.sources)
        out += body
    if version == 2:
        metadata = _json(dict(network.metadata)).encode() if network.metadata else b""
        out += _varint(len(metadata)) + metadata
    return bytes(out) + zlib.crc32(out).to_bytes(4, "little")


def _body(layer: Layer, source: Tensor, version: int) -> tuple[int, bytes]:
    """Kind of a stage, and what follows its sources."""
    if isinstance(layer, MaxPool):
        sizes = (layer.size, layer.stride, *(layer.padding if version == 2 else ()))
        return MAXIMUM, b"".join(map(_varint, sizes))
    if isinstance(layer, AveragePool):
        return AVERAGE, b"".join(map(_varint, (layer.size, layer.stride, *layer.padding, layer.shift)))
    if isinstance(layer, Activation):
        return ACTIVATION, _format(layer.output)
    if not isinstance(layer, PlaneLayer):
        return {TimeSum: SUM, Add: ADD, Concatenate: CONCATENATE}[type(layer)], b""
    sizes = (layer.filters, layer.taps, layer.stride, *layer.padding)
    if version == 2:
        sizes += (layer.dilation, layer.channel_groups)
    out = bytearray(b"".join(map(_varint, sizes)))
    out += bytes([not layer.kernelwise]) + _varint(layer.groups)
    out += _format(layer.coordinate_format)[:2] + bytes([layer.accumulator_bits(source.format)])
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
    return PLANES, bytes(out)


class Reader:
    """Takes fields from bytes, one after the other, and never reads beyond them."""

    def __init__(self, data: bytes, version: int):
        self.data, self.at, self.version = data, 0, version

    @property
    def left(self) -> int:
        """Bytes not yet taken."""
        return len(self.data) - self.at

    def byte(self) -> int:
        if not self.left:
            raise InputError("the file ends too early")
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
                raise InputError("a size is larger than 28 bits")

    def format(self) -> Format | None:
        bits, fraction, signed = self.byte(), self.small(), bool(self.byte())
        if bits > MAX_EXACT_BITS:
            raise InputError(f"a format has {bits} bits, possible are 1 to {MAX_EXACT_BITS}")
        return Format(bits, fraction, signed) if bits else None

    def take(self, number: int) -> bytes:
        if number > self.left:
            raise InputError("the file ends too early")
        self.at += number
        return self.data[self.at - number : self.at]


class BitReader:
    """Takes integers from the bit stream at a reader's place."""

    def __init__(self, reader: Reader):
        self.reader, self.at = reader, 0

    def take(self, number: int, width: int, what: str) -> np.ndarray:
        """The next `number` unsigned integers of `width` bits; uint8 for one bit, else int64."""
        first, last = self.at, self.at + number * width
        if last > 8 * self.reader.left:
            raise InputError(f"{number} {what} of {width} bits are more than the file holds")
        self.at = last
        part = np.frombuffer(self.reader.data, np.uint8, -(-last // 8) - first // 8, self.reader.at + first // 8)
        bits = np.unpackbits(part, bitorder="little")[first % 8 : first % 8 + number * width]
        if width == 1:
            return bits
        octets = np.packbits(bits.reshape(number, width), axis=1, bitorder="little")
        values = np.zeros((number, 8), np.uint8)
        values[:, : octets.shape[1]] = octets
        return values.view("<i8")[:, 0].astype(np.int64)

    def close(self) -> None:
        """Move the reader behind the stream."""
        self.reader.take(-(-self.at // 8))


def open_reader(data: bytes) -> Reader:
    """A reader behind the header. Raises: FrozenFileError: wrong magic number, version or checksum."""
    if data[:4] != MAGIC:
        raise FrozenFileError(f"a frozen network starts with {MAGIC!r}, received {data[:4]!r}: is it an .alq file?")
    if len(data) < 5 or data[4] not in VERSIONS:
        received = data[4:5].hex() or "no"
        raise FrozenFileError(f"this program reads version {VERSIONS[0]} or {VERSIONS[1]}, received {received} version")
    if len(data) < 9 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FrozenFileError("the checksum does not match: the file is damaged, freeze or copy it again")
    return Reader(data[5:-4], data[4])


def decode(reader: Reader) -> dict:
    """The arguments of `FrozenNetwork`. Raises: InputError: content that breaks the format."""
    length = reader.varint()
    channels = reader.varint() if reader.version == 2 else 1
    form = reader.format()
    if form is None:
        raise InputError("the input format has no bits")
    number = reader.varint()
    if number > min(reader.left, MAX_STAGES):
        raise InputError(f"{number} stages are more than the file holds, or more than {MAX_STAGES}")
    layers: list[Layer] = []
    sources: list[tuple[int, ...]] = []
    leaving = [channels]  # of the input, then of every stage
    for index in range(number):
        kind = reader.byte()
        if kind > (CONCATENATE if reader.version == 2 else SUM):
            raise InputError(f"unknown kind of stage {kind}")
        own: tuple[int, ...] = (index - 1,)
        if reader.version == 2:
            several = reader.varint() if kind in (ADD, CONCATENATE) else 1
            if several > reader.left:
                raise InputError(f"{several} sources are more than the file holds")
            own = tuple(index - reader.varint() for _ in range(several))
            if not own or min(own) < -1 or max(own) >= index:
                raise InputError(f"stage {index} must read earlier ones, received {own}")
        entering = [leaving[source + 1] for source in own]
        layers.append(_decode_layer(reader, kind, entering[0]))
        sources.append(own)
        if kind == PLANES:
            leaving.append(layers[-1].filters)  # type: ignore[union-attr]
        else:
            leaving.append(sum(entering) if kind == CONCATENATE else entering[0])
    metadata = None
    if reader.version == 2 and (size := reader.varint()):
        if size > MAX_METADATA_BYTES:
            raise InputError(f"metadata has {size} bytes, at most {MAX_METADATA_BYTES} are possible")
        metadata = json.loads(reader.take(size).decode())
        if not isinstance(metadata, dict):
            raise InputError("metadata is not a JSON object")
    if reader.left:
        raise InputError(f"{reader.left} bytes left over")
    return {
        "input_length": length,
        "input_format": form,
        "layers": tuple(layers),
        "input_channels": channels,
        "sources": tuple(sources),
        "metadata": metadata,
    }


def _decode_layer(reader: Reader, kind: int, channels: int) -> Layer:
    if kind == PLANES:
        return _decode_planes(reader, channels)
    if kind == MAXIMUM:
        size, stride = reader.varint(), reader.varint()
        return MaxPool(size, stride, (reader.varint(), reader.varint()) if reader.version == 2 else (0, 0))
    if kind == SUM:
        return TimeSum()
    if kind == AVERAGE:
        size, stride, left, right, shift = (reader.varint() for _ in range(5))
        return AveragePool(size, stride, (left, right), shift)
    if kind == ACTIVATION:
        form = reader.format()
        if form is None:
            raise InputError("an activation has no format")
        return Activation(form)
    return Add() if kind == ADD else Concatenate()


def _decode_planes(reader: Reader, channels: int) -> PlaneLayer:
    filters, taps, stride, left, right = (reader.varint() for _ in range(5))
    dilation, runs = (reader.varint(), reader.varint()) if reader.version == 2 else (1, 1)
    kernelwise, groups = not reader.byte(), reader.varint()
    coordinate_format = Format(reader.byte(), reader.small(), False)
    reader.byte()  # accumulator width: derived, so that the canonical encoding holds the derived one
    output = reader.format()
    count_bits, bias_bits = reader.byte(), reader.byte()
    if not 1 <= coordinate_format.bits <= MAX_COORDINATE_BITS:
        raise InputError(f"coordinates of {coordinate_format.bits} bits, possible are 1 to {MAX_COORDINATE_BITS}")
    if not 1 <= bias_bits <= MAX_EXACT_BITS or count_bits > MAX_COUNT_BITS:
        raise InputError(f"biases of {bias_bits} bits or plane counts of {count_bits} bits")
    if runs < 1 or channels % runs:
        raise InputError(f"{runs} channel groups do not divide {channels} channels")
    weights = taps * (channels // runs)
    if groups < 1 or weights % groups or not weights:
        raise InputError(f"{groups} groups do not divide {weights} weights")
    if not count_bits and filters * groups > MAX_EMPTY_GROUPS:
        raise InputError(f"{filters * groups} groups without planes, possible are {MAX_EMPTY_GROUPS}")
    if filters * bias_bits > 8 * reader.left:
        raise InputError(f"{filters} biases of {bias_bits} bits are more than the file holds")
    stream = BitReader(reader)
    number = filters * groups
    counts = stream.take(number, count_bits, "plane counts") if count_bits else np.zeros(number, np.int64)
    planes, group_size = int(counts.sum(dtype=np.int64)), weights // groups
    coordinates = stream.take(planes, coordinate_format.bits, "coordinates")
    bias = stream.take(filters, bias_bits, "biases").astype(np.int64)
    signs = stream.take(planes * group_size, 1, "signs")
    stream.close()
    owner = np.repeat(np.arange(number), counts)
    return PlaneLayer(
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
        signs=signs.reshape(planes, group_size),
        bias=np.where(bias >> (bias_bits - 1) & 1, bias - (1 << bias_bits), bias),
        coordinate_format=coordinate_format,
        output=output,
        dilation=dilation,
        channel_groups=runs,
    )
