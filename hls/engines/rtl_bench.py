"""The test bench: runs inside the simulator (cocotb), plays a plan on the streams and records everything that leaves.

The plan and the record are `.npz` files named by the environment: `hls.engines.rtl` writes the one and reads the
other. The bench knows nothing of networks; comparing with the golden model is the caller's business.
"""

from __future__ import annotations

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, First, ReadOnly, RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiLiteBus, AxiLiteMaster

PLAN, RECORD = "ECG_ALQ_PLAN", "ECG_ALQ_RECORD"
REGISTERS = 16
PERIOD = 10  # ns


@cocotb.test()
async def play(dut):
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
    # not before: registers hold anything until the reset has reached them, a valid answer for instance
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn, reset_active_level=False)
    dut.aresetn.value = 1

    out, out_last, out_cycle, in_cycle = [], [], [], []
    held, tap_beat, tap_value = 0, [], []
    sent, cycle, moved, offering, resetting = 0, 0, 0, False, 0
    steady = not stall_in and not stall_out and not reset_at  # nothing is drawn: cycles without a beat may be skipped
    begin = get_sim_time("ns")
    valid_pin, ready_pin, tap_pin = dut.m_axis_tvalid, dut.s_axis_tready, getattr(dut, "tap_valid", None)
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
            held = 0 if taking or resetting else now
            if taking:
                out.append(now[0])
                out_last.append(now[1])
                out_cycle.append(cycle)
                moved = cycle
        else:
            assert not held or resetting, "TVALID fell before TREADY rose"
            held = 0
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
            held = 0
        if steady and moved != cycle:
            watched = [valid_pin, *([ready_pin] if offering else []), *([tap_pin] if taps else [])]
            await First(*map(ValueChange, watched), Timer(PERIOD * patience, "ns"))
    await FallingEdge(dut.aclk)
    dut.m_axis_tready.value = 0
    dut.s_axis_tvalid.value = 0
    registers = [(await master.read_dword(4 * index)) for index in range(REGISTERS)]
    await master.write_dword(0x10, 3)
    cleared = await master.read_dword(0x10)
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
