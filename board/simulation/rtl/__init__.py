"""A module `pynq` over RTL, inside the simulator: cocotbpynq's overlay and registers, and the DMA of `dma.py` on its
streams. cocotbpynq's own DMA has neither registers nor words narrower than 32 bits.

For tests, and not part of the distribution: cocotbpynq's licence is GPL-3.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import cocotb
import cocotbpynq
from cocotb.task import resume
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from board.simulation.dma import Channel, Dma
from board.simulation.memory import Memory

REGISTER_CYCLES = 20  # of a processor's reading through the interconnect, about


class StreamDma(Dma):
    """The DMA on two simulated streams. Args: send, receive: cocotbpynq's bus interfaces; clk: their clock."""

    def __init__(self, send: Any, receive: Any, clk: Any):
        super().__init__(self._begin)
        self._send, self._receive, self._clk = send, receive, clk
        self._tasks: list[Any] = []
        self._release()

    def _release(self) -> None:
        self._send.TVALID.value = 0
        self._receive.TREADY.value = 0

    def _begin(self, channel: Channel) -> None:
        move = self._send_words if channel is self.sendchannel else self._receive_words
        self._tasks.append(cocotb.start_soon(move(channel)))

    async def _send_words(self, channel: Channel) -> None:
        words = channel.stored.view(f"<u{len(self._send.TDATA) // 8}").tolist()
        self._send.TVALID.value = 1
        for number, word in enumerate(words):
            self._send.TDATA.value = word
            self._send.TLAST.value = int(number == len(words) - 1)
            await self._taken(self._send.TREADY)
        self._send.TVALID.value = 0
        channel.finish()

    async def _receive_words(self, channel: Channel) -> None:
        words = channel.stored.view(f"<u{len(self._receive.TDATA) // 8}")
        self._receive.TREADY.value = 1
        number, last = 0, 0
        while number < len(words) and not last:
            word, last = await self._taken(self._receive.TVALID, self._receive.TDATA, self._receive.TLAST)
            words[number] = word
            number += 1
        self._receive.TREADY.value = 0
        channel.finish(number * words.itemsize)

    async def _taken(self, partner: Any, *signals: Any) -> list[int]:
        """The clock edge at which a transfer happens; what the signals were."""
        while True:
            await ReadOnly()
            happens, values = int(partner.value), [int(signal.value) for signal in signals]
            await RisingEdge(self._clk)
            if happens:
                return values

    def read(self, offset: int) -> int:
        """As on the board, reading takes time."""
        return self._read_in_time(offset)

    @resume
    async def _read_in_time(self, offset: int) -> int:
        await ClockCycles(self._clk, REGISTER_CYCLES)
        return super().read(offset)

    def write(self, offset: int, value: int) -> None:
        """A reset stops what is under way."""
        super().write(offset, value)
        if self.sendchannel.buffer is None and self.recvchannel.buffer is None:
            for task in self._tasks:
                task.cancel()
            self._tasks.clear()
            self._release()


def stand_in(memory: Memory) -> ModuleType:
    """A module `pynq` on the simulated design; loading an overlay again resets it."""
    module = ModuleType("pynq")
    os.environ.setdefault("HWH_LOCATION_DIR", os.sep)  # cocotbpynq wants it; our paths are absolute
    simulated: list[Any] = []

    class Overlay:
        def __init__(self, bitfile_name: str):
            if simulated:
                _reset()
            else:
                simulated.append(cocotbpynq.Overlay(bitfile_name))
            self.bitfile_name = bitfile_name
            self.ip_dict: dict[str, dict] = {name: {} for name in simulated[0].hierarchy_dict}
            for name, block in simulated[0].hierarchy_dict.items():
                if isinstance(block, cocotbpynq.DMA):
                    send, receive = block.sendchannel.cpbus, block.recvchannel.cpbus
                    setattr(self, name, StreamDma(send, receive, send.cpdut.clk))

    @resume
    async def _reset() -> None:
        from cocotbpynq.overlay import cptop

        await cptop.reset_dut(3, 1)

    module.Overlay = Overlay  # type: ignore[attr-defined]
    module.MMIO = cocotbpynq.MMIO  # type: ignore[attr-defined]
    module.allocate = memory.allocate  # type: ignore[attr-defined]
    return module


def bridged(function: Callable[[Any], None]) -> Any:
    """A cocotb test out of a function that runs the driver."""
    return cocotbpynq.synctest(function)
