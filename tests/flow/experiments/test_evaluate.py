"""Cross-validation: what is written from the folds' outcomes, and one small fold through Dask, twice."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest

from flow.experiments import evaluate as evaluation
from flow.experiments.evaluate import FoldTask, evaluate, row, run_float_stage, run_fold, run_folds, write_rows
from flow.steps import stages
from qmodel import program
from qmodel.data.fragments import CLASSES
from qmodel.experiment import Experiment, Records, Split
from qmodel.hyperparameters import DataRecipe, FloatRecipe, Schedule
from qmodel.recipe import RECIPES

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
    frozen = row(RECIPE, Split("stratified"), "frozen", [outcome(0, 8, 1), outcome(1, 9, 0)])
    assert frozen["accuracy_mean"] == pytest.approx((0.8 + 0.9) / 2)
    assert frozen["bytes"] == 4001
    assert frozen["compression_bytes"] == 19.0
    assert frozen["folds"] == 2
    full = row(RECIPE, Split("stratified"), "float", [outcome(0, 8, 1)])
    assert full["bytes"] == 4 * 23_000
    assert "accuracy_without_untrained_classes" not in full


def test_blocked_also_tells_the_accuracy_without_classes_of_one_block():
    assert row(RECIPE, Split("blocked"), "frozen", [outcome(0, 8, 1)])["accuracy_without_untrained_classes"] == 8 / 9


def test_rows_replace_those_of_the_same_network_alone(tmp_path):
    path = tmp_path / "stratified.json"
    others = replace(RECIPE, network="compact")
    for recipe, right in ((RECIPE, 5), (others, 6), (RECIPE, 7)):
        rows = [row(recipe, Split("stratified"), stage, [outcome(0, right, 1)]) for stage in ("float", "frozen")]
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
        rows = [row(replace(RECIPE, seed=seed), Split("stratified"), "frozen", [outcome(0, right, 1)])]
        write_rows(path, "stratified", rows)
    content = json.loads(path.read_text())
    assert [(r["recipe"]["seed"], r["accuracy_mean"]) for r in content["earlier"]] == [
        (0, pytest.approx(5 / 7)), (1, pytest.approx(6 / 8)),
    ]  # fmt: skip
    assert content["earlier"][0]["git_revision"] == "0"
    assert [r["recipe"]["seed"] for r in content["rows"]] == [2]


EXPERIMENT = Experiment(RECIPE, Records("records"), Split(validation=False))


def names(experiment):
    return stages._name(experiment, "float", experiment.float_settings), stages.frozen_name(experiment)


def test_names_depend_on_what_decides_the_result():
    float_name, frozen_name = names(EXPERIMENT)
    assert names(replace(EXPERIMENT, windows=Records("elsewhere"))) == (float_name, frozen_name)
    for recipe in (replace(RECIPE, budget_bytes=399), replace(RECIPE, teachers=("compact",))):
        assert names(EXPERIMENT.of(recipe))[0] == float_name
        assert names(EXPERIMENT.of(recipe))[1] != frozen_name
    for change in ({"fold": 1}, {"seed": 1}, {"validation": True}, {"folds": 5}):
        changed = names(replace(EXPERIMENT, split=replace(EXPERIMENT.split, **change)))
        assert float_name != changed[0]
        assert frozen_name != changed[1]
    assert names(EXPERIMENT.of(replace(RECIPE, seed=1)))[0] != float_name, "another training of the same split"


def test_the_content_of_a_table_counts(tmp_path):
    table, found = tmp_path / "split.csv", set()
    for text in ("fragment,fold,part\n1,0,test\n", "fragment,fold,part\n1,0,train\n"):
        table.write_text(text)
        found.add(names(replace(EXPERIMENT, split=Split("file", table=table))))
    assert len(found) == 2


CHANGES = [  # file, what it says, what it says then, the steps that run again
    ("flow/look/words.py", "percent", "per_cent", []),
    ("qmodel/training.py", "Train a model in place.", "Train a model where it is.", []),
    ("qmodel/alq/trainer.py", "# until the normalisation", "# as long as the normalisation", []),
    ("qmodel/alq/trainer.py", "FILE_OVERHEAD_BYTES = 16", "FILE_OVERHEAD_BYTES = 17", ["quantise", "freeze"]),
    ("qmodel/training.py", "MIN_BEAT_STEPS = 12", "MIN_BEAT_STEPS = 13", ["train", "quantise", "freeze"]),
    ("qmodel/data/fragments17.csv", "fragment,", "Fragment,", ["train", "quantise", "freeze"]),
]


def test_a_changed_program_runs_again_and_changed_words_do_not(tmp_path, monkeypatch):
    """The steps are stubs that count; whether they are asked is decided on a copy of our sources."""
    ran = []

    def stub(step):
        def work(folder, experiment, **_):
            ran.append(step)
            (folder / "product").write_text(str(time.monotonic_ns()))  # another network each time
            return {"confusion": {}, "loss": {}} | dict.fromkeys(
                ("bytes", "compression_bytes", "compression_bits", "average_bits", "parameters", "identity"), 1
            )

        work.__module__ = f"flow.steps.work.{step}"
        return work

    for package in ("qmodel", "flow"):
        shutil.copytree(program.ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(program, "ROOT", tmp_path)
    for step in ("train", "quantise", "freeze"):
        monkeypatch.setattr(getattr(stages, step), "work", stub(step))
    task = FoldTask(EXPERIMENT, tmp_path / "build")
    run_fold(task)
    assert ran == ["train", "quantise", "freeze"]
    for module, old, new, runs in CHANGES:
        ran.clear()
        text = (tmp_path / module).read_text()
        assert old in text
        (tmp_path / module).write_text(text.replace(old, new))
        run_fold(task)
        assert ran == runs, (module, new)


def test_unknown_folds_are_refused(mitdb_folder, tmp_path):
    with pytest.raises(ValueError, match="folds are 0 to 9, received"):
        evaluate(RECIPE, Split(), mitdb_folder, tmp_path, tmp_path, only=[10])


@pytest.mark.slow
def test_a_fold_is_run_once(mitdb_folder, tmp_path, monkeypatch):
    options = {"data": mitdb_folder, "build": tmp_path / "build", "results": tmp_path / "results", "workers": 1}
    taught = replace(RECIPE, teachers=("tiny",))
    split = Split(validation=False)
    first = evaluate(taught, split, **options, only=[3])
    manifests = sorted((tmp_path / "build").glob("*/manifest.json"))
    floats = [path for path in manifests if "-float-" in path.parent.name]
    assert len(floats) == 1, "its own teacher: one float stage"
    written = [path.stat().st_mtime_ns for path in manifests]
    # What follows trains nothing: no worker has to start for it.
    monkeypatch.setattr(evaluation, "run_tasks", lambda run, tasks, *_: ((task, run(task)) for task in tasks))
    task = FoldTask(Experiment(taught, Records(str(mitdb_folder)), replace(split, fold=3)), tmp_path / "build")
    told = run_fold(task)["test_loss"]
    assert all(0 < told[stage] < 2 * np.log(17) for stage in ("float", "frozen")), "17 equal shares lose log 17"
    [alone] = run_folds([task], workers=1, run=run_float_stage)
    assert alone["test_loss"] == {"float": told["float"]}, "the same network, read from disk"
    again = evaluate(taught, split, **options, only=[3])
    assert again == first
    assert [path.stat().st_mtime_ns for path in manifests] == written
    assert not (tmp_path / "results").exists(), "one fold of ten is no result"
    assert first[1]["windows"] == 100
    assert first[1]["bytes"] <= RECIPE.budget_bytes
