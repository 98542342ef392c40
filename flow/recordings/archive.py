"""A folder of recordings through a network on Dask workers, into one Parquet table; a killed run goes on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from flow.build.provenance import fingerprint, provenance
from flow.build.workers import check_workers, run_tasks
from flow.recordings.classify import Classification, Classifier, classify
from flow.recordings.outputs import COLUMNS, rows
from qmodel.data import recording
from qmodel.data.mitdb import SAMPLING_RATE_HZ, DataError
from qmodel.data.recording import WINDOW_S
from qmodel.errors import InputError
from qmodel.files import write_json, written_beside
from qmodel.frozen import FrozenNetwork

TABLE, SUMMARY, PARTS = "findings.parquet", "archive.json", "parts"


@dataclass(frozen=True)
class Settings:
    """How every recording is classified; see flow.recordings.classify and qmodel.data.recording.read."""

    lead: str | None = None
    hop_s: float = WINDOW_S
    sampling_rate_hz: float | None = None
    units: str | None = None
    engine: str = "golden"
    threshold: float = 0.5
    deploy: str | None = None


@dataclass(frozen=True)
class Task:
    """One recording of an archive: everything that decides its part of the table."""

    root: str
    name: str  # path of the file, relative to root
    network: bytes  # a frozen file
    settings: Settings
    output: str

    @property
    def part(self) -> Path:
        """Where the recording's rows lie: named by its files as they are now, the network and the settings."""
        path = Path(self.root) / self.name
        files = sorted(p for p in path.parent.iterdir() if p.is_file() and (p.stem == path.stem or p == path))
        stamps = [(p.name, (status := p.stat()).st_size, status.st_mtime_ns) for p in files]
        asked = {"name": self.name, "files": stamps, "network": self.network.hex(), "settings": asdict(self.settings)}
        return Path(self.output) / PARTS / f"{fingerprint(asked)[:24]}.parquet"


@lru_cache(maxsize=1)
def _classifier(network: bytes, engine: str, threshold: float, deploy: str | None) -> Classifier:
    """One per worker: engines may take minutes to make."""
    return Classifier(FrozenNetwork.from_bytes(network), engine, threshold, deploy)


def schema():
    """Columns of the table: the recording's path without its suffix, its lead, then those of .outputs."""
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {
        "window": pyarrow.int64(),
        "first_sample": pyarrow.int64(),
        "said": text,
        "class": text,
        "signal": text,
    }
    columns = [(name, kinds.get(name, pyarrow.float64())) for name in COLUMNS]
    return pyarrow.schema([("recording", text), ("lead", text), *columns])


def _table(name: str, result: Classification | None, error: str | None):
    import pyarrow

    found = [] if result is None else rows(result)
    lead = result.windows.lead if result is not None else None
    for row in found:
        row |= {"recording": name, "lead": lead}
    return pyarrow.Table.from_pylist(found, schema().with_metadata({"error": error or ""}))


def known(task: Task) -> tuple[str, str] | None:
    """What `run_task` returned of the same recording before, if it did."""
    from pyarrow import parquet

    if not task.part.is_file():
        return None
    return str(task.part), (parquet.read_schema(task.part).metadata or {}).get(b"error", b"").decode()


def run_task(task: Task) -> tuple[str, str]:
    """Classify one recording. Returns: its part of the table, and why it was refused ("" if it was not)."""
    from pyarrow import parquet

    asked, part, result, error = task.settings, task.part, None, None
    try:
        classifier = _classifier(task.network, asked.engine, asked.threshold, asked.deploy)
        result = classify(
            Path(task.root) / task.name, classifier, asked.lead, asked.hop_s, asked.sampling_rate_hz, asked.units
        )
    except DataError as problem:
        error = " ".join(str(problem).split())
    part.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(part) as beside:
        parquet.write_table(_table(str(Path(task.name).with_suffix("")), result, error), beside)
    return str(part), error or ""


def _run(tasks: list[Task], scheduler: str | None, workers: int, before: int) -> dict[str, tuple[str, str]]:
    """Outcomes of `run_task` on Dask workers, by the recordings' names."""
    from tqdm import tqdm

    outcomes = {}
    with tqdm(total=before + len(tasks), initial=before, desc="Recordings", unit="recording") as bar:
        for task, outcome in run_tasks(run_task, tasks, scheduler, workers):
            outcomes[task.name] = outcome
            bar.update()
    return outcomes


def classify_archive(
    folder: str | os.PathLike,
    network: FrozenNetwork,
    output: str | os.PathLike,
    settings: Settings | None = None,
    scheduler: str | None = None,
    workers: int = 2,
) -> dict:
    """Classify every recording in a folder and below it into `output/findings.parquet` and `output/archive.json`.

    Args: scheduler: address of a Dask scheduler whose workers see the same folders; None: a cluster on this machine;
        workers: processes of the local cluster.
    Returns: the summary: how many recordings and windows, seconds of each thing said, which were refused and why.
    Raises: DataError: no recording there, a rate, unit or hop out of range; InputError: not one of them could be
        classified.
    """
    from pyarrow import parquet  # before the work: a missing package is found at once

    settings = settings or Settings()
    check_workers(scheduler, workers)
    # What is wrong for every recording is refused before any work.
    Classifier(network, threshold=settings.threshold)
    recording.hop_samples(settings.hop_s)
    if settings.units is not None:
        recording.mv_per(settings.units)
    if settings.sampling_rate_hz is not None:
        recording.check_rate(settings.sampling_rate_hz, "--fs")
    root = Path(folder).expanduser().resolve()
    names = [str(path.relative_to(root)) for path in recording.find(root, settings.sampling_rate_hz)]
    output = Path(output).resolve()
    tasks = [Task(str(root), name, network.file_bytes, settings, str(output)) for name in names]
    outcomes = {task.name: outcome for task in tasks if (outcome := known(task)) is not None}
    left = [task for task in tasks if task.name not in outcomes]
    before = len(outcomes)
    if left:
        outcomes |= _run(left, scheduler, min(workers, len(left)), before)
    refused = {name: outcomes[name][1] for name in names if outcomes[name][1]}
    if len(refused) == len(names):
        raise InputError(
            f"none of {len(names)} recordings in {root} could be classified; the first: {refused[names[0]]}"
        )

    windows, seconds = 0, dict[str, float]()
    facts = {"network": network.identity, **asdict(settings), "provenance": provenance()}
    described = schema().with_metadata({"ecg-alq": json.dumps(facts)})
    with written_beside(output / TABLE) as beside, parquet.ParquetWriter(beside, described) as writer:
        for name in names:
            if name in refused:
                continue
            part = parquet.read_table(outcomes[name][0])
            writer.write_table(part.cast(schema()).replace_schema_metadata(described.metadata))
            windows += part.num_rows
            for said in part["said"].to_pylist():
                seconds[said] = seconds.get(said, 0.0) + recording.hop_samples(settings.hop_s) / SAMPLING_RATE_HZ
    summary = {
        "folder": str(root),
        "table": str(output / TABLE),
        "recordings": len(names),
        "classified_before": before,
        "refused": refused,
        "windows": windows,
        "seconds_said": dict(sorted(seconds.items(), key=lambda item: -item[1])),
        **facts,
    }
    write_json(output / SUMMARY, summary)
    return summary
