"""Columns of time in tables: which they are, what rate they tell, and where samples are missing."""

from __future__ import annotations

import itertools
import math
import re
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from qmodel.data.mitdb import DataError
from qmodel.data.readers.channels import check_gaps
from qmodel.data.readers.channels import word_set as words

LOWEST_HZ, HIGHEST_HZ = 50.0, 20_000.0  # in which the unit of a time column without one is told from its steps
SECONDS_PER = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0}
TOLERANCE = 0.005  # between the rate that is asked for and the one that times tell
TOO_COARSE = 0.01  # of the rate: times that tell it less well do not tell it
WANDER_S = 0.02  # that even times may differ from an even grid

# A column is named as time where every word of its name is one of these, and one of them says time.
_TIME_WORDS = words(
    "t ts time times timestamp timestamps timestampformatted datetime datetimes date clock epoch unix elapsed zeit "
    "zeitstempel uhrzeit datum tiempo fecha temps tempo hora heure tijd tid czas время 时间 時間 daytime"
)
_TIME_UNITS = words(
    "s sec secs second seconds ms msec msecs millis millisecond milliseconds us usec micros microsecond microseconds "
    "ns nsec nanos nanosecond nanoseconds min minute minutes h hour hours sekunden segundos"
)
_TIME_FILLERS = words(
    "in of the since start from begin relative absolute rel abs phone sensor system local utc gmt recording record "
    "device lsl sample ecg ekg stamp formatted axis day host data"
)
_COUNTER_NAME = re.compile(
    r"#|№|n|no|nr|nseq|seq|i|id|idx|index|row|line|counter|count|sample|samples|sample[\s_.-]*(?:index|no|nr|number|num|id|count|counter|#)|"
    r"sequence(?:[\s_.-]*(?:number|no))?|packet(?:[\s_.-]*(?:number|no|counter|index|id))?|num|number|frame|point|unnamed.*|"
    r"x[\s_.-]*axis|data[\s_.-]*point|position|pos",
    re.IGNORECASE,
)
_UNIT_OF_NAME = (
    (re.compile(r"(?:^|[\s_.\[(/,-])(?:ns|nsec|nanos\w*)\b", re.IGNORECASE), "ns"),
    (re.compile(r"(?:^|[\s_.\[(/,-])(?:us|µs|μs|usec|micros\w*)\b", re.IGNORECASE), "us"),
    (re.compile(r"(?:^|[\s_.\[(/,-])(?:ms|msec|millis\w*)\b", re.IGNORECASE), "ms"),
    (re.compile(r"(?:^|[\s_.\[(/,-])(?:s|sec|secs|second|seconds|sekunden|segundos)\b", re.IGNORECASE), "s"),
    (re.compile(r"[\[(/,](?:min|minutes)\b", re.IGNORECASE), "min"),
    (re.compile(r"[\[(/,](?:h|hours?)\b", re.IGNORECASE), "h"),
)
_CLOCK = re.compile(
    r"^\s*\[?(?P<date>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})?[T_\s,]*"
    r"(?:(?P<h>\d{1,3}):)?(?P<m>\d{1,2}):(?P<s>\d{1,2}(?:[.,:]\d+)?)\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?[\s_]*(?P<after>\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})?\]?\s*$"
)
DATE = re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}")
# Where counters begin again: of 16 and 32 bits (of microseconds in ms as well), and those of clocks.
_MODULI = (2.0**16, 2.0**32, 2.0**32 / 1000, 60.0, 3600.0, 43200.0, 86400.0, 1e3, 6e4, 3.6e6, 8.64e7, 1e6, 1e9)


def is_clock(text: str) -> bool:
    """Whether a cell is a time of day, or a date with one."""
    return ":" in text and _CLOCK.match(text) is not None


def is_date(text: str) -> bool:
    """Whether a cell is a date alone."""
    return DATE.fullmatch(text) is not None


def named_time(name: str) -> bool:
    """Whether a column's name says time."""
    text = re.sub(r"[\[(].*?[\])]|\s*/\s*\w+$", "", name).strip()
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("TimeStamp", "Timestamp").replace("DateTime", "Datetime"))
    said = [word.casefold() for word in re.split(r"[\W_]+", spaced) if word]
    core = _TIME_WORDS | _TIME_UNITS if len(said) == 1 else _TIME_WORDS
    known = all(word in _TIME_WORDS or word in _TIME_UNITS or word in _TIME_FILLERS for word in said)
    return known and any(word in core for word in said) and said != ["h"]


def named_counter(name: str) -> bool:
    """Whether a column's name says that it counts."""
    return _COUNTER_NAME.fullmatch(name.strip()) is not None


def unit_of(name: str, unit: str | None) -> str | None:
    """Unit of a time column, of SECONDS_PER, by its name or its unit; None where neither says."""
    for text in (unit or "", name):
        for pattern, known in _UNIT_OF_NAME:
            if text and (pattern.search(text) or pattern.search(f"[{text}]")):
                return known
    return None


def climbs(values: np.ndarray) -> bool:
    """Whether a column never falls and rises from its start to its end."""
    return (
        len(values) > 1
        and bool(np.isfinite(values).all())
        and bool((np.diff(values) >= 0).all())
        and (values[-1] > values[0])
    )


def counts_evenly(values: np.ndarray) -> bool:
    """Whether a column is sample numbers or times: every step the same, upward."""
    steps = np.diff(values[:1000])
    return len(steps) > 1 and steps[0] > 0 and bool(np.allclose(steps, steps.mean(), rtol=0.01, atol=0))


def wraps(values: np.ndarray) -> bool:
    """Whether a column counts up by one step and begins again and again, as a packet's number does."""
    if len(values) < 100 or not np.isfinite(values).all():
        return False
    steps = np.diff(values)
    up = steps[steps > 0]
    if not len(up) or len(up) < 0.6 * len(steps):
        return False
    usual = np.median(up)
    return bool((up == usual).mean() > 0.95) and bool((steps[steps <= 0] < -2 * usual).all())


def clock_seconds(cells: Any, dates: Any = None) -> np.ndarray:
    """Seconds, float64 (row,), of cells like 10:23:45.123, 3:00:00 PM, 2021-11-02T15:03:00,123Z, 00:00:00:003.

    Only differences mean something. A clock that falls by more than half a day has passed midnight. NaN where a cell
    is empty.
    Args: cells: pandas Series of text; dates: the same of a column of dates beside it, for clocks without one.
    Raises: DataError: a cell that is none; a date that cannot be understood.
    """
    import pandas

    found = cells.str.extract(_CLOCK)
    empty = (cells.str.strip() == "").to_numpy()
    bad = found["s"].isna().to_numpy() & ~empty
    if bad.any():
        return _written_out(cells, empty, int(np.flatnonzero(bad)[0]))

    def number(name: str) -> np.ndarray:
        column = found[name].str.replace(r"[,:]", ".", regex=True)
        return pandas.to_numeric(column).fillna(0).to_numpy(np.float64)

    hours = number("h")
    half = found["half"].str[0].str.lower()
    if half.notna().any():
        hours = hours % 12 + 12 * (half == "p").to_numpy()
    seconds = 3600 * hours + 60 * number("m") + number("s")
    seconds[empty] = np.nan
    if found["zone"].nunique() > 1:  # summer time begins or ends
        seconds -= _offsets(found["zone"])
    told = found["date"].fillna(found["after"])
    if told.notna().any() or dates is not None:
        told = told.where(told.notna(), "" if dates is None else dates)
        filled = ~empty
        seconds[filled] += 86400.0 * _days(told[filled].fillna(""))
        return seconds
    there = np.flatnonzero(~empty)
    if not found["h"].notna().any():  # minutes and seconds begin again with every hour
        seconds[there] = unwrapped(seconds[there])
        return seconds
    for at, then in itertools.pairwise(there):
        fall = seconds[at] - seconds[then]
        if fall > (43200 if hours.max() >= 12 else 21600):
            seconds[then:] += 86400 if hours.max() >= 12 or half.notna().any() else 43200
    return seconds


def _offsets(zones: Any) -> np.ndarray:
    """Seconds that zones like +01:00 are ahead of UTC."""
    parts = zones.fillna("").str.extract(r"([+-])(\d{2}):?(\d{2})")
    size = 3600 * parts[1].fillna("0").astype(float) + 60 * parts[2].fillna("0").astype(float)
    return np.where(parts[0] == "-", -size, size)


def _written_out(cells: Any, empty: np.ndarray, first_bad: int) -> np.ndarray:
    """Seconds of times with names of months or zones, or ISO 8601's short form. Raises: DataError: not to be read."""
    import pandas

    plain = cells.str.replace(r"\[.*\]$|\s+[A-Z]{3,5}$", "", regex=True)
    plain = plain.str.replace(r"^(\d{8}T\d{2})(\d{2})(\d{2}.*)$", r"\1:\2:\3", regex=True).where(~empty)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # pandas warns where it guesses a format from cell to cell
            found = pandas.to_datetime(plain, utc=True)
    except UserWarning:
        raise DataError(f"row {first_bad + 1} must hold a time, received {str(cells.iloc[first_bad])[:40]!r}") from None
    except (ValueError, TypeError, OverflowError):
        raise DataError(f"row {first_bad + 1} must hold a time, received {str(cells.iloc[first_bad])[:40]!r}") from None
    return ((found - found.dropna().iloc[0]).dt.total_seconds()).to_numpy(np.float64)


def unwrapped(values: np.ndarray) -> np.ndarray:
    """Values that begin again at a number where counters and clocks do, as if they went on; others as they are."""
    falls = np.flatnonzero(np.diff(values) < 0)
    steps = np.diff(values)
    up = steps[steps > 0]
    if not len(falls) or len(up) < 0.5 * len(steps):
        return values
    usual = float(np.median(up))
    for modulus in _MODULI:
        near = np.maximum(20 * usual, 1e-3 * modulus)
        if ((modulus - values[falls] <= near) & (values[falls] < modulus) & (values[falls + 1] <= near)).all():
            turns = np.zeros(len(values))
            turns[falls + 1] = modulus
            return values + np.cumsum(turns)
    return values


def filled(seconds: np.ndarray) -> np.ndarray:
    """Times where a row without one has that of the row before it: a stamp a packet, its rows are one run.

    Rows before the first stamp are a usual step apart.
    """
    known = np.flatnonzero(np.isfinite(seconds))
    if len(known) == len(seconds) or len(known) < 3:
        return seconds
    whole = seconds[known[np.maximum(np.searchsorted(known, np.arange(len(seconds)), "right") - 1, 0)]]
    step = float(np.median(np.diff(seconds[known]) / np.diff(known)))
    whole[: known[0]] -= (known[0] - np.arange(known[0])) * step
    return whole


def _days(dates: Any) -> np.ndarray:
    """Day numbers of dates in the order of rows; one date alone need not be understood."""
    import pandas

    codes, unique = pandas.factorize(dates)
    if len(unique) == 1:
        return np.zeros(len(dates))
    for order in ({"format": "ISO8601"}, {"dayfirst": True, "format": "mixed"}, {"dayfirst": False, "format": "mixed"}):
        try:
            days = pandas.to_datetime(pandas.Series(unique), **order)
        except (ValueError, TypeError):
            continue
        numbers = (days - days.iloc[0]).dt.total_seconds().to_numpy() / 86400
        if (np.diff(numbers) > 0).all() and numbers[-1] <= 2 * len(numbers) + 30:
            return numbers[codes]
    raise DataError(f"the dates {unique[0]} and {unique[1]} cannot be put in order")


@dataclass(frozen=True)
class Base:
    """What times tell: rate; places: index of every row on an even grid, None where they follow on each other;
    unevenness: largest distance from that grid in seconds; spent_s: from the first row to the last; note: for users."""

    rate_hz: float
    places: np.ndarray | None
    unevenness_s: float
    spent_s: float
    note: str = ""


def seconds_from(values: np.ndarray, unit: str | None, asked_hz: float | None, name: str) -> np.ndarray | None:
    """A numeric column in seconds from its first row; None where it counts samples, which tell no time.

    Without a unit the steps decide: an ECG has 50 to 20,000 samples a second, which no two units of seconds,
    milliseconds, microseconds and nanoseconds allow at once. Whole steps of one are samples unless a rate says else.
    """
    digits = _digits_of_a_clock(values) if unit in (None, "s") else None
    if digits is not None:
        return digits
    values = (values - values[0]).astype(np.float64)
    if unit is not None:
        return values * SECONDS_PER[unit]
    steps = np.diff(values)
    if not (steps > 0).any():
        return None
    step = values[-1] / (len(values) - 1)
    usual = float(np.median(steps[steps > 0]))
    milliseconds = asked_hz is not None and abs(1000 / step / asked_hz - 1) < TOLERANCE
    if usual == 1 and (steps % 1 == 0).all() and (steps > 0).all() and not milliseconds:
        return None
    typical = usual * (steps > 0).mean()  # equal stamps side by side are one coarse stamp
    fitting = [u for u in ("s", "ms", "us", "ns") if LOWEST_HZ <= 1 / (typical * SECONDS_PER[u]) <= HIGHEST_HZ]
    if asked_hz is not None:
        near = [u for u in fitting if abs(1 / (typical * SECONDS_PER[u]) / asked_hz - 1) < 0.5]
        fitting = near or fitting
    if not fitting:
        raise DataError(f"the times of {name!r} step by {usual:g} and have no unit: name it, like 'time [ms]'")
    return values * SECONDS_PER[fitting[0]]


def _digits_of_a_clock(values: np.ndarray) -> np.ndarray | None:
    """Seconds of numbers like 100059.996 (10:00:59.996), which pass a hundred and never hold 60 to 99; else None."""
    whole, steps = np.floor(values), np.diff(values)
    if not (steps > 0).any() or np.median(steps[steps > 0]) > 1:
        return None
    if values[-1] >= 240_000 or values[0] < 0 or whole[-1] // 100 <= whole[0] // 100:
        return None
    if ((whole % 100) >= 60).any() or ((whole // 100 % 100) >= 60).any():
        return None
    return 3600 * (whole // 10_000) + 60 * (whole // 100 % 100) + whole % 100 + (values - whole)


def base(seconds: np.ndarray, asked_hz: float | None, name: str, first_row: int = 1) -> Base:
    """Rate and gaps of rows at these times.

    Raises: DataError: times that run backward or stand still, are not even, or contradict the rate that was asked for.
    """
    steps = np.diff(seconds)
    if len(steps) and steps.min() < 0:
        at = int(np.argmin(steps))
        raise DataError(f"the times of {name!r} run backward after row {first_row + at}: {-steps[at]:g} s")
    changes = np.flatnonzero(steps > 0) + 1
    if len(changes) < 2:
        raise DataError(f"the times of {name!r} stand still: they do not tell a rate")
    # Stamps may be coarser than samples: rows of one stamp are one run.
    starts = np.concatenate([[0], changes])
    at = seconds[starts]
    waits = np.diff(at)
    usual = float(np.median(waits))
    resolution = _resolution(waits)
    # Over many runs jitter and rounding cancel, and the median passes over gaps.
    reach = max(min(100, len(starts) // 3), 1)
    rough = float(np.median((starts[reach:] - starts[:-reach]) / (at[reach:] - at[:-reach])))
    late = _lost(at, starts, waits, rough, usual)
    placed = starts + late
    spent = float(at[-1] - at[0])
    rate = float(placed[-1] - placed[0]) / spent
    off = at - placed / rate
    off = np.abs(off - np.median(off))
    uncertain = 2 * (resolution + float(np.median(off))) / spent + 1e-9
    if asked_hz is not None and abs(rate / asked_hz - 1) > TOLERANCE + uncertain:
        raise DataError(
            f"the times of {name!r} tell {rate:.6g} Hz, which --fs {asked_hz:g} contradicts: leave --fs out, or "
            "take the column out"
        )
    allowed = max(1.5 * usual, WANDER_S) + resolution
    if off.max() > allowed:
        worst = int(starts[int(np.argmax(off))])
        raise DataError(
            f"the times of {name!r} are not even: row {first_row + worst} is {off.max():.3g} s from a grid of "
            f"{rate:.6g} Hz; resample the table first"
        )
    check_gaps(f"the times of {name!r}", len(seconds), len(seconds) + int(late[-1]), rate)
    if asked_hz is not None:
        rate = asked_hz
    elif round(rate) and abs(rate / round(rate) - 1) <= max(uncertain, 2e-5):
        rate = float(round(rate))
    else:
        rate = float(f"{rate:.{max(3, math.ceil(-math.log10(uncertain)))}g}")
    if asked_hz is None and uncertain > TOO_COARSE:
        raise DataError(f"the times of {name!r} are too coarse to tell the rate, about {rate:.3g} Hz: give --fs")
    if not late[-1]:
        return Base(rate, None, float(off.max(initial=0)), spent)
    places = np.arange(len(seconds)) + np.repeat(late, np.diff(np.append(starts, len(seconds))))
    gaps = np.count_nonzero(np.diff(late))
    said = f"{gaps} {'gap' if gaps == 1 else 'gaps'}"
    note = f"{name!r} has {said}, {late[-1]:,} samples in all, marked as missing"
    return Base(rate, places.astype(np.int64), float(off.max(initial=0)), spent, note)


def _lost(at: np.ndarray, starts: np.ndarray, waits: np.ndarray, rate: float, usual: float) -> np.ndarray:
    """Samples that are missing before every run of rows, int64 (run,).

    A wait is a gap where what follows it is late as well: one late stamp alone is jitter.
    """
    late = np.zeros(len(at), np.int64)
    wide = np.flatnonzero((waits > 1.5 * usual) & (waits * rate - np.diff(starts) > 0.5))
    error = at * rate - starts
    edges = [0, *(wide + 1), len(at)]
    for k, gap in enumerate(wide):
        before = error[max(edges[k], gap - 7) : gap + 1]
        after = error[gap + 1 : min(edges[k + 2], gap + 9)]
        missing = round(float(np.median(after) - np.median(before)))
        if missing > 0:
            late[gap + 1 :] += missing
    return late


def counter_places(values: np.ndarray, name: str, rate_hz: float) -> np.ndarray | None:
    """Places of rows by a column that counts samples; None where none is missing, or the column does not tell.

    A column that counts in whole steps and skips some has lost them. Raises: DataError: as check_gaps.
    """
    if not climbs(values) or not (values % 1 == 0).all():
        return None
    steps = np.diff(values)
    step = float(np.median(steps))
    if not step > 0 or (steps == step).mean() < 0.9 or (steps % step != 0).any() or not (steps > 0).all():
        return None
    check_gaps(f"the numbers of {name!r}", len(values), round(float(values[-1] - values[0]) / step) + 1, rate_hz)
    places = np.rint((values - values[0]) / step).astype(np.int64)
    return None if places[-1] == len(values) - 1 else places


def _resolution(waits: np.ndarray) -> float:
    """How finely times are told: the smallest difference of two waits, at least a billionth of them."""
    different = np.unique(np.round(waits[:5000], 9))
    spread = np.diff(different)
    spread = spread[spread > 1e-9]
    return float(min(spread.min(initial=np.inf), different[0])) if len(spread) else 0.0
