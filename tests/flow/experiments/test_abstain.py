"""Abstention: the curve counts what it says, noise has the power it says, rows come from whole cross-validations."""

import json
from dataclasses import replace

import numpy as np
import pytest

from flow.experiments import abstain
from flow.experiments.abstain import add_noise, answered, calibration, measure
from flow.steps.stages import frozen_file
from qmodel.data import splits
from qmodel.data.splits import Fold
from qmodel.errors import InputError
from qmodel.experiment import Experiment, Records, Split
from qmodel.recipe import RECIPES

RECIPE, TEST = RECIPES["compact"], Split(folds=2, validation=False)

TRUTH = np.array([0, 1, 2, 3, 4, 5])
LABEL = np.array([0, 1, 2, 9, 9, -1])
CONFIDENCE = np.array([0.95, 0.75, 0.35, 0.65, 0.15, np.nan])


def test_answered():
    assert answered(TRUTH, LABEL, CONFIDENCE, 0) == {"threshold": 0, "answered": 5 / 6, "accuracy": 0.6, "wrong": 2}
    assert answered(TRUTH, LABEL, CONFIDENCE, 0.5) == pytest.approx(
        {"threshold": 0.5, "answered": 0.5, "accuracy": 2 / 3, "wrong": 1}
    )
    assert answered(TRUTH, LABEL, CONFIDENCE, 0.99) == {"threshold": 0.99, "answered": 0, "accuracy": None, "wrong": 0}


def test_calibration():
    result = calibration(TRUTH, LABEL, CONFIDENCE)
    assert [b["windows"] for b in result["bins"]] == [1] * 5
    assert result["expected_error"] == pytest.approx((0.05 + 0.25 + 0.65 + 0.65 + 0.15) / 5)


@pytest.mark.parametrize("kind", abstain.NOISES)
def test_noise_has_the_power_asked_for(kind):
    windows = np.random.default_rng(0).integers(-3000, 3000, (4, 3600)).astype(np.int16)
    for decibels in (12, 0, -6):
        noise = add_noise(windows, kind, decibels, 1).astype(float) - windows
        assert 20 * np.log10(windows.std(1) / noise.std(1)) == pytest.approx(np.full(4, decibels), abs=0.1)
        power = np.abs(np.fft.rfft(noise, axis=1)) ** 2
        assert (power[:, :4].sum() / power.sum() > 0.99) == (kind == "baseline")


class TestFolds:
    @pytest.fixture
    def folds(self, untrained, tmp_path, monkeypatch, mitdb_folder):
        """A cross-validation of two folds whose networks nobody trained."""

        windows = Records(str(mitdb_folder))
        monkeypatch.setattr(
            splits, "make", lambda *_: [Fold(np.arange(8, 10), np.arange(3), np.arange(i, 8, 2)) for i in range(2)]
        )
        for fold in range(2):
            for validation in (True, False):
                experiment = Experiment(RECIPE, windows, Split(folds=2, fold=fold, validation=validation))
                file = frozen_file(experiment, tmp_path)
                file.parent.mkdir()
                untrained.save(file)
        monkeypatch.setattr(abstain, "NOISE_DB", (12, -20))
        return tmp_path

    def test_pools_the_test_parts(self, folds, untrained, ecg_windows):
        from flow.recordings.classify import Classifier

        folder = folds
        former = {"network": "compact", "protocol": "stratified", "part": "test"}
        others = [former | {"protocol": "patient"}, former | {"part": "validation"}]
        (folder / "abstain.json").write_text(json.dumps({"rows": [*others, former]}))
        row = measure(RECIPE, TEST, build=folder, results=folder)
        stored = json.loads((folder / "abstain.json").read_text())["rows"]
        assert stored == [others[0], json.loads(json.dumps(row)), others[1]], "its own former row alone is replaced"
        assert (row["windows"], row["folds"], row["identities"]) == (8, 2, [untrained.identity] * 2)
        expected = Classifier(untrained, threshold=0).windows(ecg_windows.signals[:8])
        assert row["curve"][0]["accuracy"] == (expected.label == ecg_windows.labels[:8]).mean()
        shares = [entry["answered"] for entry in row["curve"]]
        assert shares == sorted(shares, reverse=True)
        assert {entry["noise"]: entry["not_usable"] for entry in row["noise"]} == {"white": 1, "baseline": 1}

    def test_some_folds_write_nothing(self, folds):
        folder = folds
        assert measure(RECIPE, TEST, build=folder, results=folder, only=[1])["windows"] == 4
        assert measure(RECIPE, replace(TEST, validation=True), build=folder, results=folder, only=[1])["windows"] == 3
        assert not (folder / "abstain.json").exists()

    def test_missing_folds(self, folds):
        folder = folds
        frozen_file(Experiment(RECIPE, Records(""), replace(TEST, fold=1)), folder).unlink()
        with pytest.raises(InputError, match=r"fold 1 of stratified has no frozen network .* run `ecg-alq evaluate"):
            measure(RECIPE, TEST, build=folder, results=folder)
        with pytest.raises(InputError, match="folds are 0 to 1"):
            measure(RECIPE, TEST, build=folder, results=folder, only=[5])
