"""Any Keras model: frozen exactly, or refused with the layer's name and the way out; absorb and from_float."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers, ops
from qkeras import QActivation, QConv1D, quantized_bits, quantized_relu

from qmodel.alq.from_float import from_float
from qmodel.alq.layers import ALQConv1D, ALQDense, SumPooling1D, TimeSum
from qmodel.alq.quantizer import alq
from qmodel.errors import InputError, UserError
from qmodel.fixed_point import Format, requantise
from qmodel.freeze import freeze, keras_trace, proof_windows
from qmodel.frozen import FrozenNetwork
from qmodel.normalisation import absorb, settle
from tests.keras_graphs import on_grids


def quantizer(grouping="channelwise", bits=2):
    return alq(bits, grouping, coordinate_bits=5, coordinate_fraction=4)


def conv(filters, taps, **options):
    return ALQConv1D(filters, taps, kernel_quantizer=quantizer(options.pop("grouping", "channelwise")), **options)


def dense(units, **options):
    return ALQDense(units, kernel_quantizer=quantizer(), **options)


def relu(bits=4, integer=2, **options):
    return QActivation(quantized_relu(bits, integer, **options))


def model_of(function, shape=(24, 2), seed=0):
    """A functional model with random weights on their grids."""
    keras.utils.set_random_seed(seed)
    start = keras.Input(shape)
    return on_grids(keras.Model(start, function(start)), np.random.default_rng(seed))


def assert_exact(model, network):
    """Whole-model outputs of Keras against the golden model; freeze compared the layers already, by another way."""
    x = proof_windows(network, 5)
    x = np.concatenate([x, np.random.default_rng(9).integers(-128, 128, x.shape)])
    inputs = (x * network.input_format.step).astype(np.float32).reshape(len(x), *model.input_shape[1:])
    outputs = ops.convert_to_numpy(model(inputs, training=False)).reshape(len(x), -1)
    assert np.array_equal(outputs * 2.0**network.output.format.fraction, network.run(x))
    assert FrozenNetwork.from_bytes(network.file_bytes) == network


def nested(x):
    inner = keras.Sequential([keras.Input((24, 3)), conv(3, 3, padding="same"), relu(), layers.Dropout(0.3)])
    start = keras.Input((24, 3))
    middle = keras.Model(start, layers.Add()([inner(start), start]))
    return dense(2)(layers.Flatten()(relu()(middle(relu()(conv(3, 1)(x))))))


def shared(x):
    twice = conv(2, 3, padding="same")
    return twice(relu()(twice(x)))


SUPPORTED = {
    "same": lambda x: relu()(conv(3, 4, padding="same", strides=3)(x)),
    "causal and dilation": lambda x: relu()(conv(3, 3, padding="causal", dilation_rate=4)(x)),
    "grouped": lambda x: relu()(conv(6, 3, groups=2, grouping="pixelwise")(x)),
    "depthwise": lambda x: relu()(conv(4, 3, groups=2, grouping="kernelwise")(x)),
    "activation inside": lambda x: dense(3)(layers.Flatten()(conv(3, 3, activation=quantized_relu(4, 2))(x))),
    "signed activation": lambda x: dense(3)(QActivation(quantized_bits(5, 2, alpha=1))(conv(3, 3)(x))),
    "two paddings": lambda x: conv(3, 5)(layers.ZeroPadding1D((1, 2))(layers.ZeroPadding1D(1)(x))),
    "padding, activation, conv": lambda x: conv(3, 4)(relu()(layers.ZeroPadding1D(1)(conv(2, 1)(x)))),
    "padding, maximum": lambda x: layers.MaxPooling1D(3)(layers.ZeroPadding1D(2)(relu()(conv(2, 3)(x)))),
    "padding, sum": lambda x: dense(2)(TimeSum()(layers.ZeroPadding1D(3)(relu()(conv(2, 3)(x))))),
    "maximum same": lambda x: layers.MaxPooling1D(4, 3, padding="same")(x),
    "average of four": lambda x: conv(2, 2)(layers.AveragePooling1D(4, 3)(x)),
    "average of eight steps": lambda x: dense(2)(layers.GlobalAveragePooling1D()(layers.MaxPooling1D(3)(x))),
    "sums": lambda x: conv(2, 2)(SumPooling1D(3, 2)(relu()(conv(2, 3)(x)))),
    "global maximum": lambda x: dense(2)(layers.GlobalMaxPooling1D()(conv(3, 3)(x))),
    "residual": lambda x: relu()(layers.Add()([conv(3, 3, padding="same")(x), relu()(conv(3, 1)(x))])),
    "residual by plus": lambda x: relu()(conv(2, 3, padding="same")(x) + x),
    "x + x": lambda x: x + relu(6, 1)(x) + x,
    "branches": lambda x: layers.Concatenate()([conv(2, 3, padding="same")(x), relu()(conv(2, 1)(x)), x]),
    "dense heads": lambda x: layers.concatenate([dense(2)(TimeSum()(x)), dense(3)(layers.GlobalMaxPooling1D()(x))]),
    "steps": lambda x: dense(3)(relu()(conv(4, 5, padding="causal")(x))),
    "nested": nested,
    "shared layer": shared,
    "reshaped input": lambda x: conv(2, 3)(layers.Reshape((12, 4))(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", SUPPORTED)
def test_frozen_exactly(name):
    model = model_of(SUPPORTED[name])
    network = freeze(model)
    assert_exact(model, network)


def test_features_are_steps_of_one_channel():
    model = model_of(lambda x: dense(2)(relu()(dense(5)(x))), shape=(16,))
    network = freeze(model)
    assert (network.input_length, network.input_channels) == (16, 1)
    assert_exact(model, network)


REFUSED = {
    "relu inside": (lambda x: conv(3, 3, activation="relu", name="c")(x), "c: .*quantized_relu"),
    "softmax inside": (lambda x: dense(3, activation="softmax", name="d")(x), "d: .*quantized_relu"),
    "sigmoid inside": (lambda x: dense(3, activation="sigmoid", name="d")(x), "d: .*received sigmoid"),
    "upper bound": (
        lambda x: relu(4, 2, relu_upper_bound=1.5, is_quantized_clip=False)(conv(3, 3)(x)), "relu_upper_bound"),
    "negative slope": (lambda x: relu(4, 2, negative_slope=0.25)(conv(3, 3)(x)), "slopes"),
    "symmetric": (lambda x: QActivation(quantized_bits(4, 1, symmetric=1, alpha=1))(x), "symmetric"),
    "normalisation": (lambda x: layers.BatchNormalization(name="n")(conv(3, 3)(x)), "n: .*absorb"),
    "average of three": (lambda x: layers.AveragePooling1D(3, name="a")(x), "a: .*SumPooling1D"),
    "average same": (lambda x: layers.AveragePooling1D(4, 1, padding="same", name="a")(x), "a: .*ZeroPadding1D"),
    "softmax": (lambda x: layers.Softmax(name="s")(dense(2)(x)), "s: .*leave it out"),
    "slice": (lambda x: conv(2, 3)(x[:, 2:]), "slice the windows"),
    "product": (lambda x: layers.Multiply(name="m")([x, conv(2, 1)(x)]), "m: .*additions"),
    "plus a constant": (lambda x: conv(2, 1)(x) + 1.0, "constant"),
    "recurrent": (lambda x: layers.GRU(3, name="g")(x), "g: .*causal convolutions"),
    "padding at the end": (lambda x: layers.ZeroPadding1D(1)(conv(2, 3)(x)), "at the end"),
    "padding before a dense layer": (lambda x: dense(2, name="d")(layers.ZeroPadding1D(1)(x)), "d: padding must"),
    "padding before flatten": (lambda x: dense(2)(layers.Flatten()(layers.ZeroPadding1D(1)(x))), "leave it out"),
    "more padding than taps": (lambda x: conv(2, 3, name="c")(layers.ZeroPadding1D(3)(x)), "c: padding must be below"),
    "time concatenated": (lambda x: layers.Concatenate(axis=1, name="k")([x, x]), "k: .*axis -1"),
    "float convolution": (lambda x: layers.Conv1D(2, 3, name="c")(x), "c: .*from_float"),
    "qkeras convolution": (
        lambda x: QConv1D(2, 3, kernel_quantizer=quantized_bits(4, 0, alpha=1), name="c")(x), "c: .*ALQConv1D"),
    "upsampling": (lambda x: layers.UpSampling1D(2, name="u")(x), "u: .*decoder"),
    "lambda": (lambda x: layers.Lambda(lambda y: y * 2, name="l")(x), "l: .*cannot be read"),
    "floating coordinates": (lambda x: ALQConv1D(2, 3, kernel_quantizer=alq(2), name="c")(x), "c: .*absorb"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name_with_the_way_out(name):
    function, message = REFUSED[name]
    with pytest.raises(UserError, match=message):
        freeze(model_of(function))


def test_models_without_one_graph_are_refused():
    start = keras.Input((24, 2))
    first, second = dense(2)(TimeSum()(start)), dense(2)(layers.GlobalMaxPooling1D()(start))
    with pytest.raises(InputError, match="one input and one output"):
        freeze(keras.Model(start, [first, second]))
    other = keras.Input((24, 2))
    with pytest.raises(InputError, match="one input and one output"):
        freeze(keras.Model([start, other], layers.Add()([start, other])))
    with pytest.raises(InputError, match="known sizes"):
        freeze(model_of(lambda x: conv(2, 3)(x), shape=(None, 1)))
    with pytest.raises(InputError, match="input shape yet"):
        freeze(keras.Sequential([conv(2, 3)]))

    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(InputError, match="functional API"):
        freeze(Own())


def test_an_overridden_call_is_noticed():
    class Doubled(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return super().call(inputs) * 2

    plain = model_of(lambda x: conv(2, 3)(x))
    with pytest.raises(InputError, match="call is overridden"):
        freeze(Doubled(plain.inputs[0], plain.outputs[0]))


def test_a_layer_whose_call_is_changed_is_named(monkeypatch):
    """The proof compares every layer with what Keras really computes."""
    model = model_of(lambda x: dense(2)(layers.Flatten()(relu()(conv(2, 3, name="bent")(x)))))
    layer = model.get_layer("bent")
    product = layer._product
    monkeypatch.setattr(layer, "_product", lambda inputs, kernel: product(inputs, kernel) + 1.0)
    with pytest.raises(InputError, match=r"q_activation.*differ"):
        freeze(model)


def test_mixed_precision_is_refused():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = model_of(lambda x: dense(2, bias_quantizer=quantized_bits(20, 10, alpha=1), name="d")(conv(2, 3)(x)))
        with pytest.raises(InputError, match="bfloat16"):
            freeze(model)
    finally:
        keras.config.set_dtype_policy("float32")


def test_channels_first_is_refused():
    with pytest.raises(InputError, match="channels_last"):
        conv(2, 3, data_format="channels_first")


def test_biases_without_quantizer_go_onto_their_grid():
    model = model_of(lambda x: dense(2, use_bias=False)(relu()(conv(3, 3, name="c")(x))))
    assert freeze(model).plane_layers[0].bias.any()


def test_metadata_and_formats():
    model = model_of(lambda x: dense(3)(TimeSum()(relu()(conv(3, 3)(x)))))
    form = Format(6, 2, True)
    settle(model, form)
    network = freeze(model, form, {"classes": ["a", "b", "c"], "rate_hz": 250})
    assert network.class_names == ("a", "b", "c")
    assert network.input_format == form
    assert len(keras_trace(model, network, proof_windows(network))) == 3


def float_model():
    """What people bring: normalisations of every kind of place, activations inside, averages, separable layers."""
    keras.utils.set_random_seed(3)
    start = keras.Input((20, 2))
    x = layers.Conv1D(4, 5, padding="causal", activation="relu", name="first")(start)
    x = layers.Add()([x, layers.BatchNormalization()(layers.Conv1D(4, 3, padding="same", use_bias=False)(x))])
    x = layers.MaxPooling1D(2, padding="same")(layers.ReLU()(x))
    a = layers.SeparableConv1D(3, 3, padding="same", activation="relu")(x)
    b = layers.ReLU()(layers.Conv1D(3, 1)(layers.AveragePooling1D(3, 1)(layers.ZeroPadding1D(1)(x))))
    x = layers.BatchNormalization(name="alone")(layers.Concatenate()([a, b]))
    x = layers.DepthwiseConv1D(3, dilation_rate=2, activation="relu")(x)
    x = layers.Concatenate()([layers.GlobalAveragePooling1D()(x), layers.GlobalMaxPooling1D()(x)])
    end = layers.Dense(3, activation="softmax")(layers.Dropout(0.2)(layers.Dense(6, activation="relu")(x)))
    model = keras.Model(start, end)
    random = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            gamma = random.choice([-1, 1], layer.gamma.shape) * random.uniform(0.5, 1.5, layer.gamma.shape)
            rest = [random.uniform(0.5, 1.5, layer.gamma.shape) for _ in range(3)]
            layer.set_weights([gamma, *rest])
    return model


def test_absorb_keeps_the_function_and_freezes_exactly():
    model = float_model()
    quantised = from_float(model, bits=3)
    absorbed = absorb(quantised, coordinate_bits=10)
    x = np.random.default_rng(0).normal(0, 1, (30, 20, 2)).astype(np.float32)
    x = requantise(np.rint(x * 16).astype(int), 4, Format(8, 4, True)) / 16
    given, wanted = (ops.convert_to_numpy(m(x.astype(np.float32), training=False)) for m in (absorbed, quantised))
    assert np.corrcoef(given.reshape(-1), wanted.reshape(-1))[0, 1] > 0.95  # what stands alone is 8 bits wide
    settle(absorbed)
    network = freeze(absorbed)
    assert_exact(absorbed, network)
    assert {"first", "alone"} <= {layer.name for layer in absorbed.layers}
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in absorbed.layers)


@pytest.mark.parametrize("hidden", [(), (6,), (6, 5)])
def test_an_average_before_hidden_layers_keeps_its_slope(hidden):
    """The division goes into the layer behind the average, however many follow."""

    def function(x):
        x = layers.GlobalAveragePooling1D()(relu(6)(layers.BatchNormalization()(ALQConv1D(5, 3)(x))))
        for units in hidden:
            x = relu(6)(layers.BatchNormalization()(ALQDense(units)(x)))
        return ALQDense(3)(x)

    model = model_of(function, shape=(23, 1))
    absorbed = absorb(model, coordinate_bits=10)
    x = np.random.default_rng(0).normal(0, 1, (40, 23, 1)).astype(np.float32)
    given, wanted = (ops.convert_to_numpy(m(x, training=False)).reshape(-1) for m in (absorbed, model))
    slope = np.polyfit(wanted, given, 1)[0]
    assert slope == pytest.approx(1, abs=0.03)


def test_from_float_takes_weights_over_and_refuses_other_activations():
    model = keras.Sequential([keras.Input((16, 1)), layers.Conv1D(3, 3, name="c"), layers.Flatten(), layers.Dense(2)])
    quantised = from_float(model, bits=6)
    x = np.random.default_rng(0).normal(0, 1, (9, 16, 1)).astype(np.float32)
    given, wanted = (ops.convert_to_numpy(m(x, training=False)) for m in (quantised, model))
    assert np.abs(given - wanted).max() < 0.05 * np.abs(wanted).max()
    with pytest.raises(InputError, match="e: the activation tanh"):
        from_float(keras.Sequential([keras.Input((8, 1)), layers.Conv1D(2, 3, activation="tanh", name="e")]))


def test_weights_of_a_float_layer_are_sketched(tmp_path):
    """`load_weights` and `set_weights` of a trained float model leave no coordinates behind that do not fit."""
    plain = keras.Sequential([keras.Input((16, 1)), layers.Conv1D(3, 5), layers.Flatten(), layers.Dense(2)])
    ours = keras.Sequential([keras.Input((16, 1)), ALQConv1D(3, 5), layers.Flatten(), ALQDense(2)])
    ours.layers[0].set_weights(plain.layers[0].get_weights())
    kernel = ops.convert_to_numpy(plain.layers[0].kernel)
    error = np.linalg.norm(ops.convert_to_numpy(ours.layers[0].quantized_kernel()) - kernel) / np.linalg.norm(kernel)
    assert error < 0.4
