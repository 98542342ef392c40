"""The host of a board behind a serial line (ULX3S): one byte per sample out, four bytes per logit back.

    python3 -m board.serial /dev/ttyUSB0 network.alq --windows windows.npy

A bitstream for it: `ecg-alq hardware --target ecp5-85k`. Needs pyserial (pip install 'ecg-alq[serial]').
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from board.codec import Codec
from board.driver import Result, Times
from qmodel.errors import UserError
from qmodel.frozen import FrozenNetwork

BAUD = 1_000_000  # of hls/core/verilog/ecp5/alq_ulx3s.v
BITS_PER_BYTE = 10  # on the line: start bit, eight bits, stop bit
SILENCE_S = 0.2  # the core forgets a frame that was broken off after 2**23 cycles: 0.1 s at 87.5 MHz


class SerialError(UserError, RuntimeError):
    """The board did not answer, or not as this network does; the message says what to do."""


class SerialBoard:
    """A network on a board behind a serial line.

    Args: port: device, as /dev/ttyUSB0, or a URL of pyserial; network: the one in the bitstream; classes: names of the
        logits; baud: of the line; timeout_s: beyond the time that the bytes need on the line;
        check: send a window first whose logits the golden model knows: another network in the bitstream is found out.
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
    ):
        self.codec, self.classes = Codec.of(network), tuple(classes)
        if (self.codec.input_bits, self.codec.output_bits) != (8, 32):
            raise SerialError(
                "the line carries samples of 8 bits and logits of 32, "
                f"this network has {self.codec.input_bits} and {self.codec.output_bits}"
            )
        self._line = _open(port, baud)
        length = self.codec.samples + 4 * self.codec.values
        self._line.timeout = self._line.write_timeout = timeout_s + length * BITS_PER_BYTE / baud
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
        import serial

        if not self._line.is_open:
            raise SerialError("the port is closed: open it again with SerialBoard(port, network)")
        start = time.perf_counter()
        frame = self.codec.encode(window).tobytes()
        packed = time.perf_counter()
        length = 4 * self.codec.values
        try:
            self._line.write(frame)
            answer = self._line.read(length)
        except serial.SerialTimeoutException:
            answer = b""
        except serial.SerialException as error:
            raise SerialError(f"{self._line.port} failed ({error}): plug the board in and open it again") from None
        if len(answer) != length:
            self._settle()
            raise SerialError(
                f"the board answered {len(answer)} of {length} bytes within {self._line.timeout:.3g} s: "
                "is the bitstream loaded (LED 7 on), and is this its port?"
            )
        logits = self.codec.decode(np.frombuffer(answer, self.codec.answer_dtype))
        best = int(logits.argmax())
        label = self.classes[best] if self.classes else str(best)
        return Result(logits, best, label, Times(packed - start, time.perf_counter() - packed, None))

    def classify_many(self, windows: Sequence[np.ndarray] | np.ndarray) -> list[Result]:
        """Classify windows one after the other. Args: windows: shape (window, sample). Raises: as `classify`."""
        return [self.classify(window) for window in windows]

    def stream(self, record: np.ndarray, step: int | None = None) -> Iterator[tuple[int, Result]]:
        """Classify a whole record, window after window, as `ArrhythmiaOverlay.stream`."""
        for start, window in self.codec.windows_of(record, step):
            yield start, self.classify(window)

    def _settle(self) -> None:
        """Wait until the core has forgotten what anybody sent before, and drop what it answered."""
        time.sleep(SILENCE_S)
        self._line.reset_input_buffer()
        self._line.reset_output_buffer()

    def _check(self) -> None:
        window = np.random.default_rng(0).integers(-400, 400, self.codec.samples)
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
    except (SerialError, OSError, ValueError, TypeError) as error:
        print(f"board.serial: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
