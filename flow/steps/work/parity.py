"""Golden model, Keras, C simulation, C export and Verilog core on every layer of every test window."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.build.quiet import import_tensorflow
from flow.recordings.engines import ENGINES
from flow.steps.work.names import PARITY, TEST
from qmodel.experiment import Experiment
from qmodel.frozen import FrozenNetwork

if TYPE_CHECKING:
    from hls.engines.engine import Engine


def work(
    folder: Path,
    experiment: Experiment,
    frozen: Path,
    project: Path,
    absorbed_model: Path | None,
    engines: Sequence[str],
) -> dict:
    """Compare the engines: `parity.json`.

    Args: absorbed_model: Keras' part; None: compare without Keras; engines: which others (flow.recordings.engines).
    """
    from hls.engines.csim import CSimulation
    from hls.engines.keras import KerasEngine
    from hls.engines.parity import compare, frames_are_independent

    network = FrozenNetwork.load(frozen)
    integers, labels = experiment.test_integers, experiment.test_labels
    simulation = CSimulation(project)
    with ExitStack() as held:
        compared: list[Engine] = []
        if absorbed_model is not None:
            import_tensorflow()
            from qmodel import training
            from qmodel.alq import layers  # noqa: F401 - a saved stage names its classes

            compared.append(KerasEngine(training.load(absorbed_model), network))
        for name in engines:
            engine = simulation if name == "csim" else ENGINES[name](network, None)
            compared.append(held.enter_context(engine))
        verdict = compare(network, compared, integers, progress=True)
    verdict.save(folder / PARITY)

    with np.load(frozen.with_name(TEST)) as file:
        golden = file["logits"]

    def accuracy(values: np.ndarray) -> float:
        return float((values.argmax(1) == labels).mean())

    return experiment.windows.described | {
        "identity": verdict.identity,
        "accuracy": {"golden model": accuracy(golden)}
        | {name: accuracy(logits) for name, logits in verdict.logits.items()},
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
