"""Protocols of persons never met: what a network that learned from others says of them, as rows of people.json.

`ec57`       beats of DS2, by DS1 and the other databases
`database`   svdb, vfdb and cinc2017, each by a network that learned from all others; by its name one of them alone
`patient`    windows of MIT-BIH in ten folds by person, the other databases in training
A network that is not there, or that was made by another program, is trained first (`people_networks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from flow.build.results import put_rows
from flow.experiments import people as measured
from flow.experiments.people_networks import FOLDS, Networks, patient_folds, task
from qmodel import models as shipped
from qmodel.data import databases, fragments, mitdb
from qmodel.data.fragments import CLASSES
from qmodel.frozen import FrozenNetwork
from qmodel.hyperparameters import PEOPLE_NETWORK, PEOPLE_PROTOCOLS, PEOPLE_RECIPE
from qmodel.metrics import confusion_matrix

NETWORK = PEOPLE_NETWORK
RESULTS = "people.json"
LEFT_OUT = ("svdb", "vfdb", "cinc2017")
PROTOCOLS = {name: LEFT_OUT if name == "database" else (name,) for name in PEOPLE_PROTOCOLS}


def evaluate(protocol: str, build: Path, results: Path, seed: int = 0) -> list[dict]:
    """Train what is not there and test it; the rows also go to people.json. Args: protocol: a key of PROTOCOLS."""
    networks = Networks(Path(build) / "people", seed)
    rows = []
    for name in PROTOCOLS[protocol]:
        row = patient_row(networks) if name == "patient" else task_row(name, networks.network(task(name)))
        rows.append(row)
        put(results, [row])
    return rows


def put(results: Path, rows: list[dict]) -> None:
    """Rows into people.json, with where they come from."""
    head = {"network": NETWORK, "kind": "measured", "recipe": PEOPLE_RECIPE}
    rows = [head | row | {"provenance": provenance()} for row in rows]
    put_rows(Path(results) / RESULTS, rows, lambda row: (row["network"], row["protocol"]))


def task_row(name: str, network: FrozenNetwork) -> dict:
    """The figures of a task, on persons whom its network never met."""
    asked = measured.Asked.of(network)
    protocol = name if name == "ec57" else f"without:{name}"
    row = {"protocol": protocol, "bytes": network.size_bytes, "identity": network.identity}
    if name == "ec57":
        windows = measured.labelled_windows("mitdb", measured.DS2)
        said = measured.calibration(asked.read(windows.cut), windows, asked.constants)
        return row | measured.per_beat(asked, "mitdb", measured.DS2) | {"calibration": said}
    if name == "svdb":
        return row | measured.per_beat(asked, "svdb", databases.record_names(databases.find("svdb")))
    windows = measured.labelled_windows(name)
    return row | measured.rhythm_scores(asked.read(windows.cut), windows, asked.constants, name)


def patient_row(networks: Networks, folds: Iterable[int] = range(FOLDS)) -> dict:
    """Accuracy over the classes that two persons have: the likeliest of them, whether or not it would be said."""
    index, parts = patient_folds()
    windows = fragments.load_windows(mitdb.find())
    classes = np.unique(index.label[np.concatenate([fold.test for fold in parts])])
    labels, said, by_fold, frozen = [], [], [], []
    for k in folds:
        test = parts[k].test
        frozen.append(networks.network(task(f"patient-{k}")))
        shares = measured.Asked.of(frozen[-1]).read(windows.signals[test]).shares[:, classes]
        said.append(classes[shares.argmax(1)])
        labels.append(windows.labels[test])
        by_fold.append(round(100 * float((said[-1] == labels[-1]).mean()), 2))
    truth, answers = np.concatenate(labels), np.concatenate(said)
    return {
        "protocol": "patient",
        "bytes": max(network.size_bytes for network in frozen),
        "identities": [network.identity for network in frozen],
        "folds": by_fold,
        "windows": len(truth),
        "classes": [CLASSES[c] for c in classes],
        "accuracy_mean": round(float(np.mean(by_fold)), 2),
        "accuracy_std": round(float(np.std(by_fold, ddof=1)), 2),
        "accuracy_pooled": round(100 * float((truth == answers).mean()), 2),
        "confusion": confusion_matrix(truth, answers, len(CLASSES)).tolist(),
    }


def train_final(build: Path, models: Path = shipped.FOLDER, seed: int = 0) -> FrozenNetwork:
    """Train on every person, and store the network that ships."""
    network = Networks(Path(build) / "people", seed).network(task("final"))
    network.save(Path(models) / f"{NETWORK}.alq")
    return network
