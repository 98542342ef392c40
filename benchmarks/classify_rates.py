"""Does the sampling rate matter? All 48 records at 360 Hz and resampled to other rates, window for window.

Each record's first choice of lead is resampled through its Fourier transform (another method than the one under test),
rounded to a recorder's integers, written as a WFDB record, and classified by `flow.recordings` like anybody's file.
Also timed: the whole command on one record of half an hour, from start to files, in a process of its own.

    python -m benchmarks.classify_rates        (a few minutes; writes results/classify_rates.json)
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import wfdb
from scipy.signal import resample
from tqdm import tqdm

from flow.build.provenance import provenance
from flow.recordings.classify import Classifier, classify
from qmodel import models
from qmodel.data import mitdb
from qmodel.data.recording import ADC_UNITS_PER_MV, Recording, read
from qmodel.files import write_json
from qmodel.frozen import FrozenNetwork

RATES_HZ = (250, 300, 500)


def at_rate(record: Recording, rate_hz: int, folder: Path) -> Path:
    """One lead as a recorder of another rate would have written it: WFDB, format 16, 200 ADC units per mV."""
    signal = record.signals[:, 0].astype(np.float64)
    samples = round(len(signal) * rate_hz / record.sampling_rate_hz)
    wfdb.wrsamp(
        record.name,
        fs=rate_hz,
        units=["mV"],
        sig_name=list(record.leads),
        d_signal=np.rint(ADC_UNITS_PER_MV * resample(signal, samples)).astype(np.int64)[:, None],
        fmt=["16"],
        adc_gain=[ADC_UNITS_PER_MV],
        baseline=[0],
        write_dir=str(folder),
    )
    return folder / record.name


def time_command(path: Path, network: Path, repeats: int) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of `ecg-alq classify` on a record, all files written."""
    wall, processor = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "flow", "classify", str(path), "--output", folder]
            start, before = time.perf_counter(), os.times()
            subprocess.run([*command, "--frozen", str(network)], check=True, capture_output=True)
            after = os.times()
            wall.append(time.perf_counter() - start)
            processor.append(sum(after[2:4]) - sum(before[2:4]))  # of children
    return wall, processor


def main() -> None:
    """Run and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frozen", type=Path, default=models.path(), help="network (default: the shipped one)")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of the command (default 5)")
    parser.add_argument("--output", type=Path, default=Path("results/classify_rates.json"))
    arguments = parser.parse_args()

    folder = mitdb.find()
    network = FrozenNetwork.load(arguments.frozen)
    same = {rate: {"windows": 0, "class": 0, "said": 0} for rate in RATES_HZ}
    by_record: dict[str, dict[str, float]] = {}
    library_seconds = []
    with Classifier(network) as classifier, tempfile.TemporaryDirectory() as scratch:
        for name in tqdm(mitdb.RECORDS, desc="Rates", unit="record"):
            start = time.perf_counter()
            expected = classify(folder / name, classifier)
            library_seconds.append(time.perf_counter() - start)
            record = read(folder / name).lead()
            by_record[name] = {"lead": record.leads[0]}
            for rate in RATES_HZ:
                found = classify(at_rate(record, rate, Path(scratch)), classifier).findings
                if len(found) != len(expected.findings):
                    raise RuntimeError(f"{name}: {len(found)} windows at {rate} Hz, {len(expected.findings)} at 360 Hz")
                equal = found.label == expected.findings.label
                same[rate]["windows"] += len(found)
                same[rate]["class"] += int(equal.sum())
                same[rate]["said"] += int((found.said == expected.findings.said).sum())
                by_record[name][f"{rate}"] = float(equal.mean())
    wall, processor = time_command(folder / "100", arguments.frozen, arguments.repeats)
    result = {
        "kind": "measured",
        "data_source": mitdb.SOURCE,
        "records": len(mitdb.RECORDS),
        "network": network.identity,
        "rows": [
            {
                "rate_hz": rate,
                "windows": count["windows"],
                "agreement": count["class"] / count["windows"],
                "agreement_of_what_is_said": count["said"] / count["windows"],
            }
            for rate, count in same.items()
        ],
        "seconds_per_record": statistics.median(library_seconds),
        "seconds_of_the_command": statistics.median(wall),
        "processor_seconds_of_the_command": statistics.median(processor),
        "runs": {"seconds_of_the_command": wall, "processor_seconds_of_the_command": processor},
        "agreement_by_record": by_record,
        "provenance": provenance(),
    }
    write_json(arguments.output, result)
    for row in result["rows"]:
        print(
            f"360 and {row['rate_hz']} Hz: same class in {row['agreement']:.2%} of {row['windows']:,} windows, "
            f"the same is said in {row['agreement_of_what_is_said']:.2%}"
        )
    print(
        f"half an hour of ECG: {result['seconds_per_record']:.2f} s from file to findings, "
        f"{result['seconds_of_the_command']:.2f} s the whole command with its files "
        f"({result['processor_seconds_of_the_command']:.2f} s of processor)"
    )


if __name__ == "__main__":
    main()
