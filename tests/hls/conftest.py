"""Fixtures for the HLS tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from hls.cpp.convert import convert
from hls.engines.csim import CSimulation
from qmodel.frozen import FrozenNetwork
from tests.hls.projects import simulate, small_network


@pytest.fixture(scope="session")
def network() -> FrozenNetwork:
    """A small network with every kind of layer and grouping."""
    return small_network()


@pytest.fixture(scope="session")
def project(network: FrozenNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its HLS project; copy it before you change it."""
    return convert(network, tmp_path_factory.mktemp("hls") / "project")


@pytest.fixture(scope="session")
def simulation(project: Path) -> CSimulation:
    """Its C simulation."""
    return simulate(project)
