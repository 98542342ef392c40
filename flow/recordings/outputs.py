"""Files of a classification: table, WFDB annotations, JSON, picture."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from flow.recordings import strips
from flow.recordings.choices import DEFAULT_FORMATS
from flow.recordings.classify import UNLIKE, UNREADABLE, UNSURE, Classification
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ
from qmodel.errors import InputError
from qmodel.files import sha256, write_json, written_beside

ANNOTATOR = "alqa"  # not alq: that is a frozen network
LEDGER = ".ecg-alq-outputs.json"  # which files of a folder were written here, of which recording, with which content
COLUMNS = (
    "window", "start_s", "end_s", "first_sample", "said", "class", "confidence", "margin", "quality", "signal",
    "heart_rate_bpm", "beats", "trained_on",
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
    UNLIKE: "(UNLIKE",
}
RHYTHM_CHANGE, QUALITY_CHANGE = "+", "~"
CLEAN, NOISY = 0, 1  # subtypes of a change of signal quality


def note_of(said: str, classes: Sequence[str]) -> str:
    """The rhythm note of an annotation: MIT-BIH's where there is one, else the class' own name, in ASCII as WFDB wants.

    A name that ASCII does not hold is told by its place among the classes, as in the summary's `classes`.
    """
    if said in RHYTHM_NOTES:
        return RHYTHM_NOTES[said]
    return f"({said if said.isascii() else f'CLASS{classes.index(said) + 1}'}"


def rows(result: Classification) -> list[dict]:
    """A row per window, ready for a table or JSON: None where the signal is not usable. Keys: COLUMNS."""
    rate, found, beats = result.recording.sampling_rate_hz, [], result.beats
    window_s = result.windows.window_s
    for i, start in enumerate(result.windows.start_s.tolist()):
        finding = result.findings[i]
        usable = finding.label >= 0
        heart_rate = beats.rate_bpm(start, start + window_s)
        found.append(
            {
                "window": i,
                "start_s": round(start, 6),
                "end_s": round(start + window_s, 6),
                "first_sample": round(start * rate),
                "said": finding.said,
                "class": result.classes[finding.label] if usable else None,
                "confidence": round(finding.confidence, 6) if usable else None,
                "margin": round(finding.margin, 6) if usable else None,
                "quality": round(finding.quality, 6),
                "signal": finding.reason,
                "heart_rate_bpm": None if heart_rate is None else round(heart_rate, 2),
                "beats": beats.number(start, start + window_s),
                "trained_on": result.trained_on,
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
        "trained_on": result.trained_on,
        "classes": list(result.classes),
        "window_s": result.windows.window_s,
        "engine": result.engine,
        "threshold": result.threshold,
        "windows": len(result.windows),
        "notes": list(source.notes),
        "rhythm": result.beats.summary(),
        "seconds_said": {said: round(seconds[said], 6) for said in result.sayings if said in seconds},
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


def marks_of(result: Classification) -> list[tuple[int, str, str, int]]:
    """Sample, symbol, note and subtype of every beat and every change of what is said, in the recording's own samples.

    In order; no two share a sample, which readers of annotations do not allow: a beat gives way by one.
    """
    rate, marks, usable = result.recording.sampling_rate_hz, [], True
    for episode in result.episodes:
        sample = round(episode.start_s * rate)
        if episode.said in UNREADABLE:
            marks.append((sample, QUALITY_CHANGE, episode.said, NOISY))
            usable = False
            continue
        if not usable:  # one sample earlier: two annotations of one signal never share a sample
            marks.append((sample - 1, QUALITY_CHANGE, "", CLEAN))
            usable = True
        marks.append((sample, RHYTHM_CHANGE, note_of(episode.said, result.classes), 0))
    taken = {sample for sample, *_ in marks}
    for at, kind in zip(result.beats.sample.tolist(), result.beats.kind.tolist()):
        sample = round(at * rate / SAMPLING_RATE_HZ)
        while sample in taken:
            sample += 1
        taken.add(sample)
        marks.append((sample, kind, "", 0))
    return sorted(marks)


def write_annotations(result: Classification, path: Path) -> None:
    """WFDB annotations: beats (N, S, V, F; Q where the type is not told), changes of rhythm (symbol +, note as in
    RHYTHM_NOTES) and of signal quality (symbol ~).

    `wfdb.rdann(path without its suffix, ANNOTATOR)` reads them back; samples are those of the recording.
    """
    import wfdb

    sample, symbol, note, subtype = zip(*marks_of(result), strict=True)
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


def write(result: Classification, folder: str | os.PathLike, formats: tuple[str, ...] = DEFAULT_FORMATS) -> list[Path]:
    """Write a classification's files, named after the recording, into a folder that is made.

    Files of the same recording that were written here before are replaced; those of another recording of that name are
    kept, and these get its suffix or a number as well.
    Args: formats: keys of WRITERS, which are the files' suffixes.
    Returns: the files. Raises: InputError: as `claim`.
    """
    folder, source = Path(folder), result.recording.path
    ledger = _ledger(folder)
    origin = str(source.resolve()) if source is not None else ""
    for stem in _stems(result):
        files = [folder / f"{stem}.{form}" for form in formats]
        if source is not None and source.resolve() in [file.resolve() for file in files]:
            raise InputError(f"{source} would be overwritten by its own results: choose another --output")
        others = {ledger[file.name]["of"] for file in files if _ours(file, ledger)}
        if not others - {origin}:
            break
    claim(files)
    folder.mkdir(parents=True, exist_ok=True)
    for form, file in zip(formats, files, strict=True):
        WRITERS[form](result, file)
        record(file, origin)
    return files


def claim(files: Iterable[Path]) -> None:
    """Refuse to write where something lies that was not written here.

    Raises: InputError: a file that this command did not write, or that was changed since.
    """
    for file in files:
        if os.path.lexists(file) and not _ours(file, _ledger(file.parent)):
            raise InputError(
                f"{file} was not written by this command, or was changed since: choose another --output, or move it "
                "away"
            )


def record(file: Path, origin: str) -> None:
    """Remember that a file was written here. Args: origin: path of what it is about."""
    ledger = _ledger(file.parent) | {file.name: {"of": origin, "sha256": sha256(file)}}
    write_json(file.parent / LEDGER, ledger)


def written_here(file: Path) -> bool:
    """Whether a file is a result, which no folder of recordings has to read."""
    return file.name in _ledger(file.parent)


def _stems(result: Classification) -> Iterator[str]:
    """Names to try, in order: the recording's, with its suffix, with a number."""
    name, path = result.recording.name, result.recording.path
    yield name
    suffix = "".join(path.suffixes[-2:]).replace(".", "-").lower() if path is not None else ""
    if suffix and suffix != name:
        yield name + suffix
    for number in count(2):
        yield f"{name}{suffix}-{number}"


def _ledger(folder: Path) -> dict[str, dict[str, str]]:
    try:
        content = json.loads((folder / LEDGER).read_text("utf-8"))
        return {name: {"of": str(entry["of"]), "sha256": str(entry["sha256"])} for name, entry in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _ours(file: Path, ledger: dict[str, dict[str, str]]) -> bool:
    """Whether a file was written here and is as it was."""
    return (
        file.name in ledger and file.is_file() and not file.is_symlink() and sha256(file) == ledger[file.name]["sha256"]
    )
