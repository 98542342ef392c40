"""Float training."""

from __future__ import annotations

from pathlib import Path

from flow.build.quiet import import_tensorflow
from flow.steps.work.figures import data_of, scores, take_history
from qmodel.experiment import Experiment


def work(folder: Path, experiment: Experiment) -> dict:
    """Train the float stage: `float.keras`."""
    data, validation = experiment.training_set, experiment.validation
    import_tensorflow()
    from qmodel import float_stage, training

    model = float_stage.train(experiment.recipe, data, validation, folder)
    parts = experiment.parts
    return experiment.windows.described | {
        "windows": {part: len(getattr(parts, part)) for part in ("train", "validation", "test")},
        "data": data_of(experiment),
        "other_windows": len(data.signals) - data.fragments,
        "parameters": model.count_params(),
        **scores(experiment, lambda inputs: training.predict(model, inputs)),
        "history": take_history(folder / "float"),
    }
