"""No window, block or person is on two sides of a fold, and every fragment is tested exactly once."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qmodel.data import fragments, mitdb, splits
from qmodel.data.fragments import CLASSES, Fragments
from qmodel.data.mitdb import DataError

INDEX = fragments.load_index()
SEEDS = [0, 1, 2]
PROTOCOLS = ["stratified", "blocked", "patient"]


def window(index: Fragments, i: int) -> tuple:
    return index.record[i], index.first_sample[i]


def block(index: Fragments, i: int) -> tuple:
    return index.record[i], index.first_sample[i] // 108_000  # five minutes at 360 Hz


def person(index: Fragments, i: int) -> tuple:
    return ("201" if index.record[i] == "202" else index.record[i],)


GROUPS: dict[str, list[Callable]] = {"stratified": [window], "blocked": [window, block], "patient": [window, person]}


def assert_sound(index: Fragments, folds: list[splits.Fold], groups: list[Callable], members: np.ndarray) -> None:
    assert np.concatenate([fold.test for fold in folds]).tolist() != []
    assert sorted(np.concatenate([fold.test for fold in folds])) == members.tolist()  # each exactly once
    for fold in folds:
        parts = (fold.train, fold.validation, fold.test)
        assert all(len(part) for part in parts)
        assert sorted(np.concatenate(parts)) == members.tolist()  # without overlap, nothing left out
        for group in groups:
            sides = [{group(index, i) for i in part} for part in parts]
            assert len(set.union(*sides)) == sum(map(len, sides)), group.__name__


def shared_classes(index: Fragments) -> np.ndarray:
    """Fragments of the classes that at least two persons have."""
    persons = {
        label: {person(index, i) for i in np.flatnonzero(index.label == label)} for label in np.unique(index.label)
    }
    return np.array([i for i, label in enumerate(index.label) if len(persons[label]) >= 2])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestBenchmark:
    def test_sound(self, protocol, seed):
        members = shared_classes(INDEX) if protocol == "patient" else np.arange(1000)
        folds = splits.make(protocol, INDEX, seed=seed)
        assert len(folds) == 10
        assert_sound(INDEX, folds, GROUPS[protocol], members)

    def test_same_seed_same_split(self, protocol, seed):
        def flat(seed: int) -> list:
            return [part.tolist() for fold in splits.make(protocol, INDEX, seed=seed) for part in vars(fold).values()]

        assert flat(seed) == flat(seed)
        assert flat(seed) != flat(seed + 100)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("protocol", "folds", "spread"),  # as even as whole groups allow
    [("stratified", 10, 0), ("stratified", 5, 0), ("blocked", 10, 6), ("patient", 5, 5), ("patient", 10, 32)],
)
def test_folds_are_of_like_size(protocol, folds, spread, seed):
    sizes = [len(fold.test) for fold in splits.make(protocol, INDEX, folds, seed)]
    assert max(sizes) - min(sizes) <= spread


@pytest.mark.parametrize("seed", SEEDS)
def test_stratified_spreads_every_class_evenly(seed):
    tested = [np.bincount(INDEX.label[fold.test], minlength=17) for fold in splits.stratified(INDEX, seed=seed)]
    assert (np.ptp(tested, axis=0) <= 1).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_blocked_leaves_three_single_block_classes_untrained(seed):
    untrained = {}
    for fold in splits.blocked(INDEX, seed=seed):
        for label in np.setdiff1d(INDEX.label[fold.test], INDEX.label[fold.train]):
            untrained[CLASSES[label]] = np.count_nonzero(INDEX.label[fold.test] == label)
    assert untrained == {"WPW": 21, "IVR": 10, "SDHB": 10}


@pytest.mark.parametrize("seed", SEEDS)
def test_patient_trains_on_every_class_it_tests(seed):
    for fold in splits.patient(INDEX, seed=seed):
        assert set(INDEX.label[fold.test]) <= set(INDEX.label[fold.train])
        assert not {"WPW", "IVR", "VFL", "SDHB"} & {CLASSES[label] for label in INDEX.label[fold.test]}


@st.composite
def indices(draw) -> Fragments:
    """Random indices: few records and windows, so that copies, neighbours and persons abound."""
    size = draw(st.integers(20, 80))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    names = np.array(["200", "201", "202", "203", "205", "207", "208"])
    return Fragments(
        np.arange(size),
        random.choice(names, size),
        random.integers(0, 90, size) * 3600,
        random.choice(["MLII", "V1"], size),
        random.integers(0, draw(st.integers(1, 17)), size),
    )


@given(indices(), st.sampled_from(PROTOCOLS), st.integers(3, 5), st.integers(0, 100))
def test_any_index_is_split_soundly(index, protocol, folds, seed):
    members = shared_classes(index) if protocol == "patient" else np.arange(len(index))
    groups = {GROUPS[protocol][-1](index, i) for i in members}
    if len(groups) < folds:
        with pytest.raises(ValueError, match="folds must be from 3 to"):
            splits.make(protocol, index, folds, seed)
        return
    assert_sound(index, splits.make(protocol, index, folds, seed), GROUPS[protocol], members)


def test_neighbours_in_training():
    """Windows of 3600 samples: the second touches the first, the third ends 10 s after it, the fourth is far away."""
    places = np.array([0, 3600, 10_800, 1_000_000, 3600])
    records = np.array(["100", "100", "100", "100", "101"])
    index = Fragments(np.arange(5).astype(str), records, places, np.full(5, "MLII"), np.zeros(5, int))
    fold = splits.Fold(np.array([1]), np.array([2]), np.array([0, 3, 4]))
    assert splits.near_training(index, [fold]) == 1
    assert splits.near_training(index, [splits.Fold(fold.validation, fold.train[:0], np.array([1]))], 9.9) == 0
    assert splits.near_training(index, [splits.Fold(fold.validation, fold.train[:0], np.array([1]))], 10) == 1


@pytest.mark.parametrize(
    ("protocol", "folds", "touching"), [("stratified", 10, 843), ("blocked", 3, 10), ("patient", 3, 0)]
)
def test_how_many_test_windows_touch_training_ones(protocol, folds, touching):
    """Counted independently of this code: evaluation's notes of the session that audited the splits."""
    assert splits.near_training(INDEX, splits.make(protocol, INDEX, folds)) == touching


def test_bad_arguments():
    with pytest.raises(
        ValueError, match="Protocol must be one of stratified, blocked, patient, file, received 'random'"
    ):
        splits.make("random", INDEX)
    with pytest.raises(ValueError, match="needs a path"):
        splits.make("file", INDEX)
    with pytest.raises(ValueError, match="needs a path"):
        splits.make("blocked", INDEX, path="split.csv")
    for folds in (2, 1000):
        with pytest.raises(ValueError, match=f"folds must be from 3 to 989, the number of groups, received {folds}"):
            splits.stratified(INDEX, folds)
    with pytest.raises(ValueError, match="folds must be from 3 to 42"):
        splits.patient(INDEX, 45)


class TestFile:
    def write(self, path, rows, header="fragment,fold,part"):
        path.write_text("\n".join([header, *rows]) + "\n")
        return path

    def test_round_trip(self, tmp_path):
        folds = splits.stratified(INDEX)
        rows = [
            f"{INDEX.fragment[i]},{number},{part}"
            for number, fold in enumerate(folds)
            for part, members in vars(fold).items()
            for i in members
        ]
        read = splits.make("file", INDEX, path=self.write(tmp_path / "split.csv", rows))
        assert [vars(fold).keys() for fold in read] == [vars(fold).keys() for fold in folds]
        for fold, expected in zip(read, folds):
            for part in splits.PARTS:
                assert getattr(fold, part).tolist() == getattr(expected, part).tolist()

    def test_without_validation_part(self, tmp_path):
        (fold,) = splits.from_file(self.write(tmp_path / "split.csv", ["5,a,train", "9,a,test"]), INDEX)
        assert (fold.train.tolist(), fold.validation.tolist(), fold.test.tolist()) == ([5], [], [9])

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([], "holds no fragments"),
            (["1000,0,train"], "line 2: fragment must be in the index .* received fragment '1000'"),
            (["0,0,training"], "part one of train, validation, test, received fragment '0', part 'training'"),
            (["0,0,train", "0,0,train"], "line 3: fragment 0 is already in fold 0"),
            (["0,0,train", "0,0,test"], "line 3: fragment 0 is already in fold 0"),
            (["137,0,train", "155,0,test"], "line 3: a copy of fragment 155"),  # sample for sample
            (["366,0,train", "368,0,test"], "line 3: a copy of fragment 368"),  # MLII and V1 of one window
            (["0,0,train", "1,0,validation"], "fold 0 must have training and test fragments"),
            (["0,0,test", "1,1,train", "2,1,test"], "fold 0 must have training and test fragments"),
            (["0,0"], "part one of"),
        ],
    )
    def test_bad_file(self, tmp_path, rows, message):
        with pytest.raises(DataError, match=message):
            splits.from_file(self.write(tmp_path / "split.csv", rows), INDEX)

    def test_missing_column(self, tmp_path):
        path = self.write(tmp_path / "split.csv", ["0,train"], header="fragment,part")
        with pytest.raises(DataError, match="lacks fold"):
            splits.from_file(path, INDEX)


def test_persons_of_the_index():
    assert len({mitdb.person(str(record)) for record in INDEX.record}) == 44
