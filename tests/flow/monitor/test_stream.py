"""Streaming equals batch, window for window; and what a page is told."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.look.pictures import CLASS_COLOURS
from flow.monitor.stream import LONGEST_STRETCH, MISSING_UV, TITLES, BeatFinder, Play, Stream, demonstration
from flow.recordings import beats
from flow.recordings.classify import NO_CLASS, Findings
from qmodel.data import recording
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import DataError
from qmodel.data.quality import REASONS
from qmodel.data.recording import Samples


def heard(stream: Stream, samples: recording.Samples, lengths: list[int]) -> list:
    """Decisions of a stream fed with stretches of the lengths given, over and over."""
    decisions, at, turn = [], 0, 0
    while at < len(samples):
        length = lengths[turn % len(lengths)]
        decisions += stream.feed(samples[at : at + length])
        at, turn = at + length, turn + 1
    return decisions


def assert_equal(decisions: list, findings: Findings, windows: recording.RecordingWindows) -> None:
    assert [decision.start for decision in decisions] == np.rint(windows.start_s * 360).astype(int).tolist()
    assert all(decision.stop - decision.start == 3600 for decision in decisions)
    for name in ("label", "confidence", "margin", "quality", "reason", "said"):
        np.testing.assert_array_equal(
            np.array([getattr(decision.finding, name) for decision in decisions]), getattr(findings, name)
        )


@pytest.fixture(scope="module")
def batches(troubled, classifier):
    """By hop: windows and findings of the whole record at once."""
    windows = {hop_s: troubled.windows(hop_s) for hop_s in (1.3, 2.5, 10)}
    return {hop_s: (cut, classifier.recording(cut)) for hop_s, cut in windows.items()}


class TestStream:
    def test_the_record_has_every_kind_of_trouble(self, batches):
        said = {str(word) for _, findings in batches.values() for word in findings.said}
        assert set(REASONS) <= said
        # Which classes, of made-up ECG, is for the shipped network to say.
        assert len(said & set(CLASSES)) > 1, "the record has more than one rhythm"

    @settings(max_examples=10)
    @given(
        hop_s=st.sampled_from([1.3, 2.5, 10]),
        lengths=st.lists(st.integers(1, 4000), min_size=1, max_size=5).filter(lambda lengths: sum(lengths) > 50),
    )
    def test_equals_batch(self, batches, troubled, classifier, hop_s, lengths):
        windows, findings = batches[hop_s]
        assert_equal(heard(Stream(classifier, hop_s), troubled, lengths), findings, windows)

    def test_an_empty_stretch_decides_nothing(self, troubled, classifier):
        stream = Stream(classifier)
        assert stream.feed(troubled[:0]) == []
        assert len(stream.feed(troubled[:3600])) == 1
        assert stream.feed(troubled[:0]) == []

    def test_keeps_no_more_than_a_window(self, troubled, classifier):
        stream = Stream(classifier, 2.5)
        heard(stream, troubled, [500])
        assert len(stream._growing) < 3600

    @pytest.mark.parametrize(("name", "hop_s", "seconds"), [("207", 10, None), ("200", 1, 120)])
    def test_real_record_equals_batch(self, mitdb_folder, classifier, name, hop_s, seconds):
        samples = recording.read(mitdb_folder / name).samples()[: seconds and seconds * 360]
        windows = samples.windows(hop_s)
        decisions = heard(Stream(classifier, hop_s), samples, [36, 1, 720])
        assert len(decisions) == len(windows) > 100
        assert_equal(decisions, classifier.recording(windows), windows)


class TestPlay:
    @pytest.fixture
    def play(self, troubled, classifier):
        return Play("troubled", "described", troubled, classifier, hop_s=2.0)

    def test_gives_the_whole_record(self, play, troubled, classifier):
        stretches = [play.advance(to) for to in range(0, len(troubled) + 700, 700)]
        microvolts = np.concatenate([stretch["microvolts"] for stretch in stretches])
        lengths = [len(stretch["microvolts"]) for stretch in stretches]
        assert [stretch["start"] for stretch in stretches] == np.cumsum([0, *lengths[:-1]]).tolist()
        assert len(microvolts) == len(troubled)
        np.testing.assert_array_equal(microvolts == MISSING_UV, troubled.missing)
        given = ~troubled.missing
        assert np.abs(microvolts - 1000 * troubled.signal_mv)[given].max() <= 0.5

        said = classifier.recording(troubled.windows(2.0)).said.tolist()
        decisions = [decision for stretch in stretches for decision in stretch["decisions"]]
        assert [decision["said"] for decision in decisions] == said
        changes = [change["said"] for stretch in stretches for change in stretch["changes"]]
        assert changes == [word for before, word in zip([None, *said], said) if word != before]

    def test_is_json_without_nan(self, play):
        text = json.dumps([play.opening(), *(play.advance(10**9) for _ in range(4))], allow_nan=False)
        decisions = [decision for stretch in json.loads(text)[1:] for decision in stretch["decisions"]]
        unusable = [decision for decision in decisions if decision["said"] in REASONS]
        assert unusable
        assert all(decision["confidence"] is None and decision["likely"] is None for decision in unusable)
        assert all(decision["likely"] in CLASSES for decision in decisions if decision not in unusable)

    def test_everything_that_may_be_said_has_title_and_colour(self, play):
        sayings = {saying["name"]: saying for saying in play.opening()["sayings"]}
        assert set(sayings) == {*CLASSES, *NO_CLASS} == set(TITLES)
        assert {name: sayings[name]["colour"] for name in CLASSES} == CLASS_COLOURS
        assert all(saying["title"] for saying in sayings.values())

    def test_a_stretch_is_bounded_and_never_goes_back(self, play, troubled):
        assert len(play.advance(10**12)["microvolts"]) == LONGEST_STRETCH
        assert play.advance(-5) == {"start": LONGEST_STRETCH, "microvolts": [], "decisions": [], "changes": []}
        assert play.advance(LONGEST_STRETCH + 1)["start"] == LONGEST_STRETCH

    @pytest.mark.parametrize("hop_s", [0, -1, 10.5, float("nan"), float("inf")])
    def test_refuses_a_hop_at_once(self, troubled, classifier, hop_s):
        with pytest.raises(DataError, match="hop"):
            Play("t", "d", troubled, classifier, hop_s=hop_s)

    def test_refuses_less_than_a_window(self, troubled, classifier):
        with pytest.raises(DataError, match="3600 samples"):
            Play("t", "d", troubled[:3599], classifier)


def test_demonstration_goes_through_rhythms(classifier):
    made_up = demonstration()
    said = classifier.recording(made_up.samples().windows(5.0)).said
    assert made_up.name == "Made-up ECG"
    assert {"NSR", "PVC", "Bigeminy"} <= set(said.tolist())


def test_heart_rate_of_intervals_that_take_turns(monkeypatch):
    """Bigeminy, 0.5 and 1.2 s: 70.6 beats a minute, not the 50 or 120 of one of them; a gap is no interval."""
    at = np.cumsum(np.tile([180, 432], 20))
    found = beats.Beats(at, np.full(40, "N"), np.arange(40) == 0, 40.0, True, "nobody")
    for start in (0.0, 5.0, 10.3):
        assert found.rate_bpm(start, start + 10) == pytest.approx(60 / 0.85, rel=0.06)
    missing = np.zeros(40 * 360, bool)
    missing[at[20] + 50 : at[21] - 50] = True  # between two beats

    def run(signal):
        finder_end = stream._end
        return at[(at >= finder_end - len(signal)) & (at < finder_end)] - (finder_end - len(signal)), np.full(40, "N")

    monkeypatch.setattr(beats, "detector", lambda: (run, True, "nobody"))
    stream = BeatFinder()
    told = []
    for start in range(0, 33 * 360, 360):
        part = slice(start, start + 360)
        told += stream.feed(Samples("II", np.zeros(360, np.float32), missing[part], np.zeros(360, bool)))
        if start > 12 * 360:
            assert stream.rate_bpm == pytest.approx(60 / 0.85, rel=0.15)  # one or two of a kind more
    assert [gap for at_, _, gap in told if at_ == at[21]] == [True]
    assert sum(gap for _, _, gap in told) == 1
