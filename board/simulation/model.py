"""A fast model of board and core: the golden network behind the DMA's registers, with faults to inject."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from board.codec import Codec
from board.manifest import MAGIC, REGISTERS, REGISTERS_VERSION, Manifest
from board.simulation.dma import Dma
from board.simulation.memory import Memory
from qmodel.fixed_point import from_transfers, to_transfers
from qmodel.frozen import FrozenNetwork


@dataclass
class Faults:
    """What may go wrong.

    Args: stall_after: frames after which the core never answers again; error: status bits of the receiving channel;
        lose: words of the answer that go missing; identity: what the core tells instead of its network's; magic:
        likewise; flags: error flags of the core.
    """

    stall_after: int | None = None
    error: int = 0
    lose: int = 0
    identity: str | None = None
    magic: int = MAGIC
    flags: int = 0


@dataclass
class Board:
    """A board with one core.

    Args: network: in the core; codec: of its streams; polls: readings of a status register until a transfer is done.
    """

    network: FrozenNetwork
    codec: Codec
    faults: Faults = field(default_factory=Faults)
    polls: int = 2

    def __post_init__(self) -> None:
        self.memory = Memory()
        self.dma = Dma(lambda channel: None)
        self.frames = self._reads = 0
        self._answers: deque[np.ndarray] = deque()

    def load(self) -> None:
        """What loading a bitstream does: core and DMA start afresh."""
        self.frames = 0
        self._answers.clear()
        for channel in (self.dma.sendchannel, self.dma.recvchannel):
            channel.reset()
            channel.start()

    def read(self, offset: int) -> int:
        """A register of the core."""
        identity = self.faults.identity or self.network.identity
        words = {REGISTERS["identity"] + 4 * n: int(identity[8 * n : 8 * n + 8], 16) for n in range(8)}
        values = {
            "magic": self.faults.magic,
            "version": REGISTERS_VERSION,
            "cycles": self.codec.samples,  # what a core that takes a sample per cycle needs at least
            "frames": self.frames,
            "errors": self.faults.flags,
            "samples": self.codec.samples,
            "values": self.codec.values,
        }
        return (words | {REGISTERS[name]: value for name, value in values.items()})[offset]

    def read_dma(self, offset: int) -> int:
        """A register of the DMA; time passes with every reading."""
        self._reads += 1
        if self._reads % self.polls == 0:
            self._step()
        return self.dma.read(offset)

    def _step(self) -> None:
        send, receive = self.dma.sendchannel, self.dma.recvchannel
        if send.buffer is not None:
            words = send.stored.view(self.codec.frame_dtype)
            send.finish()
            if self.faults.stall_after is None or self.frames < self.faults.stall_after:
                integers = from_transfers(words, self.network.input_format.signed)
                self._answers.append(to_transfers(self.network.run(integers[None])[0], self.codec.output_bits))
                self.frames += 1
        elif receive.buffer is not None and self._answers:
            got = self._answers.popleft().view(np.uint8)
            got = got[: len(got) - self.faults.lose * self.codec.output_bits // 8]
            receive.stored[: len(got)] = got
            receive.finish(len(got), self.faults.error)


class _Registers:
    """A window on the core's registers, as `pynq.MMIO`."""

    def __init__(self, board: Board):
        self._board = board

    def read(self, offset: int) -> int:
        return self._board.read(offset)


class _TimedDma:
    """The DMA with its channels, whose registers move the model on."""

    def __init__(self, board: Board):
        self.sendchannel, self.recvchannel = board.dma.sendchannel, board.dma.recvchannel
        self.read, self.write = board.read_dma, board.dma.write


def stand_in(board: Board) -> ModuleType:
    """A module `pynq` whose overlays are the board's."""
    module = ModuleType("pynq")

    class Overlay:
        def __init__(self, bitfile_name: str):
            manifest = Manifest.load(Path(bitfile_name).parent)
            board.load()
            self.bitfile_name = bitfile_name
            self.ip_dict: dict[str, dict] = {name: {} for name in (manifest.core, manifest.dma)}
            setattr(self, manifest.dma, _TimedDma(board))

    module.Overlay = Overlay  # type: ignore[attr-defined]
    module.MMIO = lambda address, span: _Registers(board)  # type: ignore[attr-defined]
    module.allocate = board.memory.allocate  # type: ignore[attr-defined]
    return module


@contextmanager
def installed(pynq: Any) -> Iterator[None]:
    """`import pynq` gives this module, as long as the block runs."""
    before = sys.modules.get("pynq")
    sys.modules["pynq"] = pynq
    try:
        yield
    finally:
        if before is None:
            del sys.modules["pynq"]
        else:
            sys.modules["pynq"] = before
