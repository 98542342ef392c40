"""What a channel of a recording is: an ECG lead by its name, a voltage by its unit, or something else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from qmodel.data.mitdb import DataError

MV_PER_UNIT = {"V": 1000.0, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}
TRAINED_LEADS = ("MLII", "II")
LIMB_LEADS = ("I", "III", "AVL", "AVF", "ML1", "MLI", "MLIII")
_LEAD_ORDER = (*TRAINED_LEADS, "ECG", "EKG", "ECG1", "EKG1", "ECG2", "EKG2", *LIMB_LEADS)

LONGEST_SAMPLES = 500_000_000  # of one signal, gaps filled
# Gaps become missing samples, which cost memory and time as others do: so few bytes must not ask for so many of them.
ALWAYS_FILLED = 3_000_000  # samples: more than three hours at 250 Hz
FILLED_PER_SAMPLE = 200  # an event recorder that stores 20 s an hour misses 179 samples for each that it has

ECG, OTHER, UNKNOWN = "ecg", "other", "unknown"  # what a name says
VOLTAGE, PHYSICAL, COUNTS, UNCLEAR, NO_UNIT = "voltage", "physical", "counts", "unclear", "none"  # what a unit says


@dataclass(frozen=True)
class Channel:
    """One signal of a file.

    Args: number: its place in the file, from 1; name: as the file has it, or "lead N"; unit: as the file has it, None
        where it has none; rate_hz: None where the file does not tell; physical: gives its values in `unit`, float
        (sample,), NaN where missing; counts: gives them before calibration, raises DataError where there are none;
        named: whether the file names it.
    """

    number: int
    name: str
    unit: str | None
    rate_hz: float | None
    physical: Callable[[], np.ndarray]
    counts: Callable[[], np.ndarray]
    named: bool = True

    @property
    def described(self) -> str:
        """For messages: name, number, unit and rate."""
        rate = None if self.rate_hz is None else f"{self.rate_hz:g} Hz"
        facts = ", ".join(fact for fact in (f"number {self.number}", self.unit or "no unit", rate) if fact)
        return f"{self.name} ({facts})"


def check_gaps(what: str, recorded: int, whole: int, rate_hz: float) -> None:
    """Refuse a signal whose gaps are out of proportion, before they are filled: a slip in a clock or in a header.

    Args: what: of which file or column, begins the message; recorded: samples that are there; whole: with its gaps.
    Raises: DataError: more missing than are filled, or too long altogether.
    """
    missing = whole - recorded
    if whole <= LONGEST_SAMPLES and missing <= max(ALWAYS_FILLED, FILLED_PER_SAMPLE * recorded):
        return
    if not missing:
        raise DataError(f"{what}: {whole:,} samples are more than can be read ({LONGEST_SAMPLES:,}): cut it into parts")
    raise DataError(
        f"{what}: gaps of {missing / rate_hz / 3600:.6g} hours in all, and {recorded / rate_hz:.6g} s of samples. Gaps "
        f"are filled up to {FILLED_PER_SAMPLE} times the samples or {ALWAYS_FILLED / rate_hz / 3600:.3g} hours, and "
        f"{LONGEST_SAMPLES / rate_hz / 3600:.4g} hours altogether: cut it into parts, or mend its times"
    )


@dataclass(frozen=True)
class Source:
    """What a reader found in a file. Args: kind: of format; notes: what the user should know, a line each; mv_assumed:
    a channel without a unit is taken as mV (tables, whose plausibility is checked later)."""

    path: Path
    kind: str
    channels: tuple[Channel, ...]
    notes: tuple[str, ...] = ()
    mv_assumed: bool = False
    empty: str = field(default="")  # why there are no channels, where there are none


def word_set(text: str) -> frozenset[str]:
    """Words of a text."""
    return frozenset(text.split())


_UNIT_WORDS = {
    "v": "V", "volt": "V", "volts": "V",
    "mv": "mV", "mvolt": "mV", "mvolts": "mV", "millivolt": "mV", "millivolts": "mV",
    "uv": "uV", "uvolt": "uV", "uvolts": "uV", "microvolt": "uV", "microvolts": "uV", "microv": "uV", "mcv": "uV",
    "nv": "nV", "nvolt": "nV", "nanovolt": "nV", "nanovolts": "nV",
}  # fmt: skip
_COUNTS = word_set(
    "adc adu au count counts raw lsb lsbs bit bits nu digit digits digital unit units arbitrary adcunit "
    "adcunits adccounts quantum integer na dimensionless rawdata"
)
_PHYSICAL = word_set(
    "mmhg cmh2o mbar kpa pa hpa bpm rpm pm permin min % pct percent percentage c degc celsius f degf k ohm "
    "ohms kohm mohm l ml lmin ls mls lpm s sec secs second seconds ms msec us ns h hours hz khz g mg ms2 mps2 "
    "deg degree degrees degs dps rad rads lx lux db us usiemens siemens microsiemens a ma ua na kg mm cm m "
    "date hhmmss hhmmssmmm hh"
)


def voltage_unit(unit: str) -> tuple[str, float] | None:
    """The unit of MV_PER_UNIT that a text means, and how many of them; None where it means no voltage.

    A micro sign that an encoding has spoilt is still one: no other prefix of a volt is beyond ASCII.
    """
    text = unit.replace("\0", "").strip().strip("[]()").strip()
    match = re.fullmatch(
        r"(?:(\d*\.?\d+(?:[eE][-+]?\d+)?)\s*[*x]?\s*)?(.*?)(?:\s*/\s*(?:bit|lsb|count|digit))?", text, re.I
    )
    if match is None:
        return None
    number, word = match.groups()
    spoilt = re.fullmatch(r"(?:[^\x00-\x7f]+|\?+)\s*-?\s*(v|volts?)", word, re.IGNORECASE)
    known = "uV" if spoilt else _UNIT_WORDS.get(re.sub(r"[\s_.-]", "", word).casefold())
    if known is None:
        spelled = re.fullmatch(r"(milli|micro|nano)?\s*-?\s*(v|volts?)", word, re.IGNORECASE)
        known = None if spelled is None else {"": "V", "milli": "mV", "micro": "uV", "nano": "nV"}[
            (spelled[1] or "").casefold()
        ]  # fmt: skip
    factor = float(number) if number else 1.0
    return None if known is None or not 0 < factor < math.inf else (known, factor)


def kind_of_unit(unit: str | None) -> str:
    """VOLTAGE, PHYSICAL (another quantity), COUNTS, UNCLEAR or NO_UNIT."""
    text = (unit or "").replace("\0", "").strip()
    if not text:
        return NO_UNIT
    if voltage_unit(text):
        return VOLTAGE
    word = re.sub(r"[^a-z0-9%]", "", text.casefold())
    if word in _COUNTS:
        return COUNTS
    return PHYSICAL if word in _PHYSICAL or "°" in text or "/min" in text.casefold() else UNCLEAR


def mv_per(units: str) -> float:
    """Millivolts per unit: of V, mV, uV, nV, or of a count where `units` is a gain like 200/mV.

    Raises: DataError: neither.
    """
    gain, slash, unit = units.rpartition("/")
    known = voltage_unit(unit)
    try:
        counts = float(gain) if slash else 1.0
    except ValueError:
        counts = 0.0
    if known is None or known[1] != 1 or not counts > 0 or math.isinf(counts):
        raise DataError(f"units must be {', '.join(MV_PER_UNIT)} or a gain like 200/mV, received {units!r}")
    return MV_PER_UNIT[known[0]] / counts


def is_gain(units: str) -> bool:
    """Whether `units` of mv_per tells counts per unit, not the name of a unit."""
    return "/" in units


# Words in a name. What is measured in place of an ECG:
_OTHER_WORDS = word_set(
    "eeg eog emg pleth plethysmogram plethysmograph ppg spo2 sao2 osat o2sat sat resp respiration respiratory "
    "rsp breath breathing airflow flow flusso thor thorax thoracic torace abdo abdomen abdominal addome nasal "
    "cannula thermistor termistore therm snore snoring mic microphone sound audio phono pcg light lux pos "
    "position posture body abp art bp pap cvp icp nibp lap rap uap pressure press pcwp temp temperature tskin "
    "hr pulse rate bpm rr rri rrinterval ibi nn pr pvc battery batt vbat acc accel acceleration accelerometer "
    "gyro gyroscope mag magnetometer motion activity co2 etco2 o2 gsr eda scl scr cpap leg chin tib lat rat "
    "limb jaw loc roc leog reog eogl eogr imp impedance icg dzdt scg bcg hand foot rssi stim stimulus glucose "
    "weight humidity steps"
)
# What is derived from an ECG or said about it: such a column is none, even with ECG in its name.
_DERIVED_WORDS = word_set(
    "rate hr bpm rr rri ibi hrv quality sqi peak peaks rpeak rpeaks onset onsets offset offsets phase "
    "completion artifact artifacts artefact status state event events trigger triggers trig marker markers "
    "mark annotation annotations annot ann label labels class classes target diagnosis type category symbol "
    "beat beats rhythm comment comments note notes index idx counter count seq nseq sequence packet leadoff "
    "loff impedance resp edr respiration flag flags valid saturation saturated detection heartrate pulse "
    "interval intervals time timestamp qrs fold id uuid patient subject"
)
_ECG_WORD = re.compile(r"(ecg|ekg|elektrokardiogramm|electrocardio.*|cardio|экг|心电|心電)(?!h)", re.IGNORECASE)
_LEAD = re.compile(
    r"I|II|III|AV[RLF]|V|V\d{1,2}R?|V[XYZ]|MLI|MLII|MLIII|MLV?\d|MV\d|MCL\d?|CM\d?|CC\d|CS\d|CR\d|CB\d|"
    r"DI|DII|DIII|D[123]|RALL|LLRA|RALA|LARA|LALL|LLLA|VXRL|ES|AS|AI|EASI|NEHB.?"
)
_CLEAR_LEAD = re.compile(r"II|III|AV[RLF]|V[1-9]|MLI{1,3}|MCL\d", re.IGNORECASE)  # as one word of a name
# Names that readers and the WFDB library give to what has none.
_NO_NAME = re.compile(r"lead \d+|record .+, signal \d+", re.IGNORECASE)
_SAME_LEAD = {
    "DI": "I", "D1": "I", "LARA": "I", "DII": "II", "D2": "II", "LLRA": "II", "DIII": "III", "D3": "III",
    "LLLA": "III", "ML2": "MLII", "ML3": "MLIII",
}  # fmt: skip
# Positions of the 10-20 system; C1 to C6 are chest leads as well (IEC), see `kind_of_name`.
_EEG_POSITION = re.compile(r"(?:FP|AF|F|FC|FT|FPZ|C|CP|T|TP|P|PO|O)(?:\d{1,2}|Z)|A[12]|M[12]|E[12]", re.IGNORECASE)
_CLEAR_EEG = re.compile(r"(?:FP|AF|FC|FT|CP|TP|PO)\d{1,2}|[A-Z]{1,2}Z", re.IGNORECASE)  # the others may be inputs
_CHEST_OR_EEG = re.compile(r"C[1-6]", re.IGNORECASE)
_FILLERS = word_set(
    "ECG EKG LEAD LEADS MV UV V REF MDC MOD MODIFIED CHANNEL CH SIGNAL DATA RAW CLEAN CLEANED FILTERED FILT"
)


def unnamed(name: str) -> bool:
    """Whether a channel's name only numbers it."""
    return _NO_NAME.fullmatch(name) is not None


def words(name: str) -> list[str]:
    """Words of a name, in lower case: "ECG_RPeaks", "heartRate" and "SpO2 (%)" are taken apart."""
    parts = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.replace("SpO2", "spo2").replace("SaO2", "sao2"))
    return [word.casefold() for word in re.split(r"[\W_]+", parts) if word]


def plain(lead: str) -> str:
    """A lead's name as the order of leads spells it: "ECG II" -> "II", "lead-ii" -> "II", "ECG" -> "ECG"."""
    parts = [word for word in re.split(r"[^A-Za-z0-9]+", lead.upper()) if word]
    rest = [word for word in parts if word not in _FILLERS] or [word for word in parts if word == "V"]
    joined = "".join(rest) or (parts[0] if parts else "")
    return _SAME_LEAD.get(joined, joined)


def kind_of_name(name: str, names: Sequence[str] = ()) -> str:
    """ECG, OTHER or UNKNOWN, by a channel's name; names: of all channels of its file."""
    parts = words(name)
    if not parts or unnamed(name):
        return UNKNOWN
    if any(_ECG_WORD.match(part) for part in parts):
        return OTHER if any(part in _DERIVED_WORDS for part in parts) else ECG
    whole = plain(name)
    if _LEAD.fullmatch(whole):
        return ECG
    if any(part in _OTHER_WORDS or part.rstrip("0123456789") in _OTHER_WORDS for part in parts):
        return OTHER
    if any(part in _DERIVED_WORDS for part in parts) and "lead" not in parts:
        return OTHER
    if _CHEST_OR_EEG.fullmatch(whole) and any(plain(other) in ("I", "II", "III") for other in names):
        return ECG
    if _eeg_positions(parts):
        clear = len(parts) > 1 or _CLEAR_EEG.fullmatch(parts[0]) is not None
        beside = any(_eeg_positions(other) for name_ in names if (other := words(name_)) and other != parts)
        return OTHER if clear or beside or any("eeg" in words(name_) for name_ in names) else UNKNOWN
    if "lead" in parts or "leads" in parts or any(_CLEAR_LEAD.fullmatch(part) for part in parts):
        return ECG
    return UNKNOWN


def _eeg_positions(parts: list[str]) -> bool:
    rest = [part for part in parts if part != "ref"]
    return bool(rest) and all(_EEG_POSITION.fullmatch(part) for part in rest)


def likeliest(names: Sequence[str]) -> int:
    """Which of channels that are named as ECG leads to take, by its place.

    MLII or II, which the networks are trained on; one called ECG; a limb lead; others as they come; aVR last, whose
    waves point the other way.
    """
    spelled = [plain(name) for name in names]
    ordered = [spelled.index(wanted) for wanted in _LEAD_ORDER if wanted in spelled]
    ordered += [i for i, name in enumerate(names) if any(_ECG_WORD.match(word) for word in words(name))]
    ordered += [i for i, name in enumerate(spelled) if name not in ("AVR", "RALL", "RALA", "LALL")]
    return (ordered or [0])[0]
