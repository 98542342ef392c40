"""The C export: every integer of every stage, on any graph, with warnings as errors and under sanitizers."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hls.c import CExportError, write
from hls.c.generate import HEADER, SOURCE, TEST
from hls.engines.c import FLAGS, SANITIZERS, CExport, compile_c
from qmodel import models
from qmodel.data.synthetic import synthetic_windows
from qmodel.errors import InputError
from qmodel.fixed_point import Format, standardise
from qmodel.frozen import Activation, FrozenNetwork, TimeSum
from tests.strategies import frozen_graphs, frozen_networks, random_inputs, random_plane_layer

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
UNDEFINED = (*FLAGS, "-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")


def first_difference(network, engine, x):
    for stage, got, golden in zip(network.stages, engine.trace(x), network.trace(x), strict=True):
        if not np.array_equal(got, golden):
            return stage.name, np.argwhere(got != golden)[0].tolist()
    return None


@given(st.one_of(frozen_networks(), frozen_graphs()), st.integers(0, 2**32 - 1))
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_stage_of_any_network_equals_golden(network, seed):
    x = random_inputs(network, np.random.default_rng(seed), 3)
    with CExport(network, flags=UNDEFINED) as engine:
        assert first_difference(network, engine, x) is None
        assert np.array_equal(engine.run(x), network.run(x))


@pytest.fixture(scope="module")
def network():
    return models.load("compact")


@pytest.fixture(scope="module")
def adc():
    return synthetic_windows(per_class=1).signals.astype(np.int16)


@pytest.fixture(scope="module")
def exported(network, adc, tmp_path_factory):
    return write(network, tmp_path_factory.mktemp("c") / "export", [f"class {n}" for n in range(17)], adc[0])


def test_the_shipped_network_from_adc_units_to_logits(network, exported, adc):
    golden = network.run(standardise(adc, network.input_format))
    with CExport(network, exported) as engine:
        assert np.array_equal(engine.classify(adc), golden)
        assert engine.name == "C99"
        with pytest.raises(InputError, match="must not be flat"):
            engine.classify(np.full((1, 3600), 7, np.int16))
        with pytest.raises(InputError, match="must hold 3600 samples of 16 bits"):
            engine.classify(np.zeros((1, 48), np.int16))
        with pytest.raises(InputError, match="must hold 3600 samples of 16 bits"):
            engine.classify(np.full((1, 3600), 40000))


def test_extreme_windows(network, exported):
    """Full scale, one spike, a slow ramp: sums near their limits, and rounding on both sides of zero."""
    rng = np.random.default_rng(2)
    square = np.where(np.arange(3600) // 7 % 2, 32767, -32768)
    spike = np.zeros(3600, int)
    spike[1234] = 1
    ramp = np.arange(3600) - 1800
    windows = np.stack([square, spike, -spike, ramp, rng.integers(-32768, 32768, 3600), rng.integers(0, 2, 3600)])
    with CExport(network, exported) as engine:
        assert np.array_equal(engine.classify(windows), network.run(standardise(windows, network.input_format)))


@pytest.mark.slow
def test_1000_windows(network, exported, adc):
    """Every class of made-up ECG, scaled and shifted."""
    rng = np.random.default_rng(4)
    windows = adc[rng.integers(0, len(adc), 1000)] * rng.uniform(0.3, 3, (1000, 1)) + rng.integers(-900, 900, (1000, 1))
    windows = np.rint(windows).astype(np.int16)
    with CExport(network, exported) as engine:
        assert (engine.classify(windows) != network.run(standardise(windows, network.input_format))).sum() == 0


def test_the_golden_vector_under_sanitizers(exported, tmp_path):
    program = compile_c([exported / SOURCE, exported / TEST], tmp_path / "test", (*FLAGS, *SANITIZERS))
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True)
    assert done.stdout == "ecg_alq: 17 logits as expected, twice\n"
    # signs, a coordinate or a bias of the last layer that are others are seen in the logits
    text = (exported / SOURCE).read_text()
    for array, flipped in (("signs", 0xFF), ("coordinates", 1), ("biases", 1)):
        head, mark, tail = text.partition(f" {array}[")
        end = tail.index("\n};")
        start = tail.rindex(" ", 0, end - 1)
        changed = f"{tail[:start]} {int(tail[start:end].strip(' ,')) ^ flipped}{tail[end:]}"
        (tmp_path / SOURCE).write_text(head + mark + changed)
        program = compile_c([tmp_path / SOURCE, exported / TEST], tmp_path / "broken", (*FLAGS, "-I", str(exported)))
        done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
        assert (done.returncode, "expected" in done.stdout) == (1, True)


def test_what_the_source_does_not_contain(exported):
    text = (exported / SOURCE).read_text() + (exported / HEADER).read_text()
    for word in ("malloc", "calloc", "free(", "@", "TABLES"):
        assert word not in text
    behind, input_stage = text.split("/* Standardise")
    assert "double" not in behind.replace("#error", "").split("typedef", 1)[1]
    assert "float" not in input_stage.split("ecg_alq_end")[0]
    assert '#define ECG_ALQ_CLASSES {"class 0", ' in text


def test_fast_maths_is_refused_by_the_compiler(exported, tmp_path):
    done = subprocess.run(
        ["cc", "-ffast-math", "-c", str(exported / SOURCE), "-o", str(tmp_path / "x.o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "needs IEEE 754 double precision" in done.stderr


def test_several_leads():
    rng = np.random.default_rng(3)
    layers = (random_plane_layer(rng, 2, 3, 5, padding=(2, 2), output=None), TimeSum(), Activation(Format(9, 0, True)))
    network = FrozenNetwork(40, Format(8, 4, True), layers, input_channels=2)
    windows = rng.integers(-500, 500, (3, 40, 2))
    with CExport(network) as engine:
        golden = network.run(standardise(windows, network.input_format, axis=-2))
        assert np.array_equal(engine.classify(windows), golden)


def test_what_is_refused(tmp_path, network):
    with pytest.raises(CExportError, match="classes must name 17 logits, received 2"):
        write(network, tmp_path / "a", ["one", "two"])
    assert not (tmp_path / "a").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("work")
    with pytest.raises(InputError, match=r"mine is not a folder of `ecg-alq export`"):
        write(network, tmp_path / "mine")
    rng = np.random.default_rng(0)
    far = random_plane_layer(rng, 1, 1, 2, dilation=70001, padding=(70000, 0), output=None)
    with pytest.raises(CExportError, match="conv1 has dilation 70001, the C engine takes at most 65535"):
        write(FrozenNetwork(80000, Format(8, 4, True), (far,)), tmp_path / "b", window=np.arange(80000) % 7)


@pytest.mark.slow
def test_a_cortex_m4(network, adc, tmp_path):
    from hls.tools.cortex_m import measure, missing

    if names := missing():
        pytest.skip(f"{', '.join(names)} not installed")
    result = measure(network, adc[:3], tmp_path / "m4")
    assert result.exact
    assert result.flash <= 16 * 1024
    assert result.ram <= 16 * 1024
    # a sweep over 3.54 million weight visits, eight in eleven instructions, and the rest
    assert 5_000_000 < result.instructions < 25_000_000
