"""Files of hospital and consumer devices: what `ecgdatakit` reads, and AliveCor's ATC."""

from __future__ import annotations

import struct
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from qmodel.data.mitdb import DataError
from qmodel.data.readers.channels import Channel, Source, voltage_unit

# Suffixes by which `recording.find` looks for them; they are told apart by their content.
SUFFIXES = (".xml", ".scp", ".dcm", ".ecg", ".mwf", ".atc", ".aecg")
# ecgdatakit's own parsers of what is read here: never theirs, so that one file has one meaning.
_OURS = ("WFDBParser", "EDFParser")


def read_atc(path: Path) -> Source:
    """An ATC file of AliveCor's Kardia devices: blocks of identifier, length, content and sum.

    Source: Alive File Format Specification 1.6 (AliveCor).
    """
    data, at = path.read_bytes(), 12
    blocks: dict[bytes, bytes] = {}
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        content = data[at + 8 : at + 8 + size]
        if len(content) < size or at + 12 + size > len(data):
            raise DataError(f"{path} is truncated: its block {name.decode('latin-1').strip()!r} ends early")
        (stated,) = struct.unpack_from("<I", data, at + 8 + size)
        if sum(data[at : at + 8 + size]) % 2**32 != stated:
            raise DataError(f"{path}: the sum of its block {name.decode('latin-1').strip()!r} does not agree: damaged")
        blocks.setdefault(name, content)
        at += 12 + size
    form = blocks.get(b"fmt ", b"")
    if len(form) < 5:
        raise DataError(f"{path} is not an ATC file, or truncated: it does not tell its format")
    _, rate, resolution_nv = struct.unpack_from("<BHH", form)
    if not rate or not resolution_nv:
        raise DataError(f"{path}: an ATC file tells its rate and resolution, received {rate} Hz and {resolution_nv} nV")
    leads = {b"ecg ": "I", b"ecg2": "II", b"ecg3": "III", b"ecg4": "aVR", b"ecg5": "aVL", b"ecg6": "aVF"}
    channels: list[Channel] = []
    for name, lead in leads.items():
        if name in blocks:
            counts = np.frombuffer(blocks[name][: len(blocks[name]) // 2 * 2], "<i2").astype(np.float64)
            channels.append(
                Channel(
                    len(channels) + 1, lead, "nV", float(rate), partial(np.multiply, counts, float(resolution_nv)),
                    partial(np.asarray, counts),
                )
            )  # fmt: skip
    return Source(path, "ATC", tuple(channels), empty=f"{path} holds no ECG")


def read(path: Path) -> Source | None:
    """Read a file by `ecgdatakit`, None where it knows it as little as we do.

    Raises: DataError: of a known kind, but damaged or without what its kind needs.
    """
    import ecgdatakit

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = ecgdatakit.FileParser.detect_format(path)
            if found is None or found["parser"] in _OURS:
                return None
            record = ecgdatakit.FileParser.parse(path, auto_scale=False)
    except ModuleNotFoundError:
        raise
    except ImportError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # parsers of binary formats meet damaged files with whatever they run into
        raise DataError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    notes = [
        " ".join(str(w.message).split())[:200]
        for w in caught
        if issubclass(w.category, UserWarning) and "auto_scale" not in str(w.message)
    ]
    channels = []
    for i, lead in enumerate(record.leads):
        samples = np.asarray(lead.samples, np.float64).reshape(-1)
        unit = lead.resolution_unit if lead.is_raw else lead.units or lead.resolution_unit
        calibrated = not lead.is_raw
        scale, offset = (1.0, 0.0) if calibrated else (lead.resolution, lead.offset)
        channels.append(
            Channel(
                i + 1,
                str(lead.label or f"lead {i + 1}"),
                unit or None,
                float(lead.sampling_rate),
                partial(_scaled, samples, scale, offset),
                partial(_no_counts, path) if calibrated and voltage_unit(unit or "") else partial(np.asarray, samples),
                bool(lead.label),
            )
        )
    return Source(path, found["name"], tuple(channels), tuple(notes), empty=f"{path} holds no ECG")


def _scaled(samples: np.ndarray, scale: float, offset: float) -> np.ndarray:
    return samples * scale + offset


def _no_counts(path: Path) -> np.ndarray:
    raise DataError(f"{path} holds calibrated values, no counts: a gain cannot replace them; give --units V, mV or uV")
