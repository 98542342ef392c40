"""A folder of recordings through a network on Dask workers, into one Parquet table; a killed run goes on.

Whatever one file does, the others go on; a row per recording says what became of it.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from flow.build.provenance import fingerprint, provenance, versions
from flow.build.workers import check_workers, run_tasks
from flow.recordings.classify import Classification, Classifier, classify
from flow.recordings.outputs import COLUMNS, claim, record, rows, written_here
from qmodel.data import readers, recording
from qmodel.errors import InputError, UserError
from qmodel.files import sha256, write_json, written_beside
from qmodel.frozen import FrozenNetwork

if TYPE_CHECKING:
    import pyarrow

TABLE, SUMMARY, PARTS, RECORDINGS = "findings.parquet", "archive.json", "parts", "recordings.csv"
# A row per recording, in recordings.csv; error: why it was refused.
ROW = (
    "recording", "file", "format", "lead", "sampling_rate_hz", "duration_s", "windows", "heart_rate_bpm",
    "lowest_heart_rate_bpm", "highest_heart_rate_bpm", "beats", "supraventricular_per_hour", "ventricular_per_hour",
    "longest_pause_s", "notes", "error",
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How every recording is classified; see flow.recordings.classify and qmodel.data.recording.read."""

    lead: str | None = None
    hop_s: float | None = None  # None: a window
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

    label: str | None = None  # of the table's rows; None: the name without its suffix

    @property
    def part(self) -> Path:
        """Where the recording's rows lie: named by the content of its files, the network, settings and program."""
        path = Path(self.root) / self.name
        content = [(file.name, _content(file)) for file in readers.files(path)]
        asked = {
            "name": self.name,
            "label": self.label,
            "files": content,
            "network": self.network.hex(),
            "settings": asdict(self.settings),
            "program": program(),
        }
        return Path(self.output) / PARTS / f"{fingerprint(asked)[:24]}.parquet"

    @property
    def shown(self) -> str:
        """The recording's name in tables: letters that a file system holds and text does not are replaced."""
        name = self.label or _bare(self.name)
        return os.fsencode(name).decode("utf-8", "replace")


def _content(file: Path) -> str:
    """SHA-256 of a file; what is in its place where it cannot be read."""
    try:
        return sha256(file)
    except OSError as error:
        return f"unreadable: {error.strerror}"


@lru_cache(maxsize=1)
def program() -> str:
    """SHA-256 of the sources that decide what is read and said, and of the versions of what they use."""
    top = Path(__file__).resolve().parents[2]
    sources = sorted([*(top / "qmodel").glob("*.py"), *(top / "qmodel" / "data").rglob("*.py"),
                      *(top / "flow" / "recordings").glob("*.py")])  # fmt: skip
    return fingerprint({"sources": [(str(p.relative_to(top)), sha256(p)) for p in sources], "versions": versions()})


@lru_cache(maxsize=1)
def _classifier(network: bytes, engine: str, threshold: float, deploy: str | None) -> Classifier:
    """One per worker: engines may take minutes to make."""
    return Classifier(FrozenNetwork.from_bytes(network), engine, threshold, deploy)


def schema() -> pyarrow.Schema:
    """Columns of the table: the recording's path without its suffix, its lead, then those of .outputs."""
    import pyarrow

    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    kinds = {
        "window": pyarrow.int64(),
        "beats": pyarrow.int64(),
        "first_sample": pyarrow.int64(),
        "said": text,
        "class": text,
        "signal": text,
        "trained_on": pyarrow.bool_(),
    }
    columns = [(name, kinds.get(name, pyarrow.float64())) for name in COLUMNS]
    return pyarrow.schema([("recording", text), ("lead", text), *columns])


def _table(task: Task, result: Classification | None, row: dict) -> pyarrow.Table:
    import pyarrow

    found = [] if result is None else rows(result)
    lead = result.windows.lead if result is not None else None
    for entry in found:
        entry |= {"recording": task.shown, "lead": lead}
    return pyarrow.Table.from_pylist(found, schema().with_metadata({"row": json.dumps(row)}))


def _row(task: Task, result: Classification | None, error: str) -> dict:
    """A recording's row of recordings.csv."""
    row = dict.fromkeys(ROW) | {"recording": task.shown, "file": os.fsencode(task.name).decode("utf-8", "replace")}
    row["error"] = error
    if result is None:
        return row
    source, figures = result.recording, result.beats.summary()
    premature = figures["premature_per_hour"] or {}
    return row | {
        "format": source.kind,
        "lead": result.windows.lead,
        "sampling_rate_hz": source.sampling_rate_hz,
        "duration_s": round(source.duration_s, 6),
        "windows": len(result.windows),
        "supraventricular_per_hour": premature.get("supraventricular"),
        "ventricular_per_hour": premature.get("ventricular"),
        "notes": "; ".join(source.notes),
        **{name: figures[name] for name in ROW if name in figures},
    }


def known(task: Task) -> tuple[str, dict] | None:
    """What `run_task` returned of the same recording before, if it did."""
    from pyarrow import parquet

    part = task.part
    if not part.is_file():
        return None
    try:
        return str(part), json.loads((parquet.read_schema(part).metadata or {})[b"row"])
    except (OSError, ValueError, KeyError):  # cut short by a machine that went down
        return None


def run_task(task: Task) -> tuple[str, dict]:
    """Classify one recording, whatever it does. Returns: its part of the table, and its row of recordings.csv."""
    from pyarrow import parquet

    asked, part, result, error, kept = task.settings, task.part, None, "", True
    # What is wrong with the engine is wrong for every recording, and ends the run.
    classifier = _classifier(task.network, asked.engine, asked.threshold, asked.deploy)
    try:
        path = Path(task.root) / task.name
        rate = asked.sampling_rate_hz if readers.is_table(path) else None  # headers know theirs
        result = classify(path, classifier, asked.lead, asked.hop_s, rate, asked.units)
        table = _table(task, result, _row(task, result, ""))
    except UserError as problem:
        error = " ".join(str(problem).split())
    except (Exception, MemoryError) as problem:  # the last net; not kept, since another run may fare better
        error, kept = f"{type(problem).__name__}: {' '.join(str(problem).split())}"[:300], False
    row = _row(task, None if error else result, error)
    if error:
        table = _table(task, None, row)
    if not kept:
        part = part.with_name(f"{part.stem}.failed.parquet")
    part.parent.mkdir(parents=True, exist_ok=True)
    with written_beside(part) as beside:
        parquet.write_table(table, beside)
    return str(part), row


def _lost(task: Task, error: Exception) -> tuple[str, dict]:
    """The outcome of a recording that took its worker down with it, as one too large for the memory does.

    Raises: what it was, if it was no such thing.
    """
    from dask.distributed import KilledWorker

    if not isinstance(error, KilledWorker):
        raise error
    return "", _row(task, None, "its worker was ended by the system again and again: too large for the memory?")


def _run(tasks: list[Task], scheduler: str | None, workers: int, before: int) -> dict[str, tuple[str, dict]]:
    """Outcomes of `run_task` on Dask workers, by the recordings' names."""
    from tqdm import tqdm

    outcomes = {}
    with tqdm(total=before + len(tasks), initial=before, desc="Recordings", unit="recording") as bar:
        for task, outcome in run_tasks(run_task, tasks, scheduler, workers, _lost):
            outcomes[task.name] = outcome
            bar.update()
    return outcomes


def _labels(names: list[str]) -> dict[str, str | None]:
    """Names in the table of recordings that would share one without their suffix: with it. None for all others."""
    bare = Counter(map(_bare, names))
    return {name: name if bare[_bare(name)] > 1 else None for name in names}


def _bare(name: str) -> str:
    return str(Path(name).with_name(recording.stem(Path(name))))


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
    takes = Classifier(network, threshold=settings.threshold).usage.takes
    hop_s = takes.window_s if settings.hop_s is None else settings.hop_s
    hop_s = recording.hop_samples(hop_s, takes.samples, takes.rate_hz) / takes.rate_hz
    if settings.units is not None:
        recording.mv_per(settings.units)
    if settings.sampling_rate_hz is not None:
        recording.check_rate(settings.sampling_rate_hz, "--fs")
    root = Path(folder).expanduser().resolve()
    output = Path(output).resolve()
    claim(output / name for name in (TABLE, SUMMARY, RECORDINGS))
    there = recording.find(root, settings.sampling_rate_hz)
    names = [str(path.relative_to(root)) for path in there if not written_here(path)]
    if not names:
        raise InputError(f"{root} holds no recording but results of this command")
    labels = _labels(names)
    tasks = [Task(str(root), name, network.file_bytes, settings, str(output), labels[name]) for name in names]
    outcomes = {task.name: outcome for task in tasks if (outcome := known(task)) is not None}
    left = [task for task in tasks if task.name not in outcomes]
    before = len(outcomes)
    if left:
        outcomes |= _run(left, scheduler, min(workers, len(left)), before)
    refused = {name: outcomes[name][1]["error"] for name in names if outcomes[name][1]["error"]}
    if len(refused) == len(names):
        raise InputError(
            f"none of {len(names)} recordings in {root} could be classified; the first: {refused[names[0]]}"
        )

    windows, seconds = 0, dict[str, float]()
    facts = {"network": network.identity, **asdict(settings), "provenance": provenance()}
    described = schema().with_metadata({"ecg-alq": json.dumps(facts)})
    with written_beside(output / RECORDINGS) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ROW)
        writer.writeheader()
        writer.writerows(outcomes[name][1] for name in names)
    with written_beside(output / TABLE) as beside, parquet.ParquetWriter(beside, described) as table:
        for name in names:
            if name in refused:
                continue
            part = parquet.read_table(outcomes[name][0])
            table.write_table(part.cast(schema()).replace_schema_metadata(described.metadata))
            windows += part.num_rows
            for said in part["said"].to_pylist():
                seconds[said] = seconds.get(said, 0.0) + hop_s
    summary = {
        "folder": str(root),
        "table": str(output / TABLE),
        "rows": str(output / RECORDINGS),
        "recordings": len(names),
        "classified_before": before,
        "refused": refused,
        "windows": windows,
        "seconds_said": dict(sorted(seconds.items(), key=lambda item: -item[1])),
        **facts,
    }
    write_json(output / SUMMARY, summary)
    for name in (TABLE, SUMMARY, RECORDINGS):
        record(output / name, str(root))
    return summary
