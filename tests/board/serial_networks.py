"""Small networks whose streams fit a serial line."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, TimeSum
from tests.strategies import random_plane_layer

SAMPLES, VALUES = 48, 3


def small_network(seed: int = 7, input_bits: int = 6, samples: int = SAMPLES, classes: int = VALUES) -> FrozenNetwork:
    """A convolution, a pool, a sum and a dense layer."""
    rng = np.random.default_rng(seed)
    output = Format(4, 1, False)
    return FrozenNetwork(
        samples,
        Format(input_bits, 3, True),
        (
            random_plane_layer(rng, 1, 4, 6, stride=2, padding=(3, 2), output=output),
            MaxPool(3, 2),
            TimeSum(),
            random_plane_layer(rng, 4, classes, 1, output=None),
        ),
    )


def core_of(network: FrozenNetwork) -> Callable[[bytes], bytes]:
    """Bytes of a window to bytes of its logits, as `SerialModel` asks for."""

    def core(window: bytes) -> bytes:
        return network.run(np.frombuffer(window, "<i1")[None].astype(int))[0].astype("<i4").tobytes()

    return core
