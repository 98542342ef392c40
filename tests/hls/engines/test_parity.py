"""Parity sees every mutation, says where it is, and is green otherwise."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from hls.engines.csim import CSimulation
from hls.engines.engine import Golden, Traced
from hls.engines.parity import compare, frames_are_independent
from tests.hls.projects import simulate
from tests.strategies import random_inputs


@pytest.fixture(scope="module")
def x(network):
    return random_inputs(network, np.random.default_rng(9), 70)


def replace(path, pattern, change):
    """Replace the first match of `pattern` that `change` turns into something else."""
    text = path.read_text()
    for match in re.finditer(pattern, text):
        new = change(match)
        if new is not None and new != match.group(0):
            path.write_text(text[: match.start()] + new + text[match.end() :])
            return
    raise AssertionError(f"nothing to change in {path}")


def flip_sign(weights):
    replace(weights / "conv1_signs.h", r"\{([01]), ", lambda m: f"{{{1 - int(m[1])}, ")


def change_coordinate(weights):
    replace(weights / "conv1_planes.h", r"(true|false), (\d+), ", lambda m: f"{m[1]}, {int(m[2]) + 1}, ")


def change_bias(weights):
    replace(
        weights / "dense1_planes.h",
        r"true, (\w+), (\d+), (-?\d+)\}",
        lambda m: f"true, {m[1]}, {m[2]}, {int(m[3]) + 1}}}",
    )


def swap_filters(weights):
    def swapped(match):
        places = re.findall(r"\{\d+, \d+\}", match.group(0))
        return "{" + ", ".join([places[1], places[0], *places[2:]]) + "};"

    replace(weights / "conv3_seats.h", r"\{\{\d+, \d+\}.*\};", swapped)


MUTATIONS = {
    "flipped sign": (flip_sign, "conv1"),
    "coordinate off by one": (change_coordinate, "conv1"),
    "bias off by one": (change_bias, "dense1"),
    "two swapped filters": (swap_filters, "conv3"),
}


def test_golden_equals_c_simulation(network, simulation, x, tmp_path):
    report = compare(network, [simulation], x)
    assert report.equal
    assert report.first == {}
    assert report.integers == sum(s.output_length * s.output_channels for s in network.stages) * len(x)
    saved = json.loads(report.save(tmp_path / "parity.json").read_text())
    assert saved["equal"] is True
    assert saved["windows"] == len(x)
    assert saved["per_layer"]["C simulation"]["conv1"] == 0
    assert "0 mismatches" in str(report)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutation_turns_parity_red(network, project, x, tmp_path, name):
    mutate, layer = MUTATIONS[name]
    copy = shutil.copytree(project, tmp_path / "copy")
    mutate(copy / "firmware" / "weights")
    report = compare(network, [simulate(copy)], x)
    assert not report.equal
    difference = report.first["C simulation"]
    assert difference.layer == layer
    assert difference.lsb != 0
    assert str(difference) in str(report)
    assert "PARITY BROKEN" in str(report)
    earlier = [s.name for s in network.stages][: [s.name for s in network.stages].index(layer)]
    assert all(report.per_layer["C simulation"][name] == 0 for name in earlier)


def test_bias_off_by_one_is_one_lsb(network, project, x, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    change_bias(copy / "firmware" / "weights")
    difference = compare(network, [simulate(copy)], x).first["C simulation"]
    assert (difference.window, difference.time_step, difference.filter, difference.lsb) == (0, 0, 0, 1)


class DropsLastSample(CSimulation):
    """A host that loses the last sample of every frame."""

    def stream(self, samples, last, frames, trace=None):
        kept = ~np.asarray(last, bool)
        return super().stream(samples[kept], np.roll(last, -1)[kept], frames, trace)


def test_dropped_last_sample_turns_parity_red(network, project, x):
    report = compare(network, [DropsLastSample(project, ("-O0",))], x)
    assert not report.equal
    assert report.first["C simulation"].layer == "conv1"
    layer = network.stages[0].layer
    sees_last = (x.shape[1] - 1 + layer.padding[0] - (layer.taps - 1) + layer.stride - 1) // layer.stride
    assert report.first["C simulation"].time_step >= sees_last


class KeepsState(CSimulation):
    """A core in which something of a frame reaches the next."""

    def stream(self, samples, last, frames, trace=None):
        values, lasts = super().stream(samples, last, frames, trace)
        frame = values.reshape(frames, -1)
        frame[1:] += frame[:-1] & 1
        return values, lasts


def test_state_between_frames_is_seen(network, project, simulation):
    x = random_inputs(network, np.random.default_rng(1), 6)
    assert frames_are_independent(simulation, x)
    assert not frames_are_independent(KeepsState(project, ("-O0",)), x)


def test_first_difference_is_the_earliest_window_and_layer(network, x):
    def off(inputs):
        outputs = [array.astype(float) for array in network.trace(inputs)]
        if len(inputs) < 64:  # the second step of windows, 64 to 69
            outputs[-1][3] += 2
            outputs[1][4, 1, 2] -= 0.5
        return outputs

    report = compare(network, [Golden(network), Traced("off", network, off)], x)
    assert list(report.first) == ["off"]
    first = report.first["off"]
    assert (first.window, first.layer, first.time_step, first.filter, first.lsb) == (67, "dense1", 0, 0, 2)
    assert report.per_layer["off"]["pool1"] == 1
    assert report.mismatches == report.per_layer["off"]["dense1"] + 1


def test_bad_engines(network, x):
    with pytest.raises(ValueError, match="at least one engine"):
        compare(network, [], x)
    with pytest.raises(ValueError, match="at least one engine and one window"):
        compare(network, [Golden(network)], x[:0])
    with pytest.raises(ValueError, match="few gives 1 layers"):
        compare(network, [Traced("few", network, lambda inputs: network.trace(inputs)[:1])], x)
    with pytest.raises(ValueError, match="short, layer conv1: expected values of shape"):
        compare(network, [Traced("short", network, lambda inputs: [a[:, :1] for a in network.trace(inputs)])], x)
    with pytest.raises(ValueError, match="different names, received golden model, golden model"):
        compare(network, [Golden(network), Golden(network)], x)
    with pytest.raises(ValueError, match="blind shows no logits"):
        compare(network, [Traced("blind", network, lambda inputs: [None] * len(network.stages))], x)


def test_an_engine_that_shows_logits_alone_is_compared_on_them(network, x):
    def logits_alone(inputs):
        return [None] * (len(network.stages) - 1) + [network.run(inputs)]

    report = compare(network, [Traced("closed", network, logits_alone)], x)
    last = network.stages[-1]
    assert report.equal
    assert report.integers == len(x) * last.output_length * last.output_channels
    assert list(report.per_layer["closed"]) == [last.name]
    np.testing.assert_array_equal(report.logits["closed"], network.run(x))
