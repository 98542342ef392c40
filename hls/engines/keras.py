"""The quantised Keras model as an engine."""

from __future__ import annotations

from typing import Any

from hls.engines.engine import Traced
from qmodel.frozen import FrozenNetwork


class KerasEngine(Traced):
    """A Keras model whose layers give integers times their step. Args: model: what `network` was frozen from."""

    def __init__(self, model: Any, network: FrozenNetwork) -> None:
        from qmodel.freeze import keras_tracer

        super().__init__("Keras", network, keras_tracer(model, network))
