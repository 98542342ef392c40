"""Files of a classification: table, WFDB annotations, JSON, picture."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from flow.recordings import strips
from flow.recordings.classify import SAID, UNSURE, Classification
from qmodel.data.fragments import CLASSES
from qmodel.data.quality import REASONS
from qmodel.data.recording import WINDOW_S
from qmodel.errors import InputError
from qmodel.files import write_json, written_beside

ANNOTATOR = "alq"
COLUMNS = (
    "window", "start_s", "end_s", "first_sample", "said", "class", "confidence", "margin", "quality", "signal",
)  # fmt: skip
# Rhythm notes as in MIT-BIH's own annotations, where it has one (qmodel.data.annotations.RHYTHMS); else the class.
RHYTHM_NOTES = {name: f"({name.upper()}" for name in CLASSES} | {
    "NSR": "(N",
    "WPW": "(PREX",
    "Bigeminy": "(B",
    "Trigeminy": "(T",
    "SDHB": "(BII",
    "PR": "(P",
    UNSURE: "(UNSURE",
}
RHYTHM_CHANGE, QUALITY_CHANGE = "+", "~"
CLEAN, NOISY = 0, 1  # subtypes of a change of signal quality


def rows(result: Classification) -> list[dict]:
    """A row per window, ready for a table or JSON: None where the signal is not usable. Keys: COLUMNS."""
    rate, found = result.recording.sampling_rate_hz, []
    for i, start in enumerate(result.windows.start_s.tolist()):
        finding = result.findings[i]
        usable = finding.label >= 0
        found.append(
            {
                "window": i,
                "start_s": round(start, 6),
                "end_s": round(start + WINDOW_S, 6),
                "first_sample": round(start * rate),
                "said": finding.said,
                "class": CLASSES[finding.label] if usable else None,
                "confidence": round(finding.confidence, 6) if usable else None,
                "margin": round(finding.margin, 6) if usable else None,
                "quality": round(finding.quality, 6),
                "signal": finding.reason,
            }
        )
    return found


def summary(result: Classification) -> dict:
    """Everything that was found and how, ready for JSON."""
    source = result.recording
    seconds: dict[str, float] = {}
    for episode in result.episodes:
        seconds[episode.said] = seconds.get(episode.said, 0.0) + episode.end_s - episode.start_s
    return {
        "recording": source.name,
        "format": source.kind,
        "sampling_rate_hz": source.sampling_rate_hz,
        "samples": len(source.signals),
        "duration_s": source.duration_s,
        "leads": list(source.leads),
        "lead": result.windows.lead,
        "hop_s": result.windows.hop_s,
        "network": result.identity,
        "engine": result.engine,
        "threshold": result.threshold,
        "windows": len(result.windows),
        "seconds_said": {said: round(seconds[said], 6) for said in SAID if said in seconds},
        "episodes": [
            episode._asdict() | {"confidence": None if np.isnan(episode.confidence) else round(episode.confidence, 6)}
            for episode in result.episodes
        ],
    }


def write_table(result: Classification, path: Path) -> None:
    """A CSV file with the columns COLUMNS, a row per window."""
    with written_beside(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows(result))


def annotations(result: Classification) -> list[tuple[int, str, str, int]]:
    """Sample, symbol, note and subtype of every change of what is said, in the recording's own samples."""
    rate, marks, usable = result.recording.sampling_rate_hz, [], True
    for episode in result.episodes:
        sample = round(episode.start_s * rate)
        if episode.said in REASONS:
            marks.append((sample, QUALITY_CHANGE, episode.said, NOISY))
            usable = False
            continue
        if not usable:  # one sample earlier: two annotations of one signal never share a sample
            marks.append((sample - 1, QUALITY_CHANGE, "", CLEAN))
            usable = True
        marks.append((sample, RHYTHM_CHANGE, RHYTHM_NOTES[episode.said], 0))
    return marks


def write_annotations(result: Classification, path: Path) -> None:
    """WFDB annotations: changes of rhythm (symbol +, note as in RHYTHM_NOTES) and of signal quality (symbol ~).

    `wfdb.rdann(path without its suffix, "alq")` reads them back; samples are those of the recording.
    """
    import wfdb

    sample, symbol, note, subtype = zip(*annotations(result), strict=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{ANNOTATOR}-") as folder:
        # wfdb writes names of letters and digits alone; ours is the recording's, whatever it is.
        wfdb.wrann(
            "findings",
            ANNOTATOR,
            np.array(sample),
            list(symbol),
            subtype=np.array(subtype),
            aux_note=list(note),
            fs=result.recording.sampling_rate_hz,
            write_dir=folder,
        )
        os.replace(Path(folder) / f"findings.{ANNOTATOR}", path)


def write_findings(result: Classification, path: Path) -> None:
    """Summary, windows and where the figures come from."""
    write_json(path, summary(result) | {"findings": rows(result), "provenance": provenance()})


def _picture(form: str) -> Callable[[Classification, Path], None]:
    def write(result: Classification, path: Path) -> None:
        with written_beside(path) as beside:
            strips.draw(result, beside, form)

    return write


WRITERS: dict[str, Callable[[Classification, Path], None]] = {
    "csv": write_table,
    ANNOTATOR: write_annotations,
    "json": write_findings,
    **{form: _picture(form) for form in strips.FORMATS},
}
DEFAULT_FORMATS = ("csv", ANNOTATOR, "json", "png")


def write(result: Classification, folder: str | os.PathLike, formats: tuple[str, ...] = DEFAULT_FORMATS) -> list[Path]:
    """Write a classification's files, named after the recording, into a folder that is made.

    Args: formats: keys of WRITERS, which are the files' suffixes.
    Returns: the files. Raises: InputError: one of them is the recording itself.
    """
    folder, source = Path(folder), result.recording.path
    files = [folder / f"{result.recording.name}.{form}" for form in formats]
    if source is not None and source.resolve() in [file.resolve() for file in files]:
        raise InputError(f"{source} would be overwritten by its own results: choose another --output")
    folder.mkdir(parents=True, exist_ok=True)
    for form, file in zip(formats, files, strict=True):
        WRITERS[form](result, file)
    return files
