"""Train and measure the network `rhythm` for persons never met: `python benchmarks/people.py TASK`, resumable.

TASK: `final` (the network that ships: every person), `ec57` (DS1 and the other databases), `without:NAME` (leave one
database out), `patient` (the 13 classes of MIT-BIH that two persons have, ten folds by person). Every task is: a float network on the databases without MIT-BIH (`base`; `without:` starts afresh), a few
epochs on the task's own persons, ALQ with the float network as teacher, freezing. The row of the task goes to
results/people.json. Needs the databases (`ecg-alq data --database all`); an hour on one core for `final`.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from flow.build.provenance import provenance
from flow.build.results import put_rows
from flow.experiments import people as measured
from qmodel import people, people_training, reading
from qmodel.data import databases, fragments, mitdb, partial, splits
from qmodel.data.fragments import CLASSES
from qmodel.fixed_point import standardise
from qmodel.freeze import freeze
from qmodel.frozen import FrozenNetwork
from qmodel.hyperparameters import Schedule
from qmodel.metrics import confusion_matrix
from qmodel.networks import build

RESULTS = "people.json"
MADE_WINDOWS = 26_000
FINE_RATE = 1.5e-3
FOLDS = 10


def windows_of(tracks: partial.Tracks, task: str) -> np.ndarray:
    """Indices of the windows that a task may train on."""
    name = tracks.window_database
    if task == "final":
        return np.arange(len(name))
    if task == "base":
        return np.flatnonzero(name != "mitdb")
    if task == "ec57":
        return np.flatnonzero((name != "mitdb") | np.isin(tracks.track_record[tracks.window_track], measured.DS1))
    return np.flatnonzero(name != task.removeprefix("without:"))


def gathered(build_folder: Path) -> tuple[partial.Tracks, people.MadePool]:
    """Tracks of all databases and the pool of made rhythms; read from disk, or collected now."""
    file, pool = build_folder / "tracks.npz", build_folder / "made.npz"
    if not file.exists():
        partial.collect().save(file)
    tracks = partial.Tracks.load(file)
    if not pool.exists():
        made = people.make_pool(tracks, MADE_WINDOWS, 1)
        np.savez(pool, **{name: getattr(made, name) for name in people.MadePool.__dataclass_fields__})
    with np.load(pool, allow_pickle=False) as file:
        return tracks, people.MadePool(*(file[name] for name in people.MadePool.__dataclass_fields__))


def float_network(folder: Path, tracks, made, task: str, epochs: int, rate: float, start: Path | None) -> keras.Model:
    """The task's float network; read from disk, or trained now."""
    file = folder / "float.keras"
    if file.exists():
        return keras.models.load_model(file, compile=False)
    keras.utils.set_random_seed(0)
    model = build(people_training.RHYTHM, "float") if start is None else keras.models.load_model(start, compile=False)
    people_training.train(
        model, people.Sampler(tracks, windows_of(tracks, task), made, people.PeopleRecipe()), epochs, rate=rate
    )
    folder.mkdir(parents=True, exist_ok=True)
    model.save(file)
    return model


def frozen_network(build_folder: Path, task: str) -> FrozenNetwork:
    """The task's frozen network, from whatever of it lies in the folder."""
    folder = build_folder / task.replace(":", "-")
    file = folder / "network.alq"
    if file.exists():
        return FrozenNetwork.load(file)
    tracks, made = gathered(build_folder)
    if task.startswith("without:"):
        model = float_network(folder, tracks, made, task, 9, 3e-3, None)
    else:
        float_network(build_folder / "base", tracks, made, "base", 22, 3e-3, None)
        start = build_folder / "base" / "float.keras"
        model = float_network(folder, tracks, made, task, 8 if task == "final" else 6, FINE_RATE, start)
    epochs = {"final": 12, "ec57": 10}.get(task, 5)
    common = {"rounds": 0, "finish_coordinates": 0, "label_smoothing": 0.0, "distillation": 0.5}
    schedule = Schedule(finish=epochs, finish_learning_rate=4e-3, finish_floor=0.02, **common)
    settle = Schedule(finish=2 if epochs > 5 else 1, finish_learning_rate=3e-4, finish_floor=0.1, **common)
    sampler = people.Sampler(tracks, windows_of(tracks, task), made, people.PeopleRecipe())
    folded = people_training.quantise(
        people_training.RHYTHM, model, sampler, folder, people_training.RHYTHM_BITS, schedule, settle
    )
    if task == "final":  # more of what is no ECG, and less of the teacher
        sampler = people.Sampler(
            tracks, windows_of(tracks, task), made, people.PeopleRecipe(foreign=0.125, made=0.28, beats=0.25)
        )
        last = replace(schedule, finish=7, finish_learning_rate=1.5e-3, distillation=0.25)
        people_training.polish(folded, sampler, model, last, folder)
    network = replace(
        freeze(folded), metadata={"classes": list(reading.OUTPUTS), "rate_hz": 360, "window_samples": 3600}
    )
    network.save(file)
    return network


def patient_folds() -> tuple[fragments.Fragments, list[splits.Fold]]:
    """The benchmark's fragments, and ten folds by person."""
    index = fragments.load_index()
    return index, splits.make("patient", index, FOLDS, 0)


def patient_networks(build_folder: Path) -> list[FrozenNetwork]:
    """The ten folds' frozen networks: from `base`, two short epochs on the fold's persons and three of ALQ each."""
    folder = build_folder / "patient"
    index, folds = patient_folds()
    networks = []
    for k, fold in enumerate(folds):
        file = folder / f"{k}.alq"
        if not file.exists():
            tracks, made = gathered(build_folder)
            float_network(build_folder / "base", tracks, made, "base", 22, 3e-3, None)
            tested = [f"mitdb/{mitdb.person(str(record))}" for record in index.record[fold.test]]
            allowed = np.flatnonzero(~np.isin(tracks.window_person, tested))
            sampler = people.Sampler(tracks, allowed, made, people.PeopleRecipe())
            model = keras.models.load_model(build_folder / "base" / "float.keras", compile=False)
            people_training.train(model, sampler, 2, steps=200, rate=FINE_RATE, seed=k)
            common = {"rounds": 0, "finish_coordinates": 0, "label_smoothing": 0.0, "distillation": 0.5}
            schedule = Schedule(finish=3, finish_learning_rate=4e-3, finish_floor=0.02, **common)
            folded = people_training.quantise(
                people_training.RHYTHM, model, sampler, folder / str(k), people_training.RHYTHM_BITS, schedule,
                Schedule(finish=0, **common), steps=200, seed=k,
            )  # fmt: skip
            freeze(folded).save(file)
        networks.append(FrozenNetwork.load(file))
    return networks


def patient_row(networks: list[FrozenNetwork]) -> dict:
    """Accuracy over the classes that two persons have, by the sum of a class's logits over the window alone."""
    index, folds = patient_folds()
    windows = fragments.load_windows(mitdb.find())
    classes = np.unique(index.label[np.concatenate([fold.test for fold in folds])])
    first = len(reading.BEAT_OUTPUTS)
    labels, said, by_fold = [], [], []
    for network, fold in zip(networks, folds):
        logits = network.run(standardise(windows.signals[fold.test]))
        sums = logits.reshape(len(fold.test), -1, len(reading.OUTPUTS))[:, :, first : first + len(CLASSES)].sum(1)
        said.append(classes[sums[:, classes].argmax(1)])
        labels.append(windows.labels[fold.test])
        by_fold.append(round(100 * float((said[-1] == labels[-1]).mean()), 2))
    truth, answers = np.concatenate(labels), np.concatenate(said)
    return {
        "bytes": max(network.size_bytes for network in networks),
        "identities": [network.identity for network in networks],
        "folds": by_fold,
        "windows": len(truth),
        "classes": [CLASSES[c] for c in classes],
        "accuracy_mean": round(float(np.mean(by_fold)), 2),
        "accuracy_std": round(float(np.std(by_fold, ddof=1)), 2),
        "accuracy_pooled": round(100 * float((truth == answers).mean()), 2),
        "confusion": confusion_matrix(truth, answers, len(CLASSES)).tolist(),
    }


def row_of(task: str, network: FrozenNetwork) -> dict:
    """The figures of a task, on persons whom its network never met."""
    row = {
        "network": "rhythm",
        "protocol": task,
        "kind": "measured",
        "bytes": network.size_bytes,
        "identity": network.identity,
    }
    if task == "ec57":
        row |= measured.per_beat(network, "mitdb", measured.DS2)
    elif task == "without:svdb":
        row |= measured.per_beat(network, "svdb", databases.record_names(databases.find("svdb")))
    elif task.startswith("without:"):
        name = task.removeprefix("without:")
        found = measured.windows_of(network, name)
        row |= measured.rhythm_scores(found, name)
    return row


def main() -> None:
    """Run one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--build", type=Path, default=Path("build/people"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    arguments.build.mkdir(parents=True, exist_ok=True)
    if arguments.task == "patient":
        row = {"network": "rhythm", "protocol": "patient", "kind": "measured"}
        row |= patient_row(patient_networks(arguments.build))
    else:
        row = row_of(arguments.task, frozen_network(arguments.build, arguments.task))
    row |= {"provenance": provenance()}
    put_rows(arguments.results / RESULTS, [row], lambda row: (row["network"], row["protocol"]))
    print(json.dumps({key: value for key, value in row.items() if key not in ("records", "provenance")}, indent=2))


if __name__ == "__main__":
    main()
