"""HLS projects for tests: small networks, quick compiler flags, foldings drawn by hypothesis."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from hls.core import Core
from hls.engines import csim
from hls.engines.csim import CSimulation
from hls.engines.parity import Difference, difference
from hls.engines.rtl import SimulatedRun
from hls.folding import Folding, LayerFolding, legal_engines, legal_lanes
from qmodel.files import content_hash, kept
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer

_STANDARD_HEADERS = ("algorithm", "array", "fstream", "iostream", "map", "sstream", "string", "tuple", "vector")
_HEADERS = (*_STANDARD_HEADERS, "ap_fixed.h", "ap_int.h", "hls_stream.h")


def _quick() -> tuple[str, ...]:
    """Flags that compile fastest, for the short windows of tests: not optimised, what never changes compiled before."""
    import hls4ml

    types = Path(hls4ml.__file__).parent / "templates" / "vivado" / "ap_types"
    flags = ("-O0", "-fPIC")
    key = content_hash(csim._compiler_version(), csim.STANDARD, flags, _HEADERS, *sorted(types.rglob("*.h")))
    folder = csim.cache_folder().with_name(f"headers_{key[:16]}")

    def make(made: Path) -> None:
        made.mkdir()
        (made / "quick.h").write_text("".join(f"#include <{name}>\n" for name in _HEADERS))
        command = [csim.COMPILER, csim.STANDARD, *flags, "-isystem", types, "-x", "c++-header", made / "quick.h"]
        subprocess.run([*command, "-o", made / "quick.h.gch"], check=True)

    kept(folder, key, make)
    return (*flags, "-include", str(folder / "quick.h"))


QUICK = _quick()


def small_network(seed: int = 7) -> FrozenNetwork:
    """A bit of everything: every grouping, padding, strides, overlapping pools, a sum over time, pruned groups.

    The fractions are chosen so that most activations neither saturate nor vanish: mutations must be seen.
    """
    rng = np.random.default_rng(seed)
    layers = (
        random_plane_layer(rng, 1, 5, 8, stride=2, padding=(3, 4), output=Format(8, 2, False)),
        MaxPool(4, 2),
        random_plane_layer(rng, 5, 6, 3, padding=(1, 1), grouping="pixelwise", output=Format(6, -3, False)),
        random_plane_layer(rng, 6, 4, 3, grouping="kernelwise", output=Format(4, -9, False)),
        TimeSum(),
        random_plane_layer(rng, 4, 3, 1, grouping="subchannels", output=None),
    )
    return FrozenNetwork(40, Format(8, 4, True), layers)


def differs(core: Core, record: SimulatedRun, windows: np.ndarray) -> Difference | None:
    """Where a simulation of whole windows first leaves the golden model."""
    return difference(core.network, "the core", windows, record.trace(core.network, len(windows)))


def simulate(folder, flags: tuple[str, ...] = QUICK) -> CSimulation:
    """Compile and load a project."""
    return CSimulation(folder, flags)


@st.composite
def foldings(draw, network: FrozenNetwork) -> Folding:
    """Any legal folding of a network."""
    stages = network.plane_stages
    return Folding(
        tuple(
            LayerFolding(
                draw(st.sampled_from(legal_engines(stage.layer, stage is stages[-1]))),
                draw(st.sampled_from(legal_lanes(stage.layer))),
            )
            for stage in stages
        )
    )
