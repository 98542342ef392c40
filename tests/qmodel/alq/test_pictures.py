"""Pictures and the layer table of ALQ runs."""

from __future__ import annotations

import pytest

from qmodel.alq.pictures import LiveView, draw_history
from qmodel.alq.summary import alq_summary
from qmodel.hyperparameters import Schedule
from tests.qmodel.alq.test_layers import small_model

PHASES = Schedule(rounds=1, bases=1, coordinates=1, finish=2).phases()
HISTORY = [{"validation": 0.5 + 0.1 * i, "planes": {"conv1": 3 - 0.5 * i, "dense1": 2.0}} for i in range(4)]


def test_history_draws_every_layer_and_move():
    planes, score = draw_history(HISTORY, PHASES).axes
    assert [line.get_label() for line in planes.lines] == ["conv1", "dense1"]
    assert planes.lines[0].get_ydata().tolist() == [3.0, 2.5, 2.0, 1.5]
    assert score.lines[0].get_ydata() == pytest.approx([50, 60, 70, 80])
    assert [t.get_text() for t in score.get_legend().texts] == ["bases", "coordinates", "prune", "straight through"]


def test_live_view_redraws_its_file(tmp_path):
    view = LiveView(PHASES, tmp_path / "history.svg")
    sizes = []
    for number, metrics in enumerate(HISTORY):
        view(number, metrics)
        sizes.append((tmp_path / "history.svg").stat().st_size)
    assert sizes[-1] > sizes[0]
    assert [p.name for p in tmp_path.iterdir()] == ["history.svg"]


def test_layer_table_counts_what_freezing_stores():
    from qmodel.freeze import freeze

    model = small_model("pixelwise")
    lines: list[str] = []
    rows = alq_summary(model, lines.append)
    network = freeze(model)
    for row, stage in zip(rows, network.plane_stages, strict=True):
        planes = int(stage.layer.plane_counts.sum())
        assert row.weights == stage.layer.weight_count
        assert row.average_bits * row.weights == pytest.approx(planes * stage.layer.group_size)
        assert row.pruned_groups == pytest.approx((stage.layer.plane_counts == 0).mean())
        assert row.multiplications == planes * stage.output_length
        assert row.additions == planes * stage.layer.group_size * stage.output_length
    assert lines[0].split()[:3] == ["layer", "weights", "groups"]
    assert lines[-1].split()[0] == "total"
