"""The frozen network: golden model against a naive one, file round trip, every bad file refused."""

from __future__ import annotations

import errno
import json
import zlib
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qmodel.fixed_point import Format
from qmodel.frozen import (
    INPUT,
    Activation,
    Add,
    AveragePool,
    FrozenFileError,
    FrozenNetwork,
    MaxPool,
    PlaneLayer,
    TimeSum,
)
from tests.strategies import frozen_graphs, frozen_networks, random_inputs, random_plane_layer


def naive_requantise(accumulator: int, shift: int, output: Format) -> int:
    """Python's round() of an exact fraction is half to even; then saturation."""
    return min(max(round(Fraction(accumulator) * Fraction(2) ** -shift), output.low), output.high)


def naive_planes(layer: PlaneLayer, value: list[list[int]]) -> list[list[int]]:
    """Accumulators plane by plane, tap by tap."""
    channels = len(value[0])
    fan, per_run = channels // layer.channel_groups, layer.filters // layer.channel_groups
    padded = [[0] * channels] * layer.padding[0] + value + [[0] * channels] * layer.padding[1]
    after = []
    for start in range(0, len(padded) - (layer.taps - 1) * layer.dilation, layer.stride):
        sums = [int(b) for b in layer.bias]
        for p in range(len(layer.coordinates)):
            f, g, n = int(layer.plane_filter[p]), int(layer.plane_group[p]), layer.group_size
            for i in range(n):
                tap, channel = (i, g) if layer.kernelwise else divmod(g * n + i, fan)
                x = padded[start + tap * layer.dilation][f // per_run * fan + channel]
                sums[f] += int(layer.coordinates[p]) * (1 if layer.signs[p, i] else -1) * x
        after.append(sums)
    return after


def naive_stage(layer, values: list[list[list[int]]], formats: list[Format]) -> tuple[list[list[int]], int]:
    """Time steps of integers that leave a stage, and their binary places; the number contract in Python integers."""
    value, fraction = values[0], formats[0].fraction
    if isinstance(layer, PlaneLayer):
        accumulators, fraction = naive_planes(layer, value), fraction + layer.coordinate_format.fraction
        if layer.output is None:
            return accumulators, fraction
        return naive_stage(Activation(layer.output), [accumulators], [Format(0, fraction, True)])
    if isinstance(layer, Activation):
        shift = fraction - layer.output.fraction
        return [[naive_requantise(a, shift, layer.output) for a in step] for step in value], layer.output.fraction
    if isinstance(layer, (MaxPool, AveragePool)):
        fill, reduce = (formats[0].low, max) if isinstance(layer, MaxPool) else (0, sum)
        channels = len(value[0])
        padded = [[fill] * channels] * layer.padding[0] + value + [[fill] * channels] * layer.padding[1]
        starts = range(0, len(padded) - layer.size + 1, layer.stride)
        pooled = [[reduce(column) for column in zip(*padded[s : s + layer.size], strict=True)] for s in starts]
        return pooled, fraction + getattr(layer, "shift", 0)
    if isinstance(layer, TimeSum):
        return [[sum(column) for column in zip(*value, strict=True)]], fraction
    finest = max(form.fraction for form in formats)
    scaled = [[[x * 2 ** (finest - f.fraction) for x in step] for step in v] for v, f in zip(values, formats)]
    if isinstance(layer, Add):
        return [[sum(column) for column in zip(*steps, strict=True)] for steps in zip(*scaled, strict=True)], finest
    return [[x for step in steps for x in step] for steps in zip(*scaled, strict=True)], finest


def naive_run(network: FrozenNetwork, window: list) -> list[int]:
    """A frame through the graph, time step by time step."""
    first = [step if isinstance(step, list) else [step] for step in window]
    values, formats = {INPUT: first}, {INPUT: network.input_format}
    for index, (layer, own) in enumerate(zip(network.layers, network.sources, strict=True)):
        values[index], fraction = naive_stage(layer, [values[s] for s in own], [formats[s] for s in own])
        formats[index] = network.stages[index].output_format
        assert formats[index].fraction == fraction
        flat = [v for step in values[index] for v in step]
        assert formats[index].low <= min(flat) <= max(flat) <= formats[index].high
    return [v for step in values[len(network.layers) - 1] for v in step]


@settings(max_examples=100)
@given(frozen_graphs(), st.integers(0, 2**32 - 1))
def test_golden_graph_equals_naive(network, seed):
    x = random_inputs(network, np.random.default_rng(seed))
    assert network.run(x).tolist() == [naive_run(network, window) for window in x.tolist()]


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
@given(frozen_networks() | frozen_graphs())
def test_file_round_trip(network):
    again = FrozenNetwork.from_bytes(network.file_bytes)
    assert again == network
    assert hash(again) == hash(network)
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
        (lambda d: d[:4] + b"\x09" + d[5:], "reads version 1 or 2, received 09"),
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
        ({"coordinate_format": Format(8, 0, True)}, "unsigned"),
        ({"padding": (2, 0)}, "below the 2 time steps"),
        ({"channel_groups": 2}, "divide 1 channels"),
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


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (((INPUT,), (INPUT,), (0, 1)), "channels"),
        (((INPUT,), (0,), (0,)), "nothing reads layer 1"),
        (((INPUT,), (2,), (0, 1)), "earlier stages"),
        (((INPUT,), (0,)), "one entry per layer"),
        (((INPUT,), (0,), (1,)), "equal time steps"),
    ],
)
def test_graphs_must_fit(sources, message):
    first = random_plane_layer(np.random.default_rng(0), 1, 4, 3, padding=(1, 1))
    same = MaxPool(3, 1, (1, 1))
    joined = Add() if message != "nothing reads layer 1" else same
    with pytest.raises(ValueError, match=message):
        FrozenNetwork(20, Format(8, 4, True), (first, same, joined), sources=sources)


METADATA = {"classes": ["normal", "other", "noise"], "rate_hz": 360, "leads": ["II"], "temperature": 1.5}


def test_metadata_round_trip(network):
    told = replace(network, metadata=METADATA)
    again = FrozenNetwork.from_bytes(told.file_bytes)
    assert again == told
    assert dict(again.metadata) == METADATA
    assert again.class_names == ("normal", "other", "noise")
    # Version 2 writes more than version 1: sources, padding of the pool, dilation and channel groups, and the text.
    text = json.dumps(METADATA, sort_keys=True, separators=(",", ":"))
    assert told.size_bytes == network.size_bytes + 1 + 3 + 2 + 2 * 2 + 1 + len(text)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"classes": ["a", "b"]}, "3 different names"),
        ({"classes": ["a", "b", "b"]}, "3 different names"),
        ({"leads": []}, "1 different names"),
        ({"rate_hz": 0}, "positive"),
        ({"rate_hz": float("nan")}, "JSON"),
        ({"window_samples": 1.5}, "positive"),
        ({"note": {1, 2}}, "JSON"),
        ({"note": "x" * 70_000}, "at most"),
    ],
)
def test_bad_metadata(network, metadata, message):
    with pytest.raises(ValueError, match=message):
        replace(network, metadata=metadata)


def with_checksum(data: bytes) -> bytes:
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


@settings(max_examples=300)
@given(frozen_graphs(), st.data())
def test_mutated_files_with_repaired_checksum(network, data):
    """Whatever the bytes, a file is refused or is the one file of a network (`benchmarks/fuzz_files.py` tries more)."""
    content = bytearray(replace(network, metadata={"rate_hz": 250}).file_bytes)
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(4, len(content) - 5))] = data.draw(st.integers(0, 255))
    repaired = with_checksum(bytes(content))
    with suppress(FrozenFileError):
        assert FrozenNetwork.from_bytes(repaired).file_bytes == repaired
