"""The yardstick for recipes: equal epochs, paired differences with an interval, sizes; no training."""

from __future__ import annotations

import argparse
import json

import numpy as np
import pytest

from benchmarks.recipes import entries, layer_sizes, paired, rank, report, scaled, thinned, uniform_bytes
from qmodel.networks import NETWORKS, build, network


@pytest.mark.parametrize(("name", "share"), [("compact", 1.0), ("compact", 0.4), ("paper", 1.0)])
def test_all_recipes_have_as_many_epochs_and_one_budget(name, share):
    found = entries(name, share, None)
    del_long = {key: entry for key, entry in found.items() if not key.startswith("schedule of")}
    assert len({len(entry.recipe.alq.phases()) for entry in del_long.values()}) == 1
    assert (
        len({(entry.recipe.finish, entry.recipe.teachers, entry.recipe.budget_bytes) for entry in del_long.values()})
        == 1
    )
    adaptive = found["adaptive"].recipe
    assert isinstance(adaptive.bits, int)  # one number for all layers: the allocation comes from the loss
    assert adaptive.alq.rounds > 1


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_are_those_of_the_kernels(name):
    model = build(network(name), "float")
    kernels = [tuple(layer.kernel.shape) for layer in model.layers if hasattr(layer, "kernel")]
    assert layer_sizes(network(name)) == [(int(np.prod(shape[:-1])), shape[-1]) for shape in kernels]


def test_a_thinned_network_just_fits():
    spec = network("compact")
    factor = thinned(spec, 2, 4450)
    assert uniform_bytes(scaled(spec, factor), 2) <= 4450 < uniform_bytes(scaled(spec, factor + 0.01), 2)


def outcome(entry, fold, losses, **more):
    windows = len(losses)
    return {
        "entry": entry, "fold": fold, "seed": 0, "losses": list(losses), "labels": [0] * windows,
        "predicted": [0] * windows, "blocks": [f"100-{i // 5}" for i in range(windows)], "bytes": 100,
        "core": {"kind": "estimated", "target": "xc7z020", "cycles_per_frame": 1, "luts": 2, "dsp": 3},
        "provenance": {},
    } | more  # fmt: skip


def test_paired_differences():
    """A constant difference has no spread, noise has an interval round its mean; only runs of both entries count."""
    random = np.random.default_rng(0)
    base = [random.gamma(1, 0.2, 200) for _ in range(4)]
    one = [outcome("a", fold, losses + 0.05) for fold, losses in enumerate(base)]
    two = [outcome("b", fold, losses) for fold, losses in enumerate(base[:3])]
    pair = paired(one, two)
    assert (pair["runs"], pair["windows"]) == (3, 600)
    assert pair["loss_difference"] == pytest.approx(0.05)
    assert pair["interval_95"] == pytest.approx([0.05, 0.05])
    noisy = paired([outcome("a", fold, losses + random.normal(0, 0.1, 200)) for fold, losses in enumerate(base)], one)
    low, high = noisy["interval_95"]
    assert low < -0.05 < high
    # About four standard errors wide: 0.1 / sqrt(800), a little more since runs and blocks are drawn.
    assert 0.008 < high - low < 0.03


def test_a_run_that_differs_widens_the_interval():
    """Windows by the hundred do not make up for runs that disagree."""
    flat = np.full(200, 0.2)
    one = [outcome("a", fold, flat + shift) for fold, shift in enumerate((0.04, -0.04, 0.04, -0.04))]
    low, high = paired(one, [outcome("b", fold, flat) for fold in range(4)])["interval_95"]
    assert low < -0.02
    assert high > 0.02


def test_the_least_loss_ranks_first():
    rows = rank([outcome("a", 0, [0.3] * 10), outcome("b", 0, [0.2] * 10), outcome("c", 0, [0.4] * 10)])
    assert [row["recipe"] for row in rows] == ["b", "a", "c"]
    assert rows[0]["minus"]["c"]["loss_difference"] == pytest.approx(-0.2)


def test_only_runs_that_all_have_are_ranked():
    """Else a recipe that was tried on hard folds alone would rank below one that was not."""
    rows = rank([outcome("a", 0, [0.3] * 10), outcome("a", 1, [9.0] * 10), outcome("b", 0, [0.4] * 10)])
    assert [(row["recipe"], row["runs"]) for row in rows] == [("a", 1), ("b", 1)]
    with pytest.raises(ValueError, match="no run of fold and seed has all of a, b"):
        rank([outcome("a", 0, [0.3]), outcome("b", 1, [0.3])])


def test_the_picture_and_table_are_drawn(tmp_path, capsys):
    planes = {"planes": {"conv1": [1, 2, 5], "dense1": [0, 4]}, "pruned": {}, "paid": {}}
    found = [outcome(name, 0, [loss] * 10) for name, loss in (("one bit", 0.3), ("QKeras binary", 0.4))]
    arguments = argparse.Namespace(
        network="compact", share=0.4, windows=1500, teachers=["compact"], only=None, results=tmp_path
    )
    report(arguments, [*found, outcome("adaptive", 0, [0.2] * 10, **planes)])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in printed[2:]] == ["adaptive", "one bit", "QKeras binary"]
    (row,) = json.loads((tmp_path / "adaptive.json").read_text())["rows"]
    assert [entry["recipe"] for entry in row["ranking"]] == ["adaptive", "one bit", "QKeras binary"]
    assert row["share_of_epochs"] == 0.4
    assert "<svg" in (tmp_path / "adaptive-compact.svg").read_text()
