"""C simulation of the test part."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from flow.steps.work.names import TEST
from qmodel.experiment import Experiment


def work(folder: Path, experiment: Experiment, project: Path, golden: Path) -> dict:
    """Compile the project and run the test part: its logits, `test.npz`. Args: golden: the golden model's."""
    from hls.engines.csim import CSimulation

    clock = time.monotonic()
    simulation = CSimulation(project)
    compiled = time.monotonic()
    logits = simulation.run(experiment.test_integers, progress=True)
    done = time.monotonic()
    labels = experiment.test_labels
    np.savez(folder / TEST, logits=logits, labels=labels, fragments=experiment.parts.test)
    with np.load(golden) as file:
        expected = file["logits"]
    return experiment.windows.described | {
        "windows": len(logits),
        "accuracy_test": float((logits.argmax(1) == labels).mean()),
        "mismatches": int((logits != expected).sum()),
        "compile_seconds": round(compiled - clock, 3),
        "seconds_per_window": (done - compiled) / len(logits),
    }
