"""Runs inside the simulator: bytes to the board's pin, unit after unit, and what it sends until it is silent again."""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, First, Timer

from tests.board.serial_bench import listen

PERIOD = 10  # ns


@cocotb.test()
async def play(dut):
    plan = np.load(os.environ["ECG_ALQ_PLAN"])
    cycles, quiet = int(plan["cycles_per_bit"]), int(plan["quiet"])
    bit = Timer(cycles * PERIOD, "ns")
    dut.reset.value, dut.receive.value = 1, 1
    Clock(dut.clk, PERIOD, "ns").start()
    await ClockCycles(dut.clk, 4)
    dut.reset.value = 0
    await ClockCycles(dut.clk, 4)
    received, counts = [], []
    cocotb.start_soon(listen(dut, cycles, received))
    data, start = plan["data"].tolist(), 0
    for end in np.cumsum(plan["lengths"]).tolist():
        for value in data[start:end]:
            # nine bits: 256 and above have no stop bit
            for level in [0, *(value >> place & 1 for place in range(8)), int(value < 256)]:
                dut.receive.value = level
                await bit
            if value >= 256:
                dut.receive.value = 1
                await bit
        start = end
        while True:
            silent = Timer(quiet * PERIOD, "ns")
            if await First(silent, FallingEdge(dut.transmit)) is silent:
                break
        counts.append(len(received))
    np.savez(os.environ["ECG_ALQ_RECORD"], received=np.array(received, np.uint8), counts=np.array(counts))
