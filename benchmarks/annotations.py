"""How far annotations tell the class: a forest reads them in place of the signal, on the folds of `stratified`.

Run: python -m benchmarks.annotations   writes results/annotations.json, in seconds.
The forest is the one that gives the other windows their classes for training: it knows which beats (and how many of
each) and which rhythms the database annotates in a window, not in which order the beats come.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tqdm import tqdm

from flow.build.provenance import provenance
from flow.experiments.evaluate import fold_tasks
from qmodel.data import annotations, fragments, mitdb
from qmodel.data.fragments import CLASSES
from qmodel.experiment import Split
from qmodel.files import write_json
from qmodel.metrics import confusion_matrix, summarise
from qmodel.recipe import RECIPES
from qmodel.training_data import classes_by_annotations, place_of

FOLDS = 10


def main() -> None:
    """Test the forest on every fold and write one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=None)
    parser.add_argument("--results", default="results")
    arguments = parser.parse_args()
    # The folds of the networks' cross-validation; its networks are not used.
    tasks, _ = fold_tasks(RECIPES["compact"], Split("stratified", FOLDS), arguments.data, ".", None)
    index = fragments.load_index()
    windows = annotations.window_targets(mitdb.find(arguments.data), hop=annotations.WINDOW_SAMPLES)
    place, matrices = place_of(index, windows), []
    for task in tqdm(tasks, desc="Annotations", unit="fold"):
        fold = task.experiment.split.parts(index)
        seed, train = task.experiment.recipe.seed, fold.train
        probabilities = classes_by_annotations(windows, place[train], index.label[train], place[fold.test], seed)
        matrices.append(confusion_matrix(index.label[fold.test], probabilities.argmax(1), len(CLASSES)))
    row = {"kind": "measured"} | summarise(matrices, CLASSES) | {"provenance": provenance()}
    content = {"protocol": "stratified", "data_source": mitdb.SOURCE, "rows": [row]}
    write_json(Path(arguments.results) / "annotations.json", content)
    print(json.dumps({key: row[key] for key in ("accuracy_mean", "accuracy_std", "macro_f1_mean")}))


if __name__ == "__main__":
    main()
