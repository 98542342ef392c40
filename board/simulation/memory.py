"""Memory that a processor and a DMA share, as `pynq.allocate` gives it: counted, cached, and guarded once freed."""

from __future__ import annotations

from typing import Any

import numpy as np

PAGE = 4096
FIRST_ADDRESS = 0x1000_0000


class Buffer(np.ndarray):
    """What the processor sees of a buffer; `stored` is what lies in memory, which `flush` and `invalidate` bridge."""

    stored: np.ndarray
    physical_address: int
    freed: bool
    memory: Memory

    def flush(self) -> None:
        """Processor's cache to memory."""
        self.stored[:] = self.view(np.ndarray).reshape(-1).view(np.uint8)

    def invalidate(self) -> None:
        """Memory to the processor's eyes."""
        self.view(np.ndarray).reshape(-1).view(np.uint8)[:] = self.stored

    def freebuffer(self) -> None:
        """Give the memory back."""
        if not self.freed:
            self.freed = True
            self.memory.freed += 1

    def __enter__(self) -> Buffer:
        return self

    def __exit__(self, *error: object) -> None:
        self.freebuffer()


class Memory:
    """Allocates buffers and counts: `allocated`, `freed`, and the most that were `live` at once."""

    def __init__(self) -> None:
        self.allocated = self.freed = self.most_live = 0
        self._next = FIRST_ADDRESS

    @property
    def live(self) -> int:
        """Buffers that nobody freed yet."""
        return self.allocated - self.freed

    def allocate(self, shape: tuple[int, ...], dtype: Any = "u4") -> Buffer:
        """As `pynq.allocate`; filled with something, as memory is."""
        buffer = np.full(shape, 0xA5, np.dtype(dtype)).view(Buffer)
        buffer.stored = np.full(buffer.nbytes, 0x5A, np.uint8)
        buffer.physical_address, buffer.freed, buffer.memory = self._next, False, self
        self._next += -(-buffer.nbytes // PAGE) * PAGE
        self.allocated += 1
        self.most_live = max(self.most_live, self.live)
        return buffer
