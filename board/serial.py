"""The host of a board behind a serial line (ULX3S): a frame with a window out, a frame with its logits back.

    python3 -m board.serial /dev/ttyUSB0 network.alq --windows windows.npy

A bitstream for it: `ecg-alq hardware --target ecp5-85k`. Needs pyserial (pip install 'ecg-alq[serial]').
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from board.codec import Codec
from board.driver import Result, Times
from board.framing import LOGITS, MAX_PAYLOAD, OVERHEAD_BYTES, REASONS, REFUSED, WINDOW, Frame, Unpacker, pack
from qmodel.errors import UserError
from qmodel.frozen import FrozenNetwork

BAUD = 1_000_000  # of hls/core/verilog/ecp5/alq_ulx3s.v
BITS_PER_BYTE = 10  # on the line: start bit, eight bits, stop bit
SILENCE_S = 0.2  # the board gives up a frame that was broken off after 2**23 cycles: 0.1 s at 87.5 MHz


class SerialError(UserError, RuntimeError):
    """The board did not answer, or not as this network does; the message says what to do."""


class SerialBoard:
    """A network on a board behind a serial line.

    Args: port: device, as /dev/ttyUSB0, or a URL of pyserial; network: the one in the bitstream; classes: names of the
        logits; baud: of the line; timeout_s: beyond the time that the bytes need on the line;
        check: send a window first whose logits the golden model knows: another network in the bitstream is found out;
        repeats: how often a window is sent again whose frame, or whose answer's, was damaged on the line; `faults`
        counts them by what was found.
    Raises: SerialError: no such port, no answer, or another network.
    """

    def __init__(
        self,
        port: str,
        network: FrozenNetwork,
        classes: Sequence[str] = (),
        baud: int = BAUD,
        timeout_s: float = 1.0,
        check: bool = True,
        repeats: int = 2,
    ):
        self.codec, self.classes = Codec.of(network), tuple(classes)
        self.repeats, self.faults = repeats, Counter[str]()
        if (self.codec.input_bits, self.codec.output_bits) != (8, 32):
            raise SerialError(
                "the line carries samples of 8 bits and logits of 32, "
                f"this network has {self.codec.input_bits} and {self.codec.output_bits}"
            )
        length = max(self.codec.samples, 4 * self.codec.values)
        if length > MAX_PAYLOAD:
            raise SerialError(f"a frame holds at most {MAX_PAYLOAD} bytes, this network needs {length}")
        self._line = _open(port, baud)
        both = self.codec.samples + 4 * self.codec.values + 2 * OVERHEAD_BYTES
        self.timeout_s = self._line.write_timeout = timeout_s + both * BITS_PER_BYTE / baud
        self._number = os.urandom(1)[0]  # whoever had the line before counted from elsewhere
        try:
            self._settle()
            if check:
                self._check()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> SerialBoard:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the port. Closing twice is no error."""
        self._line.close()

    def classify(self, window: np.ndarray) -> Result:
        """Classify one window; `times.compute` is None, since the line does not tell it.

        Args: window: ADC units, integers, shape (sample,).
        Raises: TypeError: not integers; ValueError: NaN, flat, another length; SerialError: closed, or no answer.
        """
        if not self._line.is_open:
            raise SerialError("the port is closed: open it again with SerialBoard(port, network)")
        start = time.perf_counter()
        words = self.codec.encode(window).tobytes()
        packed = time.perf_counter()
        answer, fault = None, ""
        for _ in range(self.repeats + 1):
            answer, fault = self._exchange(words)
            if answer is not None:
                break
            self.faults[fault] += 1
        if answer is None:
            raise SerialError(
                f"{fault}; the window was sent {self.repeats + 1} times: "
                "is the bitstream loaded (LED 7 on), is this its port, and is the cable good?"
            )
        if len(answer) != 4 * self.codec.values:
            raise SerialError(
                f"the board answers {len(answer) / 4:g} logits, this network has {self.codec.values}: "
                "load the bitstream that was made from it"
            )
        logits = self.codec.decode(np.frombuffer(answer, self.codec.answer_dtype))
        best = int(logits.argmax())
        label = self.classes[best] if self.classes else str(best)
        return Result(logits, best, label, Times(packed - start, time.perf_counter() - packed, None))

    def _exchange(self, words: bytes) -> tuple[bytes | None, str]:
        """Send one frame and wait for its answer; None and what went wrong where there is none."""
        import serial

        self._number = self._number + 1 & 0xFF
        frames = Unpacker(
            max(4 * self.codec.values, 1024)
        )  # more than this network's: another one in the board is told
        received = 0
        try:
            self._line.write(pack(Frame(WINDOW, self._number, words)))
            deadline = time.monotonic() + self.timeout_s
            while (left := deadline - time.monotonic()) > 0:
                self._line.timeout = left
                data = self._line.read(max(1, self._line.in_waiting))
                received += len(data)
                for frame in frames.feed(data):
                    if frame.number != self._number:
                        continue  # the late answer to an earlier window
                    if frame.kind == LOGITS:
                        return frame.payload, ""
                    if frame.kind == REFUSED:
                        reason = frame.payload[0] if len(frame.payload) == 1 else 0
                        return None, f"the board refused it: {REASONS.get(reason, f'reason {reason}')}"
        except serial.SerialTimeoutException:
            self._settle()
            return None, "the port takes no bytes"
        except (serial.SerialException, OSError) as error:
            raise SerialError(f"{self._line.port} failed ({error}): plug the board in and open it again") from None
        self._settle()
        what = f"{received} bytes that are no answer to it" if received else "nothing"
        return None, f"{what} came within {self.timeout_s:.3g} s"

    def classify_many(self, windows: Sequence[np.ndarray] | np.ndarray) -> list[Result]:
        """Classify windows one after the other. Args: windows: shape (window, sample). Raises: as `classify`."""
        return [self.classify(window) for window in windows]

    def stream(self, record: np.ndarray, step: int | None = None) -> Iterator[tuple[int, Result]]:
        """Classify a whole record, window after window, as `ArrhythmiaOverlay.stream`."""
        for start, window in self.codec.windows_of(record, step):
            yield start, self.classify(window)

    def _settle(self) -> None:
        """Wait until the board has given up a frame that anybody broke off before, and drop what it answered."""
        time.sleep(SILENCE_S)
        self._line.reset_input_buffer()
        self._line.reset_output_buffer()

    def _check(self) -> None:
        window = np.random.default_rng(0).integers(-400, 400, self.codec.shape)
        if not np.array_equal(self.classify(window).logits, self.codec.golden(window)):
            raise SerialError(
                "the board's logits are not this network's: load the bitstream that was made from it, "
                "or name the network that is in the board"
            )


def _open(port: str, baud: int) -> Any:
    try:
        import serial
    except ModuleNotFoundError:
        raise SerialError("the package pyserial is not installed: pip install 'ecg-alq[serial]'") from None
    try:
        return serial.serial_for_url(port, baud, exclusive=True)
    except (serial.SerialException, ValueError) as error:
        hint = "list ports with `python3 -m serial.tools.list_ports`"
        raise SerialError(f"the port {port} cannot be opened ({error}): {hint}") from None


def main(arguments: list[str] | None = None) -> int:
    """Run from a command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python3 -m board.serial", description=__doc__.partition("\n")[0])
    parser.add_argument("port", help="as /dev/ttyUSB0")
    parser.add_argument("network", type=Path, help="the frozen network (.alq) in the bitstream")
    parser.add_argument("--windows", type=Path, metavar="FILE", help="integers, shape (window, sample), .npy")
    parser.add_argument("--baud", type=int, default=BAUD, help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        network = FrozenNetwork.load(given.network)
        windows = None if given.windows is None else np.load(given.windows, allow_pickle=False)
        with SerialBoard(given.port, network, baud=given.baud) as board:
            print(f"the board holds network {network.identity[:12]}...")
            for number, window in enumerate([] if windows is None else windows):
                result = board.classify(window)
                print(f"{number}: class {result.label}, logits {result.logits.tolist()}, {result.times.transfer:.3f} s")
            for fault, times in board.faults.items():
                print(f"sent again {times} times: {fault}", file=sys.stderr)
    except (SerialError, OSError, ValueError, TypeError) as error:
        print(f"board.serial: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
