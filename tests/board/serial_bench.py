"""Runs inside the simulator: a serial port of the operating system on one side, the board's pins on the other.

It ends when the file that names the port is removed.
"""

import os
import tty
from pathlib import Path

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

from tests.hls.rtl.serial_bench import listen, send


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
    np.savez(os.environ["ECG_ALQ_RECORD"], sent=sent, largest=int(dut.largest.value))
