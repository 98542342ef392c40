"""Figures and pictures of the benchmarks come from their stored rows, and from nothing else."""

import json
import random
import sys
from pathlib import Path

import pytest

from benchmarks import ablation, alq_curve, annotations, robustness

RESULTS = Path(__file__).resolve().parents[1] / "results"


def _stored(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("benchmark", [ablation, alq_curve])
def test_the_picture_is_of_the_stored_rows(benchmark):
    name = benchmark.__name__.rpartition(".")[2]
    assert (RESULTS / f"{name}.svg").read_text("utf-8") == benchmark.draw(_stored(name)["rows"])


def test_the_page_of_the_file_format_has_the_stored_figures():
    found, page = _stored("fuzz_files"), (RESULTS.parent / "docs" / "file-format.md").read_text("utf-8")
    assert found["refused"] + found["read"] == found["files"] >= 200_000
    for figure in (f"{found['files']:,} files", f"{found['refused']:,} were refused", f"{found['read']:,} read",
                   f"{1000 * found['slowest_s']:.0f} ms", f"{found['megabytes']} MB"):  # fmt: skip
        assert figure in page


def test_another_row_is_another_picture():
    rows = _stored("ablation")["rows"]
    drawn = ablation.draw(rows)
    rows[-1]["frozen"]["loss"] += 0.01
    assert ablation.draw(rows) != drawn


def test_ablation_pools_folds():
    outcomes = [
        {"validation": {"float": [[3, 1], [0, 4]]}, "validation_loss": {"float": 0.5}},
        {"validation": {"float": [[1, 0], [1, 0]]}, "validation_loss": {"float": 1.0}},
    ]
    row = ablation.summary("one", outcomes)
    # 8 of 10 windows are right; the first fold's loss weighs 8, the second's 2
    assert row["float"] == {
        "accuracy": 0.8, "accuracy_by_fold": [0.875, 0.5], "loss": pytest.approx(0.6), "loss_by_fold": [0.5, 1.0],
        "windows": 10,
    }  # fmt: skip
    assert "frozen" not in row


def test_curve_pools_folds():
    point = {"quantizer": "alq", "grouping": "pixelwise", "bits": 1.0}
    folds = [
        [point | {"bytes": 90, "windows": 8, "right": 7, "loss": 0.5}],
        [point | {"bytes": 95, "windows": 2, "right": 1, "loss": float("nan")}],
    ]
    assert alq_curve.pool(folds) == [
        point | {
            "bytes": 95, "windows": 10, "test_accuracy": 0.8, "test_loss": None, "accuracy_by_fold": [0.875, 0.5],
        }
    ]  # fmt: skip


@pytest.mark.slow
def test_annotations_name_as_many_classes_as_stored(mitdb_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["annotations", "--data", str(mitdb_folder), "--results", str(tmp_path)])
    annotations.main()
    found, stored = (json.loads((folder / "annotations.json").read_text())["rows"] for folder in (tmp_path, RESULTS))
    assert found[0]["confusion"] == stored[0]["confusion"]


@pytest.mark.parametrize("part", ["product_manifests", "deploy_manifests", "frames"])
def test_robustness_counts_no_fault(part):
    outcomes = getattr(robustness, part)(40, random.Random(3))
    assert outcomes["noticed"] > 10
    assert set(outcomes) <= set(robustness.GOOD)


def test_robustness_would_see_a_manifest_that_checks_nothing(monkeypatch):
    monkeypatch.setattr("board.manifest._fingerprint", lambda content: "0" * 64)
    assert robustness.deploy_manifests(200, random.Random(3))["edit not noticed"] > 0


def test_robustness_would_see_frames_without_a_sum(monkeypatch):
    monkeypatch.setattr("zlib.crc32", lambda data: 0)
    assert robustness.frames(200, random.Random(3))["wrong answer"] > 0


def test_the_page_of_networks_has_the_table_of_the_results():
    """Every model of the benchmark has a row, and the page is what `python -m benchmarks.models --docs` makes."""
    from benchmarks.models import CASES, RTL_CASES, with_table

    rows = json.loads((RESULTS / "networks.json").read_text())["rows"]
    page = (RESULTS.parent / "docs" / "networks.md").read_text("utf-8")
    assert with_table(page, rows) == page
    exact = [row for row in rows if "csim" in row and row["csim"]["mismatches"] == 0]
    assert {row["name"] for row in exact} == {row["name"] for row in rows if CASES[row["name"]].rule is None}
    assert all(CASES[row["name"]].rule in row["refused"] for row in rows if "refused" in row)
    assert {row["name"] for row in rows if row.get("rtl", {}).get("exact")} == set(RTL_CASES)
