"""Find, download, verify and read the records of the MIT-BIH Arrhythmia Database 1.0.0."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import wfdb
from tqdm import tqdm
from wfdb.io.download import dl_full_file

from qmodel.errors import InputError
from qmodel.files import sha256, written_beside

SAMPLING_RATE_HZ = 360
RECORD_SAMPLES = 650_000
SUFFIXES = (".hea", ".dat", ".atr")
SOURCE = "MIT-BIH"

_PHYSIONET = "https://physionet.org/files/mitdb/1.0.0/"
_ATTEMPTS = 3
_verified: dict[tuple[str, int, int], str] = {}  # (path, mtime in ns, bytes) -> SHA-256 of what was read


@cache
def published_sums() -> dict[str, str]:
    """Return PhysioNet's SHA-256 sum of every file of the 48 records, by file name."""
    lines = (Path(__file__).parent / "mitdb_sha256.txt").read_text("ascii").splitlines()
    return {name: digest for digest, name in (line.split() for line in lines)}


RECORDS = tuple(sorted({Path(name).stem for name in published_sums()}))


class DataError(InputError):
    """ECG data is missing, broken or not what was asked for."""


@dataclass(frozen=True)
class Record:
    """One record: signals int16, shape (sample, lead), in ADC units (200 per mV, 1024 at 0 mV)."""

    name: str
    leads: tuple[str, ...]
    sampling_rate_hz: int
    signals: np.ndarray


def person(record: str) -> str:
    """Name the person a record was taken from: records 201 and 202 are one person, named 201."""
    return "201" if record == "202" else record


def cache_folder() -> Path:
    """Return the user's cache folder for the records (respects $XDG_CACHE_HOME)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecg-alq" / "mitdb"


def find(path: str | os.PathLike | None = None) -> Path:
    """Find the folder that holds the 48 records.

    Args: path: a folder; without it $MITDB_DIR, then the cache folder (`cache_folder`).
    Returns: the first folder found; a path given, or set in $MITDB_DIR, must be right.
    Raises: DataError: no folder, or a folder without the records.
    """
    for origin, named in (("the path given", path), ("$MITDB_DIR", os.environ.get("MITDB_DIR"))):
        if named:
            folder = Path(named).expanduser()
            if not folder.is_dir():
                raise DataError(f"MIT-BIH folder must exist: {origin} is {str(folder)!r}, which is not a folder.")
            if missing := _missing_files(folder):
                raise DataError(
                    f"MIT-BIH folder must hold the 48 records: {origin}, {str(folder)!r}, lacks {len(missing)} files, "
                    f"the first is {missing[0]}. Run `ecg-alq data` to download them."
                )
            return folder
    folder = cache_folder()
    if folder.is_dir() and not _missing_files(folder):
        return folder
    raise DataError(
        "The MIT-BIH records were not found. Run `ecg-alq data` to download them, or name their folder with --data or "
        f"in $MITDB_DIR. Searched: {folder}."
    )


def _missing_files(folder: Path) -> list[str]:
    return [name for name in published_sums() if not (folder / name).is_file()]


def verify(folder: str | os.PathLike, sums: Mapping[str, str] | None = None) -> list[str]:
    """List the files of a folder that are missing or differ from their SHA-256 sums; empty if all are right."""
    sums = published_sums() if sums is None else sums
    return [name for name, digest in sums.items() if not _matches(Path(folder) / name, digest)]


def _matches(path: Path, digest: str) -> bool:
    return path.is_file() and _sha256(path) == digest


def _sha256(path: Path) -> str:
    status = path.stat()
    key = (str(path.resolve()), status.st_mtime_ns, status.st_size)
    if key not in _verified:
        _verified[key] = sha256(path)
    return _verified[key]


def fetch_from_physionet(name: str, destination: Path) -> None:
    """Fetch one file of the database from PhysioNet; OSError if it cannot be had."""
    dl_full_file(_PHYSIONET + name, str(destination))


def download(
    folder: str | os.PathLike | None = None,
    fetch: Callable[[str, Path], None] = fetch_from_physionet,
    sums: Mapping[str, str] | None = None,
) -> Path:
    """Download the records, with progress; an interrupted download goes on where it stopped.

    Args: folder: where to put them, the cache folder if not given; fetch: writes the named file to the given path;
        sums: SHA-256 sum by file name, PhysioNet's if not given.
    Returns: the folder, every file of it verified.
    Raises: DataError: a file could not be had, or did not match its sum, three times.
    """
    folder = Path(folder or cache_folder()).expanduser()
    sums = published_sums() if sums is None else sums
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [name for name, digest in sums.items() if not _matches(folder / name, digest)]
    progress = tqdm(wanted, desc="MIT-BIH records", unit="file", initial=len(sums) - len(wanted), total=len(sums))
    for name in progress:
        with written_beside(folder / name) as part:
            _download_file(name, part, sums[name], fetch)
    return folder


def _download_file(name: str, part: Path, digest: str, fetch: Callable[[str, Path], None]) -> None:
    for _ in range(_ATTEMPTS):
        try:
            fetch(name, part)
        except OSError as error:  # what wfdb, requests and a full disk raise
            reason = str(error) or type(error).__name__
            cause: OSError | None = error
        else:
            if sha256(part) == digest:
                return
            reason, cause = "its SHA-256 sum is wrong", None
        part.unlink(missing_ok=True)
    raise DataError(
        f"{name} could not be downloaded in {_ATTEMPTS} attempts: {reason}. "
        "Files already verified are kept: run `ecg-alq data` again to continue."
    ) from cause


def read_record(folder: str | os.PathLike, name: str, sums: Mapping[str, str] | None = None) -> Record:
    """Read one record, verified against its SHA-256 sums.

    Args: folder: holds the record's files; name: one of RECORDS; sums: PhysioNet's if not given; an empty mapping
        skips the sums (for records made by qmodel.data.synthetic).
    Returns: the record, signals int16, shape (sample, lead), 360 Hz, 650,000 samples.
    Raises: DataError: a file is missing, truncated or changed, or the record is not 360 Hz and 650,000 samples.
    """
    folder = Path(folder)
    check_files(folder, name, SUFFIXES[:2], sums)
    header = wfdb.rdheader(str(folder / name))
    if header.fs != SAMPLING_RATE_HZ:
        raise DataError(
            f"Sampling rate must be {SAMPLING_RATE_HZ} Hz: record {name} has {header.fs} Hz. Resample it first."
        )
    if header.sig_len != RECORD_SAMPLES:
        raise DataError(f"A record must have {RECORD_SAMPLES} samples: record {name} has {header.sig_len}.")
    expected = RECORD_SAMPLES * header.n_sig * 3 // 2  # WFDB format 212: two samples in three bytes
    actual = (folder / f"{name}.dat").stat().st_size
    if set(header.fmt) == {"212"} and actual != expected:
        raise DataError(
            f"{name}.dat must have {expected} bytes, it has {actual}: it is truncated or not this record's. "
            "Run `ecg-alq data` to download it again."
        )
    content = wfdb.rdrecord(str(folder / name), physical=False, return_res=16)
    return Record(name, tuple(content.sig_name), SAMPLING_RATE_HZ, content.d_signal)


def check_files(folder: Path, name: str, suffixes: Iterable[str], sums: Mapping[str, str] | None = None) -> None:
    """Raise DataError unless the record's files with these suffixes exist and match their SHA-256 sums, if any."""
    sums = published_sums() if sums is None else sums
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if not path.is_file():
            raise DataError(f"{path.name} is missing in {str(folder)!r}. Run `ecg-alq data` to download it.")
        if sums and path.name not in sums:
            raise DataError(f"Record must be one of the 48 of MIT-BIH, received {name!r}.")
        if sums and _sha256(path) != sums[path.name]:
            raise DataError(
                f"{path} does not match PhysioNet's SHA-256 sum ({path.stat().st_size} bytes): it is truncated or "
                "changed (headers must keep their CR LF line ends). Run `ecg-alq data` to download it again."
            )
