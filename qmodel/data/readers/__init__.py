"""Readers of recordings, one per family of formats; a file is told by what it holds, not by its name."""

from __future__ import annotations

from pathlib import Path

from qmodel.data.mitdb import DataError
from qmodel.data.readers import clinical, edf, tables, wfdb_record
from qmodel.data.readers.channels import Source

KINDS = "WFDB (.hea), EDF and BDF, tables (.csv, .tsv, .txt, also packed), and with ecgdatakit clinical files"
_ATC = b"ALIVE"
# First bytes of clinical formats that the package ecgdatakit reads; an XML or JSON file is asked about by its content.
_SCP_AT, _SCP = 16, b"SCPECG"
_DICOM_AT, _DICOM = 128, b"DICM"
_ISHNE = (b"ISHNE1.0", b"ANN  1.0")


def read(path: Path, asked_hz: float | None) -> Source:
    """Read a file of any kind. Args: path: a WFDB record with or without its suffix, or a file; asked_hz: for tables.

    Raises: DataError: missing, empty, damaged, or of no known format.
    """
    if path.is_dir() and not (path.resolve().parent / f"{path.resolve().name}.hea").is_file():
        raise DataError(f"{path} is a folder; a recording is a file")
    try:
        return _read(path, asked_hz)
    except (DataError, ModuleNotFoundError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # the last net: whatever a reader meets in a damaged file ends as one line
        raise DataError(
            f"{path} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _read(path: Path, asked_hz: float | None) -> Source:
    suffix = path.suffix.lower()
    if not path.name:
        path = path.resolve()
    header = path if suffix == ".hea" else path.with_name(f"{path.stem if suffix == '.dat' else path.name}.hea")
    if not path.is_file():
        if header.is_file():
            return wfdb_record.read(header)
        raise DataError(_not_found(path, header))
    if suffix == ".hea" or (suffix == ".dat" and header.is_file()):
        return wfdb_record.read(header)
    if not path.stat().st_size:
        raise DataError(f"{path} is empty")
    with open(path, "rb") as file:
        first = file.read(4096)
    if edf.kind(first) or (suffix in (".edf", ".bdf") and not _table(first)):
        return edf.read(path)
    if first.startswith(_ATC):
        return clinical.read_atc(path)
    if suffix in (*tables.SUFFIXES, *tables.PACKED) and not _clinical(path, first):
        if suffix == ".dat" and b"\0" in first:
            raise DataError(f"the header of a WFDB record is missing: {header}")
        return tables.read(path, asked_hz)
    found = clinical.read(path) if _clinical(path, first) else None
    if found is not None:
        return found
    if header.is_file():
        return wfdb_record.read(header)
    if _table(first):
        return tables.read(path, asked_hz)
    if suffix in (".xml", ".json", ".scp", ".dcm", ".ecg", ".mwf"):
        kinds = "GE MUSE, Philips, HL7 aECG and other XML, SCP-ECG, DICOM, ISHNE, MFER, Kardia"
        raise DataError(f"{path} has no clinical format that is known here: {kinds}")
    raise DataError(f"{path} has no format that is known here: {KINDS}")


def _table(first: bytes) -> bool:
    """Whether first bytes are those of a table: text, most of whose lines hold a number. Its suffix may be anything."""
    if b"\0" in first:
        return False
    lines = [line for line in first.decode("latin-1").splitlines()[:-1] if line.strip()][-20:]
    return len(lines) > 2 and sum(any(c.isdigit() for c in line) for line in lines) > 0.8 * len(lines) and not any(
        ord(c) < 32 and c not in "\t\x1f" for line in lines for c in line
    )  # fmt: skip


def _clinical(path: Path, first: bytes) -> bool:
    """Whether a file may be of a clinical format, by its first bytes."""
    text = first.lstrip(b"\xef\xbb\xbf\xff\xfe \r\n\t\0")
    return (
        text[:1] in (b"<", b"{")
        or first[_SCP_AT : _SCP_AT + 6] == _SCP
        or first[_DICOM_AT : _DICOM_AT + 4] == _DICOM
        or first.startswith(_ISHNE)
        or path.suffix.lower() in clinical.SUFFIXES
    )


def files(path: Path) -> list[Path]:
    """Every file that a recording is read from: of a WFDB record what its headers name, of a table its description."""
    if path.suffix.lower() == ".hea":
        try:
            return wfdb_record.files(path)
        except (DataError, OSError):
            return [path]
    beside = tables.sidecar(path)
    return [path] if beside is None else [path, beside]


def _not_found(path: Path, header: Path) -> str:
    if path.is_file() or path.with_name(f"{path.name}.dat").is_file():
        return f"the header of a WFDB record is missing: {header}"
    if path.exists():
        return f"{path} is not a file"
    return f"no such recording: {path}"


def is_table(path: Path) -> bool:
    """Whether a file is named as a table, also as a packed one: of these alone a user gives the rate for a folder."""
    suffix = path.suffix.lower()
    return (Path(path.stem).suffix.lower() if suffix in tables.PACKED else suffix) in tables.SUFFIXES


def is_recording(path: Path, tables_too: bool) -> bool:
    """Whether a file of a folder is one to read, by its name and its first bytes.

    Args: tables_too: take tables that do not tell their own rate.
    """
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower() if suffix in tables.PACKED else suffix
    if suffix in (".hea", ".edf", ".bdf", *clinical.SUFFIXES):
        return True
    if inner in (".csv", ".tsv"):
        return tables_too or tables.tells_rate(path)
    if suffix in tables.PACKED or suffix in tables.SUFFIXES:
        return False
    try:
        with open(path, "rb") as file:
            first = file.read(8)
    except OSError:
        return False
    return edf.kind(first) is not None or first.startswith(_ATC)


__all__ = ["KINDS", "files", "is_recording", "is_table", "read"]
