"""The quantised Keras model as an engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from hls.engines.engine import Traced
from qmodel.frozen import FrozenNetwork


class KerasEngine(Traced):
    """A Keras model whose layers give integers times their step. Args: model: what `network` was frozen from."""

    def __init__(self, model: Any, network: FrozenNetwork) -> None:
        from qmodel.freeze import keras_trace

        def trace(x: np.ndarray) -> list[np.ndarray | None]:
            return list(keras_trace(model, network, x))

        super().__init__("Keras", network, trace)
