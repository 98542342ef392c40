"""Tables of numbers: CSV and its kin, a sample a row, a channel a column.

One dialect is found by trying: each way to split the rows is judged by what comes of it, the share of cells that are
numbers or times and rows of one length. What stands above the numbers is searched for rate, leads and units.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import itertools
import json
import lzma
import math
import re
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from qmodel.data.mitdb import DataError
from qmodel.data.readers import times
from qmodel.data.readers.channels import (
    COUNTS,
    ECG,
    PHYSICAL,
    VOLTAGE,
    Channel,
    Source,
    kind_of_name,
    kind_of_unit,
    voltage_unit,
)

SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".asc", ".tab")
PACKED = (".gz", ".bz2", ".xz", ".zip")
LARGEST_BYTES = 4_000_000_000
ALWAYS_UNPACKED, UNPACKED_PER_BYTE = 64_000_000, 200  # bytes: numbers of an ECG pack to a fifth, never to a thousandth
MOST_LEADS = 20  # columns without names of ECG leads
HEAD_LINES = 400  # that the dialect is found in
RUN = 20  # rows one after the other that make the beginning of the numbers
CLIMBING_ROWS = 100  # from which on a column that never falls is no ECG, whatever its name
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMMA_NUMBER = re.compile(r"[+-]?(?:\d+,\d+|\d+|,\d+)(?:[eE][+-]?\d+)?")
# Thousands parted by commas, or by points before a decimal comma; a number below a thousand has no such sign.
_POINT_THOUSANDS = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:,\d{3})+|\d{1,3})(?:\.\d*)?")
_COMMA_THOUSANDS = re.compile(r"[+-]?(?:[1-9]\d{0,2}(?:\.\d{3})+|\d{1,3})(?:,\d*)?")
_GROUPED = re.compile(r"[+-]?[1-9]\d{0,2}(?:[.,]\d{3})+")  # may be thousands
# Signs that can mean one thing alone: a minus of typography, groups of digits parted by blanks or apostrophes, D for E.
_MINUS, _GROUPS = r"^[\u2212\u2013](?=[\d.,])", r"(?<=\d)['\u2019 \u00a0\u2009\u202f](?=\d{3}(?!\d))"
_FORTRAN = r"(?<=[\d.])[dD](?=[+-]?\d+$)"
_WITH_UNIT = re.compile(r"(?P<number>[-+\u2212]?[\d.,]*\d(?:[eE][-+]?\d+)?)\s*(?P<unit>[munµμ]?[vV])")
_BLANKS = frozenset(["", "-", "--", "nan", "null", "none", "na", "n/a", "#n/a", "?", "inf", "-inf", "+inf", "infinity",
                     "-infinity", "missing", ".", "<na>", "nil", "!",
                     "-nan", "+nan", "nan(ind)", "-nan(ind)", "1.#qnan",
                     "-1.#qnan", "1.#ind", "-1.#ind", "#num!", "#div/0!", "#value!", "#ref!", "#nv", "#zahl!",
                     "n. def."])  # fmt: skip
_DELIMITERS = (",", ";", "\t", "|", " ")
_COMMENT = "#%"
_BRACKETS = re.compile(r"(.*?)\s*[(\[]\s*([^)\]]*?)\s*[)\]]\s*", re.DOTALL)
_NOT_UNITS = re.compile(
    r"filter\w*|raw|clean\w*|lead.*|ch.*|left|right|.*\bhz|modified|mod|unfiltered|signal|data|smoothed|bandpass.*|"
    r"original|corrected|resampled|i{1,3}|v\d|av[rlf]|mlii|\d+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Layout:
    """How a table is written. lines: above the numbers; above: those lines; names, units: by column, "" and None where
    there are none; rate_hz: where the header tells it; columns: in most rows."""

    delimiter: str  # "" where there is one column
    quote: str
    lines: int
    columns: int
    names: tuple[str, ...] = ()
    units: tuple[str | None, ...] = ()
    rate_hz: float | None = None
    notes: tuple[str, ...] = field(default=())


def _only_member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    inside = [i for i in archive.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX")]
    if len(inside) != 1:
        raise DataError(f"{path} must hold one file to be read as a table, it holds {len(inside)}: unpack it")
    return archive.open(inside[0])


_OPENERS: dict[bytes, Callable[[Path], IO[bytes] | gzip.GzipFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"PK\3\4": _only_member,
}


def text_of(path: Path) -> str:
    """A table's text: unpacked, in UTF-8, UTF-16 or else Latin-1. Raises: DataError: no text, damaged, too large."""
    with open(path, "rb") as file:
        first = file.read(6)
    packed = next((open_ for magic, open_ in _OPENERS.items() if first.startswith(magic)), None)
    if packed is None:
        with open(path, "rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    else:
        try:
            most = min(LARGEST_BYTES, max(ALWAYS_UNPACKED, UNPACKED_PER_BYTE * path.stat().st_size))
            with packed(path) as stream:
                data = stream.read(most + 1)
            if len(data) > most:
                raise DataError(
                    f"{path} unpacks to more than {most:,} bytes, {UNPACKED_PER_BYTE} times its size: unpack it "
                    "yourself if that is right"
                )
        except (DataError, MemoryError):
            raise
        except Exception as error:  # zlib, lzma, zipfile and their kin meet damage each in its own way
            raise DataError(f"{path} is packed and damaged: {error}") from error
    if len(data) > LARGEST_BYTES:
        raise DataError(f"{path} holds more than {LARGEST_BYTES} bytes of text: cut it")
    if not data.strip():
        raise DataError(f"{path} is empty")
    try:
        return _decoded(data, path)
    except DataError as error:
        raise DataError(f"{error}; unpack it first" if packed else str(error)) from None


def _decoded(data: bytes, path: Path) -> str:
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"),
                           (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):  # fmt: skip
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    head = data[:2000]
    if b"\0" in head:
        half = len(head) // 2
        for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[0::2])):
            if half > 4 and zeros.count(0) > 0.9 * half:
                return data.decode(encoding, "replace")
        raise DataError(f"{path} is not a text file")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    if "\0" in text:
        raise DataError(f"{path} is not a text file: it holds zero bytes")
    return text


def _cell(text: str) -> str:
    return text.strip(" \t'\"\r\n\ufeff\u00a0")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _kind(cell: str, delimiter: str) -> str:
    """number, number with unit, time, blank or text; a decimal comma is one where commas do not part the columns."""
    if cell.casefold() in ("nan", "inf", "-inf", "+inf", "infinity", "-infinity"):
        return "number"
    if cell.casefold() in _BLANKS:
        return "blank"
    if _is_number(cell) or _COMMA_NUMBER.fullmatch(cell):
        return "number"
    if times.is_clock(cell) or times.is_date(cell):
        return "time"
    cell = re.sub(_FORTRAN, "e", re.sub(_GROUPS, "", re.sub(_MINUS, "-", cell)))
    if any(pattern.fullmatch(cell) for pattern in (_NUMBER, _COMMA_NUMBER, _POINT_THOUSANDS, _COMMA_THOUSANDS)):
        return "number"
    return "number with unit" if _WITH_UNIT.fullmatch(cell) else "text"


def _split(line: str, delimiter: str, quote: str) -> list[str]:
    if delimiter == "":
        return [_cell(line)]
    if delimiter == " ":
        return [_cell(part) for part in line.split()]
    return [
        _cell(part)
        for part in next(csv.reader([line], delimiter=delimiter, quotechar=quote, skipinitialspace=True), [])
    ]


def _body(rows: list[list[str]], kinds: list[list[str]]) -> int | None:
    """The first row from which RUN rows, or all to the end, hold numbers and are of one length."""
    numbers = ["number" in k or ("number with unit" in k and "text" not in k) for k in kinds]
    holds = [number or not any(kind != "blank" for kind in k) for number, k in zip(numbers, kinds)]
    for start in range(len(rows)):
        run = range(start, min(start + RUN, len(rows)))
        if numbers[start] and all(holds[i] for i in run):
            lengths = [len(rows[i]) for i in run]
            if max(lengths) - min(lengths) <= 1 or len(run) > 3:
                return start
    return None


def layout(text: str, path: Path) -> Layout:
    """Find out how a table is written. Raises: DataError: none of numbers."""
    head = text[:2_000_000].splitlines()
    every = head[:HEAD_LINES]
    if len(text) > 2_000_000 and len(every) == len(head):
        every = every[:-1]
    lines = [(i, _without_brackets(line)) for i, line in enumerate(every) if line.strip()]
    skipped: list[int] = []
    hint: str | None = None
    for i, line in lines:
        marked = re.fullmatch(r"\ufeff?\s*\"?sep=(.)\"?\s*", line, re.IGNORECASE)
        if marked and not skipped and i < 3:
            hint = marked[1]
            skipped.append(i)
        elif line.lstrip()[:1] in _COMMENT and not re.match(r"\s*[#%]\s*[,;\t|]", line):
            skipped.append(i)
    rest = [(i, line) for i, line in lines if i not in skipped]
    if not rest:
        raise DataError(f"{path} is not a table of numbers: it holds nothing but comments")
    joined = "\n".join(line for _, line in rest)
    quote = "'" if joined.count("'") > joined.count('"') else '"'
    best: tuple[tuple, str, int, int] | None = None
    for delimiter in ([hint] if hint else []) + [d for d in _DELIMITERS if d != hint] + [""]:
        rows = [_split(line, delimiter, quote) for _, line in rest]
        kinds = [[_kind(cell, delimiter) for cell in row] for row in rows]
        start = _body(rows, kinds)
        if start is None:
            continue
        lengths = [len(row) for row in rows[start:]]
        columns = max(set(lengths), key=lambda n: (lengths.count(n), n))
        filled = [kind for row in kinds[start:] for kind in row if kind != "blank"]
        share = sum(kind in ("number", "number with unit", "time") for kind in filled) / max(len(filled), 1)
        even = lengths.count(columns) / len(lengths)
        # A row of one cell more or less is a sign of another delimiter; text columns are allowed.
        score = (delimiter == hint, round(share * even, 2), -start, columns if delimiter != " " else columns - 0.5)
        if best is None or score > best[0]:
            best = (score, delimiter, start, columns)
    if best is None or best[0][1] < 0.3:
        raise DataError(f"{path} is not a table of numbers: one column per lead, a sample a row, below a header")
    _, delimiter, start, columns = best
    if _numbered(_split(rest[start][1], delimiter, quote)):
        start += 1
    above = [line for _, line in rest[:start]]
    header = _split(above[-1], ",", quote) if above else []
    header = [] if header and _is_key(above[-1], header, 2) else header
    if delimiter == "," and columns >= 2 and _decimal_commas([line for _, line in rest[start:]], header, quote, path):
        delimiter, columns = "", 1
    found = Layout(delimiter, quote, rest[start][0], columns)
    body = [row for _, line in rest[start:] if len(row := _split(line, delimiter, quote)) == columns]
    comments = [every[i] for i in skipped if hint is None or "sep=" not in every[i].casefold()]
    return _described(found, above, [c.lstrip(" #%").strip() for c in comments if c.strip(" #%")], path, body)


def _numbered(cells: list[str]) -> bool:
    """Whether a row is a header that numbers columns, as 0,1,2,...,label does."""
    numbers = [cell for cell in cells if re.fullmatch(r"\d+", cell)]
    rest = [cell for cell in cells if cell and cell not in numbers]
    if len(numbers) < 3 or not rest or any(_is_number(cell) for cell in rest):
        return False
    return all(int(b) == int(a) + 1 for a, b in itertools.pairwise(numbers))


def _decimal_commas(lines: list[str], header: list[str], quote: str, path: Path) -> bool:
    """Whether commas that every line has once are decimal ones, in a table of one column.

    A row -0,010 tells by its sign, rows of as many digits behind the comma by a zero in front of them. Where neither
    tells, the numbers do: digits behind a comma jump about, a second channel does not.
    """
    cells = [line.strip().split(",") for line in lines if line.strip()]
    if quote in "".join(lines) or any(len(cell) != 2 for cell in cells):
        return False
    if len(header) >= 2 and any(not _is_number(name) for name in header):
        return False
    left, right = [cell[0].strip() for cell in cells], [cell[1].strip() for cell in cells]
    if not all(re.fullmatch(r"[+-]?\d*", a) for a in left) or not all(
        re.fullmatch(r"\d+(?:[eE][+-]?\d+)?", b) for b in right
    ):
        return False
    if len(header) == 1:
        return True
    if any(a in ("-0", "+0") for a in left) or any(len(b) > 1 and b[0] == "0" for b in right):
        return True
    if len(cells) < 50:
        raise DataError(
            f"{path}: {lines[0].strip()!r} may be one number with a decimal comma, or two columns: name the columns"
        )
    whole = np.array([float(f"{a or 0}.{b}") for a, b in zip(left, right)])
    second = np.array([float(b) for b in right])

    def jumps(values: np.ndarray) -> float:
        return float(np.abs(np.diff(values)).mean() / (values.std() or 1.0))

    one, two = jumps(whole), jumps(second)
    if two > 0.8 and one < 0.5 * two:
        return True
    if two < 0.3 or (two < 0.5 and len({len(b) for b in right}) > 1):
        return False
    raise DataError(
        f"{path}: {lines[0].strip()!r} may be one number with a decimal comma, or two columns: name the columns"
    )


def _without_brackets(line: str) -> str:
    """ "[10:23:45.123 01/01/2020]  0.1" (rdsamp -pd): a time in brackets is one cell."""
    return re.sub(r"^\s*\[([^\]]*:[^\]]*)\]", lambda m: re.sub(r"\s+", "_", m[1].strip()), line)


_KEY = re.compile(r"\s*['\"]?([^\t,;:=|\"']{1,40}?)['\"]?\s*(?::=|=|:|\t|,|;)\s*(.*?)\s*")
_RATE_WORDS = re.compile(
    r"(?:sampl\w*|abtast\w*|chantillon\w*|muestreo|campionam\w*|amostrag\w*|采样|采样频|サンプリング)[\s_-]*"
    r"(?:rate|freq\w*|frequenz|(?:de\s+)?fr[eé]quence|率|频率|周波数|レート)|"
    r"(?:rate|freq\w*|fr[eé]q\w*|frec\w*|tasa|taxa|tasso|taux)[\s_-]*(?:of|de|di|da|d['\u2019])?[\s_-]*"
    r"(?:[eéE]?chantillon\w*|muestreo|campionam\w*|amostrag\w*|sampl\w*|acqui\w*)|"
    r"abtastrate|abtastfrequenz|samplerate|samples?\s*(?:/|per)\s*s\w*|\bfs\b|\bsr\b|\bsfreq\b|\bsps\b|采样率|采样频率",
    re.IGNORECASE,
)
_SAMPLING_WORD = re.compile(r"sampl|abtast|chantillonn|muestreo|campionam|amostrag|采样|サンプリング", re.IGNORECASE)
_RATE_VALUE = re.compile(r"(\d+(?:[.,]\d+)?)\s*(k?hz|hertz|sps|samples\s*(?:/|per)\s*s\w*|1/s)?", re.IGNORECASE)
_INTERVAL = re.compile(
    r"(?:interval\w*|period\w*|\bdt\b|time\s*step|sampling\s*time|abtastzeit)\W{0,6}(?:\((s|ms|us|µs)\)\W{0,4})?"
    r"(\d*[.,]?\d+(?:[eE][-+]?\d+)?)\s*(s|sec|ms|msec|us|µs)?\b",
    re.IGNORECASE,
)


def _header_rate(lines: list[str], path: Path) -> float | None:
    """The sampling rate that the lines above the numbers tell. Raises: DataError: two of them."""
    found = set()
    for line in lines:
        interval = _INTERVAL.search(line)
        unit = interval and (interval[1] or interval[3])
        if interval and unit:
            scale = {"ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6}.get(unit.casefold(), 1.0)
            value = float(interval[2].replace(",", ".")) * scale
            if 0 < value < 0.1:  # others are of something else
                found.add(float(f"{1 / value:.9g}"))
            continue
        if interval:  # without a unit it may be anything
            continue
        # A word for a rate makes a number one; a word for sampling alone does where the number has hertz behind it.
        named, must_be_hertz = _RATE_WORDS.search(line), False
        if named is None:
            named, must_be_hertz = _SAMPLING_WORD.search(line), True
        if named is not None:
            told = re.match(r"[^\d]{0,40}?" + _RATE_VALUE.pattern, line[named.end() :], re.IGNORECASE)
            if told is None or (must_be_hertz and not told[2]):
                continue
            value = float(told[1].replace(",", "."))
            value *= 1000 if (told[2] or "").casefold() == "khz" else 1
            if value >= 1:
                found.add(value)
            continue
        alone = re.fullmatch(r"[^\d]{0,60}?(\d+(?:[.,]\d+)?)\s*(hz|hertz)[\"'\s]*", line, re.IGNORECASE)
        if alone and not re.search(r"filter|notch|mains|cut|pass|band|line|power", line, re.IGNORECASE):
            found.add(float(alone[1].replace(",", ".")))
    if len(found) > 1:
        rates = ", ".join(f"{value:g}" for value in sorted(found))
        raise DataError(f"{path}: its header tells several sampling rates, {rates} Hz: give --fs")
    return found.pop() if found else None


def _described(found: Layout, above: list[str], comments: list[str], path: Path, body: list[list[str]]) -> Layout:
    """Add names, units and rate from what stands above the numbers. Args: body: rows of cells below it."""
    columns, names, units = found.columns, list[str](), list[str | None]()
    split = [_header_cells(line, found.delimiter, found.quote, columns) for line in above]
    told = _header_rate([*above, *comments], path)
    keys = {m[1].strip().casefold(): m[2].strip(" \"'") for line in [*above, *comments] if (m := _KEY.fullmatch(line))}
    named = [i for i, cells in enumerate(split) if len(cells) > 1 or columns == 1]
    last = split[-1] if split else []
    if last and not _is_key(above[-1], last, columns):
        if len(last) > columns and not (len(last) == columns + 1 and not last[-1]):
            raise DataError(f"{path}: the header names {len(last)} columns, the rows have {columns}")
        second = split[-2] if len(split) > 1 else []
        if second and not _is_key(above[-2], second, columns) and len(second) <= columns and _all_units(last):
            names, units = list(second), [cell.strip("()[] ") or None for cell in last]
        elif len(last) == columns or len(named) or len(split) == 1:
            names = list(last)
        whole = _over_columns(names, body, columns, path)
        names, units = whole, [*[None] * (len(whole) - len(names)), *units] if units else []
    if not names and comments:
        names = _comment_names(comments, found, columns)
        if names and len(comments) > 1 and len(names) == columns and _all_units(names):
            units = [name.strip("()[] ") or None for name in names]
            names = _header_cells(comments[-2], found.delimiter, found.quote, columns)
    titles = _titles(above, comments, keys, columns)
    if titles and (not names or _all_units(names)):
        names = titles
    if not units:
        units = [None] * len(names)
        for i, name in enumerate(names):
            names[i], units[i] = _name_and_unit(name)
    told_units = _told_units(above, keys, columns)
    if told_units:
        units = [*units, *[None] * (columns - len(units))]
        units = [own or told for own, told in zip(units, told_units)]
    elif columns == 1 and not any(units):
        voltages = [value for key, value in keys.items() if voltage_unit(value) and len(value) < 12]
        units = [voltages[0] if len(set(voltages)) == 1 else None]
    names += [""] * (columns - len(names))
    units += [None] * (columns - len(units))
    if any("openbci" in line.casefold() for line in comments):  # documented: microvolts
        units = [u or ("uV" if re.match(r"EXG|EEG|ExG", n) else None) for u, n in zip(units, names)]
    return replace(found, names=tuple(names[:columns]), units=tuple(units[:columns]), rate_hz=told)


def _over_columns(names: list[str], body: list[list[str]], columns: int, path: Path) -> list[str]:
    """Names, one a column, of a header that may be shorter than the rows.

    Blank columns at the end need none. A title in one cell names no column. Rows with their numbers in front, which R
    writes, have one cell more. Raises: DataError: it is not clear which column a name belongs to.
    """
    blank = 0
    while blank < columns and all(row[columns - 1 - blank].casefold() in _BLANKS for row in body):
        blank += 1
    if len(names) + blank >= columns or not names:
        return names
    if len(names) == 1:
        return []
    first = [row[0] for row in body[:1000]]
    numbered = all(re.fullmatch(r"\d+", cell) for cell in first) and all(
        int(b) == int(a) + 1 for a, b in itertools.pairwise(first)
    )
    if len(names) + blank == columns - 1 and numbered:
        return ["", *names]
    raise DataError(
        f"{path}: the header names {len(names)} columns ({', '.join(names[:8])}), the rows have {columns}: it is not "
        "clear which column a name belongs to. Correct the header"
    )


def _header_cells(line: str, delimiter: str, quote: str, columns: int) -> list[str]:
    line = _without_brackets(line).rstrip("\r\n")
    if line.lstrip()[:1] in _COMMENT and not re.match(r"\s*[#%]\s*[,;\t|]", line):
        line = line.lstrip(" #%")
    if delimiter == "":  # one column: a line of several cells tells a property
        return [_cell(part) for part in re.split(r"[,;\t](?![^(\[]*[)\]])", line)]
    if delimiter == " ":
        apart = [_cell(part) for part in re.split(r"\s{2,}|\t", line.strip())]
        return apart if len(apart) == columns else [_cell(part) for part in line.split()]
    cells = _split(line, delimiter, quote)
    while len(cells) > columns and not cells[-1]:
        cells.pop()
    return cells


def _is_key(line: str, cells: list[str], columns: int) -> bool:
    """Whether a line above the numbers tells a property, as `Sample Rate,512 hertz` or `Range= 5 mV` do."""
    first = cells[0].strip() if cells else ""
    if first.endswith(("=", ":")) or ":=" in line:
        return True
    known = {"name", "date of birth", "recorded date", "classification", "symptoms", "software version", "device",
             "sample rate", "sampling rate", "unit", "units", "lead", "version", "patient", "date",
             "sampling frequency", "filename", "file", "subject"}  # fmt: skip
    if columns == 1:
        return len(cells) > 1
    bare = first.strip("()[] ")
    if len(cells) == 2 and voltage_unit(cells[1]) and not voltage_unit(bare) and not times.named_time(bare):
        return bare not in ("#", "") and (first.casefold() in known or kind_of_unit(bare) != COUNTS)
    return len(cells) == 2 and first.casefold() in known and bool(cells[1]) and not times.named_time(first)


def _all_units(cells: Sequence[str]) -> bool:
    filled = [cell.strip("()[] ") for cell in cells if cell.strip("()[] ")]
    units = [
        kind_of_unit(cell) in (VOLTAGE, PHYSICAL, COUNTS) or re.fullmatch(r"[hms:.]+|#|n", cell.casefold())
        for cell in filled
    ]
    return bool(filled) and all(units) and any(kind_of_unit(cell) in (VOLTAGE, COUNTS) for cell in filled)


def _comment_names(comments: list[str], found: Layout, columns: int) -> list[str]:
    """Names in the last comment, or in an OpenSignals description."""
    for line in comments:
        if line.startswith("{"):
            try:
                device = next(iter(json.loads(line).values()))
                names = [str(name) for name in device["column"]]
                sensors = [str(s) for s in device.get("sensor", [])]
            except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
                continue
            labels = names[len(names) - len(sensors) :] if sensors else []
            return names[: len(names) - len(sensors)] + [
                f"{sensor} {label} [counts]" if sensor not in ("RAW", "CUSTOM", "NULL") else label
                for sensor, label in zip(sensors, labels)
            ]
    cells = _header_cells(comments[-1], found.delimiter or ",", found.quote, columns)
    return cells if len(cells) == columns and columns > 1 else []


def _titles(above: list[str], comments: list[str], keys: dict[str, str], columns: int) -> list[str]:
    """Names told by a property: ChannelTitle of LabChart, Labels of BioSPPy, Lead of an Apple Watch."""
    for key in (
        "channeltitle",
        "labels",
        "label",
        "channel",
        "channels",
        "lead",
        "channel names",
        "ableitung",
        "dérivation",
    ):
        if keys.get(key):
            parts = [_cell(part) for part in re.split(r"\t|,|;|\s{2,}", keys[key])]
            parts = [part for part in parts if part] or [keys[key]]
            if len(parts) == columns:
                return parts
            if len(parts) == columns - 1:
                return ["", *parts]
    return []


def _told_units(above: list[str], keys: dict[str, str], columns: int) -> list[str | None]:
    """Units of LabChart, by column: UnitName, else those of Range ("5 mV"), else of a property `unit`."""
    for key in ("unitname", "units", "unit", "range", "einheit", "unité", "unidad", "unità"):
        if keys.get(key):
            parts = [_cell(part) for part in re.split(r"\t|,|;", keys[key])]
            if key == "range":
                parts = [re.sub(r"^[\d.,]+\s*", "", part) for part in parts]
            if len(parts) == columns:
                return [part or None for part in parts]
            if len(parts) == columns - 1:
                return [None, *(part or None for part in parts)]
            if len(parts) == 1 and voltage_unit(parts[0]):
                return [parts[0]] * columns
    return []


def _name_and_unit(name: str) -> tuple[str, str | None]:
    """ "MLII (mV)" -> MLII, mV; "ecg_uV" -> ecg, uV; words in brackets that are no unit stay in the name."""
    match = _BRACKETS.fullmatch(name)
    if match and match[2] and not _NOT_UNITS.fullmatch(match[2]) and len(match[2]) <= 16:
        return match[1] or name, match[2]
    match = re.fullmatch(r"(.*?[A-Za-z0-9])\s*[_ /,-]\s*(m[vV]|u[vV]|µ[vV]|μ[vV]|n[vV]|microvolts?|millivolts?)", name)
    return (match[1], match[2]) if match else (name, None)


def tells_rate(path: Path) -> bool:
    """Whether a table tells its sampling rate, by its first lines: then it can be read as it is."""
    try:
        source = read(path, None, head=True)
    except (DataError, OSError):
        return False
    return bool(source.channels)


def read(path: Path, asked_hz: float | None, head: bool = False) -> Source:
    """Read a table. Args: asked_hz: the rate that the user gives; head: of its first lines alone.

    Raises: DataError: no table of numbers, a cell that is none, no rate, times that contradict it.
    """
    text = text_of(path)
    if head:
        text = "\n".join(text[:300_000].splitlines()[:HEAD_LINES])
    sidecar = _sidecar(path)
    found = layout(text, path)
    if sidecar:
        found = _with_sidecar(found, sidecar)
    columns, kinds, units = _columns(text, found, path)
    found = replace(found, units=units)
    return _source(path, found, columns, kinds, asked_hz)


def sidecar(path: Path) -> Path | None:
    """The JSON file beside a table that describes it (BIDS: physio.tsv.gz and physio.json), where there is one."""
    stem = path.name
    while Path(stem).suffix.lower() in (*SUFFIXES, *PACKED):
        stem = Path(stem).stem
    beside = path.with_name(f"{stem}.json")
    return beside if beside != path and beside.is_file() else None


def _sidecar(path: Path) -> dict:
    beside = sidecar(path)
    if beside is None:
        return {}
    try:
        content = json.loads(beside.read_text("utf-8-sig"))
    except (ValueError, OSError, RecursionError):
        return {}
    return content if isinstance(content, dict) and ("SamplingFrequency" in content or "Columns" in content) else {}


def _with_sidecar(found: Layout, described: dict) -> Layout:
    names, units = list(found.names), list(found.units)
    columns = described.get("Columns")
    if isinstance(columns, list) and len(columns) == found.columns and not any(names):
        names = [str(name) for name in columns]
        for i, name in enumerate(names):
            detail = described.get(name)
            if isinstance(detail, dict) and isinstance(detail.get("Units"), str):
                units[i] = detail["Units"]
    rate = described.get("SamplingFrequency")
    told = float(rate) if isinstance(rate, (int, float)) and not isinstance(rate, bool) and rate > 0 else None
    return replace(found, names=tuple(names), units=tuple(units), rate_hz=found.rate_hz or told)


def _columns(text: str, found: Layout, path: Path) -> tuple[list, list[str], tuple[str | None, ...]]:
    """Every column as pandas Series; what it holds: number, clock, date, text or blank; its unit."""
    import pandas

    if re.search(r"^\s*[#%]", text, re.MULTILINE) and found.lines:
        kept = text.splitlines(keepends=True)
        body = [line for line in kept[found.lines :] if line.lstrip()[:1] not in _COMMENT]
    else:
        body = None
    if body is not None:
        text, skip = "".join(body), 0
    else:
        skip = found.lines
    if "[" in text[:2_000_000] and found.delimiter == " ":
        text = "\n".join(_without_brackets(line) for line in text.splitlines())
    options: dict = {"sep": r"\s+"} if found.delimiter == " " else {"sep": found.delimiter or "\x01"}
    # One column with blanks at its end, or a quote that is never closed, must not eat lines.
    try:
        table = pandas.read_csv(
            io.StringIO(text), header=None, skiprows=skip, quotechar=found.quote, low_memory=False,
            skipinitialspace=True, keep_default_na=False, na_values=["", "nan", "NaN"], **options,
        )  # fmt: skip
    except Exception as error:
        raise DataError(f"{path} is not a table of numbers: {' '.join(str(error).split())[:200]}") from error
    lost = len(table) - sum(1 for line in text[:200_000].splitlines()[skip:] if line.strip())
    if len(text) < 200_000 and lost < 0:
        raise DataError(
            f"{path} is not a table of numbers: a quotation mark is never closed, {-lost} lines are lost in it"
        )
    columns, kinds, units = [], [], list(found.units)
    for i in range(table.shape[1]):
        column = table[i]
        if column.dtype.kind == "f" and _maybe_thousands(column):  # read once more, as it is written
            column = pandas.read_csv(
                io.StringIO(text), header=None, skiprows=skip, quotechar=found.quote, skipinitialspace=True,
                keep_default_na=False, usecols=[i], dtype=str, **options,
            )[i]  # fmt: skip
        column, kind, unit = _column(column, i, found, path)
        columns.append(column)
        kinds.append(kind)
        if unit and i < len(units):
            units[i] = units[i] or unit
    return columns, kinds, tuple(units)


def _maybe_thousands(values: Any) -> bool:
    """Whether numbers with a point may be whole ones, in thousands: 1.506 beside 43."""
    given = values[values.notna()].abs().to_numpy()
    given = given[given < 1e15]
    part = given[given % 1 != 0]
    whole = given[given % 1 == 0]
    return bool(
        len(part) and len(whole) and part.min() > 1 and whole.max() < 1000
        and np.allclose(part * 1000, np.rint(part * 1000), rtol=1e-12, atol=1e-6)
    )  # fmt: skip


def _column(column: Any, i: int, found: Layout, path: Path) -> tuple:
    """A column, what it holds, and the unit that stands in its cells."""
    import pandas

    if column.dtype.kind in "iuf":
        return column, "blank" if column.isna().all() and found.columns > 1 else "number", None
    if column.dtype.kind == "b":
        return column, "text", None
    cells = column.astype(object).where(column.notna(), "").astype(str)
    cells = cells.str.strip(" \t'\"\r\n\u00a0")
    filled = ~cells.str.casefold().isin(_BLANKS)
    if not filled.any():
        return column, "blank", None
    given = cells[filled]
    name = (found.names[i] if i < len(found.names) else "") or f"lead {i + 1}"
    plain = given.str.fullmatch(_NUMBER.pattern)
    if not plain.all():
        if (given.str.match(r".*\d:\d") & ~plain).mean() > 0.5:
            return cells.where(filled, ""), "clock", None
        if (given.str.fullmatch(times.DATE.pattern)).all():
            return cells.where(filled, ""), "date", None
    unit = None
    if not plain.all():
        for sign, written in ((_MINUS, "-"), (_GROUPS, ""), (_FORTRAN, "e")):
            given = given.str.replace(sign, written, regex=True)
        parts = given.str.extract(rf"^(?:{_WITH_UNIT.pattern})$")
        if parts["unit"].notna().all() and parts["unit"].nunique() == 1:
            given, unit = parts["number"], str(parts["unit"].iloc[0])
    numbers = _numbers(given, name, found.delimiter, path)
    if numbers is None:
        known = given.str.fullmatch(_NUMBER.pattern)
        if found.delimiter != ",":
            known |= given.str.fullmatch(_COMMA_NUMBER.pattern)
        if known.mean() < 0.5:
            return cells, "text", None
        at = int(given[~known].index[0])
        again = " (the header again: two tables in one file? Cut it there)" if given[at] == name else ""
        received = f"{given[at][:40]!r} in row {at + 1}"
        raise DataError(f"{path}: column {name!r} must hold numbers, received {received} below the header{again}")
    values = pandas.Series(np.nan, index=column.index, dtype=np.float64)
    values[filled] = numbers
    return values, "number", unit


def _numbers(given: Any, name: str, delimiter: str, path: Path) -> np.ndarray | None:
    """Numbers of cells in the one style that all of them have, float64; None where there is none.

    Raises: DataError: a point or comma may part thousands or decimals, and the numbers do not tell.
    """
    import pandas

    def read_as(point: str, groups: str) -> np.ndarray:
        text = given.str.replace(groups, "", regex=False) if groups else given
        return pandas.to_numeric(text.str.replace(point, ".", regex=False)).to_numpy(np.float64)

    found = {}
    for pattern, point, groups in (
        (_NUMBER, ".", ""), (_COMMA_NUMBER, ",", ""), (_POINT_THOUSANDS, ".", ","), (_COMMA_THOUSANDS, ",", "."),
    ):  # fmt: skip
        if given.str.fullmatch(pattern.pattern).all():
            found[point, groups] = read_as(point, groups)
    if not found:
        each = given.str.fullmatch(_NUMBER.pattern) | given.str.fullmatch(_COMMA_NUMBER.pattern)
        return read_as(",", "") if each.all() else None  # some with a point, some with a comma
    values = list(found.values())
    if all(np.array_equal(values[0], other) for other in values[1:]):
        return values[0]
    grouped = given[given.str.fullmatch(_GROUPED.pattern)]
    # Decimals are written to one number of digits, so every cell has its sign; thousands are not in every cell.
    for point in (".", ","):
        if (point, "") in found and given.str.contains(point, regex=False).all() and (point == "." or delimiter != ","):
            return found[point, ""]
    sign = "comma" if "," in str(grouped.iloc[0]) else "point"
    raise DataError(f"{path}: the {sign} in column {name!r} may part thousands or decimals ({grouped.iloc[0]!r}): "
                    "write the numbers without it")  # fmt: skip


def _source(path: Path, found: Layout, columns: list, kinds: list[str], asked_hz: float | None) -> Source:
    names = [found.names[i] if i < len(found.names) else "" for i in range(len(columns))]
    units = [found.units[i] if i < len(found.units) else None for i in range(len(columns))]
    numeric = [i for i, kind in enumerate(kinds) if kind == "number"]
    numeric = [i for i in numeric if not (columns[i].isna().all() and len(columns) > 1)]
    rows = len(columns[0]) if columns else 0
    leads = sum(kind_of_name(names[i], names) == ECG for i in numeric)
    if len(numeric) > MOST_LEADS and leads < len(numeric) / 2:
        raise DataError(
            f"{path} has {len(numeric)} columns of numbers, more than an ECG has leads, and {rows} rows: a beat a row, "
            "or transposed? A recording has one column per lead, a sample a row"
        )
    clocks = [i for i, kind in enumerate(kinds) if kind == "clock"]
    timed, counters, skipped = list[tuple[int, np.ndarray]](), list[int](), set[int]()
    maybe: list[tuple[int, np.ndarray]] = []  # columns that climb: times, where they have the rate that is told
    reasons = []
    dates = [i for i, kind in enumerate(kinds) if kind == "date"]
    # Times written out in a way of their own: they are tried, and never passed over.
    clocks += [i for i, kind in enumerate(kinds) if kind == "text" and times.named_time(names[i])]
    for i in clocks:
        try:
            timed.append((i, times.clock_seconds(columns[i], columns[dates[0]] if len(dates) == 1 else None)))
        except DataError as error:
            reasons.append(DataError(f"{path}: column {names[i] or i + 1!r}: {error}"))
    for i in numeric:
        values, name = columns[i].to_numpy(), names[i]
        unnamed = not name or re.fullmatch(r"[-+.\d]+", name) is not None
        says_time = times.named_time(name) or units[i] in times.SECONDS_PER
        known = kind_of_name(name, names)
        if says_time and len(numeric) > 1:
            skipped.add(i)
            values = times.unwrapped(times.filled(values))
            if not climbs_or_clock(values):
                if rows > 2 and np.isfinite(values).all() and (np.diff(values) < 0).any() and not times.wraps(values):
                    at = int(np.flatnonzero(np.diff(values) < 0)[0])
                    reasons.append(DataError(f"{path}: the times of {name!r} run backward after row {at + 1}"))
                continue
            try:
                seconds = times.seconds_from(values, times.unit_of(name, units[i]), asked_hz, name)
            except DataError as error:
                reasons.append(DataError(f"{path}: {error}"))
                continue
            if seconds is None:
                counters.append(i)
            else:
                timed.append((i, seconds))
        elif times.named_counter(name) and len(numeric) > 1 and known != ECG:
            skipped.add(i)
            counters.append(i)
        elif (i == 0 and unnamed and len(numeric) > 1 and times.climbs(values)
              and (times.counts_evenly(values) or rows >= CLIMBING_ROWS)):  # fmt: skip
            skipped.add(i)
            try:
                seconds = times.seconds_from(values, None, asked_hz, name or f"column {i + 1}")
            except DataError as error:
                reasons.append(DataError(f"{path}: {error}"))
                continue
            if seconds is None:
                counters.append(i)
            else:
                timed.append((i, seconds))
        elif rows >= CLIMBING_ROWS and (times.climbs(values) or times.wraps(values)):
            skipped.add(i)
            if len(numeric) == 1:
                raise DataError(f"{path} holds no ECG: its only column of numbers climbs from row to row, as times do"
                                f"{_texts(columns, kinds, names)}")  # fmt: skip
            if times.climbs(values) and len(np.unique(values[:100])) > 50 and (values % 1 == 0).all():
                counters.append(i)
            elif times.climbs(values) and (asked_hz or found.rate_hz):
                maybe.append((i, values))
    for i, values in maybe if not timed else []:
        with suppress(DataError):
            seconds = times.seconds_from(values, times.unit_of(names[i], units[i]), asked_hz or found.rate_hz, "")
            if seconds is not None:
                times.base(seconds, asked_hz or found.rate_hz, "")
                timed.append((i, seconds))
    left = [i for i in numeric if i not in skipped]
    if not left:
        raise (reasons or [DataError(f"{path} holds no signal{_texts(columns, kinds, names)}")])[0]
    rate, places, notes = _time_base(path, found, names, columns, timed, counters, reasons, asked_hz, rows)
    channels = []
    for i in left:
        values = columns[i].to_numpy(np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        channels.append(
            Channel(
                i + 1, names[i] or f"lead {i + 1}", units[i], rate, partial(_placed, values, places),
                partial(_placed, values, places), bool(names[i]),
            )
        )  # fmt: skip
    return Source(path, "CSV", tuple(channels), tuple(notes), mv_assumed=True)


def _texts(columns: list, kinds: list[str], names: list[str]) -> str:
    """What columns of text hold, for a message that says what is missing."""
    texts = [i for i, kind in enumerate(kinds) if kind == "text"]
    found = [f"{names[i] or i + 1!r} ({str(columns[i].iloc[0])[:30]!r})" for i in texts]
    return f"; columns of text: {', '.join(found[:5])}" if found else ""


def climbs_or_clock(values: np.ndarray) -> bool:
    """Whether a column named as time can be one: it never falls (blanks at its end aside)."""
    return bool(np.isfinite(values).all()) and times.climbs(values)


def _time_base(
    path: Path,
    found: Layout,
    names: list[str],
    columns: list,
    timed: list[tuple[int, np.ndarray]],
    counters: list[int],
    reasons: list[DataError],
    asked_hz: float | None,
    rows: int,
) -> tuple[float, np.ndarray | None, list[str]]:
    """Rate, places of rows on an even grid (None where nothing is missing) and notes."""
    notes, bases = list(found.notes), list[times.Base]()
    wanted = asked_hz or found.rate_hz
    if asked_hz and found.rate_hz and abs(asked_hz / found.rate_hz - 1) > times.TOLERANCE:
        raise DataError(
            f"{path}: its header tells {found.rate_hz:g} Hz, which --fs {asked_hz:g} contradicts: leave --fs out"
        )
    for i, seconds in timed:
        if rows < 3:
            continue
        name = names[i] or f"column {i + 1}"
        try:
            bases.append(times.base(times.filled(seconds), wanted, name))
        except DataError as error:
            reasons.append(DataError(f"{path}: {error}"))
    if bases:
        best = min(bases, key=lambda b: b.unevenness_s)
        longest = max(bases, key=lambda b: b.spent_s)
        # Clocks of two devices may part a little, and one may be told by the packet.
        if abs(longest.spent_s - best.spent_s) > max(5.0, 0.01 * longest.spent_s):
            raise DataError(f"{path}: its columns of time contradict each other, they last {best.spent_s:.6g} and "
                            f"{longest.spent_s:.6g} s: take one out")  # fmt: skip
        if best.note:
            notes.append(f"{path.name}: {best.note}")
        return best.rate_hz, best.places, notes
    # Times that tell nothing are no reason to refuse, times that contradict are.
    if reasons and (wanted is None or not all("stand still" in str(reason) for reason in reasons)):
        raise reasons[0]
    if wanted is None:
        raise DataError(
            f"{path}: a CSV file that has no column of times does not tell its sampling rate: give --fs, in Hz"
        )
    places = None
    for i in counters:
        try:
            places = times.counter_places(columns[i].to_numpy(), names[i] or f"column {i + 1}", wanted)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        if places is not None:
            break
    if places is not None:
        notes.append(f"{path.name}: its counter skips {places[-1] + 1 - rows} numbers, marked as missing")
    return wanted, places, notes


def _placed(values: np.ndarray, places: np.ndarray | None) -> np.ndarray:
    if places is None:
        return values
    whole = np.full(int(places[-1]) + 1, np.nan)
    whole[places] = values
    return whole


def finite_rate(value: float | None) -> bool:
    """Whether a rate is a number above zero."""
    return value is not None and math.isfinite(value) and value > 0
