"""Synthetic ECG has the features its classes are named after."""

import numpy as np
import pytest
import wfdb

from qmodel.data import splits, synthetic
from qmodel.data.annotations import RHYTHMS
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import DataError


def beats(folder, label: str, minutes: int = 5) -> tuple[np.ndarray, list[str]]:
    """Times in seconds and symbols of the beats annotated in a record of one class."""
    synthetic.write_record(folder, label, [(label, minutes * 21_600)], seed=3)
    marks = wfdb.rdann(str(folder / label), "atr")
    assert marks.symbol[0] == "+"
    assert marks.aux_note[0].rstrip("\0") in RHYTHMS
    return marks.sample[1:] / 360, marks.symbol[1:]


class TestWindows:
    def test_says_that_it_is_synthetic(self):
        windows = synthetic.synthetic_windows(per_class=2)
        assert windows.source == "synthetic"
        assert all("synthetic" in record for record in windows.record)

    def test_shapes(self):
        windows = synthetic.synthetic_windows(per_class=3)
        assert windows.signals.shape == (51, 3600)
        assert windows.signals.dtype == np.int16
        assert windows.signals.min() >= 0
        assert windows.signals.max() <= 2047
        assert windows.labels.tolist() == sorted(list(range(17)) * 3)

    def test_same_seed_same_windows(self):
        first, again, other = (synthetic.synthetic_windows(2, seed).signals for seed in (5, 5, 6))
        assert (first == again).all()
        assert (first != other).any(axis=1).all()

    def test_no_two_windows_are_alike(self):
        windows = synthetic.synthetic_windows(per_class=15)
        assert len(np.unique(windows.signals, axis=0)) == len(windows)
        assert len(set(zip(windows.record.tolist(), windows.first_sample.tolist()))) == len(windows)

    @pytest.mark.parametrize("protocol", ["stratified", "blocked", "patient"])
    def test_splits_take_them(self, protocol):
        windows = synthetic.synthetic_windows(per_class=20)
        for fold in splits.make(protocol, windows.index, folds=5):
            assert set(windows.labels[fold.test]) == set(windows.labels[fold.train]) == set(range(17))

    def test_bad_size(self):
        with pytest.raises(ValueError, match="per_class must be at least 1, received 0"):
            synthetic.synthetic_windows(0)


class TestRhythms:
    @pytest.mark.parametrize(
        ("label", "slowest", "fastest"),
        [("NSR", 60, 95), ("SVTA", 150, 220), ("IVR", 35, 65), ("VFL", 180, 260), ("PR", 60, 80), ("WPW", 60, 95)],
    )
    def test_rate(self, tmp_path, label, slowest, fastest):
        times, _ = beats(tmp_path, label)
        assert slowest * 0.97 < 60 / np.diff(times).mean() < fastest * 1.03

    def test_irregularity(self, tmp_path):
        variation = {}
        for label in ("NSR", "AFIB", "AFL", "PR"):
            intervals = np.diff(beats(tmp_path, label)[0])
            variation[label] = intervals.std() / intervals.mean()
        assert variation["PR"] < variation["NSR"] < 0.05
        assert variation["AFL"] < 0.02
        assert 0.15 < variation["AFIB"] < 0.3

    @pytest.mark.parametrize(("label", "period"), [("Bigeminy", 2), ("Trigeminy", 3)])
    def test_patterns(self, tmp_path, label, period):
        _, symbols = beats(tmp_path, label)
        ectopic = np.flatnonzero(np.array(symbols) == "V")
        assert (np.diff(ectopic) == period).all()
        assert len(ectopic) >= len(symbols) // period

    @pytest.mark.parametrize(("label", "symbol"), [("APB", "A"), ("PVC", "V")])
    def test_premature_beats_come_early(self, tmp_path, label, symbol):
        times, symbols = beats(tmp_path, label)
        intervals, ectopic = np.diff(times), np.array(symbols)[1:] == symbol
        assert 0.1 < ectopic.mean() < 0.3
        assert intervals[ectopic].max() < 0.85 * np.median(intervals)
        if label == "PVC":  # a compensatory pause
            assert intervals[1:][ectopic[:-1]].min() > 1.15 * np.median(intervals)

    def test_slopes(self):
        windows = synthetic.synthetic_windows(per_class=40)
        steepest = np.abs(np.diff(windows.signals.astype(int), axis=1)).max(axis=1)
        assert (steepest[windows.labels == CLASSES.index("PR")] > 100).all()  # pacing spikes
        assert (steepest[windows.labels == CLASSES.index("IVR")] < 60).all()  # wide beats

    def test_dropped_beats(self, tmp_path):
        times, symbols = beats(tmp_path, "SDHB")
        dropped = np.flatnonzero(np.array(symbols) == "x")
        assert len(set(np.diff(dropped).tolist())) == 1  # every second, third or fourth P wave
        conducted = np.array(symbols) == "N"
        pauses = [times[i + 1 :][conducted[i + 1 :]][0] - times[:i][conducted[:i]][-1] for i in dropped[1:-1]]
        assert min(pauses) > 1.1

    def test_runs(self, tmp_path):
        _, symbols = beats(tmp_path, "VT")
        assert "VVVVV" in "".join(symbols)
        assert "NN" in "".join(symbols)

    @pytest.mark.parametrize(("label", "symbol"), [("LBBBB", "L"), ("RBBBB", "R"), ("Fusion", "F"), ("PR", "/")])
    def test_symbols(self, tmp_path, label, symbol):
        assert symbol in beats(tmp_path, label)[1]


@pytest.mark.parametrize("segment", [("Normal", 3600), ("NSR", 0)])
def test_bad_segment(tmp_path, segment):
    with pytest.raises(DataError, match=r"A segment must be one of NSR, .* and at least 1 sample"):
        synthetic.write_record(tmp_path, "100", [segment])
    assert list(tmp_path.iterdir()) == []
