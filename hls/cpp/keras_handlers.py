"""Keras 3 handlers: what hls4ml's converter makes of our layers, and of QKeras activations, for which it has none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hls4ml.converters.keras.qkeras import get_activation_quantizer
from hls4ml.converters.keras_v2_to_hls import layer_handlers as v2_layer_handlers
from hls4ml.converters.keras_v3._base import KerasV3LayerHandler
from hls4ml.converters.keras_v3_to_hls import KerasV3HandlerDispatcher
from hls4ml.model.optimizer import ModelOptimizerPass

from hls.cpp.graph import replace_stages
from hls.cpp.layers import ALQKerasLayer
from qmodel.errors import InputError
from qmodel.fixed_point import INPUT_FORMAT, Format

if TYPE_CHECKING:
    import keras
    from hls4ml.model.graph import ModelGraph

BACKENDS = ("Vivado", "Vitis")  # for which there are kernels
HLS4ML_PRECISION = "fixed<16,6>"  # what hls4ml fills in where nobody asked for anything


class ALQHandler(KerasV3LayerHandler):
    """Our Keras layers: placeholders, which `FreezeKerasModel` replaces."""

    handles = ("qmodel.alq.layers.ALQConv1D", "qmodel.alq.layers.ALQDense", "qmodel.alq.layers.TimeSum",
               "qmodel.alq.layers.SumPooling1D")  # fmt: skip

    def handle(
        self, layer: keras.Layer, in_tensors: Sequence[keras.KerasTensor], out_tensors: Sequence[keras.KerasTensor]
    ) -> tuple[dict, ...]:
        """One placeholder."""
        shape = [int(size) for size in out_tensors[0].shape[1:]]
        return ({**self.default_config, "class_name": ALQKerasLayer.__name__, "out_shape": shape},)


class QActivationHandler(KerasV3LayerHandler):
    """QKeras' QActivation, parsed as hls4ml does for Keras 2."""

    handles = ("qkeras.qlayers.QActivation",)

    def handle(
        self, layer: keras.Layer, in_tensors: Sequence[keras.KerasTensor], out_tensors: Sequence[keras.KerasTensor]
    ) -> tuple[dict, ...]:
        """hls4ml's activation layer with its quantizer."""
        names = [tensor.name for tensor in in_tensors]
        description = get_activation_quantizer(
            {"class_name": "QActivation", "config": layer.get_config(), "name": layer.name}, names
        )
        size = 1
        for length in in_tensors[0].shape[1:]:
            size *= int(length)
        return ({**description, **self.default_config, "class_name": description["class_name"], "n_in": size},)


class QWeightHandler(KerasV3LayerHandler):
    """QKeras' own layers: refuses our quantizer, which hls4ml would turn into another format; the rest as before."""

    handles = ("qkeras.qconvolutional.QConv1D", "qkeras.qlayers.QDense")

    def handle(
        self, layer: keras.Layer, in_tensors: Sequence[keras.KerasTensor], out_tensors: Sequence[keras.KerasTensor]
    ) -> tuple[dict, ...]:
        """What hls4ml's Keras 2 parser gives. Raises: InputError: an `alq` kernel quantizer."""
        kind = type(layer).__name__
        if type(getattr(layer, "kernel_quantizer_internal", None)).__name__ == "alq":
            raise InputError(
                f"{layer.name}: {kind} does not keep the coordinates of an `alq` kernel quantizer: "
                f"use ALQ{kind.removeprefix('Q')} from qmodel.alq.layers"
            )
        dispatcher = KerasV3HandlerDispatcher({}, allow_v2_fallback=True, v2_layer_handlers=v2_layer_handlers)
        return dispatcher(layer, in_tensors, out_tensors)


class FreezeKerasModel(ModelOptimizerPass):
    """Replaces a graph with placeholders of ours by the exact stages of the frozen Keras model."""

    def __init__(self) -> None:
        self.name = "alq_freeze_keras_model"

    def transform(self, model: ModelGraph) -> bool:
        """Freeze the Keras model and rebuild the graph from it; True if there was something to replace.

        Raises: InputError: a backend without kernels of ours, a model that cannot be frozen, with that input precision.
        """
        if not any(isinstance(node, ALQKerasLayer) for node in model.get_layers()):
            return False
        backend = model.config.config["Backend"]
        if backend not in BACKENDS:
            raise InputError(f"ALQ layers have kernels for the backends {' and '.join(BACKENDS)}, received {backend!r}")
        from qmodel.freeze import freeze  # TensorFlow, which a conversion from a file does without

        replace_stages(model, freeze(model.config.config["KerasModel"], input_format(model)))
        return True


def input_format(model: ModelGraph) -> Format:
    """The input format that the user's configuration asks for, or the input stage's where it asks for nothing.

    Raises: InputError: a precision that is no fixed point, or other modes of rounding and overflow than there are.
    """
    name = model.inputs[0]
    config = model.config.config["HLSConfig"]
    layer = config.get("LayerName", {}).get(name, {}).get("Precision")
    asked = layer.get("result") if isinstance(layer, dict) else layer
    default = config["Model"]["Precision"]
    default = default.get("default") if isinstance(default, dict) else default
    for text in (asked, default):
        if text in (None, "auto", HLS4ML_PRECISION, f"ap_{HLS4ML_PRECISION}"):
            continue
        found = re.fullmatch(r"(?:ap_)?(u?)fixed<\s*(\d+)\s*,\s*(-?\d+)\s*((?:,[^>,]*)*)>", text)
        if not found:
            raise InputError(f"{name}: the precision of the input must be fixed<bits,integer>, received {text!r}")
        modes = [mode.strip().upper().removeprefix("AP_") for mode in found[4].split(",")[1:]]
        if modes[:2] not in ([], ["RND_CONV"], ["RND_CONV", "SAT"]) or set(modes[2:]) - {"0"}:
            raise InputError(
                f"{name}: inputs are rounded half to even and saturate, as Keras does, received {text!r}: give "
                "RND_CONV,SAT or leave the modes out"
            )
        bits, integer = int(found[2]), int(found[3])
        return Format(bits, bits - integer, not found[1])
    return INPUT_FORMAT
