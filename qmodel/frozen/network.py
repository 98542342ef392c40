"""The graph of stages and its golden model."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeGuard, TypeVar

import numpy as np

from qmodel.errors import InputError
from qmodel.files import written_beside
from qmodel.fixed_point import Format
from qmodel.frozen import file
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

L = TypeVar("L", bound=Layer, covariant=True)
INPUT = -1  # as a source: the network's input instead of a stage
MAX_STEPS = 1 << 20  # time steps of any tensor
MAX_CHANNELS = 1 << 16
MAX_VALUES = 1 << 24  # integers of one tensor per frame

_KINDS = {MaxPool: "pool", AveragePool: "average", TimeSum: "sum", Activation: "activation", Add: "add"}


@dataclass(frozen=True)
class Stage(Generic[L]):
    """One layer in its place: its name, where its inputs come from, and what enters and leaves.

    sources: indices of earlier stages, or INPUT; inputs: what each of them brings; output: what leaves.
    """

    name: str
    layer: L
    sources: tuple[int, ...]
    inputs: tuple[Tensor, ...]
    output: Tensor

    @property
    def input_length(self) -> int:
        """Time steps that enter."""
        return self.inputs[0].length

    @property
    def input_channels(self) -> int:
        """Channels that enter (of the first source)."""
        return self.inputs[0].channels

    @property
    def input_format(self) -> Format:
        """Format that enters (of the first source)."""
        return self.inputs[0].format

    @property
    def output_length(self) -> int:
        """Time steps that leave."""
        return self.output.length

    @property
    def output_channels(self) -> int:
        """Channels that leave."""
        return self.output.channels

    @property
    def output_format(self) -> Format:
        """Format that leaves."""
        return self.output.format

    def run(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Output int64 (batch, time, channel) for one such array per source."""
        if isinstance(self.layer, (Add, Concatenate)):
            return self.layer.run(values, [tensor.format for tensor in self.inputs])
        return self.layer.run(values[0], self.input_format)


def has_planes(stage: Stage[Layer]) -> TypeGuard[Stage[PlaneLayer]]:
    """Whether a stage holds weights."""
    return isinstance(stage.layer, PlaneLayer)


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network of integers: stages in the order in which they run; equal when its file is equal.

    Args:
        input_length: time steps of a frame; input_format: of every sample.
        layers: one per stage; the last one's output leaves the network.
        input_channels: samples per time step.
        sources: for every stage the indices of the stages that it reads, or INPUT; None: a chain.
        metadata: what the integers mean, for programs that use the network (no arithmetic depends on it): JSON values
            under string keys. Known keys: `classes` (names of the output channels), `rate_hz` (of the recordings),
            `leads` (names of the input channels), `window_samples` (of a recording per frame). None: nothing.
    Raises: InputError: stages that do not fit together, a stage that nothing reads, sizes beyond the limits, metadata
        that contradicts the network.
    """

    input_length: int
    input_format: Format
    layers: tuple[Layer, ...]
    input_channels: int = 1
    sources: tuple[tuple[int, ...], ...] | None = None
    metadata: Mapping[str, object] | None = None
    stages: tuple[Stage, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not 1 <= len(self.layers) <= MAX_STAGES:
            raise InputError(f"a frozen network has 1 to {MAX_STAGES} layers, received {len(self.layers)}")
        chain = tuple((i - 1,) for i in range(len(self.layers)))
        sources = chain if self.sources is None else tuple(tuple(int(s) for s in own) for own in self.sources)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "stages", tuple(self._connect(sources)))
        object.__setattr__(self, "metadata", MappingProxyType(self._checked_metadata()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenNetwork) and self.file_bytes == other.file_bytes

    def __hash__(self) -> int:
        return hash(self.file_bytes)

    def _connect(self, sources: tuple[tuple[int, ...], ...]) -> Iterator[Stage]:
        if len(sources) != len(self.layers):
            raise InputError(f"sources need one entry per layer ({len(self.layers)}), received {len(sources)}")
        tensors = {INPUT: self.input}
        _check_tensor("the input", self.input)
        counts: dict[str, int] = {}
        unread = {INPUT}
        for position, (layer, own) in enumerate(zip(self.layers, sources)):
            unread -= set(own)
            if not own or not all(INPUT <= source < position for source in own):
                raise InputError(f"layer {position} must read earlier stages or the input, received sources {own}")
            inputs = tuple(tensors[source] for source in own)
            try:
                output = output_of(layer, inputs)
            except ValueError as error:
                raise InputError(f"layer {position}: {error}") from None
            if isinstance(layer, PlaneLayer):
                whole = output.length == 1 and sum(layer.padding) == 0 and layer.taps == inputs[0].length
                kind = "dense" if whole and layer.channel_groups == 1 else "conv"
            else:
                kind = _KINDS.get(type(layer), "concat")
            counts[kind] = counts.get(kind, 0) + 1
            stage = Stage(f"{kind}{counts[kind]}", layer, own, inputs, output)
            _check_tensor(f"layer {position} ({stage.name})", output)
            tensors[position] = output
            unread.add(position)
            yield stage
        unread.discard(len(self.layers) - 1)
        if unread:
            names = [f"layer {i}" if i != INPUT else "the input" for i in sorted(unread)]
            raise InputError(f"every stage but the last must be read by another one; nothing reads {', '.join(names)}")

    def _checked_metadata(self) -> dict[str, object]:
        metadata = file.plain_metadata(self.metadata)
        for key, number, what in (
            ("classes", self.output.channels, "output channel"),
            ("leads", self.input_channels, "input channel"),
        ):
            names = metadata.get(key)
            if names is None:
                continue
            if (
                not isinstance(names, list)
                or not all(isinstance(name, str) and name for name in names)
                or len(names) != number
                or len(set(names)) != number
            ):
                raise InputError(f"{key} must be {number} different names, one per {what}, received {names!r}")
        for key, kinds in (("rate_hz", (int, float)), ("window_samples", (int,))):
            value = metadata.get(key)
            if value is not None and (not isinstance(value, kinds) or isinstance(value, bool) or value <= 0):
                raise InputError(f"{key} must be a positive number, received {value!r}")
        return metadata

    @property
    def input(self) -> Tensor:
        """What enters the network."""
        return Tensor(self.input_length, self.input_channels, self.input_format)

    @property
    def output(self) -> Tensor:
        """What leaves the network."""
        return self.stages[-1].output

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the output channels, if the network tells them."""
        assert self.metadata is not None  # as __post_init__ leaves it
        names = self.metadata.get("classes")
        if names is None:
            return None
        assert isinstance(names, list)  # checked by _checked_metadata
        return tuple(names)

    @property
    def is_chain(self) -> bool:
        """Whether every stage reads the one before it, and the first one the input."""
        return all(stage.sources == (index - 1,) for index, stage in enumerate(self.stages))

    def readers(self, index: int) -> list[tuple[int, int]]:
        """Who reads a stage (or INPUT): pairs of stage and which of its sources it is."""
        return [(i, n) for i, stage in enumerate(self.stages) for n, s in enumerate(stage.sources) if s == index]

    @property
    def plane_stages(self) -> list[Stage[PlaneLayer]]:
        """The stages that hold weights."""
        return [stage for stage in self.stages if has_planes(stage)]

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
        """Sign bits per weight; 0 without weights."""
        return self.plane_bits / max(1, sum(layer.weight_count for layer in self.plane_layers))

    @cached_property
    def file_bytes(self) -> bytes:
        """The file of this network (`qmodel.frozen.file`)."""
        return file.encode(self)

    @property
    def size_bytes(self) -> int:
        """Size of the file: everything needed to run the network, and its metadata."""
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

    def frames(self, x: np.ndarray) -> np.ndarray:
        """Input integers as int64 (batch, time, channel), checked.

        Args: x: integers of `input_format`, shape (batch, time, channel), or flat: (batch, time * channel).
        Raises: InputError: wrong shape or range.
        """
        x = np.asarray(x)
        shape = (self.input_length, self.input_channels)
        right = (x.ndim == 2 and x.shape[1] == self.input.values) or (x.ndim == 3 and x.shape[1:] == shape)
        if not right or not np.issubdtype(x.dtype, np.integer):
            wanted = f"(batch, {self.input_length})"
            if self.input_channels > 1:
                wanted = f"(batch, {self.input_length}, {self.input_channels})"
            raise InputError(f"input must be integers of shape {wanted}, received {x.dtype} {x.shape}")
        if x.size and (x.min() < self.input_format.low or x.max() > self.input_format.high):
            raise InputError(f"input must lie in the range of {self.input_format}, received {x.min()} to {x.max()}")
        return x.astype(np.int64).reshape(len(x), *shape)

    def trace(self, x: np.ndarray) -> list[np.ndarray]:
        """Outputs of every stage for input integers: one int64 array (batch, time, channel) per stage.

        Args, Raises: see `frames`.
        """
        values = {INPUT: self.frames(x)}
        for index, stage in enumerate(self.stages):
            values[index] = stage.run([values[source] for source in stage.sources])
        return [values[index] for index in range(len(self.stages))]

    def run(self, x: np.ndarray) -> np.ndarray:
        """Outputs for input integers (see `frames`): int64, shape (batch, time * channel of the last stage)."""
        return self.trace(x)[-1].reshape(len(x), self.output.values)

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
        except file.FrozenFileError as error:
            raise file.FrozenFileError(f"{path}: {error}") from None

    @classmethod
    def from_bytes(cls, data: bytes) -> FrozenNetwork:
        """Decode a file's bytes. Raises: FrozenFileError: wrong magic number, version, checksum or content."""
        reader = file.open_reader(data)
        try:
            network = cls(**file.decode(reader))
            canonical = network.file_bytes == data
        except (ValueError, OverflowError, RecursionError) as error:
            raise file.FrozenFileError(f"the content breaks the format: {error}") from None
        if not canonical:
            raise file.FrozenFileError("the content is not in the one form that this program writes: freeze it again")
        return network


def output_of(layer: Layer, inputs: tuple[Tensor, ...]) -> Tensor:
    """What leaves a layer. Raises: InputError: inputs that it does not take."""
    length, channels, source = inputs[0]
    if isinstance(layer, (Add, Concatenate)):
        if len(inputs) < 2 or len({tensor.length for tensor in inputs}) != 1:
            lengths = [tensor.length for tensor in inputs]
            raise InputError(f"an addition or concatenation needs sources of equal time steps, received {lengths}")
        leaving = layer.output_channels([tensor.channels for tensor in inputs])
        return Tensor(length, leaving, layer.output_format([tensor.format for tensor in inputs]))
    if len(inputs) != 1:
        raise InputError(f"{type(layer).__name__} has one source, received {len(inputs)}")
    if isinstance(layer, PlaneLayer):
        if layer.channels != channels:
            raise InputError(f"expects {layer.channels} channels, receives {channels}")
        channels = layer.filters
    after = layer.output_length(length)
    if after < 1:
        raise InputError(f"receives {length} time steps, fewer than it needs: {type(layer).__name__}")
    return Tensor(after, channels, layer.output_format(source, length))


def _check_tensor(what: str, tensor: Tensor) -> None:
    length, channels, form = tensor
    if not 1 <= length <= MAX_STEPS or not 1 <= channels <= MAX_CHANNELS or tensor.values > MAX_VALUES:
        raise InputError(
            f"{what}: at most {MAX_STEPS} time steps, {MAX_CHANNELS} channels and {MAX_VALUES} values per frame, "
            f"received {length} time steps of {channels} channels"
        )
    if not 1 <= form.bits <= MAX_EXACT_BITS:
        raise InputError(f"{what}: values need {form.bits} bits, possible are 1 to {MAX_EXACT_BITS}")
