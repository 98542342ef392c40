"""What a fold trains on: nothing held out or near it, inputs on the input grid, beats that shift with the window."""

from __future__ import annotations

import numpy as np
import pytest

from qmodel.data import annotations, fragments, mitdb, splits
from qmodel.data.fragments import CLASSES
from qmodel.fixed_point import INPUT_FORMAT
from qmodel.hyperparameters import DataRecipe
from qmodel.training_data import (
    augment,
    place_of,
    room_of_rare_beats,
    rule_labels,
    to_input,
    training_set,
    validation_windows,
)


@pytest.fixture(scope="module")
def real(mitdb_folder):
    return fragments.load_windows(mitdb_folder), annotations.window_targets(mitdb_folder)


@pytest.mark.parametrize("protocol", ["stratified", "blocked", "patient"])
def test_no_rule_labelled_window_is_held_out_or_near(real, protocol):
    windows, other = real
    index = windows.index
    for fold in splits.make(protocol, index, 10)[:2]:
        chosen, probabilities = rule_labels(other, index, fold, protocol == "patient", 0)
        assert np.allclose(probabilities.sum(1), 1, atol=1e-5)
        held_out = np.concatenate([fold.validation, fold.test])
        for i in held_out:
            same = chosen[other.record[chosen] == index.record[i]]
            gap = np.abs(other.first_sample[same] - index.first_sample[i]) - 3600
            assert (gap > 60 * 360).all()
        if protocol == "patient":
            persons = {mitdb.person(record) for record in index.record[held_out]}
            assert not persons & {mitdb.person(record) for record in other.record[chosen]}
        assert not set(chosen) & set(place_of(index, other)), "fragments have classes of their own"


def test_validation_windows_are_near_validation_fragments_and_seen_by_no_training(real):
    windows, other = real
    index = windows.index
    fold = splits.make("stratified", index, 10)[0]
    chosen, labels = validation_windows(other, index, fold)
    assert len(chosen) == len(labels) == 177  # counted when it was written: more windows than the part has fragments
    trained_on, _ = rule_labels(other, index, fold, False, 0)

    def gaps(places, fragments):
        """Samples between the edges of windows and fragments of one record; shape (place, fragment), NaN of another."""
        same = other.record[places][:, None] == index.record[fragments]
        gap = np.abs(other.first_sample[places][:, None] - index.first_sample[fragments]) - 3600.0
        return np.where(same, gap, np.nan)

    assert (np.nanmin(gaps(chosen, fold.validation), axis=1) <= 50 * 360).all()  # the far edge within 60 s
    near = np.nan_to_num(gaps(chosen, fold.test), nan=np.inf)
    assert (near > 60 * 360).all()
    for place in chosen:
        apart = np.abs(other.first_sample[trained_on] - other.first_sample[place]) >= 3600
        assert (apart | (other.record[trained_on] != other.record[place])).all()
    assert not set(chosen) & set(place_of(index, other))


def test_rules_do_not_read_held_out_classes(real):
    """Scrambling the classes of everything held out changes no label by rule."""
    windows, other = real
    index = windows.index
    fold = splits.make("stratified", index, 10)[0]
    scrambled = index.label.copy()
    held_out = np.concatenate([fold.validation, fold.test])
    scrambled[held_out] = (scrambled[held_out] + 5) % 17
    changed = fragments.Fragments(index.fragment, index.record, index.first_sample, index.lead, scrambled)
    before, after = (rule_labels(other, table, fold, False, 0) for table in (index, changed))
    assert np.array_equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])


def test_training_set_of_fragments_alone(ecg_windows):
    fold = splits.make("stratified", ecg_windows.index, 5)[0]
    data = training_set(ecg_windows, fold, recipe=DataRecipe(epoch_windows=500))
    assert np.array_equal(data.targets.argmax(1), ecg_windows.labels[fold.train])
    batches = list(data.epoch(np.random.default_rng(0), 32))
    assert len(batches) == data.batches(32) == 500 // 32
    integers = batches[0].inputs / INPUT_FORMAT.step
    assert np.array_equal(integers, np.rint(integers))
    assert integers.min() >= INPUT_FORMAT.low
    assert integers.max() <= INPUT_FORMAT.high
    assert batches[0].inputs.dtype == np.float32
    assert batches[0].targets.shape == (32, len(CLASSES))


def test_epochs_depend_on_their_random_numbers_alone(ecg_windows):
    fold = splits.make("stratified", ecg_windows.index, 5)[0]
    data = training_set(ecg_windows, fold, recipe=DataRecipe(epoch_windows=200))
    one, two = (next(iter(data.epoch(np.random.default_rng(7), 16))).inputs for _ in range(2))
    assert np.array_equal(one, two)


def test_beats_shift_with_the_window():
    """A pulse at sample 1000 and its beat in bin 40 of 25 samples stay together under any shift."""
    signals = np.zeros((64, 3600), np.float32)
    signals[:, 1000:1010] = 30.0
    beats = np.zeros((64, 144, 2), bool)
    beats[:, 40, 1] = True
    batch = augment(signals, np.zeros((64, 17), np.float32), beats, np.random.default_rng(0))
    for window, marks in zip(batch.inputs[..., 0], batch.beats, strict=True):
        place, beat = np.argwhere(marks)[0]
        assert beat == 1
        assert abs(int(window.argmax()) // 25 - place) <= 1


def test_shifts_join_no_ends():
    """A beat near the end stays near the end or leaves; nothing of it appears at the beginning."""
    signals = np.zeros((64, 3600), np.float32)
    signals[:, 3500:3510] = 30.0
    beats = np.zeros((64, 144, 1), bool)
    beats[:, 140, 0] = True
    batch = augment(signals, np.zeros((64, 17), np.float32), beats, np.random.default_rng(1))
    assert np.abs(batch.inputs[:, :1800]).max() < 2
    assert not batch.beats[:, :72].any()
    left = batch.beats.any((1, 2))
    assert 0 < left.sum() < 64
    assert (np.abs(batch.inputs[left]).max((1, 2)) == INPUT_FORMAT.high * INPUT_FORMAT.step).all()


@pytest.mark.parametrize("place", [0, 2, 20, 138, 142])
def test_shifts_keep_the_beat_that_the_class_rests_on(place):
    """A rare beat stays, with 72 samples to the end or what it had; without it windows shift as far as any."""
    beats = np.zeros((500, 144, 2), bool)
    beats[:, 5::12, 0] = True
    least, most = room_of_rare_beats(beats)
    assert (least <= -96).all()
    assert (most >= 96).all()
    beats[:, place, 1] = True
    least, most = room_of_rare_beats(beats)
    assert (place * 25 - most >= min(72, place * 25)).all()
    assert (place * 25 + 25 - least <= max(3600 - 72, place * 25 + 25)).all()
    batch = augment(*np.zeros((2, 500, 3600), np.float32), beats, np.random.default_rng(0))
    assert batch.beats[:, :, 1].any(1).all()
    free = augment(*np.zeros((2, 500, 3600), np.float32), beats, np.random.default_rng(0), DataRecipe(keep_beats=False))
    assert free.beats[:, :, 1].any(1).all() == (place in (20, 138))


def test_an_epoch_has_made_up_beats_where_there_are_annotations(real):
    windows, other = real
    fold = splits.make("stratified", windows.index, 10)[0]
    counts = {}
    for share in (0.0, 0.3):
        data = training_set(windows, fold, other, DataRecipe(epoch_windows=2000, premature=share))
        targets = np.concatenate([batch.targets for batch in data.epoch(np.random.default_rng(0), 40)])
        counts[share] = {name: targets[:, CLASSES.index(name)].sum() for name in ("NSR", "APB", "PVC")}
    assert counts[0.3]["NSR"] < 0.9 * counts[0.0]["NSR"]
    assert counts[0.3]["APB"] > counts[0.0]["APB"]
    assert counts[0.3]["PVC"] > counts[0.0]["PVC"]


def test_flat_training_windows_are_refused(ecg_windows):
    fold = splits.make("stratified", ecg_windows.index, 5)[0]
    signals = ecg_windows.signals.copy()
    signals[fold.train[2]] = 7
    broken = fragments.Windows(
        signals, ecg_windows.labels, ecg_windows.record, ecg_windows.first_sample, ecg_windows.lead, ecg_windows.source
    )
    with pytest.raises(ValueError, match=r"received flat windows \[2\]"):
        training_set(broken, fold)


def test_inputs_are_the_input_stage(ecg_windows):
    from qmodel.fixed_point import standardise

    inputs = to_input(ecg_windows.signals[:5])
    assert inputs.shape == (5, 3600, 1)
    assert np.array_equal(inputs[..., 0] / INPUT_FORMAT.step, standardise(ecg_windows.signals[:5]))


def test_rare_classes_are_drawn_more_often_than_they_are(ecg_windows):
    """A class with n times as many windows is drawn n ** (1 - balance) times as often."""
    fold = splits.make("stratified", ecg_windows.index, 5)[0]
    rare = ecg_windows.labels[fold.train[0]]
    keep = [i for i in fold.train if ecg_windows.labels[i] != rare] + [fold.train[0]]
    common = next(label for label in ecg_windows.labels[keep] if label != rare)
    data = training_set(ecg_windows, splits.Fold(np.array(keep), fold.validation, fold.test))
    drawn = np.concatenate([batch.targets.argmax(1) for batch in data.epoch(np.random.default_rng(0), 40)])
    windows = (ecg_windows.labels[keep] == common).sum()
    ratio = (drawn == common).sum() / (drawn == rare).sum()
    assert ratio == pytest.approx(windows ** (1 - DataRecipe.balance), rel=0.1)
