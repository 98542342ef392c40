"""ALQ on a task that is no ECG: handwritten digits (8 x 8 pixels, shipped with scikit-learn), rows read as time.

Run: python examples/digits.py [FOLDER]     about two minutes; prints float and ALQ accuracy, bits and the layer table.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from qmodel.alq.layers import ALQConv1D, ALQDense
from qmodel.alq.quantizer import alq
from qmodel.alq.summary import alq_summary
from qmodel.alq.trainer import ALQTrainer, Budget, average_bits
from qmodel.hyperparameters import FloatRecipe, Schedule
from qmodel.quantised_stage import copy_weights
from qmodel.training import accuracy, train_float
from qmodel.training_data import PlainSet


def build(quantised: bool) -> keras.Model:
    """Two convolutions over the rows of a digit and a dense layer."""

    def conv(filters: int, name: str):
        if quantised:
            return ALQConv1D(filters, 3, kernel_quantizer=alq(bits=3), use_bias=False, name=name)
        return keras.layers.Conv1D(filters, 3, use_bias=False, name=name)

    dense = (
        ALQDense(10, kernel_quantizer=alq(bits=3), name="dense") if quantised else keras.layers.Dense(10, name="dense")
    )
    return keras.Sequential(
        [
            keras.layers.Input((8, 8)),
            conv(32, "conv1"),
            keras.layers.BatchNormalization(name="norm1"),
            keras.layers.ReLU(),
            conv(48, "conv2"),
            keras.layers.BatchNormalization(name="norm2"),
            keras.layers.ReLU(),
            keras.layers.Flatten(),
            dense,
        ]
    )


def main(folder: str, epochs: int = 30) -> dict[str, float]:
    """Train, quantise to 1.5 bits per weight, and compare on the test digits; returns what it prints."""
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    data = PlainSet(train_x, np.eye(10, dtype=np.float32)[train_y])
    keras.utils.set_random_seed(0)
    model = build(quantised=False)
    train_float(model, data, (test_x, test_y), FloatRecipe(epochs=epochs), Path(folder) / "float")
    quantised = build(quantised=True)
    copy_weights(model, quantised)
    trainer = ALQTrainer(quantised, Schedule(finish=epochs // 3), Budget("average_bits", 1.5), teacher=model)
    trainer.fit(data, (test_x, test_y), Path(folder) / "alq")
    alq_summary(quantised)
    figures = {
        "float accuracy": accuracy(model, test_x, test_y),
        "ALQ accuracy": accuracy(quantised, test_x, test_y),
        "average bits": average_bits(trainer.states),
    }
    for name, value in figures.items():
        print(f"{name:<16}{value:.4f}")
    return figures


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1] if len(sys.argv) > 1 else scratch)
