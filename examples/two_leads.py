"""Both leads of MIT-BIH in one network, tested on persons that it has never met: five classes, leads MLII and V1.

The benchmark's fragments become a data set like anybody's: a folder of recordings and a labels.csv whose rows name two
leads and a person. Needs the records (`ecg-alq data`). Some thirty persons teach a network little about others: of the
windows of persons not met about a quarter is right after this short training, no more than by chance.
Run: python -m examples.two_leads [FOLDER]     a few minutes
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np

from examples.cores import in_folder, verified_core
from flow.cli.main import main as ecg_alq
from qmodel.data import fragments, mitdb
from qmodel.frozen import FrozenNetwork

LEADS = ("MLII", "V1")
CLASSES = ("NSR", "APB", "AFIB", "PVC", "Bigeminy")  # those that at least five persons with these leads have


def make(folder: Path, records: Path, most: int | None = None) -> Path:
    """A data set of the fragments that both leads show. Args: most: rows of each class and person, None: all."""
    index, leads = fragments.load_index(), dict[str, tuple[str, ...]]()
    folder.mkdir(parents=True, exist_ok=True)
    rows, taken = [], dict[tuple[str, str], int]()
    for i in range(len(index)):
        record, label = str(index.record[i]), fragments.CLASSES[index.label[i]]
        if label not in CLASSES or index.lead[i] != LEADS[0]:
            continue
        if record not in leads:
            leads[record] = _leads(records / f"{record}.hea")
        own = (label, mitdb.person(record))
        taken[own] = taken.get(own, 0) + 1
        if leads[record] == LEADS and (most is None or taken[own] <= most):
            start = index.first_sample[i] / mitdb.SAMPLING_RATE_HZ
            rows.append([record, f"{start:g}", f"{start + 10:g}", label, own[1], "+".join(LEADS)])
    for record in {row[0] for row in rows}:
        for suffix in ("hea", "dat"):
            shutil.copyfile(records / f"{record}.{suffix}", folder / f"{record}.{suffix}")
    # A fragment may stand twice in the benchmark; a table of one's own has every part of a recording once.
    unique = list({tuple(row[:3]): row for row in rows}.values())
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["recording", "start", "end", "label", "person", "lead"], *unique])
    return folder


def _leads(header: Path) -> tuple[str, ...]:
    """Names of a record's leads: the last word of a header's lines of signals."""
    lines = [line for line in header.read_text("ascii").splitlines() if line.strip() and not line.startswith("#")]
    return tuple(line.split()[-1] for line in lines[1:])


def main(folder: Path, network: str = "compact", most: int | None = None, simulate: bool = True) -> FrozenNetwork:
    """Train on persons, test on others, prove the core, classify a recording with both leads.

    Args: network: of qmodel.networks; most: as in `make`; simulate: the Verilog core too.
    """
    data, build = folder / "data", folder / "build"
    if not (data / "labels.csv").is_file():
        make(data, mitdb.find(), most)
    asked = ["flow", "--dataset", str(data), "--network", network, "--quick", "--build", str(build)]
    print("$ ecg-alq", " ".join(asked), flush=True)
    if code := ecg_alq(asked):
        raise SystemExit(code)
    frozen = FrozenNetwork.load(build / "freeze" / "network.alq")
    print("\nwhat the file says of its use:", dict(frozen.metadata or {}))
    with np.load(build / "freeze" / "test.npz") as test:
        print("persons tested are not trained on; test windows:", len(test["labels"]))
    print("core:", verified_core(frozen, folder, simulate=simulate))
    return frozen


if __name__ == "__main__":
    in_folder(main)
