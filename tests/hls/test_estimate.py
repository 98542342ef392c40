"""Estimates: the formulas against what the core instantiates, budgets, the picture."""

import numpy as np
import pytest

from hls.area import DEVICES, adder_tree, table, tree_levels, word_select
from hls.estimate import PYNQ_BUDGET, Budget, BudgetError, check_budget, estimate
from hls.folding import fold, step_cycles
from hls.plan import Plan
from hls.tools.pictures import plot_pipeline
from qmodel.fixed_point import INPUT_FORMAT, Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer

XC7 = DEVICES["xc7z020"]


@pytest.fixture(scope="module")
def network():
    rng = np.random.default_rng(2)
    output = Format(4, 1, False)
    return FrozenNetwork(
        3600,
        INPUT_FORMAT,
        (
            random_plane_layer(rng, 1, 8, 16, stride=2, padding=(7, 7), max_planes=2, output=output),
            MaxPool(4, 4),
            random_plane_layer(rng, 8, 12, 7, padding=(3, 3), max_planes=2, output=output),
            MaxPool(3, 2),
            TimeSum(),
            random_plane_layer(rng, 12, 5, 1, output=None),
        ),
    )


def test_rows_add_up(network):
    folding = fold(network)
    whole = Plan.of(network, folding)
    guess, plan = estimate(whole), whole.schedule
    assert guess.cycles_between_frames == plan.between_frames == max(3600, *plan.layers)
    assert plan.frame < guess.cycles_per_frame < plan.frame + 25 * len(guess.layers)
    assert [layer.name for layer in guess.layers] == ["conv1", "conv2", "dense1"]
    assert [layer.cycles for layer in guess.layers] == list(plan.layers)
    for layer, stage, entry in zip(guess.layers, network.plane_stages, folding.layers):
        assert layer.cycles_per_step == step_cycles(stage.layer, entry)
    assert guess.area.luts > sum(layer.area.luts for layer in guess.layers)
    assert guess.row["kind"] == "estimated"
    assert guess.row["dsp"] == sum(entry.engines for entry in folding.layers)
    assert guess.fifo_bits == sum(layer.fifo_bits for layer in guess.layers) > 0


def test_a_budget_that_is_exceeded_says_by_how_much(network):
    guess = estimate(Plan.of(network))
    check_budget(guess)
    check_budget(guess, Budget())
    with pytest.raises(BudgetError, match=rf"estimated for xc7z020: luts {guess.row['luts']} > 100; relax the target"):
        check_budget(guess, Budget(luts=100))
    with pytest.raises(BudgetError, match=r"cycles_per_frame .* > 10, cycles_between_frames 3600 > 20"):
        check_budget(guess, Budget(cycles_per_frame=10, cycles_between_frames=20))
    assert (PYNQ_BUDGET.luts, PYNQ_BUDGET.dsp, PYNQ_BUDGET.bram36) == (13_000, 16, 20)


def test_more_cycles_cost_less(network):
    fast, slow = (estimate(Plan.of(network, fold(network, cycles))) for cycles in (3600, 360_000))
    assert slow.area.luts < fast.area.luts / 2
    assert slow.cycles_between_frames > fast.cycles_between_frames


def test_adder_trees():
    assert adder_tree(1, 4, 3) == (0, 0, 0, 0)
    assert adder_tree(2, 4, 2).luts == 5
    assert adder_tree(3, 4, 3).luts == 6
    assert adder_tree(9, 4, 3).luts == 3 * 6 + 8
    assert [tree_levels(n, 3) for n in (1, 3, 4, 9, 10, 320)] == [0, 1, 2, 2, 3, 6]
    assert tree_levels(320, 2) == 9


def test_tables_and_choices():
    assert table(64, 10, XC7).luts == 10
    assert table(64, 10, XC7).bram36 == 0
    assert table(512, 72, XC7) == (0, 0, 1, 0) or table(512, 72, XC7).bram36 == 1
    assert table(65, 18, XC7).luts == 0
    assert word_select(4, 8, XC7) == 8
    assert word_select(1, 8, XC7) == 0
    assert word_select(4, 8, DEVICES["ecp5-85k"]) == 24


def test_picture(network, tmp_path):
    pytest.importorskip("matplotlib")
    path = plot_pipeline(estimate(Plan.of(network)), tmp_path / "pipeline.png", "small")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == ["pipeline.png"]
