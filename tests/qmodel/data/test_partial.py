"""Windows with partial labels: what is said becomes a target, what is not is masked."""

import numpy as np
import pytest

from qmodel.data import databases, partial
from qmodel.data.databases import BEATS, Labelled
from qmodel.data.fragments import CLASSES
from qmodel.fixed_point import WINDOW_SAMPLES


def record(letters: str = "", rhythm: str | None = None, gap: int = 300, **fields) -> Labelled:
    """Beats `gap` samples apart, a rhythm from the beginning on."""
    at = 100 + gap * np.arange(len(letters))
    labels = dict(fields)
    if letters:
        labels |= {
            "beat_at": at,
            "beat_kind": np.array([BEATS.index(x) for x in letters], np.int8),
            "conduction": fields.get("conduction", np.full(len(letters), "", "<U1")),
        }
    if rhythm is not None:
        labels |= {"rhythm_from": np.array([0]), "rhythm": (rhythm,)}
    signals = np.zeros((2 * WINDOW_SAMPLES, 1), np.int16)
    return Labelled("mitdb", "x", "mitdb/x", ("MLII",), signals, **labels)


def names(of: Labelled, start: int = 0) -> set[str]:
    return {name for name, so in zip(CLASSES, partial.window_classes(of, start)) if so}


class TestStepTargets:
    def test_beats_and_masked_neighbours(self):
        target = partial.step_targets((np.array([0, 240, 3599]), np.array([0, 2, 1])))
        assert len(target) == partial.STEPS
        assert target[0] == 1
        assert target[10] == 3
        assert target[-1] == 2
        assert (target[[1, 9, 11, -2]] == partial.MASKED).all()
        assert (target == 0).sum() == partial.STEPS - 7

    def test_fusion_and_unclassified_are_masked(self):
        target = partial.step_targets((np.array([240, 480]), np.array([3, 4])))
        assert set(target[[10, 20]]) == {partial.MASKED}

    def test_silent(self):
        assert (partial.step_targets(None) == partial.MASKED).all()


class TestWindowClasses:
    @pytest.mark.parametrize(
        ("letters", "rhythm", "classes"),
        [
            ("NNNNNNNNNNNN", "(N", {"NSR"}),
            ("NNNVNNNNNNNN", "(N", {"PVC"}),
            ("NNNVNNSNNNNN", "(N", {"PVC", "APB"}),
            ("NVNVNVNVNVNV", "(B", {"Bigeminy"}),
            ("NNNNNNNNNNNN", "(AFIB", {"AFIB"}),
            ("NNNNNNNNNNNN", "(NOD", set()),  # none of the 17 classes
            ("NNNNNNNNNNNN", None, {"NSR", "LBBBB", "RBBBB"}),  # which conduction is not said
            ("NVNVNVNVNVNV", None, {"Bigeminy"}),
            ("NNVNNVNNVNNV", None, {"Trigeminy"}),
            ("NNNVVVVVVVVN", None, {"VT", "IVR", "PVC"}),  # 72 a minute: not a tachycardia, but not said either
            ("NNSSSSSSNNNN", None, {"SVTA", "AFIB", "APB"}),
            ("", "(VT", {"VT"}),
            ("", "(N", set(databases.SINUS)),
            ("", None, set()),
        ],
    )
    def test_what_is_said(self, letters, rhythm, classes):
        assert names(record(letters, rhythm)) == classes

    def test_fast_ventricular_run(self):
        assert names(record("V" * 22, gap=160)) == {"VT"}

    def test_two_rhythms_are_either(self):
        both = record(rhythm="(AFIB")
        both = databases.Labelled(**(both.__dict__ | {"rhythm_from": np.array([0, 1800]), "rhythm": ("(AFIB", "(VT")}))
        assert names(both) == {"AFIB", "VT"}
        assert names(both, 1800) == {"VT"}

    def test_conduction(self):
        left = record("N" * 12, "(N", conduction=np.full(12, "L"))
        assert names(left) == {"LBBBB"}

    def test_irregular_records_say_nothing(self):
        assert names(record("N" * 12, irregular=True)) == set()

    def test_event_comes_late(self):
        alarm = record(diagnosis=np.isin(CLASSES, ["VT"]), event_from=WINDOW_SAMPLES)
        assert names(alarm, 0) == set()
        assert names(alarm, WINDOW_SAMPLES) == {"VT"}


def test_shift_keeps_the_rare_beat():
    at_edge = record("VNNNNNNNNNNN", "(N")
    least, most = partial._room(at_edge, 0)
    assert most == 100 - partial.EDGE_SAMPLES
    assert least < 0


def test_collected_from_records(tmp_path, monkeypatch):
    from tests.qmodel.data.test_databases import write_beats

    write_beats(tmp_path / "svdb", "800", 24)
    write_beats(tmp_path / "svdb", "801", 24)
    tracks = partial.collect(["svdb"], tmp_path)
    assert list(tracks.track_person) == ["svdb/800", "svdb/801"]
    assert len(tracks.window_track) == 10  # (24 s - 10 s) / 3.33 s, and one, of two records
    at, kind = tracks.beats(0)
    np.testing.assert_array_equal(at, np.arange(10) * 360 + 180)
    assert "".join(BEATS[k] for k in kind) == "NNVSNNNNNN"
    moved, _ = tracks.beats(1, 20)
    np.testing.assert_array_equal(moved, np.arange(3, 13) * 360 + 180 - 1220)
    assert tracks.cut(0)[180] > 50
    tracks.save(tmp_path / "tracks.npz")
    again = partial.Tracks.load(tmp_path / "tracks.npz")
    np.testing.assert_array_equal(again.allowed, tracks.allowed)
