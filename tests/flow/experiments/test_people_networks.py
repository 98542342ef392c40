"""Which persons a task's network learns from, and that a run which was stopped goes on to the same network."""

import json

import numpy as np
import pytest

from flow.build import products
from flow.experiments import people as measured
from flow.experiments import people_networks
from flow.experiments.people_networks import Networks, task
from qmodel import people, people_training
from qmodel.data import mitdb, partial
from qmodel.errors import InputError


def tracks() -> partial.Tracks:
    """Two records of MIT-BIH and one each of svdb and nsrdb, a lead each, two windows each; a beat every second."""
    names = (("mitdb", "101"), ("mitdb", "100"), ("svdb", "800"), ("nsrdb", "16265"))
    samples, random = 7200, np.random.default_rng(0)
    beats = np.arange(180, samples, 360)
    signal = np.zeros(samples * len(names))
    for first in np.arange(0, len(signal), samples):
        signal[(first + beats)[:, None] + np.arange(-3, 4)] = 400
    allowed = np.zeros((8, 17), bool)
    allowed[:, 0] = True
    return partial.Tracks(
        signals=(signal + random.normal(0, 5, len(signal))).astype(np.int16),
        track_database=np.array([database for database, _ in names]),
        track_record=np.array([record for _, record in names]),
        track_person=np.array([f"{database}/{record}" for database, record in names]),
        track_lead=np.array(["MLII"] * 4),
        track_first=samples * np.arange(4),
        track_samples=np.full(4, samples),
        track_has_beats=np.ones(4, bool),
        beat_first=len(beats) * np.arange(4),
        beat_count=np.full(4, len(beats)),
        beat_at=np.tile(beats, 4),
        beat_kind=np.tile((np.arange(len(beats)) % 3).astype(np.int8), 4),
        window_track=np.repeat(np.arange(4), 2),
        window_start=np.tile([0, 3600], 4),
        window_earlier=np.zeros(8, np.int64),
        window_later=np.zeros(8, np.int64),
        window_fragment=np.full(8, -1),
        allowed=allowed,
    )


def chosen(name: str, mit: bool = True) -> list[str]:
    own = tracks()
    return sorted(set(own.window_person[task(name).windows(own, mit)]))


def test_who_is_learned_from():
    assert chosen("final") == ["mitdb/100", "mitdb/101", "nsrdb/16265", "svdb/800"]
    assert chosen("final", mit=False) == ["nsrdb/16265", "svdb/800"]
    assert chosen("ec57") == ["mitdb/101", "nsrdb/16265", "svdb/800"]  # 100 is of DS2
    assert chosen("svdb") == ["mitdb/100", "mitdb/101", "nsrdb/16265"]
    assert chosen("svdb", mit=False) == ["nsrdb/16265"]
    assert set(task("ec57").persons) == {f"mitdb/{record}" for record in measured.DS1}


def test_no_tested_person_is_learned_from():
    index, folds = people_networks.patient_folds()
    own = [task(f"patient-{k}") for k in range(people_networks.FOLDS)]
    for one, fold in zip(own, folds):
        tested = {f"mitdb/{mitdb.person(str(record))}" for record in index.record[fold.test]}
        assert tested
        assert not tested & set(one.persons)
    assert {one.base for one in own} == {"base"}


@pytest.mark.parametrize("name", ["nsrdb", "patient", "patient-10", "patient-x", ""])
def test_other_tasks_are_refused(name):
    with pytest.raises(InputError, match="a task is one of"):
        task(name)


def batches(recipe: people.PeopleRecipe) -> people.PeopleBatch:
    own = tracks()
    sampler = people.Sampler(own, np.arange(8), None, recipe)
    return next(sampler.batches(1, np.random.default_rng(0)))


def test_fibrillation_without_beats_says_what_no_beat_is():
    own = tracks()
    own.allowed[:] = np.arange(17) == people.CLASSES.index("AFIB")
    own.track_has_beats[:] = [True, False, True, False]
    sampler = people.Sampler(own, np.arange(8), None, people.PeopleRecipe())
    targets = sampler._real(np.arange(8), np.random.default_rng(0))[1]
    silent = np.isin(np.arange(8) // 2, (1, 3))
    assert (targets[silent] == people.NOT_EARLY).all()
    assert (targets[~silent] != people.NOT_EARLY).all()
    assert people.TARGET_SETS[people.NOT_EARLY].tolist() == [1, 1, 0, 1]


def test_loss_of_a_set_is_that_of_its_share():
    """Four equal logits: a step that must be N costs log 4, one that must not be S costs log 4/3."""
    recipe = people.PeopleRecipe()
    outputs = np.zeros((1, 2, people.OUTPUTS), np.float32)
    allowed = np.zeros((1, 18), np.float32)
    _, beat_loss, class_loss = people_training.loss_of(outputs, np.array([[1, people.NOT_EARLY]]), allowed, recipe)
    expected = (recipe.beat_weights[1] * np.log(4) + recipe.not_early_weight * np.log(4 / 3)) / 2
    assert float(beat_loss) == pytest.approx(expected, rel=1e-5)
    assert float(class_loss) == 0


@pytest.mark.slow
def test_a_stopped_training_goes_on(tmp_path, monkeypatch):
    """Two epochs, and one epoch that was stopped and then another, end in the same weights."""
    import keras

    from qmodel import networks

    small = networks.stream(networks.same(4, 3, 1, 1), outputs=people.OUTPUTS)

    def trained(folder, stopped):
        keras.utils.set_random_seed(0)
        sampler = people.Sampler(tracks(), np.arange(8), None, people.PeopleRecipe(batch=4))
        if stopped:
            run = people_training.run_epochs

            def stopping(number, epoch, *others):
                def once(i):
                    if i:
                        raise KeyboardInterrupt
                    return epoch(i)

                return run(number, once, *others)

            with monkeypatch.context() as patch:
                patch.setattr(people_training, "run_epochs", stopping)
                with pytest.raises(KeyboardInterrupt):
                    people_training.train(networks.build(small, "float"), sampler, 2, folder, 3)
            keras.utils.set_random_seed(0)
        model = networks.build(small, "float")
        history = people_training.train(model, sampler, 2, folder, 3)
        assert len(history) == 2
        return model.get_weights()

    for one, other in zip(trained(tmp_path / "a", False), trained(tmp_path / "b", True)):
        np.testing.assert_array_equal(one, other)


def test_other_databases_are_needed(tmp_path, monkeypatch):
    monkeypatch.setattr(people_networks.mitdb, "find", lambda path=None: tmp_path)
    monkeypatch.setattr(people_networks.databases, "available", lambda: ["mitdb"])
    with pytest.raises(InputError, match="needs at least one: run `ecg-alq data --database"):
        _ = Networks(tmp_path / "a").collected
    assert not (tmp_path / "a").exists()


@pytest.fixture
def worked(monkeypatch, tmp_path) -> list[str]:
    """Names of the steps that were at work; each writes what its next one looks for."""
    done = []

    def stand_in(module, function, file):
        # in the module's own name: the program of that module decides what is stale
        def work(folder, **asked):
            done.append(file)
            (folder / file).write_text(json.dumps({}))
            return {}

        work.__module__ = module.__name__
        monkeypatch.setattr(module, function, work)

    stand_in(people_networks.people_collect, "work", "tracks.npz")
    stand_in(people_networks.people_base, "work", "float.keras")
    stand_in(people_networks.people_quantise, "work", "network.alq")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "800.hea").write_text("a record")
    monkeypatch.setattr(people_networks.mitdb, "find", lambda path=None: tmp_path / "data")
    monkeypatch.setattr(people_networks.databases, "find", lambda name: tmp_path / "data")
    monkeypatch.setattr(people_networks.databases, "available", lambda: ["mitdb", "svdb"])
    return done


def test_a_base_is_shared_and_nothing_is_made_twice(worked, tmp_path):
    made = Networks(tmp_path / "build")
    made.quantised(task("ec57"))
    made.quantised(task("final"))
    assert worked == ["tracks.npz", "float.keras", "network.alq", "network.alq"]
    Networks(tmp_path / "build").quantised(task("ec57"))
    assert len(worked) == 4


def test_what_was_made_from_others_is_made_again(worked, tmp_path, monkeypatch):
    Networks(tmp_path / "build").quantised(task("ec57"))
    (tmp_path / "data" / "800.hea").write_text("another record")
    Networks(tmp_path / "build").quantised(task("ec57"))
    assert worked[3:] == ["tracks.npz"]  # what was collected is the same, so what follows stays
    monkeypatch.setattr(people_networks, "ALQ_EPOCHS", 9)
    Networks(tmp_path / "build").quantised(task("ec57"))
    assert worked[-1] == "network.alq"
    monkeypatch.setattr(products, "program_of", lambda work: "another program")
    Networks(tmp_path / "build").quantised(task("ec57"))
    assert worked[-3:] == ["tracks.npz", "float.keras", "network.alq"]
