"""The page about a finished flow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from flow.steps.work.names import TEST
from qmodel.experiment import Experiment

if TYPE_CHECKING:
    from flow.build.products import Product


def work(folder: Path, experiment: Experiment, products: dict[str, Product], settings: dict) -> dict:
    """The page and its figures, `report.html` and `report.json`. Args: products: of the steps before."""
    from flow.publish import report

    with np.load(products["freeze"].folder / TEST) as file:
        logits, labels, test = file["logits"], file["labels"], file["fragments"]
    summary = report.figures(products, settings, logits, labels, experiment.loaded.classes)
    page = report.page(summary, products, experiment.loaded, test, logits.argmax(1))
    (folder / report.PAGE).write_text(page, "utf-8")
    (folder / report.FIGURES).write_text(json.dumps(summary, indent=2) + "\n", "utf-8")
    return summary | {"page": str(Path(settings["build"]) / report.PAGE)}
