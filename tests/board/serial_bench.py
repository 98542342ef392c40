"""Runs inside the simulator: a serial port of the operating system on one side, the board's pins on the other.

It ends when the file that names the port is removed; what the LEDs show goes into a file beside it.
"""

import os
import tty
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, FallingEdge, ValueChange


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


async def watch(dut, file):
    """One line per frame: what the LEDs show."""
    while True:
        await ValueChange(dut.answered)
        with file.open("a") as lines:
            lines.write(f"{int(dut.largest.value)}\n")


class Answers:
    """What the board sends goes to the port byte by byte."""

    def __init__(self, port):
        self.port = port

    def append(self, byte):
        os.write(self.port, bytes([byte]))


@cocotb.test()
async def talk(dut):
    plan = np.load(os.environ["ECG_ALQ_PLAN"])
    cycles, file = int(plan["cycles_per_bit"]), Path(str(plan["port_file"]))
    dut.reset.value, dut.receive.value = 1, 1
    Clock(dut.clk, 10, "ns").start()
    await ClockCycles(dut.clk, 4)
    dut.reset.value = 0
    await ClockCycles(dut.clk, 4)
    ours, theirs = os.openpty()
    tty.setraw(theirs)
    os.set_blocking(ours, False)
    cocotb.start_soon(listen(dut, cycles, Answers(ours)))
    cocotb.start_soon(watch(dut, file.with_suffix(".leds")))
    part = file.with_suffix(".part")
    part.write_text(os.ttyname(theirs))
    part.rename(file)
    sent = 0
    while file.exists():
        try:
            data = os.read(ours, 4096)
        except BlockingIOError:
            await ClockCycles(dut.clk, 500)
            continue
        for byte in data:
            await send(dut, byte, cycles)
        sent += len(data)
    np.savez(os.environ["ECG_ALQ_RECORD"], sent=sent)
