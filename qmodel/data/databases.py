"""The public databases: what each says about its persons' ECG, where it is found, and its records in one form.

Labels are partial. A database of beats says which beats, not which rhythm; one of rhythms says which rhythm, not which
beats lie in it; a diagnosis of a recording says nothing about where. `Labelled` keeps what is said and marks the rest
as silent; `qmodel.data.partial` makes targets of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import wfdb
from tqdm import tqdm
from wfdb.io.download import dl_full_file

from qmodel.data import mitdb
from qmodel.data.fragments import CLASSES
from qmodel.data.mitdb import SAMPLING_RATE_HZ, DataError
from qmodel.data.recording import ADC_UNITS_PER_MV, resample
from qmodel.files import written_beside
from qmodel.fixed_point import MAX_ADC_MAGNITUDE

BEATS = ("N", "S", "V", "F", "Q")  # ANSI/AAMI EC57: normal, supraventricular, ventricular, fusion, not classified
_BEAT_OF_SYMBOL = (
    dict.fromkeys("NLRejnB", "N") | dict.fromkeys("AaJS", "S") | dict.fromkeys("VEr", "V")
) | {"F": "F"} | dict.fromkeys("Q/f?", "Q")  # fmt: skip
SILENT = "silent"
SUMS_FILE = "SHA256SUMS"
FOLDER_VARIABLE = "ECG_ALQ_DATABASES"
_ATTEMPTS = 3

# Rhythm notes of MIT-BIH and the Malignant Ventricular database, and what a window inside one may be. Ventricular
# fibrillation is none of the 17 classes: flutter and tachycardia are what is nearest, and as urgent.
SINUS = ("NSR", "APB", "WPW", "PVC", "Fusion", "LBBBB", "RBBBB")
CLASSES_OF_RHYTHM = {
    "(N": SINUS,
    "(NSR": SINUS,
    "(SBR": SINUS,
    "(AFIB": ("AFIB",),
    "(AFL": ("AFL",),
    "(SVTA": ("SVTA",),
    "(B": ("Bigeminy",),
    "(T": ("Trigeminy",),
    "(VT": ("VT",),
    "(VF": ("VT", "VFL"),
    "(VFIB": ("VT", "VFL"),
    "(VFL": ("VFL",),
    "(IVR": ("IVR",),
    "(VER": ("IVR",),
    "(BII": ("SDHB",),
    "(PREX": ("WPW",),
    "(P": ("PR",),
    "(PM": ("PR",),
}


@dataclass(frozen=True)
class Database:
    """A database: its PhysioNet name and version, licence, citation, and what its labels say.

    Args: name: ours; slug, version: of physionet.org/content; rate_hz: None where records differ; leads: in words;
        labels: of beats, rhythms, diagnoses; suffixes: of its files; irregular: records whose rhythm a rule must not
        take from their beats; notes: what a user must know.
    """

    name: str
    title: str
    slug: str | None
    version: str | None
    licence: str
    citation: str
    rate_hz: int | None
    leads: str
    labels: tuple[str, ...]
    suffixes: tuple[str, ...] = (".hea", ".dat", ".atr")
    irregular: tuple[str, ...] = ()
    notes: str = ""
    folder: str | None = None  # another PhysioNet folder below the version

    @property
    def address(self) -> str | None:
        """Where its files are on PhysioNet; None: not published under this name."""
        if self.slug is None:
            return None
        below = f"{self.folder}/" if self.folder else ""
        return f"https://physionet.org/files/{self.slug}/{self.version}/{below}"


_ODC, _CC = "ODC-By 1.0", "CC BY 4.0"
_GOLDBERGER = "Goldberger AL et al. PhysioBank, PhysioToolkit, and PhysioNet. Circulation 101(23):e215-e220, 2000."
_TABLE = (
    Database(
        "mitdb", "MIT-BIH Arrhythmia Database", "mitdb", "1.0.0", _ODC,
        "Moody GB, Mark RG. IEEE Eng in Med and Biol 20(3):45-50, 2001.", 360, "MLII and another",
        ("beats", "rhythms"),
    ),
    Database(
        "svdb", "MIT-BIH Supraventricular Arrhythmia Database", "svdb", "1.0.0", _ODC,
        "Greenwald SD. PhD thesis, Harvard-MIT Division of Health Sciences and Technology, 1990.", 128,
        "ECG1 (mostly like II) and ECG2", ("beats",), irregular=("804", "S011"),
    ),
    Database(
        "st250", "Holter recordings of an ST database, not identified", None, None, _ODC, _GOLDBERGER, 250,
        "one, unknown", ("beats",), irregular=("S110",),
        notes="European ST-T or Long-Term ST Database, rebuilt copy alone: not downloaded",
    ),
    Database(
        "qtdb", "QT Database", "qtdb", "1.0.0", _ODC,
        "Laguna P et al. Computers in Cardiology 24:673-676, 1997.", 250, "two, differing", ("beats",),
        notes="shares persons with the European ST-T, Supraventricular, Long-Term and MIT-BIH databases",
    ),
    Database(
        "sddb_qt", "Sudden Cardiac Death Holter recordings of the QT Database", None, None, _ODC,
        "Greenwald SD. Development and analysis of a ventricular fibrillation detector. MSc thesis, MIT, 1986.", 250,
        "ECG1", ("beats",), irregular=("sel35", "sel36"),
        notes="signals of qtdb with beats of sddb, rebuilt copy alone: not downloaded",
    ),
    Database(
        "vfdb", "MIT-BIH Malignant Ventricular Ectopy Database", "vfdb", "1.0.0", _ODC,
        "Greenwald SD. Development and analysis of a ventricular fibrillation detector. MSc thesis, MIT, 1986.", 250,
        "two, unnamed", ("rhythms",),
    ),
    Database(
        "cinc2017", "AF Classification from a Short Single Lead ECG: Challenge 2017", "challenge-2017", "1.0.0", _ODC,
        "Clifford GD et al. Computing in Cardiology 44, 2017.", 300, "I, may be inverted", ("diagnoses",),
        (".hea", ".mat", ".csv"), folder="training",
    ),
    Database(
        "challenge2021", "Will Two Do? Varying Dimensions in Electrocardiography: Challenge 2021", "challenge-2021",
        "1.0.3", _CC, "Reyna MA et al. Computing in Cardiology 48, 2021.", 500, "II of twelve", ("diagnoses",),
        (".hea", ".mat"), folder="training",
    ),
    Database(
        "ludb", "Lobachevsky University Electrocardiography Database", "ludb", "1.0.1", _ODC,
        "Kalyakulina AI et al. IEEE Access 8:186181-186190, 2020.", 500, "II of twelve", ("diagnoses",),
        (".hea", ".dat"), folder="data",
    ),
    Database(
        "challenge2015", "Reducing False Arrhythmia Alarms in the ICU: Challenge 2015", "challenge-2015", "1.0.0", _ODC,
        "Clifford GD et al. Computing in Cardiology 42:273-276, 2015.", 250, "II or V", ("diagnoses",),
        (".hea", ".mat", ".dat"), folder="training",
        notes="ventricular alarms that are true: the event lies in the last ten seconds before the alarm",
    ),
    Database(
        "nsrdb", "MIT-BIH Normal Sinus Rhythm Database", "nsrdb", "1.0.0", _ODC, _GOLDBERGER, 128, "ECG1 and ECG2",
        ("beats",),
    ),
)  # fmt: skip
DATABASES = {database.name: database for database in _TABLE}
# Of the Supraventricular database's persons, records that stand in another database here.
_PERSONS = {"202": "mitdb/201", "S028": "svdb/802", "S034": "svdb/805", "S048": "svdb/800", "S058": "svdb/804",
            "S059": "svdb/803"}  # fmt: skip


def database(name: str) -> Database:
    """A database by name. Raises: DataError: no such database."""
    if name not in DATABASES:
        raise DataError(f"a database is one of {', '.join(DATABASES)}, received {name!r}")
    return DATABASES[name]


def cache_folder(name: str) -> Path:
    """Where a downloaded database lies (respects $XDG_CACHE_HOME)."""
    return mitdb.cache_folder().parent / name


def find(name: str, path: str | os.PathLike | None = None) -> Path:
    """The folder that holds a database's records.

    Args: path: that folder, or one that holds it under the database's name or its PhysioNet name; without it
        $ECG_ALQ_DATABASES, then the cache folder (`cache_folder`).
    Raises: DataError: unknown database, or no folder with records.
    """
    own = database(name)
    if name == "mitdb":
        return mitdb.find(path)
    names = [name] if own.slug is None else [name, own.slug]
    for origin, named in (("the path given", path), (f"${FOLDER_VARIABLE}", os.environ.get(FOLDER_VARIABLE))):
        if named:
            folder = Path(named).expanduser()
            for candidate in (folder / each for each in names):
                if record_names(candidate):
                    return candidate
            # A folder of several databases, of which this is none, holds records too.
            if any(folder.glob("*.hea")) or (folder.name in names and record_names(folder)):
                return folder
            if origin == "the path given":
                raise DataError(f"{folder} holds no record (*.hea) of {name}, nor does {folder / name}")
    if record_names(folder := cache_folder(name)):
        return folder
    way = (
        f"Run `ecg-alq data --database {name}` to download it, or name its folder in ${FOLDER_VARIABLE}."
        if own.address
        else f"It is not published under this name; name a folder that holds it in ${FOLDER_VARIABLE}."
    )
    raise DataError(f"{name} was not found. {way} Searched: {folder}.")


def available(path: str | os.PathLike | None = None) -> list[str]:
    """Names of the databases that are found. Args: path: as in `find`."""
    names = []
    for name in DATABASES:
        try:
            find(name, path if name != "mitdb" else None)
        except DataError:
            continue
        names.append(name)
    return names


def record_names(folder: str | os.PathLike) -> list[str]:
    """Records of a folder, those below it included, in order of name: paths without suffix, relative to it."""
    folder = Path(folder)
    headers = folder.rglob("*.hea") if folder.is_dir() else ()
    return sorted(header.relative_to(folder).with_suffix("").as_posix() for header in headers)


@dataclass(frozen=True)
class Verified:
    """Whether a database's files are the published ones: how many were compared, which differ, and in words."""

    name: str
    folder: Path
    files: int
    compared: int
    broken: tuple[str, ...] = field(default=())

    @property
    def origin(self) -> str:
        """`published`, `changed`, or `rebuilt` where no published sums lie beside the files."""
        if not self.compared:
            return "rebuilt"
        return "changed" if self.broken else "published"

    @property
    def words(self) -> str:
        """A sentence for a user."""
        start = f"{self.name}: {self.files} files in {self.folder}"
        if self.origin == "rebuilt":
            return f"{start}; a rebuilt copy: no published sums to compare with"
        if self.origin == "changed":
            return f"{start}; {len(self.broken)} differ from the published sums, the first is {self.broken[0]}"
        return f"{start}; {self.compared} equal the published SHA-256 sums"


def verify(name: str, path: str | os.PathLike | None = None) -> Verified:
    """Compare a database's files with the published sums that lie beside them (SHA256SUMS). Raises: DataError."""
    folder = find(name, path)
    sums = _sums(folder) if name != "mitdb" else mitdb.published_sums()
    suffixes = database(name).suffixes
    files = sum(1 for file in folder.rglob("*") if file.suffix in suffixes)
    if name != "mitdb":  # some of the records will do, but each of them whole: an annotation that was taken away shows
        here = set(record_names(folder))
        sums = {
            f: s for f, s in sums.items() if Path(f).suffix in suffixes and Path(f).with_suffix("").as_posix() in here
        }
    return Verified(name, folder, files, len(sums), tuple(mitdb.verify(folder, sums)) if sums else ())


def _sums(folder: Path) -> dict[str, str]:
    for file in (folder / SUMS_FILE, folder / f"{SUMS_FILE}.txt"):
        if file.is_file():
            return read_sums(file.read_text("utf-8"))
    return {}


def read_sums(text: str) -> dict[str, str]:
    """SHA-256 sum by file name from the lines of a sums file. Raises: DataError: a line that is none, or a path
    that leaves the folder."""
    sums = {}
    for line in text.splitlines():
        if not line.strip():
            continue
        match = re.fullmatch(r"([0-9a-fA-F]{64})\s+\*?(.+)", line.strip())
        if not match or Path(match[2]).is_absolute() or ".." in Path(match[2]).parts:
            raise DataError(f"a line of the sums must be a SHA-256 sum and a file name, received {line[:100]!r}")
        sums[match[2]] = match[1].lower()
    return sums


def fetch(address: str, destination: Path) -> None:
    """Fetch one file from PhysioNet; OSError if it cannot be had."""
    dl_full_file(address, str(destination))


def download(
    name: str,
    folder: str | os.PathLike | None = None,
    fetch: Callable[[str, Path], None] = fetch,
) -> Path:
    """Download a database from PhysioNet, every file verified by its published sum; goes on where it stopped.

    Args: folder: where to put it, the cache folder if not given; fetch: writes the file of an address to a path.
    Returns: the folder. Raises: DataError: not published, a file could not be had, or differs from its sum.
    """
    own = database(name)
    if name == "mitdb":
        return mitdb.download(folder)
    if own.address is None:
        raise DataError(f"{name} cannot be downloaded: {own.notes}")
    folder = Path(folder or cache_folder(name)).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    root = f"https://physionet.org/files/{own.slug}/{own.version}/"
    listed = folder / f"{SUMS_FILE}.txt"
    _fetch_file(f"{root}SHA256SUMS.txt", listed, None, fetch)
    below = f"{own.folder}/" if own.folder else ""
    sums = {
        file.removeprefix(below): digest
        for file, digest in read_sums(listed.read_text("utf-8")).items()
        if file.startswith(below) and Path(file).suffix in own.suffixes
    }
    if not sums:
        raise DataError(f"{root}SHA256SUMS.txt lists no record of {name}: its layout has changed")
    with written_beside(listed) as part:
        part.write_text("".join(f"{digest}  {file}\n" for file, digest in sums.items()), "utf-8")
    wanted = [file for file, digest in sums.items() if not _right(folder / file, digest)]
    for file in tqdm(wanted, desc=f"{name} records", unit="file", initial=len(sums) - len(wanted), total=len(sums)):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _fetch_file(f"{own.address}{file}", folder / file, sums[file], fetch)
    return folder


def _right(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _fetch_file(address: str, path: Path, digest: str | None, fetch: Callable[[str, Path], None]) -> None:
    with written_beside(path) as part:
        for _ in range(_ATTEMPTS):
            try:
                fetch(address, part)
            except OSError as error:  # what wfdb, requests and a full disk raise
                reason = str(error) or type(error).__name__
                cause: OSError | None = error
            else:
                if digest is None or hashlib.sha256(part.read_bytes()).hexdigest() == digest:
                    return
                reason, cause = "its SHA-256 sum is wrong", None
            part.unlink(missing_ok=True)
        raise DataError(
            f"{address} could not be downloaded in {_ATTEMPTS} attempts: {reason}. Files already verified are kept: "
            "run the command again to go on."
        ) from cause


@dataclass(frozen=True)
class Labelled:
    """A record at 360 Hz with what its database says of it.

    Args: person: one name per person over all databases; signals: int16 (sample, lead), 200 units per mV less a whole
        number per lead; beat_at: int64 (beat,), sample of every annotated beat, beat_kind: int8 (beat,), index into
        BEATS, both None where the database is silent on beats; rhythm_from, rhythm: samples at which a rhythm begins
        and its note (empty: nothing is known from here), None where it is silent on rhythms; diagnosis: bool (class,),
        what a window of the record may be by its diagnosis, None without one; irregular: not of sinus rhythm, whatever
        its beats; event_from: the diagnosis holds from this sample on.
    """

    database: str
    name: str
    person: str
    leads: tuple[str, ...]
    signals: np.ndarray
    beat_at: np.ndarray | None = None
    beat_kind: np.ndarray | None = None
    conduction: np.ndarray | None = None  # str (beat,), the symbols of bundle branch block beats (L, R), else empty
    rhythm_from: np.ndarray | None = None
    rhythm: tuple[str, ...] | None = None
    diagnosis: np.ndarray | None = None
    irregular: bool = False
    event_from: int = 0

    def __len__(self) -> int:
        return len(self.signals)


def read(name: str, record: str, folder: str | os.PathLike | None = None) -> Labelled:
    """Read one record of a database: signals at 360 Hz, and everything that is said about it.

    Args: folder: the records (`find`). Raises: DataError: unknown database, missing record, or a file that wfdb
    cannot read.
    """
    own, folder = database(name), find(name) if folder is None else Path(folder)
    path = folder / record
    try:
        content = wfdb.rdrecord(str(path))
        marks = wfdb.rdann(str(path), "atr") if path.with_name(path.name + ".atr").is_file() else None
    except Exception as error:  # wfdb raises whatever its parsing hits
        raise DataError(f"{path} cannot be read as a WFDB record: {error or type(error).__name__}") from None
    rate = float(content.fs)
    signals = np.stack([_to_units(content.p_signal[:, i], rate) for i in range(content.n_sig)], axis=1)
    short = Path(record).name
    labels: dict = {"irregular": short in own.irregular}
    if marks is not None and "beats" in own.labels:
        symbol = np.asarray(marks.symbol)
        known = np.array([s in _BEAT_OF_SYMBOL for s in symbol], bool)
        at = np.rint(np.asarray(marks.sample)[known] * (SAMPLING_RATE_HZ / rate)).astype(np.int64)
        labels["beat_at"] = at
        labels["beat_kind"] = np.array([BEATS.index(_BEAT_OF_SYMBOL[s]) for s in symbol[known]], np.int8)
        labels["conduction"] = np.where(np.isin(symbol[known], ("L", "R", "n", "/", "f", "B")), symbol[known], "")
    if marks is not None and "rhythms" in own.labels:
        changes = [
            (s, note.rstrip("\0 "))
            for s, note, mark in zip(marks.sample, marks.aux_note, marks.symbol, strict=True)
            if mark == "+" and note
        ]
        labels["rhythm_from"] = np.rint(np.array([s for s, _ in changes]) * (SAMPLING_RATE_HZ / rate)).astype(np.int64)
        labels["rhythm"] = tuple(note for _, note in changes)
    if "diagnoses" in own.labels:
        labels["diagnosis"] = _diagnosis(own, folder, record, content.comments or [])
        if name == "challenge2015":
            labels["event_from"] = max(0, len(signals) - 10 * SAMPLING_RATE_HZ)
    person = _PERSONS.get(short, f"{name}/{short}")
    return Labelled(name, short, person, tuple(content.sig_name), signals, **labels)


def _to_units(signal_mv: np.ndarray, rate: float) -> np.ndarray:
    """int16 (sample,), 200 units per mV at 360 Hz, the median taken off."""
    at_rate = resample(signal_mv, rate)
    units = np.rint(ADC_UNITS_PER_MV * at_rate.astype(np.float64))
    units -= np.rint(np.median(units)) if len(units) else 0
    return np.clip(units, -MAX_ADC_MAGNITUDE, MAX_ADC_MAGNITUDE - 1).astype(np.int16)


# SNOMED CT codes and, in early CPSC headers, words; Challenge 2021's mapping tables.
_OF_DIAGNOSIS = {
    "164889003": "AFIB", "AF": "AFIB", "164890007": "AFL", "426761007": "SVTA", "713422000": "SVTA",
    "284470004": "APB", "63593006": "APB", "PAC": "APB", "427172004": "PVC", "17338001": "PVC", "164884008": "PVC",
    "PVC": "PVC", "59118001": "RBBBB", "713427006": "RBBBB", "RBBB": "RBBBB", "164909002": "LBBBB", "LBBB": "LBBBB",
    "733534002": "LBBBB", "10370003": "PR", "251180001": "Bigeminy", "11157007": "Bigeminy", "251173003": "Trigeminy",
    "195042002": "SDHB",
}  # fmt: skip
_SINUS_DIAGNOSES = {"426783006", "426177001", "427084000", "427393009", "Normal"}
# Rhythms that none of the 17 classes is, or that make every class possible.
_OTHER_RHYTHMS = {"233917008", "27885002", "47665007x", "426627000x", "698252002x", "251170000", "426434006"}
_LUDB_WORDS = (
    (r"atrial fibrillation", "AFIB"), (r"atrial flutter", "AFL"), (r"complete left bundle", "LBBBB"),
    (r"complete right bundle", "RBBBB"), (r"pacing|pacemaker, ", "PR"), (r"ventricular extrasystole", "PVC"),
    (r"^(?!.*ventricular).*extrasyst", "APB"),
)  # fmt: skip


def _diagnosis(own: Database, folder: Path, record: str, comments: list[str]) -> np.ndarray | None:
    """Bool (class,): what a window of the record may be; None where the diagnosis names no class."""
    if own.name == "cinc2017":
        code = _reference(folder).get(Path(record).name)
        named = {"A": ["AFIB"], "N": ["NSR"]}.get(code or "", [])
    elif own.name == "challenge2015":
        alarm = comments[0] if comments else ""
        true = len(comments) > 1 and comments[1].startswith("True")
        named = {"Ventricular_Tachycardia": ["VT"], "Ventricular_Flutter_Fib": ["VFL", "VT"]}.get(alarm, [])
        named = named if true else []
    elif own.name == "ludb":
        text = [comment.strip(" .").lower() for comment in comments]
        if any("iii degree" in line or "wandering" in line or "blockade" in line for line in text):
            return None
        found = {c for line in text for pattern, c in _LUDB_WORDS if re.search(pattern, line)}
        found -= {"RBBBB"} if any("incomplete right" in t for t in text) else set()
        found -= {"LBBBB"} if any("incomplete left" in t for t in text) else set()
        named = _with_rhythm(found, any(re.search(r"rhythm: .*sinus", line) for line in text))
    else:
        listed = next((c.split(":", 1)[1] for c in comments if c.lstrip("# ").startswith("Dx")), "")
        codes = {code.strip() for code in listed.split(",")}
        if codes & _OTHER_RHYTHMS:
            return None
        found = {_OF_DIAGNOSIS[code] for code in codes & set(_OF_DIAGNOSIS)}
        named = _with_rhythm(found, bool(codes & _SINUS_DIAGNOSES))
    if not named:
        return None
    return np.isin(CLASSES, named)


def _with_rhythm(found: set[str], sinus: bool) -> list[str]:
    """What a window may be: a rhythm stands above beats; premature beats need not lie in every window."""
    rhythms = found & {"AFIB", "AFL", "SVTA", "PR", "SDHB", "Bigeminy", "Trigeminy"}
    if rhythms:
        return sorted(rhythms)
    block = found & {"LBBBB", "RBBBB"}
    if found - block:
        return sorted(found | (set() if block else {"NSR"}))
    return sorted(block) if block else ["NSR"] * sinus


@cache
def _reference(folder: Path) -> dict[str, str]:
    """Class letter by record from REFERENCE*.csv."""
    for file in sorted(folder.glob("REFERENCE*.csv")):
        lines = file.read_text("utf-8").split()
        return dict(line.split(",")[:2] for line in lines if "," in line)
    raise DataError(f"{folder} lacks REFERENCE.csv, which says what each record is")
