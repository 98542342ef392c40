"""Runs inside the simulator: a terminal on the board's serial line, with a pause that must start the core afresh."""

import os

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge


async def send(dut, value, cycles):
    for bit in [0, *(value >> place & 1 for place in range(8)), 1]:
        dut.receive.value = bit
        await ClockCycles(dut.clk, cycles)


async def listen(dut, cycles, received):
    while True:
        await FallingEdge(dut.transmit)
        await ClockCycles(dut.clk, cycles // 2)
        byte = 0
        for place in range(8):
            await ClockCycles(dut.clk, cycles)
            byte |= int(dut.transmit.value) << place
        await ClockCycles(dut.clk, cycles)
        assert int(dut.transmit.value) == 1, "no stop bit"
        received.append(byte)


@cocotb.test()
async def talk(dut):
    plan = np.load(os.environ["ECG_ALQ_PLAN"])
    cycles, received, largest, answered = int(plan["cycles_per_bit"]), [], [], []
    dut.reset.value, dut.receive.value = 1, 1
    Clock(dut.clk, 10, "ns").start()
    await ClockCycles(dut.clk, 4)
    dut.reset.value = 0
    await ClockCycles(dut.clk, 4)
    cocotb.start_soon(listen(dut, cycles, received))
    for value in plan["broken"].tolist():  # part of a frame, then silence
        await send(dut, value & 255, cycles)
    await ClockCycles(dut.clk, 2 * int(plan["idle_cycles"]))
    for window in plan["windows"]:
        before = len(received)
        for value in window.tolist():
            await send(dut, value & 255, cycles)
        while len(received) < before + 4 * int(plan["logits"]):
            await ClockCycles(dut.clk, cycles)
        largest.append(int(dut.largest.value))
        answered.append(int(dut.answered.value))
    np.savez(os.environ["ECG_ALQ_RECORD"], received=received, largest=largest, answered=answered)
