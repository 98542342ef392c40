"""The frozen network: a graph of integer stages, its file, and the golden model that defines every engine's output."""

from qmodel.frozen.file import MAGIC, VERSIONS, FrozenFileError, stored_bits
from qmodel.frozen.layers import (
    Activation,
    Add,
    AveragePool,
    Concatenate,
    Layer,
    MaxPool,
    PlaneLayer,
    Tensor,
    TimeSum,
)
from qmodel.frozen.network import INPUT, FrozenNetwork, Stage

__all__ = [
    "INPUT",
    "MAGIC",
    "VERSIONS",
    "Activation",
    "Add",
    "AveragePool",
    "Concatenate",
    "FrozenFileError",
    "FrozenNetwork",
    "Layer",
    "MaxPool",
    "PlaneLayer",
    "Stage",
    "Tensor",
    "TimeSum",
    "stored_bits",
]
