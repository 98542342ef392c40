"""A pseudo-terminal with a board's serial side behind it, and a line that flips, loses, adds and delays bytes."""

from __future__ import annotations

import os
import select
import threading
import tty
from collections.abc import Callable

from board.simulation.serial import SerialModel

SILENCE_S = 0.05  # after which the board gives a frame up

Fault = Callable[[bytes], bytes]


def whole(data: bytes) -> bytes:
    """No fault."""
    return data


class BadLine(threading.Thread):
    """The board in a thread; `to_board` and `to_host` change what passes, `delay_s` holds answers back once."""

    def __init__(self, model: SerialModel):
        super().__init__(daemon=True)
        self.ours, self.theirs = os.openpty()
        for end in (self.ours, self.theirs):
            tty.setraw(end)
        self.port = os.ttyname(self.theirs)
        self.model = model
        self.to_board: Fault = whole
        self.to_host: Fault = whole
        self.delay_s = 0.0
        self._ended = threading.Event()

    def __enter__(self) -> BadLine:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self.join()
        os.close(self.ours)
        os.close(self.theirs)

    def write(self, data: bytes) -> None:
        """Bytes to the host that nobody asked for."""
        os.write(self.ours, data)

    def run(self) -> None:
        """Until the end: what came in one go passes `to_board`, what the board says to it `to_host`."""
        while not self._ended.is_set():
            data = b""
            while select.select([self.ours], [], [], SILENCE_S if data else 0.01)[0]:
                data += os.read(self.ours, 65536)
                if len(data) >= self.model.samples + 10:
                    break
            if not data:
                continue
            said = self.model.feed(self.to_board(data))
            if not said:
                said = self.model.silence()
            if self.delay_s:
                late, self.delay_s = self.delay_s, 0.0
                threading.Timer(late, self.write, [said]).start()
            else:
                self.write(self.to_host(said))
