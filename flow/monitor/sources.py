"""Live sources of one ECG lead: Lab Streaming Layer, a serial line of numbers, BrainFlow boards, standard input.

Every source gives blocks of samples in mV at its own rate, NaN where samples were lost, and when the newest of them was
taken; one that is cut off says so and is opened again.
"""

from __future__ import annotations

import math
import os
import re
import select
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from qmodel.data.readers.channels import (
    ECG,
    MV_PER_UNIT,
    OTHER,
    VOLTAGE,
    kind_of_name,
    kind_of_unit,
    likeliest,
    mv_per,
    plain,
    voltage_unit,
)
from qmodel.data.recording import check_rate
from qmodel.errors import InputError, UserError

PATIENCE_S = 5.0  # to find a stream
QUIET_S = 1.0  # without a sample: the source is silent
LONGEST_GAP_S = 600.0  # that is shown as missing; after a longer one the recording goes on without it
RETRY_S = 1.0
SETTLE_S = 0.5  # after a silence, until what was late has come
HELP = "lsl:NAME, serial:/dev/ttyUSB0, brainflow:BOARD or - (standard input)"


class SourceError(InputError):
    """A live source that cannot be had, or does not tell what is needed."""


class LostError(UserError):
    """A live source was cut off; it may come back."""


class Block(NamedTuple):
    """values: float64 (sample,), mV, NaN where a sample was lost; taken_at: of the newest, time.monotonic()."""

    values: np.ndarray
    taken_at: float


class Source(Protocol):
    """A live source of one lead. name, kind, lead: for people; rate_hz: of samples; ended: nothing will follow."""

    name: str
    kind: str
    lead: str
    rate_hz: float
    ended: bool

    def open(self) -> None:
        """Connect, also after having been lost. Raises: SourceError, LostError: there is nothing to connect to."""

    def read(self, timeout_s: float) -> Block | None:
        """The next samples, None where there is none yet. Raises: LostError."""

    def close(self) -> None:
        """Let go of it; harmless when closed."""


@dataclass(frozen=True)
class Wanted:
    """What the user says of a source: as for a file, and the baud rate of a serial line."""

    lead: str | None = None
    rate_hz: float | None = None
    units: str | None = None
    baud: int = 115_200


def source(spec: str, wanted: Wanted) -> Source:
    """The source that a specification names. Raises: SourceError: none, or what it needs is not said."""
    kind, colon, place = spec.partition(":")
    if wanted.units is not None:
        mv_per(wanted.units)
    if wanted.rate_hz is not None:
        check_rate(wanted.rate_hz, "--fs")
    if spec == "-":
        return Lines(_Input(), "standard input", "standard input", wanted)
    if colon and place and kind == "serial":
        return Lines(_Serial(place, wanted.baud), place, f"serial line at {wanted.baud} baud", wanted, by_clock=True)
    if colon and place and kind == "lsl":
        return Lsl(place, wanted)
    if colon and place and kind == "brainflow":
        return BrainFlow(place, wanted)
    raise SourceError(f"--source must be {HELP}, received {spec!r}")


def _channel(labels: Sequence[str], units: Sequence[str | None], wanted: Wanted, name: str) -> tuple[int, str, float]:
    """Which channel to take, what it is called, and mV per unit: by the same rules as for files."""
    listed = ", ".join(f"{i + 1} {label} ({unit or 'no unit'})" for i, (label, unit) in enumerate(zip(labels, units)))
    kinds = [kind_of_name(label, labels) for label in labels]
    if wanted.lead is not None:
        asked = wanted.lead.strip()
        same = [i for i, label in enumerate(labels) if label.casefold() == asked.casefold()]
        same = same or [i for i, label in enumerate(labels) if plain(label) == plain(asked)]
        same = same or ([int(asked) - 1] if asked.isdecimal() and 1 <= int(asked) <= len(labels) else [])
        if len(same) != 1:
            raise SourceError(f"{name} has {len(same) or 'no'} channels {wanted.lead!r}: choose one of {listed}")
        column = same[0]
    else:
        named = [i for i, kind in enumerate(kinds) if kind == ECG]
        open_ = [i for i, kind in enumerate(kinds) if kind != OTHER]
        if not named and len(open_) != 1:
            raise SourceError(f"{name}: none of its channels is named as an ECG lead, name one with --lead: {listed}")
        column = named[likeliest([labels[i] for i in named])] if named else open_[0]
    if wanted.units is not None:
        factor = mv_per(wanted.units)
    else:
        unit = units[column]
        known = voltage_unit(unit) if unit and kind_of_unit(unit) == VOLTAGE else None
        if known is None:
            has = f"the unit {unit}" if unit else "no unit"
            raise SourceError(
                f"{name}: channel {labels[column]} has {has}: give --units, V, mV, uV or a gain like 200/mV for counts"
            )
        factor = MV_PER_UNIT[known[0]] * known[1]
    return column, labels[column], factor


def _with_loss(values: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Values with so many NaN before each of them."""
    if not lost.any():
        return values
    whole = np.full(len(values) + int(lost.sum()), np.nan)
    whole[np.arange(len(values)) + np.cumsum(lost)] = values
    return whole


class Lsl:
    """A stream of Lab Streaming Layer, by its name or its type. Lost samples are told by its time stamps."""

    kind = "Lab Streaming Layer"
    tells_gaps = True

    def __init__(self, name: str, wanted: Wanted) -> None:
        self.name, self.lead, self.rate_hz, self.ended = name, "", 0.0, False
        self._wanted = wanted
        self._inlet: Any = None
        self._last: float | None = None  # time stamp, the sender's clock

    def open(self) -> None:
        import pylsl

        self.close()
        found = pylsl.resolve_byprop("name", self.name, timeout=PATIENCE_S if self._last is None else RETRY_S)
        found = found or pylsl.resolve_byprop("type", self.name, timeout=RETRY_S)
        if not found:
            others = sorted({f"{s.name()} ({s.type()})" for s in pylsl.resolve_streams(RETRY_S)})
            there = f"there are {', '.join(others)}" if others else "there is none at all: has it been started?"
            raise (SourceError if self._last is None else LostError)(f"no LSL stream named {self.name!r}: {there}")
        # Recovery is ours, so that it is said; `recover` would wait in silence.
        inlet = pylsl.StreamInlet(found[0], max_buflen=60, recover=False)
        try:
            info = inlet.info(timeout=PATIENCE_S)
            inlet.open_stream(timeout=PATIENCE_S)
        except (pylsl.LostError, TimeoutError, RuntimeError) as error:
            raise LostError(str(error)) from error
        labels, units = [], []
        channel = info.desc().child("channels").child("channel")
        for i in range(info.channel_count()):
            labels.append((channel.child_value("label") if not channel.empty() else "") or f"channel {i + 1}")
            units.append((channel.child_value("unit") if not channel.empty() else "") or None)
            channel = channel.next_sibling()
        if info.channel_count() == 1 and info.type().casefold() in ("ecg", "ekg") and kind_of_name(labels[0]) != OTHER:
            labels[0] = labels[0] if kind_of_name(labels[0]) == ECG else "ECG"
        self._column, self.lead, self._factor = _channel(labels, units, self._wanted, f"LSL stream {self.name}")
        rate = info.nominal_srate() or self._wanted.rate_hz
        if not rate:
            raise SourceError(f"LSL stream {self.name} has no regular rate: give --fs")
        if self._wanted.rate_hz and abs(rate / self._wanted.rate_hz - 1) > 0.005:
            raise SourceError(
                f"LSL stream {self.name} has {rate:g} Hz, which --fs {self._wanted.rate_hz:g} contradicts"
            )
        check_rate(rate, f"LSL stream {self.name}")
        self.rate_hz = float(rate)
        self._inlet, self._pylsl = inlet, pylsl
        try:
            self._offset = inlet.time_correction(timeout=PATIENCE_S)
        except (pylsl.LostError, TimeoutError, RuntimeError):
            self._offset = 0.0

    def read(self, timeout_s: float) -> Block | None:
        try:
            samples, stamps = self._inlet.pull_chunk(timeout=timeout_s, max_samples=4096)
        except self._pylsl.LostError as error:
            raise LostError("the stream has ended") from error
        if not stamps:
            return None
        values = np.array([sample[self._column] for sample in samples], np.float64) * self._factor
        at = np.array(stamps)
        waits = np.diff(at, prepend=at[0] - 1 / self.rate_hz if self._last is None else self._last)
        # Stamps jitter by what a sender's clock does; a quarter of a second is a loss.
        wide = waits > max(0.25, 5 / self.rate_hz)
        lost = np.where(wide & (waits < LONGEST_GAP_S), np.rint(waits * self.rate_hz) - 1, 0).astype(int)
        self._last = float(at[-1])
        age = self._pylsl.local_clock() - (self._last + self._offset)
        return Block(_with_loss(values, lost), time.monotonic() - min(max(age, 0.0), 60.0))

    def close(self) -> None:
        inlet, self._inlet = self._inlet, None
        if inlet is not None:
            inlet.close_stream()


class BrainFlow:
    """A board of BrainFlow: NAME or NAME?serial_port=/dev/ttyUSB0&mac_address=...; packets have numbers, which tell of
    lost ones."""

    kind = "BrainFlow board"
    rate_hz: float

    def __init__(self, place: str, wanted: Wanted) -> None:
        self.name, _, options = place.partition("?")
        self.lead, self.rate_hz, self.ended = "", 0.0, False
        self._wanted, self._board = wanted, None  # type: Wanted, Any
        pairs = [part.partition("=") for part in options.split("&") if part]
        self._options = {key: value for key, _, value in pairs}

    def open(self) -> None:
        with _without_pkg_resources():
            from brainflow.board_shim import BoardIds, BoardShim, BrainFlowError, BrainFlowInputParams

            BoardShim.disable_board_logger()  # loads its library, which is what asks
        self.close()
        wanted = re.sub(r"\W", "_", self.name).upper()
        boards = {board.name: board.value for board in BoardIds}
        identity = boards.get(wanted, boards.get(f"{wanted}_BOARD"))
        if identity is None:
            near = [name for name in boards if wanted[:4] in name] or list(boards)
            raise SourceError(f"BrainFlow has no board {self.name!r}: {', '.join(near[:12])}, ...")
        parameters = BrainFlowInputParams()
        for key, value in self._options.items():
            if not hasattr(parameters, key):
                raise SourceError(
                    f"BrainFlow's boards have no option {key!r}: serial_port, mac_address, ip_address, ..."
                )
            setattr(parameters, key, int(value) if isinstance(getattr(parameters, key), int) else value)
        described = BoardShim.get_board_descr(identity)
        self.rate_hz = float(described["sampling_rate"])
        check_rate(self.rate_hz, f"BrainFlow board {self.name}")
        rows = described.get("ecg_channels") or described.get("emg_channels") or described.get("eeg_channels") or []
        if not rows:
            raise SourceError(f"BrainFlow board {self.name} has no channel for an ECG")
        labels = [f"channel {i + 1}" for i in range(len(rows))]
        if self._wanted.lead is None and len(rows) > 1:
            raise SourceError(
                f"BrainFlow board {self.name} has {len(rows)} channels: say with --lead, 1 to {len(rows)}, where the "
                "electrodes of the ECG are"
            )
        column, self.lead, self._factor = _channel(
            labels, ["uV"] * len(rows), self._wanted, f"BrainFlow board {self.name}"
        )
        self._row, self._number = rows[column], described.get("package_num_channel")
        self._stamps = described.get("timestamp_channel")
        board = BoardShim(identity, parameters)
        try:
            board.prepare_session()
            board.start_stream(int(60 * self.rate_hz))
        except BrainFlowError as error:
            raise LostError(f"BrainFlow board {self.name} cannot be had: {error}") from error
        self._board, self._error, self._heard = board, BrainFlowError, time.monotonic()
        self._last: float | None = None  # number of the last package

    def read(self, timeout_s: float) -> Block | None:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                data = self._board.get_board_data()
            except self._error as error:
                raise LostError(str(error)) from error
            if data.shape[1]:
                break
            if time.monotonic() > self._heard + 5 * QUIET_S:
                raise LostError("the board is silent")
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.02)
        self._heard = time.monotonic()
        values = data[self._row] * self._factor
        lost = np.zeros(len(values), int)
        if self._number is not None:
            numbers = data[self._number]
            steps = np.diff(numbers, prepend=numbers[0] - 1 if self._last is None else self._last)
            lost = np.where((steps > 1) & (steps < 128), steps - 1, 0).astype(int)
            lost = np.where((steps < 0) & (steps > -256), np.clip(steps % 256 - 1, 0, 127), lost).astype(int)
            self._last = float(numbers[-1])
        age = time.time() - data[self._stamps][-1] if self._stamps is not None else 0.0
        return Block(_with_loss(values, lost), time.monotonic() - min(max(age, 0.0), 60.0))

    def close(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            try:
                board.stop_stream()
                board.release_session()
            except Exception:  # a board that is gone cannot be told
                return


@contextmanager
def _without_pkg_resources() -> Iterator[None]:
    """BrainFlow 5.23 asks for pkg_resources on Python 3.11, which setuptools has dropped: one function will do."""
    import importlib.util
    import types

    if "pkg_resources" in sys.modules or importlib.util.find_spec("pkg_resources") is not None:
        yield
        return

    def resource_filename(name: str, path: str) -> str:
        place = importlib.util.find_spec(name)
        return os.path.join(os.path.dirname(place.origin or ""), path) if place else path

    stand_in = types.ModuleType("pkg_resources")
    stand_in.resource_filename = resource_filename  # type: ignore[attr-defined]
    sys.modules["pkg_resources"] = stand_in
    try:
        yield
    finally:
        del sys.modules["pkg_resources"]


class _Bytes(Protocol):
    def open(self) -> None: ...

    def read(self, timeout_s: float) -> bytes | None:
        """Bytes that came, none yet (b""), or None at the end. Raises: LostError."""

    def close(self) -> None: ...


class _Serial:
    def __init__(self, place: str, baud: int) -> None:
        self._place, self._baud, self._port = place, baud, None  # type: str, int, Any
        self._opened = False

    def open(self) -> None:
        import serial

        self.close()
        try:
            self._port = serial.serial_for_url(self._place, baudrate=self._baud, timeout=0)
        except (serial.SerialException, ValueError, OSError) as error:
            why = f"{self._place} cannot be opened at {self._baud} baud: {error}"
            raise (LostError if self._opened else SourceError)(why) from error
        self._opened, self._error = True, serial.SerialException

    def read(self, timeout_s: float) -> bytes | None:
        try:
            self._port.timeout = timeout_s
            first = self._port.read(1)
            return first + self._port.read(self._port.in_waiting) if first else b""
        except (self._error, OSError, TypeError) as error:
            raise LostError(str(error)) from error

    def close(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            port.close()


class _Input:
    def open(self) -> None:
        self._file = sys.stdin.fileno()

    def read(self, timeout_s: float) -> bytes | None:
        if os.name == "posix" and not select.select([self._file], [], [], timeout_s)[0]:
            return b""
        return os.read(self._file, 65_536) or None

    def close(self) -> None:
        return


class _Clock:
    """What a line without sample numbers lost, by the clock.

    After a silence the samples are held for a moment: what was only late comes in a burst, and counts once. What is
    still missing then was lost, before the first of them.
    """

    def __init__(self, rate_hz: float) -> None:
        self._rate = rate_hz
        self._heard: float | None = None
        self._silent_since, self._held = 0.0, None  # type: float, list[np.ndarray] | None

    def feed(self, values: np.ndarray, now: float, last: bool) -> np.ndarray:
        """Samples that came, in order, NaN for lost ones; none while they are held. Args: last: nothing follows."""
        heard = self._heard
        if len(values):
            self._heard = now
        if self._held is None:
            if heard is None or not len(values) or not QUIET_S < now - heard < LONGEST_GAP_S:
                return values
            self._silent_since, self._held, self._until = heard, [], now + SETTLE_S
        self._held.append(values)
        if now < self._until and not last:
            return values[:0]
        held, self._held = np.concatenate(self._held), None
        lost = round((now - self._silent_since) * self._rate) - len(held)
        return np.concatenate([np.full(lost if lost > SETTLE_S / 2 * self._rate else 0, np.nan), held])


_NUMBERS = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class Lines:
    """Lines of numbers, one sample a line, columns parted by commas, semicolons, tabs or blanks.

    A line without a number (an AD8232 says ! when a lead is off) is a sample that is missing.

    Args: by_clock: what does not come is lost, as on a serial line; a pipe that stalls loses nothing.
    """

    def __init__(self, stream: _Bytes, name: str, kind: str, wanted: Wanted, by_clock: bool = False) -> None:
        if wanted.rate_hz is None:
            raise SourceError(f"{name} does not tell its sampling rate: give --fs, in Hz")
        if wanted.units is None:
            raise SourceError(
                f"{name} does not tell its units: give --units, V, mV, uV or a gain like 200/mV for counts"
            )
        if wanted.lead is not None and not wanted.lead.isdecimal():
            raise SourceError(
                f"the columns of {name} have numbers: --lead must be one from 1, received {wanted.lead!r}"
            )
        self._asked = wanted.lead is not None
        self._column = int(wanted.lead or 1) - 1
        self._stream, self._factor = stream, mv_per(wanted.units)
        self.name, self.kind, self.rate_hz, self.ended = name, kind, wanted.rate_hz, False
        self.lead = f"column {self._column + 1}" if wanted.lead else "ECG"
        self._rest, self._bad, self._good, self._several, self._example = b"", 0, 0, 0, ""
        self._clock = _Clock(wanted.rate_hz) if by_clock else None
        self.tells_gaps = by_clock
        self._first = True

    def open(self) -> None:
        self._stream.open()
        self._rest, self._first = b"", True

    def read(self, timeout_s: float) -> Block | None:
        data = self._stream.read(timeout_s)
        if data is None:
            self.ended = True
            data = b"\n" if self._rest else b""
        lines = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > 4096:
            raise SourceError(f"{self.name} sends no lines of numbers: is the baud rate right?")
        if self._first and lines:  # a serial line is joined in the middle of a number
            self._first = False
            if self._clock is not None:
                lines.pop(0)
        values = np.array([self._value(line) for line in lines if line.strip()], np.float64)
        if self._bad > 200 and not self._good:
            raise SourceError(f"{self.name} sends no numbers in column {self._column + 1}: is the baud rate right?")
        if not self._asked and self._several > max(20, self._good / 2):
            raise SourceError(
                f"{self.name} sends lines of several numbers, like {self._example!r}: say with --lead, from 1, which "
                "of them is the ECG. Decimals need a point, not a comma"
            )
        now = time.monotonic()
        if self._clock is not None:
            values = self._clock.feed(values, now, self.ended)
        return Block(values * self._factor, now) if len(values) else None

    def _value(self, line: bytes) -> float:
        cells = re.split(rb"[,;\t ]+", line.strip())
        if len(cells) > 1 and all(_NUMBERS.fullmatch(cell) for cell in cells if cell):
            self._several, self._example = self._several + 1, line.strip().decode("ascii")[:40]
        if self._column < len(cells) and _NUMBERS.fullmatch(cells[self._column]):
            value = float(cells[self._column])
            if math.isfinite(value):
                self._good += 1
                return value
        self._bad += 1
        return math.nan

    def close(self) -> None:
        self._stream.close()
