"""The C simulation computes the golden model's integers, always."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hls.cpp.convert import convert
from hls.engines import csim
from hls.engines.csim import CompileError, CSimulation
from hls.engines.parity import frames_are_independent
from hls.folding import Folding, LayerFolding
from qmodel.fixed_point import Format, to_transfers, transfer_bits
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.hls.projects import QUICK, foldings, simulate
from tests.strategies import frozen_graphs, frozen_networks, random_inputs, random_plane_layer

SLOW_EXAMPLES = 16  # each is compiled; every run draws others
COMPILES = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))


def assert_equals_golden(network, simulation, windows=6):
    x = random_inputs(network, np.random.default_rng(0), windows)
    for stage, expected, received in zip(network.stages, network.trace(x), simulation.trace(x)):
        np.testing.assert_array_equal(received, expected, err_msg=f"{stage.name}: {stage.layer}")
    np.testing.assert_array_equal(simulation.run(x), network.run(x))


def check_random_network(folder, network, data):
    io_type = data.draw(st.sampled_from(["io_stream", "io_stream", "io_parallel"])) if network.is_chain else "io_stream"
    backend = data.draw(st.sampled_from(["Vitis", "Vivado"]))
    convert(network, folder, data.draw(foldings(network)), io_type=io_type, backend=backend)
    assert_equals_golden(network, CSimulation(folder, QUICK, folder.with_name("cache")))  # nobody asks for it again


def test_any_network_and_folding_equals_golden(tmp_path):
    @settings(COMPILES, max_examples=4)
    @given(frozen_networks() | frozen_graphs().filter(lambda network: network.plane_stages), st.data())
    def check(network, data):
        check_random_network(tmp_path / "project", network, data)

    check()


@pytest.mark.slow
def test_many_networks_and_foldings_equal_golden(tmp_path):
    @settings(COMPILES, max_examples=SLOW_EXAMPLES)
    @given(frozen_networks(max_blocks=4, max_filters=10), st.data())
    def check(network, data):
        check_random_network(tmp_path / "project", network, data)

    check()


def test_every_layer_kind_equals_golden(network, simulation):
    assert_equals_golden(network, simulation, windows=40)


def test_the_top_takes_the_words_that_boards_and_rtl_bench_send(network, simulation):
    x = random_inputs(network, np.random.default_rng(1), 3)
    words = to_transfers(x, transfer_bits(network.input_format))
    assert (words.astype(np.int64) != x).any()  # unsigned words, not the integers themselves
    last = np.tile(np.arange(x.shape[1]) == x.shape[1] - 1, len(x))
    values, _ = simulation.stream(words.reshape(-1), last, len(x))
    assert np.array_equal(values.reshape(len(x), -1), network.run(x))


def test_hardware_integers_give_the_same(network, project):
    """With the exact widths of hardware instead of native types: no width is too small."""
    assert_equals_golden(network, CSimulation(project, QUICK + csim.EXACT_WIDTHS))


def test_widest_formats(tmp_path):
    """Accumulators beyond 32 bits, 16-bit activations, appended zeros, a shift beyond the accumulator."""
    rng = np.random.default_rng(3)
    layers = (
        random_plane_layer(
            rng, 1, 3, 5, coordinate_bits=16, coordinate_fraction=2, max_planes=4, output=Format(16, 9, False)
        ),
        MaxPool(3, 5),
        random_plane_layer(
            rng, 3, 4, 3, coordinate_bits=16, coordinate_fraction=12, max_planes=4, output=Format(16, 8, False)
        ),
        random_plane_layer(rng, 4, 3, 1, coordinate_bits=2, coordinate_fraction=3, output=Format(3, -30, False)),
        TimeSum(),
        random_plane_layer(rng, 3, 2, 1, coordinate_bits=16, output=None),
    )
    network = FrozenNetwork(50, Format(16, 4, True), layers)
    assert max(s.layer.accumulator_bits(s.input_format) for s in network.plane_stages) > 33
    folder = convert(network, tmp_path / "project")
    assert_equals_golden(network, CSimulation(folder, QUICK + csim.EXACT_WIDTHS))
    assert_equals_golden(network, simulate(folder))


def test_most_padding_and_unread_rest(tmp_path):
    """Windows that see one time step of the input, and input that no output needs."""
    rng = np.random.default_rng(5)
    layers = (
        random_plane_layer(rng, 1, 2, 4, stride=5, padding=(3, 3)),
        random_plane_layer(rng, 2, 2, 2, stride=3, padding=(0, 0)),
        random_plane_layer(rng, 2, 1, 1, stride=2, output=None),
    )
    network = FrozenNetwork(20, Format(5, 2, True), layers)
    assert_equals_golden(network, simulate(convert(network, tmp_path / "project")))


def test_filters_without_planes_give_their_bias(tmp_path):
    rng = np.random.default_rng(1)
    layer = random_plane_layer(rng, 1, 4, 3, max_planes=0, output=None)
    network = FrozenNetwork(9, Format(4, 0, True), (layer,))
    simulation = simulate(convert(network, tmp_path / "project", Folding((LayerFolding(1, 2),))))
    assert_equals_golden(network, simulation)


def test_frames_are_independent(network, simulation):
    assert frames_are_independent(simulation, random_inputs(network, np.random.default_rng(2), 5))


def test_short_and_long_frames_spoil_only_themselves(network, simulation):
    """A frame that ends early is filled with zeros, one that ends late is cut; the next one is whole."""
    x = random_inputs(network, np.random.default_rng(4), 3)
    length = x.shape[1]
    short, long = x[0, :-3], np.concatenate([x[1], [1, 2, 3]])
    samples = np.concatenate([short, long, x[2]])
    last = np.zeros(len(samples), bool)
    last[[len(short) - 1, len(short) + len(long) - 1, len(samples) - 1]] = True
    values, lasts = simulation.stream(samples, last, 3)
    filled = x.copy()
    filled[0, length - 3 :] = 0
    np.testing.assert_array_equal(values.reshape(3, -1), network.run(filled))
    assert lasts.reshape(3, -1).sum(1).tolist() == [1, 1, 1]


def test_sanitizers_find_nothing(network, project, tmp_path):
    """AddressSanitizer and UndefinedBehaviorSanitizer over the testbench, which ends with an error on any finding."""
    program = csim.compile_testbench(project, csim.SANITIZERS)
    csim.run_testbench(project, program)


@pytest.mark.parametrize("flags", [("-O0", "-std=c++11"), ("-O2", "-std=c++14")], ids=["Vivado HLS", "Vitis HLS"])
def test_kernels_compile_without_warnings(project, flags):
    assert csim.compile(project, (*flags, *csim.STRICT)).is_file()


def test_compiles_once_per_source(project, simulation, tmp_path):
    stamp = simulation.shared_object.stat().st_mtime_ns
    assert csim.compile(project, QUICK) == simulation.shared_object
    assert simulation.shared_object.stat().st_mtime_ns == stamp
    copy = shutil.copytree(project, tmp_path / "copy")
    assert csim.compile(copy, QUICK) == simulation.shared_object  # the same source elsewhere
    header = copy / "firmware" / "nnet_utils" / "alq_planes.h"
    header.write_text(header.read_text() + "// changed\n")
    cache = tmp_path / "cache"
    assert csim.compile(copy, QUICK, cache).stem != simulation.shared_object.stem
    (library,) = cache.glob("[!.]*")
    assert library.suffix == ".so"


def test_a_library_that_is_not_what_was_compiled_is_made_again(network, project, simulation, tmp_path, monkeypatch):
    """A truncated one ends the process that loads it with SIGBUS."""

    class Compiles(Exception):
        pass

    def compiles(*arguments, **options):
        raise Compiles

    whole, cache = simulation.shared_object.read_bytes(), tmp_path / "cache"
    product = cache / simulation.shared_object.name
    cache.mkdir()
    product.write_bytes(whole[:5000])  # as an older version left it: without a stamp
    assert_equals_golden(network, CSimulation(project, QUICK, cache))
    version = csim._compiler_version()
    monkeypatch.setattr(csim, "_compiler_version", lambda: version)
    monkeypatch.setattr(csim.subprocess, "run", compiles)
    assert csim.compile(project, QUICK, cache) == product
    for damaged in (whole[:5000], b"", whole + b"x"):
        product.unlink()  # it is loaded: not written over
        product.write_bytes(damaged)
        with pytest.raises(Compiles):
            csim.compile(project, QUICK, cache)


def test_bad_input(network, simulation, tmp_path):
    with pytest.raises(FileNotFoundError, match="run convert first"):
        csim.compile(tmp_path)
    for wrong in (np.zeros((1, 3), int), np.zeros((1, network.input_length)), np.zeros(network.input_length, int)):
        with pytest.raises(ValueError, match=r"integers of shape \(batch, 40\)"):
            simulation.run(wrong)
    with pytest.raises(ValueError, match="must lie in the range"):
        simulation.run(np.full((1, network.input_length), 128))


def test_a_source_that_does_not_compile(project, tmp_path):
    copy = shutil.copytree(project, tmp_path / "copy")
    (copy / "firmware" / "ecg_alq.cpp").write_text("nonsense")
    with pytest.raises(CompileError, match="nonsense"):
        csim.compile(copy, QUICK, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("[!.]*"))


def test_no_compiler(project, tmp_path, monkeypatch):
    monkeypatch.setattr(csim, "COMPILER", "no-such-compiler")
    with pytest.raises(CompileError, match="install it"):
        csim.compile(project, QUICK, tmp_path)
