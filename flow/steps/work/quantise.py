"""ALQ, folding of the normalisation, and the finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from flow.build.quiet import import_tensorflow
from flow.steps.work.figures import scores, take_history
from qmodel.experiment import Experiment


def work(
    folder: Path,
    experiment: Experiment,
    float_model: Path,
    teachers: Sequence[Path],
    on_epoch: Callable[[int, dict], None] | None,
) -> dict:
    """Quantise the float stage: `alq.keras`, `folded.keras`. Args: teachers: float stages, whose mean teaches."""
    data, validation = experiment.training_set, experiment.validation
    import_tensorflow()
    from qmodel import networks, quantised_stage, training

    models = {path: training.load(path) for path in {float_model, *teachers}}
    absorbed = quantised_stage.quantise(
        experiment.recipe,
        models[float_model],
        data,
        validation,
        folder,
        on_epoch,
        [models[path] for path in teachers],
    )
    return experiment.windows.described | {
        "budget_bytes": networks.budget_for(experiment.recipe, data),
        **scores(experiment, lambda inputs: training.predict(absorbed, inputs)),
        "history": take_history(folder / "alq"),
        "history_finish": take_history(folder / "folded"),
    }
