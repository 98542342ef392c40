"""From the absorbed stage to integers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.build.quiet import import_tensorflow
from flow.steps.work.figures import scores
from flow.steps.work.names import FROZEN, TEST
from qmodel.errors import InputError
from qmodel.experiment import Experiment
from qmodel.frozen import FrozenNetwork


def work(folder: Path, experiment: Experiment, absorbed_model: Path | None, frozen: Path | None) -> dict:
    """The frozen network, `network.alq`, and its golden logits of the test part, `test.npz`.

    Args: absorbed_model: to freeze; frozen: the file of a frozen network in its place.
    Raises: InputError: a network that takes other windows, or names other classes.
    """
    if frozen is not None:
        network = FrozenNetwork.load(frozen)
    else:
        import_tensorflow()
        from qmodel import training
        from qmodel.freeze import freeze

        assert absorbed_model is not None  # one of the two is given
        network = freeze(training.load(absorbed_model), metadata=experiment.metadata)
    network.save(folder / FROZEN)
    check_fits(network, experiment)
    integers = experiment.test_integers
    logits = network.run(integers) if len(integers) else np.zeros((0, network.stages[-1].output_channels), np.int64)
    np.savez(folder / TEST, logits=logits, labels=experiment.test_labels, fragments=experiment.parts.test)

    def in_reals(inputs: np.ndarray) -> np.ndarray:
        whole = np.rint(inputs / network.input_format.step).astype(np.int64)
        return network.run(whole) * network.stages[-1].output_format.step

    return experiment.windows.described | scores(experiment, in_reals) | describe(network)


def check_fits(network: FrozenNetwork, experiment: Experiment) -> None:
    """Raise InputError if a frozen network does not take an experiment's windows, or names other classes."""
    windows = experiment.loaded
    samples, *leads = windows.signals.shape[1:]
    if (network.input_length, network.input_channels) != (samples, *(leads or [1])):
        raise InputError(
            f"the network takes {network.input_length} samples of {network.input_channels} lead(s), a window has "
            f"{samples} of {(leads or [1])[0]}"
        )
    if network.output.values != len(windows.classes) or network.class_names not in (None, windows.classes):
        named = f" ({', '.join(network.class_names)})" if network.class_names else ""
        raise InputError(
            f"the network gives {network.output.values} logits{named}, the windows have {len(windows.classes)} classes "
            f"({', '.join(windows.classes)})"
        )


def describe(network: FrozenNetwork) -> dict:
    """Sizes of a frozen network and of its layers, for JSON."""
    layers = []
    for stage in network.plane_stages:
        layer = stage.layer
        counts = layer.plane_counts
        layers.append(
            {
                "name": stage.name,
                "weights": layer.weight_count,
                "filters": layer.filters,
                "groups": int(counts.size),
                "planes": int(counts.sum()),
                "groups_by_planes": np.bincount(counts.reshape(-1)).tolist(),
                "average_bits": layer.signs.size / layer.weight_count,
                "accumulator_bits": layer.accumulator_bits(stage.input_format),
            }
        )
    return {
        "identity": network.identity,
        "parameters": network.parameter_count,
        "bytes": network.size_bytes,
        "compression_bytes": network.compression_bytes,
        "compression_bits": network.compression_bits,
        "average_bits": network.average_bits,
        "layers": layers,
    }
