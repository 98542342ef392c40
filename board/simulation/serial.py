"""The serial side of a board (hls/core/verilog/serial) as bytes in and bytes out, for tests without a simulator."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from board.framing import LOGITS, REFUSED, START, WINDOW, Frame, pack

LENGTH, SUM, SILENCE, OVERRUN = 1, 2, 3, 4  # reasons of alq_frame_in.v


class SerialModel:
    """Frames of samples in, frames of logits or of a refusal out.

    Args: samples: bytes of a window; core: logits as bytes from a window's bytes.
    """

    def __init__(self, samples: int, core: Callable[[bytes], bytes]):
        self.samples, self.core = samples, core
        self._head = bytearray()  # start word to length, as far as it arrived
        self._body: bytearray | None = None  # samples and CRC, once the head is good
        self._number = 0  # of the last frame whose number arrived

    def feed(self, data: bytes) -> bytes:
        """What the board sends while `data` arrives; an answer is sent before the next byte comes."""
        return b"".join(map(self._byte, data))

    def silence(self) -> bytes:
        """What the board sends when the line has been silent for longer than a frame may be."""
        begun = len(self._head) >= len(START)
        self._give_up()
        return self._refuse(SILENCE) if begun else b""

    def _byte(self, byte: int) -> bytes:
        if self._body is not None:
            self._body.append(byte)
            if len(self._body) < self.samples + 4:
                return b""
            window, given = bytes(self._body[: self.samples]), bytes(self._body[self.samples :])
            whole = zlib.crc32(bytes(self._head[2:]) + window) == int.from_bytes(given, "little")
            self._give_up()
            return pack(Frame(LOGITS, self._number, self.core(window))) if whole else self._refuse(SUM)
        self._head.append(byte)
        if len(self._head) <= len(START):
            if not START.startswith(self._head):
                self._head[:] = START[:1] if byte == START[0] else b""
        elif len(self._head) == 4:
            self._number = byte
        elif len(self._head) == 6:
            if self._head[2] == WINDOW and int.from_bytes(self._head[4:], "little") == self.samples:
                self._body = bytearray()
            else:
                self._give_up()
                return self._refuse(LENGTH)
        return b""

    def _give_up(self) -> None:
        self._head.clear()
        self._body = None

    def _refuse(self, reason: int) -> bytes:
        return pack(Frame(REFUSED, self._number, bytes([reason])))
