"""AXI DMA in direct register mode, as far as the driver meets it: registers, and PYNQ's way to start a transfer.

Whoever moves the data (the fast model, the simulated streams) takes `Channel.stored` and calls `finish`.
Source: AMD PG021, "Register Address Map", "Programming Sequence"; `pynq.lib.dma` for the behaviour of `transfer`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from board.simulation.memory import Buffer

CONTROL, STATUS, LENGTH = 0x00, 0x04, 0x28
RECEIVE = 0x30  # offset of the receiving channel's registers
RUN, RESET = 1 << 0, 1 << 2
HALTED, IDLE, INTERNAL_ERROR, COMPLETE = 1 << 0, 1 << 1, 1 << 4, 1 << 12


class Channel:
    """One direction. Args: begin: called with the channel when a transfer starts."""

    def __init__(self, begin: Callable[[Channel], None]):
        self._begin = begin
        self.buffer: Buffer | None = None
        self.control = self.status = self.length = 0
        self.start()

    def start(self) -> None:
        """As PYNQ does when it binds the driver."""
        self.control, self.status = RUN, 0

    def reset(self) -> None:
        """Forget the transfer under way."""
        self.control, self.status, self.length, self.buffer = 0, HALTED, 0, None

    @property
    def running(self) -> bool:
        """As PYNQ's property of that name."""
        return not self.status & HALTED

    @property
    def idle(self) -> bool:
        """As PYNQ's property of that name."""
        return bool(self.status & IDLE)

    def transfer(self, array: Buffer, start: int = 0, nbytes: int = 0) -> None:
        """As PYNQ's; whole buffers only. Raises: RuntimeError: not started, or a transfer is under way."""
        if not self.running:
            raise RuntimeError("DMA channel not started")
        if self.buffer is not None:
            raise RuntimeError("DMA channel not idle")
        if start or nbytes:
            raise NotImplementedError("the stand-in transfers whole buffers")
        self.buffer, self.length = array, array.nbytes
        self.status &= ~IDLE
        self._begin(self)

    @property
    def stored(self) -> np.ndarray:
        """Bytes of the buffer under way, as they lie in memory. Raises: AssertionError: none, or freed."""
        assert self.buffer is not None, "no transfer is under way"
        assert not self.buffer.freed, "the DMA touches a buffer that was freed"
        return self.buffer.stored

    def finish(self, length: int | None = None, error: int = 0) -> None:
        """End the transfer. Args: length: bytes that came; error: bits of the status register."""
        self.buffer = None
        self.length = self.length if length is None else length
        self.status |= error or (IDLE | COMPLETE)


class Send(Channel):
    """Memory to stream."""

    def transfer(self, array: Buffer, start: int = 0, nbytes: int = 0) -> None:
        """As PYNQ's: flushes the buffer first."""
        array.flush()
        super().transfer(array, start, nbytes)


class Dma:
    """Both channels behind one register map. Args: begin: called with the channel when a transfer starts."""

    def __init__(self, begin: Callable[[Channel], None]):
        self.sendchannel, self.recvchannel = Send(begin), Channel(begin)

    def read(self, offset: int) -> int:
        """Read a register."""
        channel = self.recvchannel if offset >= RECEIVE else self.sendchannel
        return {CONTROL: channel.control, STATUS: channel.status, LENGTH: channel.length}[offset % RECEIVE]

    def write(self, offset: int, value: int) -> None:
        """Write a control register; the reset bit resets both channels and is clear at once."""
        if offset % RECEIVE != CONTROL:
            raise NotImplementedError(f"the stand-in has no writable register 0x{offset:02x}")
        if value & RESET:
            self.sendchannel.reset()
            self.recvchannel.reset()
