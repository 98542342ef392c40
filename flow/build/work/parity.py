"""Golden model, Keras, C simulation and C export on every layer of every test window."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flow.build.quiet import import_tensorflow
from flow.build.work.names import PARITY, TEST
from qmodel.experiment import Experiment
from qmodel.frozen import FrozenNetwork


def work(folder: Path, experiment: Experiment, frozen: Path, project: Path, folded_model: Path | None) -> dict:
    """Compare the engines: `parity.json`. Args: folded_model: Keras' part; None: compare without Keras."""
    from hls.engines.c import CExport
    from hls.engines.csim import CSimulation
    from hls.engines.parity import compare, frames_are_independent

    network = FrozenNetwork.load(frozen)
    simulation = CSimulation(project)
    export = CExport(network)
    engines = {"C simulation": simulation.trace, export.name: export.trace}
    if folded_model is not None:
        import_tensorflow()
        from qmodel import training
        from qmodel.freeze import keras_trace

        model = training.load(folded_model)
        engines = {"Keras": lambda x: keras_trace(model, network, x), **engines}
    logits: dict[str, list[np.ndarray]] = {name: [] for name in engines}

    def remembered(name: str):
        def trace(x: np.ndarray) -> list[np.ndarray]:
            stages = engines[name](x)
            logits[name].append(np.asarray(stages[-1]).reshape(len(x), -1))
            return stages

        return trace

    integers, labels = experiment.test_integers, experiment.test_labels
    verdict = compare(network, {name: remembered(name) for name in engines}, integers, progress=True)
    verdict.save(folder / PARITY)

    with np.load(frozen.with_name(TEST)) as file:
        golden = file["logits"]

    def accuracy(values: np.ndarray) -> float:
        return float((values.argmax(1) == labels).mean())

    return experiment.windows.described | {
        "identity": verdict.identity,
        "accuracy": {"golden model": accuracy(golden)}
        | {name: accuracy(np.concatenate(parts)) for name, parts in logits.items()},
        "windows_compared": verdict.windows,
        "layers_compared": len(network.stages),
        "integers_compared": verdict.integers,
        "mismatches": verdict.mismatches,
        "first_difference": "; ".join(map(str, verdict.first.values())),
        "frames_independent": frames_are_independent(simulation, integers[:2]),
        "layers": [
            {
                "name": stage.name,
                "integers": stage.output_length * stage.output_channels * verdict.windows,
                "mismatches": {name: layers[stage.name] for name, layers in verdict.per_layer.items()},
            }
            for stage in network.stages
        ],
    }
