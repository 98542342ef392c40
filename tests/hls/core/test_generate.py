"""What the generator writes: tables, parameters, errors; no simulator needed."""

import json
import re

import numpy as np
import pytest

from hls.core import RtlError, generate
from hls.folding import Folding, FoldingError, LayerFolding, deal, fold
from hls.plan import Plan
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool
from tests.strategies import random_plane_layer


@pytest.fixture
def network():
    rng = np.random.default_rng(4)
    output = Format(4, 1, False)
    first = random_plane_layer(rng, 1, 3, 4, padding=(1, 2), output=output)
    second = random_plane_layer(rng, 3, 2, 8, output=None)
    return FrozenNetwork(16, Format(8, 4, True), (first, MaxPool(2, 2), second))


def parameters(core, name):
    """Parameters of one layer in the generated top, as text."""
    text = core.sources[-1].read_text()
    block = text[: text.index(f") {name} (")].rsplit(" #(", 1)[1]
    return dict(re.findall(r"\.(\w+)\(([^()]*)\)", block))


def test_signs_and_coordinates_stand_in_the_tables(network, tmp_path):
    """One engine, one chunk: a word holds a plane's signs in the order of the line buffer, newest sample lowest."""
    core = generate(Plan.of(network, Folding((LayerFolding(1, 4), LayerFolding(1, 24)))), tmp_path)
    layer = network.layers[0]
    words = [int(line, 16) for line in (tmp_path / "ecg_alq_conv1_signs.hex").read_text().split()]
    planes = [p for f in range(3) for p in (np.flatnonzero(layer.plane_filter == f).tolist() or [None])]
    assert len(words) == len(planes) == int(parameters(core, "conv1")["VISITS"])
    for word, plane in zip(words, planes):
        minus = np.zeros(4, bool) if plane is None else ~layer.signs[plane]
        assert [word >> place & 1 for place in range(4)] == minus[::-1].astype(int).tolist()
    width = int(parameters(core, "conv1")["ACCUMULATOR_BITS"])
    half = 1 << (int(parameters(core, "conv1")["SHIFT"]) - 1)
    program = [int(line, 16) for line in (tmp_path / "ecg_alq_conv1_program.hex").read_text().split()]
    for word, plane in zip(program, planes):
        coordinate = 0 if plane is None else layer.coordinates[plane]
        assert word >> 1 + width & 255 == coordinate
    biases = [word >> 1 & (1 << width) - 1 for word in program if word >> 1 + width + 8 & 1]
    assert biases == [(int(bias) + half) % (1 << width) for bias in layer.bias]


def test_every_weight_is_wired_once(network, tmp_path):
    core = generate(Plan.of(network, Folding((LayerFolding(2, 2), LayerFolding(1, 5)))), tmp_path)
    values = parameters(core, "dense1")
    packed = int(values["SOURCE"].split("'h")[1], 16)
    source = [packed >> 16 * place & 0xFFFF for place in range(int(values["WORDS"]) * 5)]
    assert sorted(place for place in source if place != 0xFFFF) == list(range(24))
    assert source.count(0xFFFF) == 1


def test_the_beats_of_a_layer_follow_its_dealing(network, tmp_path):
    core = generate(Plan.of(network, Folding((LayerFolding(2, 4), LayerFolding(1, 24)))), tmp_path)
    beats = core.taps[0].beats
    hands = deal(network.layers[0], 2)
    assert [tuple(beats.lane(engine)) for engine in range(2)] == [tuple(hand) for hand in hands]
    assert sorted(c for beat in beats.channels for c in beat if c is not None) == [0, 1, 2]


def test_the_same_network_gives_the_same_files(network, tmp_path):
    cores = [generate(Plan.of(network), tmp_path / name) for name in "ab"]
    for one, other in zip(cores[0].sources + cores[0].tables, cores[1].sources + cores[1].tables):
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()
    content = json.loads((tmp_path / "a" / "core.json").read_text())
    assert content["identity"] == network.identity
    assert content["folding"] == [entry._asdict() for entry in fold(network).layers]
    assert network.identity in cores[0].sources[-1].read_text()


def test_buffers_hold_what_may_still_come(network):
    folding = Folding((LayerFolding(3, 4), LayerFolding(1, 24)))
    first, last = Plan.of(network, folding).buffers
    assert first.width == 3 * 4
    assert last.width == network.stages[-1].output_format.bits
    assert all(0 < buffer.margin < buffer.depth for buffer in (first, last))
    assert first.bits == first.width * first.depth


def test_bad_requests_are_answered_with_the_rule(network, tmp_path):
    with pytest.raises(FoldingError, match="lanes must be one of"):
        generate(Plan.of(network, Folding((LayerFolding(1, 3), LayerFolding(1, 24)))), tmp_path)
    with pytest.raises(FoldingError, match="part must be one of"):
        Plan.of(network, part="xc7z045")
    with pytest.raises(RtlError, match="input_bits must be 8, 16, 32 or 64, at least 8, received 12"):
        generate(Plan.of(network), tmp_path, input_bits=12)
    with pytest.raises(FoldingError, match="at least one layer with weights"):
        Plan.of(FrozenNetwork(8, Format(8, 4, True), (MaxPool(2, 2),)))
    # Places are told by 16 bits, of which the last number stands for none.
    wide = random_plane_layer(np.random.default_rng(0), 256, 1, 257, grouping="pixelwise", output=None)
    with pytest.raises(RtlError, match="at most 65535 values, received 257 taps of 256 channels"):
        generate(
            Plan.of(
                FrozenNetwork(257, Format(8, 4, True), (wide,), input_channels=256), Folding((LayerFolding(1, 32),))
            ),
            tmp_path,
        )
    assert not list(tmp_path.glob("*.v"))
