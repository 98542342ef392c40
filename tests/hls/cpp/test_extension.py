"""hls4ml's own converter on Keras models: ours exactly, QKeras' activations at all, nothing falls to a default."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil

import numpy as np
import pytest

from hls.cpp.extension import register
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, Format

keras = pytest.importorskip("keras")
pytest.importorskip("qkeras")


@pytest.fixture(scope="module")
def spec():
    from qmodel.networks import Block, Network

    blocks = (Block(3, 4, 2, (1, 2), 3, 2), Block(4, 3, 1, (0, 0), 1, 1))
    return Network(blocks, average=False, hidden=(5,), classes=3, input_length=40)


def absorbed_model(spec):
    """A model that can be frozen, with weights that are not trained."""
    from qmodel.networks import build
    from qmodel.normalisation import absorb

    keras.utils.set_random_seed(1)
    return absorb(build(spec, "alq"))


def convert(model, folder, **options):
    import hls4ml

    register()
    options = {"backend": "Vitis", "io_type": "io_stream", "part": "xc7z020clg400-1"} | options
    return hls4ml.converters.convert_from_keras_model(model, output_dir=str(folder), project_name="keras", **options)


@pytest.fixture
def quick_compiler(tmp_path, monkeypatch):
    """hls4ml compiles with -O3, whoever asks: its compiler does not, here."""
    compiler = tmp_path / "bin" / "g++"
    compiler.parent.mkdir()
    compiler.write_text(f'#!/bin/bash\nexec {shutil.which("g++")} "${{@/#-O3/-O0}}"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", str(compiler.parent), prepend=os.pathsep)


@pytest.mark.usefixtures("quick_compiler")
@pytest.mark.parametrize("average", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["flatten", "time sum"])
def test_hls4ml_predicts_the_golden_integers(spec, tmp_path, capfd, average):
    from qmodel.freeze import freeze

    model = absorbed_model(dataclasses.replace(spec, average=average))
    frozen = freeze(model)
    graph = convert(model, tmp_path / "project")
    output = frozen.stages[-1].output_format
    rng = np.random.default_rng(0)
    x = rng.integers(INPUT_FORMAT.low, INPUT_FORMAT.high + 1, (3, 40))
    graph.compile()
    predicted = graph.predict((x * INPUT_FORMAT.step).astype(np.float32)[..., None])
    np.testing.assert_array_equal(predicted.reshape(3, -1) / output.step, frozen.run(x))
    captured = capfd.readouterr()
    assert "nsupported" not in captured.out + captured.err
    defines = (tmp_path / "project" / "firmware" / "defines.h").read_text()
    widths = [int(width) for width in re.findall(r"ap_u?fixed<(\d+),", defines)]
    assert widths == [INPUT_FORMAT.bits] + [stage.output_format.bits for stage in frozen.stages]


def test_golden_equals_keras_equals_c_simulation(spec, tmp_path):
    from hls.cpp.convert import convert as convert_frozen
    from hls.engines.keras import KerasEngine
    from hls.engines.parity import compare
    from qmodel.freeze import freeze
    from tests.hls.projects import simulate
    from tests.strategies import random_inputs

    model = absorbed_model(spec)
    frozen = freeze(model)
    simulation = simulate(convert_frozen(frozen, tmp_path / "project"))
    engines = [KerasEngine(model, frozen), simulation]
    report = compare(frozen, engines, random_inputs(frozen, np.random.default_rng(3), 20))
    assert report.equal, str(report)
    assert set(report.per_layer) == {"Keras", "C simulation"}


def test_alq_in_a_plain_qkeras_layer_is_refused(tmp_path, capfd):
    from qkeras import QConv1D

    from qmodel.alq.quantizer import alq

    model = keras.Sequential([keras.layers.Input((20, 1)), QConv1D(2, 3, kernel_quantizer=alq())])
    with pytest.raises(ValueError, match="use ALQConv1D"):
        convert(model, tmp_path / "project")
    assert "nsupported" not in "".join(capfd.readouterr())


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")  # in hls4ml 1.3.0
def test_qkeras_activations_convert(tmp_path, capfd):
    """The handler that hls4ml 1.3.0 lacks; without it the conversion ends with an assertion."""
    from qkeras import QActivation, QConv1D, QDense, quantized_bits, quantized_relu

    weights = quantized_bits(4, 0, alpha=1.0)
    model = keras.Sequential(
        [
            keras.layers.Input((20, 1)),
            QConv1D(2, 3, kernel_quantizer=weights, bias_quantizer=weights, name="conv"),
            QActivation(quantized_relu(4, 2), name="relu"),
            keras.layers.Flatten(),
            QDense(3, kernel_quantizer=weights, bias_quantizer=weights, name="dense"),
        ]
    )
    import hls4ml

    register()
    config = hls4ml.utils.config_from_keras_model(model, "name", backend="Vitis", default_precision="fixed<24,12>")
    graph = convert(model, tmp_path / "project", hls_config=config)
    precision = graph.graph["relu"].get_output_variable().type.precision
    assert (precision.width, precision.integer, precision.signed) == (4, 2, False)
    assert "nsupported" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("backend", ["Quartus", "Catapult"])
def test_backends_without_kernels_are_refused(spec, tmp_path, backend):
    """They would get a project whose top calls none of our layers."""
    with pytest.raises(InputError, match=f"kernels for the backends Vivado and Vitis, received '{backend}'"):
        convert(absorbed_model(spec), tmp_path / "project", backend=backend)
    assert not (tmp_path / "project" / "firmware").exists()


@pytest.mark.parametrize(("asked", "expected"), [
    ("ap_fixed<9,3,AP_RND_CONV,AP_SAT>", Format(9, 6, True)),
    ("ufixed<6, 2>", Format(6, 4, False)),
    ("fixed<8,4,TRN,WRAP>", "half to even and saturate"),
    ("float", "must be fixed<bits,integer>, received 'float'"),
])  # fmt: skip
def test_the_users_input_precision_is_kept_or_refused(spec, tmp_path, asked, expected):
    precision = {"Model": {"Precision": "fixed<16,6>", "ReuseFactor": 1},
                 "LayerName": {"window": {"Precision": {"result": asked}}}}  # fmt: skip
    model = absorbed_model(spec)
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            convert(model, tmp_path / "project", hls_config=precision)
        return
    graph = convert(model, tmp_path / "project", hls_config=precision)
    found = graph.get_input_variables()[0].type.precision
    got = Format(found.width, found.width - found.integer, bool(found.signed))
    assert (got, str(found.rounding_mode), str(found.saturation_mode)) == (expected, "RND_CONV", "SAT")
