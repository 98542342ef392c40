"""Frames on a serial line: what was flipped, lost or added on the way is found out, and the next frame is right again.

Both directions, numbers lowest byte first (hls/core/verilog/serial/alq_frame_in.v and alq_frame_out.v do the same):

    A5 C3 start word | kind | number | length, 2 bytes | payload | CRC-32 (zlib's) from the kind on, 4 bytes
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

START = b"\xa5\xc3"
WINDOW, LOGITS, REFUSED = 0x01, 0x81, 0x82  # kinds: to the board; from the board
HEAD_BYTES, SUM_BYTES = 6, 4
OVERHEAD_BYTES = HEAD_BYTES + SUM_BYTES
MAX_PAYLOAD = (1 << 16) - 1
REASONS = {  # payload of a refusal
    1: "it takes windows of another length",
    2: "the window arrived damaged",
    3: "the window did not arrive whole",
    4: "its core is slower than the line",
}


class Frame(NamedTuple):
    """A frame that arrived whole."""

    kind: int
    number: int
    payload: bytes


def pack(frame: Frame) -> bytes:
    """The bytes of a frame. Raises: ValueError: a payload too long for its length's two bytes."""
    if len(frame.payload) > MAX_PAYLOAD:
        raise ValueError(f"a frame holds at most {MAX_PAYLOAD} bytes, received {len(frame.payload)}")
    body = bytes([frame.kind, frame.number]) + len(frame.payload).to_bytes(2, "little") + frame.payload
    return START + body + zlib.crc32(body).to_bytes(SUM_BYTES, "little")


class Unpacker:
    """Frames out of bytes as they come.

    What looks like a start word and begins no frame hides none: a whole frame behind it or inside it is found.
    Args: longest: payload in bytes; what claims more is no frame.
    """

    def __init__(self, longest: int):
        self.longest = longest
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end within `data`, in their order."""
        self._bytes += data
        frames: list[Frame] = []
        at = 0
        keep = None  # where the first frame begins that may still become whole
        while (at := self._bytes.find(START, at)) >= 0:
            end = self._end(at)
            if end is not None and end <= len(self._bytes):
                body = bytes(self._bytes[at + len(START) : end - SUM_BYTES])
                if zlib.crc32(body) == int.from_bytes(self._bytes[end - SUM_BYTES : end], "little"):
                    frames.append(Frame(body[0], body[1], body[4:]))
                    at, keep = end, None
                    continue
            elif end is not None and keep is None:
                keep = at
            at += 1
        if keep is None:  # the last byte may be half of a start word
            keep = len(self._bytes) - self._bytes.endswith(START[:1])
        del self._bytes[:keep]
        return frames

    def _end(self, at: int) -> int | None:
        """Where the frame ends that begins at `at`, as far as that can be told; None: it is no frame."""
        if len(self._bytes) < at + HEAD_BYTES:
            return at + OVERHEAD_BYTES
        length = int.from_bytes(self._bytes[at + 4 : at + HEAD_BYTES], "little")
        return at + OVERHEAD_BYTES + length if length <= self.longest else None
