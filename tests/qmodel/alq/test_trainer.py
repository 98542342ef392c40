"""Rounds, budgets and checkpoints of the trainer, on a small task of two shapes."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from qmodel import training
from qmodel.alq import basis
from qmodel.alq.layers import ALQConv1D, ALQDense, alq_layers
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer, Budget, average_bits, model_bytes
from qmodel.hyperparameters import PRESETS, DataRecipe, Schedule
from qmodel.training_data import TrainingSet

FINISH = Schedule(rounds=0, finish=2, finish_coordinates=0, batch=16)
SHORT = Schedule(rounds=2, bases=1, coordinates=1, finish=1, finish_coordinates=1, batch=16, label_smoothing=0.0)


@pytest.fixture
def data():
    """Two classes: a pulse up or a pulse down, anywhere in 60 samples."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 96)
    signals = random.normal(0, 0.2, (96, 60)).astype(np.float32)
    place = random.integers(0, 55, 96)
    for i in range(96):
        signals[i, place[i] : place[i] + 5] += 3.0 * (2 * labels[i] - 1)
    return TrainingSet(signals, np.eye(2, dtype=np.float32)[labels], 96, np.ones(96), DataRecipe(192)), (
        signals[..., None],
        labels,
    )


@pytest.fixture
def few(data):
    """The same in two steps an epoch, for what no learning is needed for."""
    train, validation = data
    return replace(train, recipe=DataRecipe(32)), validation


@pytest.fixture
def eager():
    """Every training step is run as it is written: of a few steps, tracing them takes most of the time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def model(grouping="channelwise", bits=3):
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.layers.Input((60, 1)),
            ALQConv1D(4, 5, strides=2, use_bias=False, kernel_quantizer=alq(bits, grouping), name="conv1"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.Dropout(0.1),
            ALQConv1D(6, 3, kernel_quantizer=alq(bits, grouping), activation="relu", name="conv2"),
            keras.layers.GlobalAveragePooling1D(),
            ALQDense(2, kernel_quantizer=alq(bits), name="dense1"),
        ]
    )


def weights(net):
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in net.variables]


@pytest.mark.parametrize("grouping", ["channelwise", "pixelwise"])
def test_training_learns_and_meets_a_budget_in_average_bits(data, tmp_path, grouping):
    train, validation = data
    net = model(grouping)
    schedule = replace(SHORT, bases=2, finish=8, learning_rate=1e-2, finish_learning_rate=1e-2)
    trainer = ALQTrainer(net, schedule, Budget("average_bits", 1.6))
    history = trainer.fit(train, validation, tmp_path)
    assert history[0]["bits"] > 2.5  # three planes, fewer where a sketch stops early
    assert average_bits(trainer.states) <= 1.6
    assert history[-1]["validation"] > 0.9
    for layer in alq_layers(net):  # what is evaluated is what was trained: the kernel lies on its grid
        assert np.allclose(layer.kernel, layer.quantized_kernel(), atol=1e-6)


def test_pruning_to_average_bits_spares_layers_of_small_groups(data, tmp_path):
    """A pixelwise first layer has groups of one weight: by score alone its planes would go first, and gain nothing."""
    train, validation = data
    trainer = ALQTrainer(model("pixelwise", bits=1), SHORT, Budget("average_bits", 0.7))
    trainer.fit(train, validation, tmp_path)
    planes = {state.layer.name: state.plane_counts().mean() for state in trainer.states}
    assert planes["conv1"] > planes["conv2"]


def begun(budget):
    """A trainer of one plane per group, as if it had taken its first step."""
    trainer = ALQTrainer(model(bits=1), SHORT, budget)
    for state in trainer.states:
        state.begin()
    trainer.step_number.assign(1.0)
    return trainer


@pytest.mark.parametrize(("score", "price", "first"), [
    (-1.0, "bytes", "conv2"),  # groups of 12 signs and a coordinate, against 5 (conv1) and 6 (dense1)
    (1.0, "bytes", "conv2"),
    (1.0, "cycles", "conv1"),  # 28 output steps against 26 and 1, one cycle each
    (-1.0, "cycles", "conv1"),
])  # fmt: skip
def test_of_equal_planes_the_dearest_goes_first(monkeypatch, score, price, first):
    monkeypatch.setattr(basis, "importance", lambda coordinates, *_: np.full(coordinates.shape, score))
    trainer = begun(Budget("bytes", 100, price=price))
    paid = {state.layer.name: [] for state in trainer.states}
    assert trainer._prune(1, 1e-3, paid) == 1
    assert paid == {state.layer.name: [score] if state.layer.name == first else [] for state in trainer.states}
    planes = {state.layer.name: state.plane_counts().sum() for state in trainer.states}
    assert planes == {"conv1": 4, "conv2": 6, "dense1": 2} | {first: {"conv1": 3, "conv2": 5}[first]}


def test_pruning_takes_no_more_than_the_budget_asks_for():
    trainer = begun(Budget("bytes", 0))
    size = model_bytes(trainer.states)
    trainer.budget = Budget("bytes", size - 5)  # two planes of conv2 at most: 20 bits each
    trainer._meet_budget(1e-3, {state.layer.name: [] for state in trainer.states})
    assert size - 5 - 3 <= model_bytes(trainer.states) <= size - 5


def test_averaged_latent_weights_are_quantised_again():
    """One plane of weights that swing round zero: the sign that is left is that of their mean."""
    net = keras.Sequential([keras.layers.Input((4,)), ALQDense(1, kernel_quantizer=alq(1), name="dense1")])
    trainer = ALQTrainer(net, Schedule(finish=3, average=3))
    trainer.step_number.assign(1.0)
    (state,) = trainer.states
    steps = np.array([[[[3.0, -1.0, 0.4, -2.0]]], [[[1.0, 2.0, -0.1, -1.0]]], [[[-1.0, -4.0, -0.9, -3.0]]]])
    for number, latent in enumerate(steps, 1):
        state.latent.assign(latent)
        trainer._average(number, 1e-3)
    assert np.allclose(state.mean_latent, steps.mean(0))
    # w = alpha b with alpha = mean |w| (Rastegari et al., ECCV 2016, eq. 6), here of 1, -1, -0.2 and -2.
    assert np.allclose(np.ravel(net.layers[0].kernel), 1.05 * np.array([1, -1, -1, -1]), rtol=1e-4)


def test_budget_in_bytes_and_per_layer(few, eager, tmp_path):
    train, validation = few
    narrow = dict.fromkeys(("conv1", "conv2", "dense1"), 9)
    trainer = ALQTrainer(model(), SHORT, Budget("bytes", 150), bias_bits=lambda _: narrow)
    history = trainer.fit(train, validation, tmp_path / "bytes")
    assert 147 <= model_bytes(trainer.states) <= 150
    assert {state.bias_bits for state in trainer.states} == {9}  # what is not spent on biases buys planes
    gone = {name: sum(epoch["pruned"][name] for epoch in history) for name in narrow}
    planes = {state.layer.name: int(state.plane_counts().sum()) for state in trainer.states}
    assert {name: gone[name] + planes[name] for name in narrow} == {"conv1": 12, "conv2": 18, "dense1": 6}
    with pytest.raises(ValueError, match="cannot be met: without any plane the model takes"):
        ALQTrainer(model(), SHORT, Budget("bytes", 20)).fit(train, validation, tmp_path / "none")
    trainer = ALQTrainer(model(), SHORT, Budget("average_bits", per_layer={"conv2": 1.0}))
    trainer.fit(train, validation, tmp_path / "layers")
    bits = {state.layer.name: average_bits([state]) for state in trainer.states}
    assert bits == {"conv1": 3.0, "conv2": pytest.approx(1.0, abs=0.2), "dense1": 3.0}
    assert bits["conv2"] <= 1.0


def test_killed_and_resumed_ends_in_the_same_bits(few, eager, tmp_path):
    train, validation = few
    undisturbed = model()
    ALQTrainer(undisturbed, SHORT, Budget("average_bits", 1.5)).fit(train, validation, tmp_path / "one")
    for stop in (2, 4, 5, None):  # in the middle of a round, inside pruning's second round, between phases, never

        def interrupt(number, metrics, stop=stop):
            if number == stop:
                raise KeyboardInterrupt

        resumed = model()
        trainer = ALQTrainer(resumed, SHORT, Budget("average_bits", 1.5))
        try:
            trainer.fit(train, validation, tmp_path / "many", on_epoch=interrupt)
        except KeyboardInterrupt:
            continue
    for ours, theirs in zip(weights(resumed), weights(undisturbed), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_checkpoint_of_other_settings_is_not_used(few, eager, tmp_path):
    train, validation = few
    first = model()
    ALQTrainer(first, FINISH, None).fit(train, validation, tmp_path)
    again = model()
    history = ALQTrainer(again, FINISH, None).fit(train, validation, tmp_path, seed=1)
    assert len(history) == len(FINISH.phases())
    assert not all(np.array_equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))


def test_schedules():
    phases = PRESETS["paper"].phases()
    assert [move for move, _ in phases[:19]] == ["bases"] * 8 + ["coordinates"] * 10 + ["prune"]
    assert phases[1][1] == pytest.approx(3e-4 * 0.8)  # paper, Section IV: decay 0.8 per epoch inside a round
    assert sum(move == "prune" for move, _ in phases) == 15


def test_the_finish_falls_from_its_rate_to_its_floor():
    schedule = Schedule(rounds=0, finish=3, finish_coordinates=0, finish_learning_rate=2e-3, finish_floor=0.5)
    # The cosine at 0, 90 and 180 degrees: all, half and none of the way above the floor.
    assert [rate for _, rate in schedule.phases()] == pytest.approx([2e-3, 1.5e-3, 1e-3])


def test_bad_settings():
    plain = keras.Sequential([keras.layers.Input((60, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="no ALQConv1D or ALQDense"):
        ALQTrainer(plain)
    with pytest.raises(ValueError, match=r"names layers \['conv9'\]"):
        ALQTrainer(model(), budget=Budget("bytes", per_layer={"conv9": 10}))
    with pytest.raises(ValueError, match="unit must be one of bytes, average_bits"):
        Budget("bits", 3)
    with pytest.raises(ValueError, match="price must be one of bytes, cycles"):
        Budget("bytes", 3, price="watts")
    with pytest.raises(ValueError, match="either a total or limits per layer"):
        Budget("bytes")


def test_full_disk_leaves_the_last_checkpoint(few, eager, tmp_path, monkeypatch):
    train, validation = few
    ALQTrainer(model(), FINISH, None).fit(train, validation, tmp_path)
    before = (tmp_path / training.CHECKPOINT).read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        ALQTrainer(model(), FINISH, None).fit(train, validation, tmp_path, seed=1)
    assert (tmp_path / training.CHECKPOINT).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [training.CHECKPOINT]
