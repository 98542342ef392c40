"""The test bench: runs inside the simulator (cocotb), plays a plan on the streams and records everything that leaves.

The plan and the record are `.npz` files named by the environment: `hls.engines.rtl` writes the one and reads the
other. The bench knows nothing of networks; comparing with the golden model is the caller's business.
"""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

PLAN, RECORD = "ECG_ALQ_PLAN", "ECG_ALQ_RECORD"
REGISTERS = 16
PERIOD = 10  # ns


class AxiLite:
    """A master of the core's registers: one access at a time, inputs change at the falling edge.

    Source: ARM IHI 0022, AXI4-Lite: a channel's transfer is the rising edge at which valid and ready are high.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        for name in ("awvalid", "awprot", "wvalid", "bready", "arvalid", "arprot", "rready"):
            self._pin(name).value = 0

    def _pin(self, name: str) -> Any:
        return getattr(self.dut, f"s_axi_{name}")

    async def _cycle(self, *names: str) -> set[str]:
        """Those of the pins that are high at the next rising edge."""
        await ReadOnly()
        high = {name for name in names if self._pin(name).value}
        await FallingEdge(self.dut.aclk)
        return high

    async def _send(self, *channels: str) -> None:
        """Hold a channel's valid until its ready."""
        waiting = set(channels)
        while waiting:
            for channel in waiting:
                self._pin(f"{channel}valid").value = 1
            taken = await self._cycle(*(f"{channel}ready" for channel in waiting))
            for channel in {name.removesuffix("ready") for name in taken}:
                self._pin(f"{channel}valid").value = 0
                waiting.remove(channel)

    async def _receive(self, channel: str, data: str | None = None) -> int:
        """What the core answers: the value of `data`, or 0. Raises: AssertionError: not OKAY."""
        self._pin(f"{channel}ready").value = 1
        while True:
            await ReadOnly()
            there = bool(self._pin(f"{channel}valid").value)
            if there:
                response, value = int(self._pin(f"{channel}resp").value), int(self._pin(data).value) if data else 0
            await FallingEdge(self.dut.aclk)
            if there:
                self._pin(f"{channel}ready").value = 0
                assert response == 0, f"AXI4-Lite answered {response}"
                return value

    async def read(self, address: int) -> int:
        """A register of 32 bits."""
        self._pin("araddr").value = address
        await self._send("ar")
        return await self._receive("r", "rdata")

    async def write(self, address: int, value: int) -> None:
        """Write all four bytes of a register."""
        self._pin("awaddr").value, self._pin("wdata").value, self._pin("wstrb").value = address, value, 15
        await self._send("aw", "w")
        await self._receive("b")


@cocotb.test()
async def play(dut: Any) -> None:
    """Send the plan's beats with its stalls and resets; stop after the expected beats or when nothing moves."""
    plan = np.load(os.environ[PLAN])
    samples, lasts = plan["samples"].tolist(), plan["lasts"].tolist()
    taps = [getattr(dut, f"tap_{name}") for name in plan["taps"].tolist()]
    to_come = plan["tap_beats"].tolist()  # beats of every tap that are waited for
    reset_at, patience = set(plan["reset_at"].tolist()), int(plan["patience"])
    stall_in, stall_out, expected = float(plan["stall_in"]), float(plan["stall_out"]), int(plan["expected"])
    draw = random.Random(int(plan["seed"])).random

    dut.aresetn.value = 0
    dut.s_axis_tvalid.value = 0
    dut.m_axis_tready.value = 0
    Clock(dut.aclk, PERIOD, "ns").start()
    for _ in range(4):
        await FallingEdge(dut.aclk)
    master = AxiLite(dut)
    dut.aresetn.value = 1

    out: list[int] = []
    out_last: list[int] = []
    out_cycle, in_cycle, tap_beat, tap_value = [], [], [], []
    held: tuple[int, int] | None = None  # the beat that waits for TREADY
    sent, cycle, moved, offering, resetting = 0, 0, 0, False, 0
    steady = not stall_in and not stall_out and not reset_at  # nothing is drawn: cycles without a beat may be skipped
    begin = get_sim_time("ns")
    valid_pin, ready_pin = dut.m_axis_tvalid, dut.s_axis_tready
    tap_pin: Any = dut.tap_valid if taps else None
    while (len(out) < expected or max(to_come, default=0) > 0) and cycle - moved < patience:
        # Inputs change at the falling edge; what holds before the rising edge is what the core sees.
        await FallingEdge(dut.aclk)
        cycle = round(get_sim_time("ns") - begin) // PERIOD - 1
        if cycle in reset_at:
            resetting, offering = 3, False
        dut.aresetn.value = 0 if resetting else 1
        if not offering and sent < len(samples) and not resetting and draw() >= stall_in:
            offering = True
            dut.s_axis_tdata.value = samples[sent]
            dut.s_axis_tlast.value = int(lasts[sent])
        dut.s_axis_tvalid.value = int(offering)
        taking = not resetting and draw() >= stall_out
        dut.m_axis_tready.value = int(taking)
        await ReadOnly()
        if offering and ready_pin.value:
            in_cycle.append(cycle)
            sent, offering, moved = sent + 1, False, cycle
        if valid_pin.value:
            now = (int(dut.m_axis_tdata.value), int(dut.m_axis_tlast.value))
            assert not held or now == held, "a beat changed while it waited for TREADY"
            held = None if taking or resetting else now
            if taking:
                out.append(now[0])
                out_last.append(now[1])
                out_cycle.append(cycle)
                moved = cycle
        else:
            assert not held or resetting, "TVALID fell before TREADY rose"
            held = None
        if taps and not resetting:
            live = int(tap_pin.value)
            if live:
                moved = cycle
            while live:
                index = (live & -live).bit_length() - 1
                live &= live - 1
                tap_beat.append(index)
                to_come[index] -= 1
                tap_value.append(int(taps[index].value))
        if resetting:
            resetting -= 1
            held = None
        if steady and moved != cycle:
            watched = [valid_pin, *([ready_pin] if offering else []), *([tap_pin] if taps else [])]
            await First(*map(ValueChange, watched), Timer(PERIOD * patience, "ns"))
    await FallingEdge(dut.aclk)
    dut.m_axis_tready.value = 0
    dut.s_axis_tvalid.value = 0
    registers = [(await master.read(4 * index)) for index in range(REGISTERS)]
    await master.write(0x10, 3)
    cleared = await master.read(0x10)
    digits = max([len(tap) for tap in taps], default=8)
    width = -(-digits // 8)
    packed = b"".join(value.to_bytes(width, "little") for value in tap_value)
    np.savez(
        os.environ[RECORD],
        out=np.array(out, f"<u{len(dut.m_axis_tdata) // 8}"),
        out_last=np.array(out_last, bool),
        out_cycle=np.array(out_cycle, np.int64),
        in_cycle=np.array(in_cycle, np.int64),
        tap_beat=np.array(tap_beat, np.int64),
        tap_value=np.frombuffer(packed, np.uint8).reshape(-1, width),
        registers=np.array(registers, np.int64),
        errors_cleared=np.array(cleared == 0),
        cycles=np.array(cycle + 1),
    )
    await RisingEdge(dut.aclk)
