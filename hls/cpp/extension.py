"""Registration of our layers, templates and kernels with hls4ml."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hls4ml.backends import get_backend
from hls4ml.model.flow import update_flow
from hls4ml.model.layers import register_layer
from hls4ml.model.optimizer import register_pass

from hls.cpp.keras_handlers import BACKENDS, FreezeKerasModel  # importing the handlers registers them
from hls.cpp.layers import LAYERS
from hls.cpp.templates import TEMPLATES

KERNELS = Path(__file__).parent / "kernels"


@cache
def register() -> None:
    """Make hls4ml know our layers; needed once, calling it again does nothing."""
    for layer in LAYERS:
        register_layer(layer.__name__, layer)
    register_pass(FreezeKerasModel().name, FreezeKerasModel)
    update_flow("convert", add_optimizers=[FreezeKerasModel().name])
    for template in TEMPLATES:  # the flow of Vitis runs the templates of Vivado too
        get_backend("Vivado").register_template(template)
    for name in BACKENDS:
        for header in sorted(KERNELS.glob("*.h")):
            get_backend(name).register_source(header)
