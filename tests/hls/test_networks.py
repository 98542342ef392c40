"""Both networks on all windows: golden model = C simulation, every layer, every integer."""

from __future__ import annotations

import pytest

from hls.convert import convert
from hls.csim import CSimulation
from hls.parity import compare
from qmodel.fixed_point import standardise

pytest.importorskip("keras")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "compact"])
def test_all_windows(name, ecg_windows, tmp_path):
    """Random weights with normalisation folded in; trained ones differ in nothing that matters here."""
    import keras

    from qmodel.alq.quantizer import alq
    from qmodel.freeze import freeze
    from qmodel.networks import build, network
    from qmodel.normalisation import fold

    keras.utils.set_random_seed(2)
    spec = network(name)
    model = build(spec, "alq", weight_quantizer=lambda _: alq(bits=2))
    frozen = freeze(fold(model, spec, 4))
    simulation = CSimulation(convert(frozen, tmp_path / "project"))
    report = compare(frozen, {"C simulation": simulation.trace}, standardise(ecg_windows.signals))
    assert report.equal, str(report)
    assert report.windows == len(ecg_windows.signals)
