"""Targets from the annotations, and which windows may be trained on."""

from collections import Counter

import numpy as np
import pytest
import wfdb

from qmodel.data import annotations, fragments, mitdb, splits
from qmodel.data.annotations import BEATS, RHYTHMS, TARGETS
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import DataError

INDEX = fragments.load_index()


@pytest.fixture(scope="module")
def synthetic_all(synthetic_record):
    """The windows of one synthetic record: 5 of NSR, 3 of Bigeminy, then AFIB."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mitdb, "RECORDS", ("100",))
        return annotations.window_targets(synthetic_record, sums={})


@pytest.fixture(scope="module")
def real_all(mitdb_folder):
    return annotations.window_targets(mitdb_folder)


def has(all_windows, target: str) -> np.ndarray:
    return all_windows.targets[:, TARGETS.index(target)]


class TestSynthetic:
    def test_rhythm_lasts_until_the_next_mark(self, synthetic_all):
        assert np.flatnonzero(has(synthetic_all, "(N")).tolist() == [0, 1, 2, 3, 4]
        assert np.flatnonzero(has(synthetic_all, "(B")).tolist() == [5, 6, 7]
        assert np.flatnonzero(has(synthetic_all, "(AFIB")).tolist() == list(range(8, 180))
        assert synthetic_all.targets[:, len(BEATS) :].sum() == 180

    def test_beats_are_counted_in_their_window(self, synthetic_all, synthetic_record):
        marks = wfdb.rdann(str(synthetic_record / "100"), "atr")
        expected = Counter((s // 3600, symbol) for s, symbol in zip(marks.sample.tolist(), marks.symbol) if s < 648_000)
        for column, symbol in enumerate(BEATS):
            assert synthetic_all.beat_counts[:, column].tolist() == [expected[w, symbol] for w in range(180)]
        assert (synthetic_all.targets[:, : len(BEATS)] == (synthetic_all.beat_counts > 0)).all()
        assert np.flatnonzero(has(synthetic_all, "V")).tolist() == [5, 6, 7]

    def test_signals_of_both_leads(self, synthetic_all, synthetic_record):
        record = mitdb.read_record(synthetic_record, "100", {})
        assert (synthetic_all.signals.ravel() == record.signals[:648_000, 0]).all()
        assert (synthetic_all.second_signals.ravel() == record.signals[:648_000, 1]).all()
        assert synthetic_all.first_sample.tolist() == list(range(0, 648_000, 3600))

    def test_overlapping_windows(self, synthetic_all, synthetic_record, monkeypatch):
        monkeypatch.setattr(mitdb, "RECORDS", ("100",))
        overlapping = annotations.window_targets(synthetic_record, sums={}, hop=1200)
        assert len(overlapping) == (650_000 - 3600) // 1200 + 1
        for name in ("signals", "second_signals", "first_sample", "targets", "beat_counts", "beat_map"):
            assert np.array_equal(getattr(overlapping, name)[:538:3], getattr(synthetic_all, name)), name
        # A window's counts are those of its bins, whichever sample it starts at.
        assert (overlapping.beat_map.sum(1) == overlapping.beat_counts).all()
        # Rhythms change at windows 5 and 8 of the others: a window across a change has both.
        assert np.flatnonzero(has(overlapping, "(B")).tolist() == list(range(13, 24))

    @pytest.mark.parametrize("hop", [0, -25, 360])
    def test_hops_that_split_a_bin(self, synthetic_record, hop):
        with pytest.raises(ValueError, match=rf"hop must be a positive multiple of 25 samples, received {hop}"):
            annotations.window_targets(synthetic_record, sums={}, hop=hop)

    def test_unknown_rhythm(self, synthetic_record, monkeypatch):
        monkeypatch.setattr(mitdb, "RECORDS", ("100",))
        monkeypatch.setattr(annotations, "RHYTHMS", {note: RHYTHMS[note] for note in ("(N", "(B")})
        with pytest.raises(DataError, match=r"100\.atr: rhythm must be one of .* received '\(AFIB'"):
            annotations.window_targets(synthetic_record, sums={})

    def test_missing_annotations(self, synthetic_record, tmp_path, monkeypatch):
        monkeypatch.setattr(mitdb, "RECORDS", ("100",))
        for suffix in (".hea", ".dat"):
            (tmp_path / f"100{suffix}").symlink_to(synthetic_record / f"100{suffix}")
        with pytest.raises(DataError, match=r"100\.atr is missing"):
            annotations.window_targets(tmp_path, sums={})


class TestReal:
    def test_shapes_and_leads(self, real_all):
        assert real_all.signals.shape == real_all.second_signals.shape == (8640, 3600)
        assert real_all.targets.shape == (8640, 32)
        assert real_all.source == "MIT-BIH"
        assert set(real_all.record[real_all.lead != "MLII"].tolist()) == {"102", "104"}
        assert set(real_all.lead[real_all.lead != "MLII"].tolist()) == {"V5"}
        assert set(real_all.second_lead[real_all.record == "114"].tolist()) == {"V5"}
        assert real_all.targets.any(axis=0).all()  # every target occurs

    def test_fragments_are_among_the_windows(self, real_all, mitdb_folder):
        windows = fragments.load_windows(mitdb_folder)
        row = np.searchsorted(mitdb.RECORDS, INDEX.record) * 180 + INDEX.first_sample // 3600
        assert (real_all.record[row] == INDEX.record).all()
        same = (real_all.signals[row] == windows.signals).all(axis=1)
        assert (same == (INDEX.lead == "MLII")).all()

    def test_annotations_agree_with_the_classes(self, real_all):
        row = np.searchsorted(mitdb.RECORDS, INDEX.record) * 180 + INDEX.first_sample // 3600
        disagree = set()
        for name, target in {
            "AFIB": "(AFIB", "AFL": "(AFL", "WPW": "(PREX", "Bigeminy": "(B", "Trigeminy": "(T", "VT": "(VT",
            "IVR": "(IVR", "VFL": "(VFL", "SDHB": "(BII", "PR": "(P", "SVTA": "(SVTA", "NSR": "(N",
            "APB": "A", "PVC": "V", "LBBBB": "L", "RBBBB": "R", "Fusion": "F",
        }.items():  # fmt: skip
            members = np.flatnonzero(INDEX.label == CLASSES.index(name))
            disagree |= {
                (name, str(INDEX.record[i]), int(INDEX.first_sample[i]))
                for i in members[~has(real_all, target)[row[members]]]
            }
        # three labels of the benchmark are not what the cardiologists' annotations say
        assert disagree == {("WPW", "230", 158_400), ("Bigeminy", "106", 352_800), ("PVC", "201", 165_600)}


@pytest.fixture(scope="module")
def places():
    """The places of all windows, without their signals."""
    names = np.repeat(mitdb.RECORDS, 180)
    empty = np.empty((8640, 0))
    first_sample = np.tile(np.arange(180) * 3600, 48)
    return annotations.AllWindows(
        empty, empty, names, first_sample, names, names, empty, empty, empty, source="MIT-BIH"
    )


class TestAllowedForTraining:
    def allowed_one_by_one(self, places, held_out, margin_s=60):
        ends = [(INDEX.record[i], INDEX.first_sample[i], INDEX.first_sample[i] + 3600) for i in held_out]
        return [
            all(record != r or max(start - last, first - (start + 3600)) > margin_s * 360 for r, first, last in ends)
            for record, start in zip(places.record, places.first_sample)
        ]

    @pytest.mark.parametrize("margin_s", [60, 0, 15.5])
    def test_margin(self, places, margin_s):
        held_out = splits.stratified(INDEX)[0].test
        allowed = annotations.allowed_for_training(places, INDEX, held_out, margin_s)
        assert allowed.tolist() == self.allowed_one_by_one(places, held_out, margin_s)

    def test_seven_windows_on_either_side(self, places):
        # a gap of exactly 60 s (six whole windows between) is not more than 60 s
        allowed = annotations.allowed_for_training(places, INDEX, np.array([0]))  # record 100, window 68
        assert np.flatnonzero(~allowed).tolist() == list(range(68 - 7, 68 + 8))

    def test_whole_person(self, places):
        held_out = np.flatnonzero(INDEX.record == "202")[:1]
        allowed = annotations.allowed_for_training(places, INDEX, held_out, whole_person=True)
        assert set(places.record[~allowed].tolist()) == {"201", "202"}
        assert np.count_nonzero(~allowed) == 360

    def test_nothing_held_out(self, places):
        assert annotations.allowed_for_training(places, INDEX, np.array([], int)).all()
