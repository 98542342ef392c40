"""The frozen network: golden model against a naive one, file round trip, every bad file refused."""

from __future__ import annotations

import errno
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmodel.fixed_point import Format
from qmodel.frozen import FrozenFileError, FrozenNetwork, MaxPool, PlaneLayer
from tests.strategies import frozen_networks, random_inputs, random_plane_layer


def naive_requantise(accumulator: int, shift: int, output: Format) -> int:
    """Python's round() of an exact fraction is half to even; then saturation."""
    return min(max(round(Fraction(accumulator) * Fraction(2) ** -shift), output.low), output.high)


def naive_run(network: FrozenNetwork, window: list[int]) -> list[int]:
    """The number contract written out plane by plane in Python integers."""
    value, fraction = [[int(v)] for v in window], network.input_format.fraction
    for layer in network.layers:
        if isinstance(layer, PlaneLayer):
            channels = len(value[0])
            padded = [[0] * channels] * layer.padding[0] + value + [[0] * channels] * layer.padding[1]
            after = []
            for start in range(0, len(padded) - layer.taps + 1, layer.stride):
                sums = [int(b) for b in layer.bias]
                for p in range(len(layer.coordinates)):
                    g, n = int(layer.plane_group[p]), layer.group_size
                    for i in range(n):
                        tap, channel = (i, g) if layer.kernelwise else divmod(g * n + i, channels)
                        sign = 1 if layer.signs[p, i] else -1
                        sums[layer.plane_filter[p]] += int(layer.coordinates[p]) * sign * padded[start + tap][channel]
                after.append(sums)
            if layer.output is not None:
                shift = fraction + layer.coordinate_format.fraction - layer.output.fraction
                after = [[naive_requantise(a, shift, layer.output) for a in step] for step in after]
                fraction = layer.output.fraction
            value = after
        elif isinstance(layer, MaxPool):
            starts = range(0, len(value) - layer.size + 1, layer.stride)
            value = [[max(column) for column in zip(*value[s : s + layer.size], strict=True)] for s in starts]
        else:
            value = [[sum(column) for column in zip(*value, strict=True)]]
    return [v for step in value for v in step]


@settings(max_examples=60)
@given(frozen_networks(), st.integers(0, 2**32 - 1))
def test_golden_equals_naive(network, seed):
    x = random_inputs(network, np.random.default_rng(seed))
    assert network.run(x).tolist() == [naive_run(network, window) for window in x.tolist()]


@settings(max_examples=60)
@given(frozen_networks(), st.integers(0, 2**32 - 1))
def test_derived_accumulator_width_holds_every_sum(network, seed):
    x = random_inputs(network, np.random.default_rng(seed))
    values = [x[:, :, None], *network.trace(x)]
    for value, stage in zip(values[:-1], network.stages, strict=True):
        if isinstance(stage.layer, PlaneLayer):
            width = stage.layer.accumulator_bits(stage.input_format)
            accumulators = stage.layer.accumulate(value, stage.input_format)
            assert accumulators.min() >= -(1 << (width - 1))
            assert accumulators.max() < 1 << (width - 1)


def test_accumulator_width_is_tight_for_one_sign():
    """127 * 100 + 128 * 100 = 25,500 needs 15 magnitude bits and a sign."""
    layer = PlaneLayer(
        channels=1, filters=1, taps=2, stride=1, padding=(0, 0), kernelwise=False, groups=1, plane_filter=[0],
        plane_group=[0], coordinates=[100], signs=[[True, False]], bias=[0],
        coordinate_format=Format(8, 0, False), output=None,
    )  # fmt: skip
    assert layer.accumulator_bits(Format(8, 0, True)) == 16


@settings(max_examples=60)
@given(frozen_networks())
def test_file_round_trip(network):
    again = FrozenNetwork.from_bytes(network.file_bytes)
    assert again.file_bytes == network.file_bytes
    assert again.identity == network.identity
    x = random_inputs(network, np.random.default_rng(0))
    for ours, theirs in zip(network.trace(x), again.trace(x), strict=True):
        assert (ours == theirs).all()


@pytest.fixture
def network():
    rng = np.random.default_rng(5)
    conv = random_plane_layer(rng, 1, 4, 5, padding=(2, 2))
    dense = random_plane_layer(rng, 4, 3, 10, grouping="pixelwise", output=None)
    return FrozenNetwork(20, Format(8, 4, True), (conv, MaxPool(2, 2), dense))


def test_sizes(network):
    assert [s.name for s in network.stages] == ["conv1", "pool1", "dense1"]
    assert network.parameter_count == (5 * 4 + 4) + (10 * 4 * 3 + 3)
    assert network.size_bytes == len(network.file_bytes)
    assert network.plane_bits == sum(int(s.layer.plane_counts.sum()) * s.layer.group_size for s in network.plane_stages)


def test_every_flipped_byte_is_refused(network):
    data = bytearray(network.file_bytes)
    for position in range(len(data)):
        data[position] ^= 0x40
        with pytest.raises(FrozenFileError):
            FrozenNetwork.from_bytes(bytes(data))
        data[position] ^= 0x40


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: b"ELF!" + d[4:], "starts with b'ALQF'"),
        (lambda d: d[:4] + b"\x09" + d[5:], "reads version 1, received 09"),
        (lambda d: d[:-1], "checksum"),
        (lambda d: d[:7], "checksum"),
        (lambda d: b"", "starts with"),
    ],
)
def test_bad_files(network, tmp_path, damage, message):
    path = tmp_path / "bad.alq"
    path.write_bytes(damage(network.file_bytes))
    with pytest.raises(FrozenFileError, match=message):
        FrozenNetwork.load(path)


def test_full_disk_leaves_nothing(network, tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        network.save(tmp_path / "network.alq")
    assert list(tmp_path.iterdir()) == []


def test_save_load(network, tmp_path):
    path = network.save(tmp_path / "network.alq")
    assert FrozenNetwork.load(path).file_bytes == network.file_bytes
    assert [p.name for p in tmp_path.iterdir()] == ["network.alq"]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 19), int), r"shape \(batch, 20\)"),
        (np.zeros((1, 20)), "integers"),
        (np.full((1, 20), 128), "range"),
    ],
)
def test_bad_input(network, x, message):
    with pytest.raises(ValueError, match=message):
        network.run(x)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coordinates": [-1]}, "coordinates"),
        ({"coordinates": [256]}, "coordinates"),
        ({"signs": [[True]]}, "signs"),
        ({"bias": [0, 0]}, "bias"),
        ({"plane_filter": [1]}, "inside the layer"),
        ({"groups": 3}, "divide"),
        ({"stride": 0}, "positive"),
        ({"kernelwise": True, "groups": 2}, "per channel"),
        ({"output": Format(8, 0, True)}, "unsigned"),
    ],
)
def test_bad_layers(change, message):
    layer = PlaneLayer(
        channels=1, filters=1, taps=2, stride=1, padding=(0, 0), kernelwise=False, groups=1, plane_filter=[0],
        plane_group=[0], coordinates=[1], signs=[[True, False]], bias=[0],
        coordinate_format=Format(8, 0, False), output=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match=message):
        replace(layer, **change)


def test_layers_must_chain():
    rng = np.random.default_rng(0)
    first, second = random_plane_layer(rng, 1, 4, 3), random_plane_layer(rng, 5, 2, 3)
    with pytest.raises(ValueError, match="expects 5 channels, receives 4"):
        FrozenNetwork(20, Format(8, 4, True), (first, second))
    with pytest.raises(ValueError, match="fewer than it needs"):
        FrozenNetwork(2, Format(8, 4, True), (first,))
