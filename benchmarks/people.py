"""What the network `rhythm` says where no protocol asks: `python -m benchmarks.people TASK`, into results/people.json.

TASK: `refused`   windows of a fifth of all databases' records that are refused as no ECG or as unlike the training data
      `foreign`   200 signals that are no ECG: how many are given a class
      `simulated` NeuroKit2's simulated sinus rhythm, 50 to 110 a minute, both methods: how many are called otherwise
      `rtl`       100 windows of the databases: integers of the Verilog core against the golden model's; cycles and LUTs
      `keys`      which recordings the shipped networks were trained on (qmodel/models/*.txt)
The protocols are `ecg-alq evaluate --protocol ec57`, `database` and `patient --network rhythm`; the network that ships
is made by `ecg-alq final --network rhythm`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flow.experiments import people as measured
from flow.experiments.people_protocols import NETWORK, put
from flow.recordings.choices import THRESHOLD
from qmodel import models, not_ecg
from qmodel.data import databases, known, recording, sample
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError, UserError
from qmodel.fixed_point import WINDOW_SAMPLES, standardise
from qmodel.reading import RHYTHMS

RATES = range(50, 111, 5)  # beats a minute
FOREIGN = 200
EVERY = 5  # records of each database of which one is asked for what is refused
RTL_WINDOWS, RTL_SEED = 100, 3


def refused(asked: measured.Asked) -> dict:
    """Shares of windows that say something of an ECG and are refused, by database."""
    rows, counts = {}, np.zeros(3, int)
    for name in tqdm(databases.available(), desc="Databases"):
        windows = measured.labelled_windows(name, databases.record_names(databases.find(name))[::EVERY])
        found = asked.read(windows.cut)
        own = np.array(
            [len(windows.cut), found.foreign(asked.constants).sum(), found.unlike(asked.constants).sum()], int
        )
        counts += own
        rows[name] = own.tolist()
    return {
        "protocol": "refused",
        "persons": "trained on",
        "records": f"one in {EVERY} of each database",
        "windows": int(counts[0]),
        "refused_percent": round(100 * float(counts[1] / counts[0]), 2),
        "unlike_percent": round(100 * float(counts[2] / counts[0]), 2),
        "databases": rows,
    }


def foreign(asked: measured.Asked) -> dict:
    """How many signals that are no ECG are given a class, and which."""
    windows = measured.foreign_windows(FOREIGN, measured.FOREIGN_SEED)
    found = asked.read(windows)
    label, confidence, _ = found.rhythm()
    named = ~(found.foreign(asked.constants) | found.unlike(asked.constants)) & (confidence >= THRESHOLD)
    kinds = [not_ecg.KINDS[i % len(not_ecg.KINDS)] for i in range(FOREIGN)]
    called = Counter(f"{kinds[i]}: {CLASSES[label[i]]}" for i in np.flatnonzero(named))
    return {"protocol": "foreign", "windows": FOREIGN, "classes_said": int(named.sum()), "called": dict(called)}


def simulated(asked: measured.Asked) -> dict:
    """Simulated sinus rhythm that something else is said of, by method. Raises: InputError: no NeuroKit2."""
    try:
        from neurokit2 import ecg_simulate
    except ImportError:
        raise InputError("this task needs NeuroKit2: pip install neurokit2") from None
    row: dict = {"protocol": "simulated"}
    for method in ("ecgsyn", "simple"):
        cut = [
            np.rint(200 * ecg_simulate(duration=10, sampling_rate=SAMPLING_RATE_HZ, heart_rate=rate, method=method,
                                       random_state=seed)[:WINDOW_SAMPLES])
            for rate in RATES for seed in (0, 1)
        ]  # fmt: skip
        found = asked.read(np.array(cut).astype(np.int16))
        label, wrong = found.rhythm()[0], found.foreign(asked.constants)
        wrong |= ~np.isin(label, RHYTHMS[0])
        called = Counter(CLASSES[label[i]] for i in np.flatnonzero(wrong))
        row[method] = {"windows": len(cut), "wrong": int(wrong.sum()), "called": dict(called)}
    return row


def rtl(network) -> dict:
    """Golden model against the Verilog core, every logit of windows drawn from all databases."""
    from hls.engines.rtl import RtlEngine
    from hls.estimate import estimate
    from hls.plan import Plan

    random = np.random.default_rng(RTL_SEED)
    names = databases.available()
    windows = []
    while len(windows) < RTL_WINDOWS:
        name = names[len(windows) % len(names)]
        folder = databases.find(name)
        record = databases.read(name, str(random.choice(databases.record_names(folder))), folder)
        start = int(random.integers(0, max(1, len(record) - WINDOW_SAMPLES)))
        window = record.signals[start : start + WINDOW_SAMPLES, int(random.integers(len(record.leads)))]
        if len(window) == WINDOW_SAMPLES and np.ptp(window):
            windows.append(window)
    plan = Plan.of(network)
    inputs = standardise(np.array(windows))
    golden = network.run(inputs).reshape(len(inputs), -1)
    core = np.asarray(RtlEngine(plan).run(inputs)).reshape(len(inputs), -1)
    return {
        "protocol": "rtl",
        "windows": len(inputs),
        "integers": int(golden.size),
        "mismatches": int((golden != core).sum()),
        "estimated": estimate(plan).row,
    }


def write_keys() -> dict:
    """Keys of all recordings that the shipped networks were trained on, beside the networks."""
    keys: dict[str, list[str]] = {}
    unread = []
    for name in databases.available():
        folder = databases.find(name)
        for record in tqdm(databases.record_names(folder), desc=name):
            try:
                content = recording.read(folder / f"{record}.hea")
                # What follows does not count, but the filter that resamples hears a little ahead.
                some = replace(content, signals=content.signals[: int(12 * content.sampling_rate_hz)])
                found = [known.key(some.samples(lead).signal_mv) for lead in some.leads]
            except UserError as error:
                unread.append(f"{name}/{record}: {error}")
                continue
            keys.setdefault(name, []).extend(key for key in found if key)
    cut = sample.read()  # of record 106, from its middle
    keys["sample"] = [key for lead in cut.leads if (key := known.key(cut.samples(lead).signal_mv))]
    for network, names in ((NETWORK, tuple(keys)), ("compact", ("mitdb", "sample")), ("paper", ("mitdb", "sample"))):
        path = models.path(network)
        known.write(path.with_suffix(".txt"), models.load(network).identity, [k for n in names for k in keys[n]])
    return {"keys": {name: len(found) for name, found in keys.items()}, "unread": unread}


def main() -> None:
    """Run one task."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("refused", "foreign", "simulated", "rtl", "keys"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    arguments = parser.parse_args()
    if arguments.task == "keys":
        print(json.dumps(write_keys(), indent=2))
        return
    network = models.load(NETWORK)
    asked = measured.Asked.of(network)
    own = {"refused": refused, "foreign": foreign, "simulated": simulated}
    row = rtl(network) if arguments.task == "rtl" else own[arguments.task](asked)
    row |= {"bytes": network.size_bytes, "identity": network.identity}
    put(arguments.results, [row])
    print(json.dumps(row, indent=2))


if __name__ == "__main__":
    main()
