"""Both networks fit the small FPGA, and golden model = C simulation on windows of all classes, in every layer."""

from __future__ import annotations

import pytest

from hls.cpp.convert import convert
from hls.engines.csim import CSimulation
from hls.engines.parity import compare
from hls.estimate import check_budget, estimate
from hls.plan import Plan
from qmodel import models
from qmodel.fixed_point import standardise


def frozen(name):
    """The shipped network, or one of random weights with normalisation absorbed where none is shipped yet."""
    if name in models.names():
        return models.load(name)
    keras = pytest.importorskip("keras")
    from qmodel.alq.quantizer import alq
    from qmodel.freeze import freeze
    from qmodel.networks import build, network
    from qmodel.normalisation import absorb

    keras.utils.set_random_seed(2)
    spec = network(name)
    return freeze(absorb(build(spec, "alq", weight_quantizer=lambda _: alq(bits=2))))


@pytest.mark.parametrize("name", models.names())
def test_shipped_networks_fit_the_budget(name):
    """6,000 cycles per frame, 3,700 between frames, 13,000 LUT, 16 DSP, 20 BRAM36 on the xc7z020 (estimated)."""
    network = models.load(name)
    check_budget(estimate(Plan.of(network)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "compact"])
def test_windows_of_all_classes(name, ecg_windows, tmp_path):
    network = frozen(name)
    simulation = CSimulation(convert(network, tmp_path / "project"))
    report = compare(network, [simulation], standardise(ecg_windows.signals[::4]))
    assert report.equal, str(report)
    assert report.windows == len(ecg_windows.signals[::4])
