"""The quantizer and its layers as QKeras citizens, and their frozen form equal to Keras to the last bit."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from qkeras import QActivation, QConv1D, QConv2D, QDense, QSeparableConv1D, quantized_bits, quantized_relu

from qmodel.alq.layers import ALQConv1D, ALQDense, alq_layers
from qmodel.alq.quantizer import alq
from qmodel.alq.trainer import ALQTrainer
from qmodel.errors import InputError
from qmodel.fixed_point import Format
from qmodel.freeze import freeze, keras_trace
from qmodel.normalisation import absorb, settle


def small_model(grouping="channelwise", bits=2, coordinate_bits=8, seed=0):
    """Convolution, pool, convolution, dense on 24 samples: everything of stage folded."""
    keras.utils.set_random_seed(seed)

    def quantizer(fraction):
        return alq(bits, grouping, 2 if grouping == "subchannels" else 1, coordinate_bits, fraction)

    def bias(fraction):
        return quantized_bits(20, 19 - fraction, alpha=1.0)

    model = keras.Sequential(
        [
            keras.layers.Input((24, 1)),
            keras.layers.ZeroPadding1D((2, 1)),
            ALQConv1D(4, 4, strides=2, kernel_quantizer=quantizer(6), bias_quantizer=bias(10), name="conv1"),
            QActivation(quantized_relu(4, 2)),
            keras.layers.MaxPooling1D(3, 2),
            ALQConv1D(6, 2, kernel_quantizer=quantizer(7), bias_quantizer=bias(9), name="conv2"),
            QActivation(quantized_relu(4, 2)),
            keras.layers.Flatten(),
            ALQDense(5, kernel_quantizer=quantizer(7), bias_quantizer=bias(9), name="dense1"),
        ]
    )
    random = np.random.default_rng(seed)
    for layer in alq_layers(model):
        layer.bias.assign(random.normal(0, 0.3, layer.bias.shape))
        layer.sketch()
        pruned = ops.convert_to_numpy(layer.coordinates) * (random.random(layer.coordinates.shape) < 0.8)
        layer.set_planes(layer.quantizer.signs(layer.kernel.value, layer.coordinates.value), pruned)
    settle(model)
    return model


@settings(max_examples=12)
@given(
    st.sampled_from(["channelwise", "pixelwise", "kernelwise", "subchannels"]),
    st.integers(1, 3),
    st.integers(2, 9),
    st.integers(0, 1000),
)
def test_freeze_then_golden_equals_keras(grouping, bits, coordinate_bits, seed):
    model = small_model(grouping, bits, coordinate_bits, seed)
    network = freeze(model, Format(8, 4, True))
    x = np.random.default_rng(seed).integers(-128, 128, (8, 24))
    for ours, golden in zip(keras_trace(model, network, x), network.trace(x), strict=True):
        assert np.array_equal(ours, golden)


def test_keras_round_trip(tmp_path):
    model = small_model("pixelwise")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert freeze(again).file_bytes == freeze(model).file_bytes
    assert again.get_layer("conv1").quantizer.get_config() == model.get_layer("conv1").quantizer.get_config()


@pytest.mark.parametrize("kind", [QConv1D, ALQConv1D])
def test_ordinary_fit_lowers_the_loss(kind):
    keras.utils.set_random_seed(1)
    inputs = keras.layers.Input((16, 2))
    hidden = kind(4, 3, kernel_quantizer=alq(bits=2), activation="relu", name="conv1")(inputs)
    dense = QDense if kind is QConv1D else ALQDense
    model = keras.Model(inputs, dense(2, kernel_quantizer=alq(bits=2))(keras.layers.Flatten()(hidden)))
    random = np.random.default_rng(0)
    x = random.normal(size=(256, 16, 2)).astype(np.float32)
    y = (x[:, :, 0].sum(1) > x[:, :, 1].sum(1)).astype(np.int64)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = model.fit(x, y, epochs=8, batch_size=32, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    kernel = ops.convert_to_numpy(alq(bits=2)(model.get_layer("conv1").kernel))
    assert len(np.unique(np.round(np.abs(kernel[..., 0]), 6))) <= 4  # a filter has at most 2**2 levels


def test_straight_through_gradients():
    """The kernel's gradient is the quantised kernel's, the coordinates' is B' times it."""
    import tensorflow as tf

    quantizer = alq(bits=2)
    kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 2, 4)).astype(np.float32))
    coordinates = tf.abs(quantizer.sketch(kernel))
    weight = tf.constant(np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32))
    with tf.GradientTape() as tape:
        tape.watch([kernel, coordinates])
        loss = tf.reduce_sum(quantizer(kernel, coordinates) * weight)
    by_kernel, by_coordinates = tape.gradient(loss, [kernel, coordinates])
    assert np.array_equal(by_kernel, weight)
    signs = ops.convert_to_numpy(quantizer.signs(kernel, coordinates))
    grouped = np.asarray(weight).transpose(2, 0, 1).reshape(4, 1, 1, 6)
    assert np.allclose(by_coordinates, (signs * grouped).sum(-1), rtol=1e-5)


def test_rounding_keeps_live_coordinates_alive():
    quantizer = alq(bits=3, coordinate_bits=4, coordinate_fraction=3)
    assert ops.convert_to_numpy(quantizer.round_coordinates(np.array([0.0, 1e-4, 0.31, 9.0]))).tolist() == [
        0.0,  # pruned
        0.125,  # one step, not zero
        0.25,
        1.875,  # saturated
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 0}, "bits must be 1 to 8"),
        ({"bits": 9}, "bits must be 1 to 8"),
        ({"grouping": "rowwise"}, "grouping must be one of"),
        ({"coordinate_fraction": 3}, "needs coordinate_bits"),
    ],
)
def test_bad_quantizers(arguments, message):
    with pytest.raises(ValueError, match=message):
        alq(**arguments)


def test_layers_want_an_alq_quantizer():
    with pytest.raises(ValueError, match="needs an `alq` kernel quantizer"):
        ALQDense(3, kernel_quantizer=quantized_bits(4, 0, alpha=1.0))


def test_layers_of_two_dimensions_are_refused_by_name():
    """QKeras' own layers hand over kernels that no group of alq describes."""
    separable = QSeparableConv1D(2, 3, depthwise_quantizer=alq(1), pointwise_quantizer=alq(1))
    for layer, shape in ((QConv2D(2, 3, kernel_quantizer=alq(1)), (8, 8, 1)), (separable, (8, 2))):
        with pytest.raises(InputError, match=r"alq takes kernels .*use ALQConv1D and ALQDense"):
            layer(np.zeros((1, *shape), np.float32))


def _pretrained(layer, seed=0):
    """A kernel of another size than a new layer's."""
    return 10 * np.random.default_rng(seed).normal(size=layer.kernel.shape).astype(np.float32)


def _off(layer, kernel):
    held = ops.convert_to_numpy(layer.quantized_kernel())
    return np.abs(held - kernel).mean() / np.abs(kernel).mean()


@pytest.mark.parametrize("assigned", ["assign", "assign_add", "set_weights", "whole model", "compiled before"])
def test_a_kernel_assigned_by_hand_gets_its_planes(assigned):
    layer = ALQConv1D(4, 3, use_bias=False)
    model = keras.Sequential([keras.layers.Input((9, 2)), layer])
    x, kernel = np.ones((1, 9, 2), np.float32), _pretrained(layer)
    if assigned == "compiled before":
        model.predict(x, verbose=0)
    if assigned == "assign_add":
        kernel += ops.convert_to_numpy(layer.kernel)
        layer.kernel.assign_add(kernel - ops.convert_to_numpy(layer.kernel))
        kernel = ops.convert_to_numpy(layer.kernel)
    elif assigned == "set_weights":
        layer.set_weights([kernel])
    elif assigned == "whole model":  # kernel and coordinates, as they were: the coordinates are the caller's
        coordinates = ops.convert_to_numpy(layer.coordinates)
        model.set_weights([kernel, coordinates])
        assert np.array_equal(layer.coordinates, coordinates)
        return
    else:
        layer.kernel.assign(kernel)
    assert _off(layer, kernel) < 0.3  # two planes of normal weights; 0.87 with the coordinates of the first kernel
    given = ops.convert_to_numpy(keras.ops.conv(x, layer.quantized_kernel()))
    assert model.predict(x, verbose=0) == pytest.approx(given, abs=1e-4)


def test_a_kernel_assigned_behind_trained_planes_is_refused():
    model = small_model()
    layer = model.get_layer("conv2")
    layer.kernel.assign(_pretrained(layer))
    x, y = np.ones((4, 24, 1), np.float32), np.eye(5)[:4]
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    for use in (
        lambda: model(x),
        lambda: model.predict(x, verbose=0),
        lambda: model.fit(x, y, verbose=0),
        lambda: settle(model),
        lambda: absorb(model),
        lambda: freeze(model),
        lambda: ALQTrainer(model, sketch=False),
    ):
        with pytest.raises(InputError, match=r"conv2: its kernel was assigned by hand .* call its sketch\(\)"):
            use()
    layer.sketch()
    settle(model)
    freeze(model)


def test_trained_planes_can_be_kept_behind_a_new_kernel():
    model = small_model()
    layer = model.get_layer("conv2")
    coordinates = ops.convert_to_numpy(layer.coordinates)
    layer.kernel.assign(_pretrained(layer))
    layer.coordinates.assign(layer.coordinates)
    settle(model)
    assert np.array_equal(layer.coordinates, coordinates)
    layer.kernel.assign(ops.convert_to_numpy(layer.kernel))  # on the grid of its coordinates
    freeze(model)


@pytest.mark.parametrize("eager", [False, True])
def test_training_with_constraints_and_averages_assigns_nothing_by_hand(eager):
    keras.utils.set_random_seed(2)
    layer = ALQConv1D(3, 3, kernel_constraint=keras.constraints.MaxNorm(1.0))
    model = keras.Sequential([keras.layers.Input((8, 2)), layer, keras.layers.Flatten(), ALQDense(2)])
    model.compile(keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=3), "mse", run_eagerly=eager)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(16, 8, 2)), random.normal(size=(16, 2))
    model.fit(x, y, batch_size=4, verbose=0)
    settle(model)
