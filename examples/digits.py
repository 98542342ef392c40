"""From a Keras model of one's own to a verified core, on a task that is no ECG: handwritten digits.

They have 8 x 8 pixels and ship with scikit-learn; rows are read as time, columns as channels.
Run: python -m examples.digits [FOLDER]     a few minutes; prints accuracies and bits, writes digits.alq and its core.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from examples.cores import in_folder, verified_core
from qmodel.alq.from_float import from_float
from qmodel.alq.summary import alq_summary
from qmodel.alq.trainer import ALQTrainer, Budget, average_bits
from qmodel.freeze import freeze
from qmodel.hyperparameters import FloatRecipe, Schedule
from qmodel.normalisation import absorb, settle
from qmodel.training import accuracy, train_float
from qmodel.training_data import PlainSet


def build() -> keras.Model:
    """Two convolutions over the rows of a digit and a dense layer: plain Keras."""
    return keras.Sequential(
        [
            keras.layers.Input((8, 8)),
            keras.layers.Conv1D(32, 3, use_bias=False, name="conv1"),
            keras.layers.BatchNormalization(name="norm1"),
            keras.layers.ReLU(name="relu1"),
            keras.layers.Conv1D(48, 3, use_bias=False, name="conv2"),
            keras.layers.BatchNormalization(name="norm2"),
            keras.layers.ReLU(name="relu2"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, name="dense"),
        ]
    )


def main(place: Path, epochs: int = 30, simulate: bool = True) -> dict[str, float]:
    """Train, quantise to 1.5 bits per weight, freeze, and make the core; returns the figures that it prints.

    Args: simulate: the Verilog core too, which takes Verilator and a minute or two.
    """
    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 8, 8) / 16).astype(np.float32)  # pixels of 0 to 16 lie on the input grid of 1/16
    train_x, test_x, train_y, test_y = train_test_split(images, labels, test_size=0.25, stratify=labels, random_state=0)
    data, validation = PlainSet(train_x, np.eye(10, dtype=np.float32)[train_y]), (test_x, test_y)
    keras.utils.set_random_seed(0)
    model = build()
    train_float(model, data, validation, FloatRecipe(epochs=epochs), place / "float")
    quantised = from_float(model, bits=3)
    trainer = ALQTrainer(quantised, Schedule(finish=epochs // 3), Budget("average_bits", 1.5), teacher=model)
    trainer.fit(data, validation, place / "alq")
    absorbed = absorb(quantised)
    finish = Schedule(rounds=0, finish=max(1, epochs // 10), finish_coordinates=0)
    ALQTrainer(absorbed, finish, teacher=model, sketch=False).fit(data, validation, place / "absorbed")
    settle(absorbed)
    alq_summary(absorbed)
    network = freeze(absorbed, metadata={"classes": [str(digit) for digit in range(10)]})
    network.save(place / "digits.alq")
    integers = np.rint(test_x / network.input_format.step).astype(np.int64)
    figures = {
        "float accuracy": accuracy(model, *validation),
        "ALQ accuracy": accuracy(quantised, *validation),
        "frozen accuracy": float((network.run(integers).argmax(1) == test_y).mean()),
        "average bits": average_bits(trainer.states),
        "bytes": network.size_bytes,
    }
    for name, value in figures.items():
        print(f"{name:<16}{value:.6g}")
    print("core:", verified_core(network, place, integers[:8], simulate))
    return figures


if __name__ == "__main__":
    in_folder(main)
