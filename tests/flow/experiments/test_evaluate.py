"""Cross-validation: what is written from the folds' outcomes, and one small fold through Dask, twice."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from flow.experiments.evaluate import FoldTask, evaluate, row, run_float_stage, run_folds, write_rows
from qmodel import networks
from qmodel.alq.trainer import Schedule
from qmodel.data.fragments import CLASSES
from qmodel.recipe import RECIPES
from qmodel.training import FloatRecipe
from qmodel.training_data import DataRecipe

RECIPE = replace(
    RECIPES["tiny"],
    data=DataRecipe(epoch_windows=320, other_hop=None),
    float_training=FloatRecipe(epochs=2, warm_up_epochs=0.5),
    alq=Schedule(rounds=1, bases=0, coordinates=0, finish=1, finish_coordinates=0),
    finish=Schedule(rounds=0, finish=1, finish_coordinates=0),
)


def outcome(fold: int, right: int, wrong: int) -> dict:
    """A fold that tested `right + wrong` windows of NSR and took `wrong` of them for APB, and all WPW for NSR."""
    matrix = np.zeros((17, 17), int)
    matrix[0, 0], matrix[0, 1], matrix[CLASSES.index("WPW"), 0] = right, wrong, 1
    return {
        "fold": fold, "test": {"float": matrix.tolist(), "frozen": matrix.tolist()},
        "validation": {"float": matrix.tolist(), "frozen": matrix.tolist()}, "bytes": 4000 + fold,
        "compression_bytes": 20.0 - fold, "compression_bits": 25.0, "average_bits": 1.2, "parameters": 23_000,
        "provenance": {"git_revision": "0"},
    }  # fmt: skip


def test_rows_tell_the_worst_size_and_the_mean_accuracy():
    frozen = row(RECIPE, "stratified", "frozen", [outcome(0, 8, 1), outcome(1, 9, 0)])
    assert frozen["accuracy_mean"] == pytest.approx((0.8 + 0.9) / 2)
    assert frozen["bytes"] == 4001
    assert frozen["compression_bytes"] == 19.0
    assert frozen["folds"] == 2
    full = row(RECIPE, "stratified", "float", [outcome(0, 8, 1)])
    assert full["bytes"] == 4 * 23_000
    assert "accuracy_without_untrained_classes" not in full


def test_blocked_also_tells_the_accuracy_without_classes_of_one_block():
    assert row(RECIPE, "blocked", "frozen", [outcome(0, 8, 1)])["accuracy_without_untrained_classes"] == 8 / 9


def test_rows_replace_those_of_the_same_network_alone(tmp_path):
    path = tmp_path / "stratified.json"
    others = replace(RECIPE, network="compact")
    for recipe, right in ((RECIPE, 5), (others, 6), (RECIPE, 7)):
        rows = [row(recipe, "stratified", stage, [outcome(0, right, 1)]) for stage in ("float", "frozen")]
        write_rows(path, "stratified", rows)
    written = json.loads(path.read_text())["rows"]
    assert [(r["network"], r["stage"]) for r in written] == [
        ("compact", "float"), ("compact", "frozen"), ("tiny", "float"), ("tiny", "frozen"),
    ]  # fmt: skip
    assert written[2]["accuracy_mean"] == pytest.approx(7 / 9)
    assert not json.loads(path.read_text())["earlier"], "the same recipe, tested again"


def test_what_an_earlier_recipe_reached_is_kept(tmp_path):
    path = tmp_path / "stratified.json"
    for seed, right in ((0, 5), (1, 6), (2, 7)):
        rows = [row(replace(RECIPE, seed=seed), "stratified", "frozen", [outcome(0, right, 1)])]
        write_rows(path, "stratified", rows)
    content = json.loads(path.read_text())
    assert [(r["recipe"]["seed"], r["accuracy_mean"]) for r in content["earlier"]] == [
        (0, pytest.approx(5 / 7)), (1, pytest.approx(6 / 8)),
    ]  # fmt: skip
    assert content["earlier"][0]["git_revision"] == "0"
    assert [r["recipe"]["seed"] for r in content["rows"]] == [2]


def test_folders_depend_on_what_decides_the_result():
    task = FoldTask(RECIPE, "stratified", 10, 0, None, "records", "build")
    same = replace(task, data="elsewhere")
    slower = replace(task, recipe=replace(RECIPE, budget_bytes=399))
    assert same.folder == task.folder
    assert slower.folder != task.folder
    assert slower.float_folder == task.float_folder
    assert replace(task, fold=1).float_folder != task.float_folder
    taught = replace(task, recipe=replace(RECIPE, teachers=("compact",)))
    assert taught.folder != task.folder
    assert taught.float_folder == task.float_folder


def test_a_changed_network_is_trained_again(monkeypatch):
    task = FoldTask(RECIPE, "stratified", 10, 0, None, "records", "build")
    before, float_before = task.folder, task.float_folder
    wider = replace(networks.NETWORKS["tiny"], hidden=(8,))
    monkeypatch.setitem(networks.NETWORKS, "tiny", wider)
    assert (task.folder != before, task.float_folder != float_before) == (True, True)


def test_unknown_folds_are_refused(mitdb_folder, tmp_path):
    with pytest.raises(ValueError, match="folds are 0 to 9, received"):
        evaluate(RECIPE, "stratified", mitdb_folder, tmp_path, tmp_path, only=[10])


@pytest.mark.slow
def test_a_fold_is_run_once(mitdb_folder, tmp_path):
    options = {"data": mitdb_folder, "build": tmp_path / "build", "results": tmp_path / "results", "workers": 1}
    taught = replace(RECIPE, teachers=("tiny",))
    first = evaluate(taught, "stratified", **options, only=[3])
    results = list((tmp_path / "build").glob("*/result.json"))
    assert len(results) == 1
    written = results[0].stat().st_mtime_ns
    told = json.loads(results[0].read_text())["test_loss"]
    assert all(0 < told[stage] < 2 * np.log(17) for stage in ("float", "frozen")), "17 equal shares lose log 17"
    task = FoldTask(taught, "stratified", 10, 3, None, str(mitdb_folder), str(tmp_path / "build"))
    [alone] = run_folds([task], workers=1, run=run_float_stage)
    assert alone["test_loss"] == {"float": told["float"]}, "the same network, read from disk"
    again = evaluate(taught, "stratified", **options, only=[3])
    assert again == first
    assert results[0].stat().st_mtime_ns == written
    assert not (tmp_path / "results").exists(), "one fold of ten is no result"
    assert first[1]["windows"] == 100
    assert first[1]["bytes"] <= RECIPE.budget_bytes
