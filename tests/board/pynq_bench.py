"""Runs inside the simulator: every check with the driver as it is, the HLS core's registers, a core that stalls."""

import os
import time
import traceback
from pathlib import Path

import cocotb
import numpy as np

from board.driver import ArrhythmiaOverlay, TransferError
from board.simulation.checks import CHECKS
from board.simulation.memory import Memory
from board.simulation.model import installed
from board.simulation.rtl import bridged, stand_in

STALL_TIMEOUT = 1.0  # seconds


def registers(overlay):
    """All 16 words of the map."""
    return [overlay._mmio.read(4 * word) for word in range(16)]


@bridged
def main(dut):
    plan = np.load(os.environ["ECG_ALQ_PLAN"])
    folder, windows, timeout_s = Path(str(plan["folder"])), plan["windows"], float(plan["timeout_s"])
    names, outcomes, memory = [], [], Memory()
    cocotb.top.stall.value = cocotb.top.watch.value = 0
    with installed(stand_in(memory)):
        for name, check in CHECKS.items():
            names.append(name)
            try:
                check(folder, windows, timeout_s)
                outcomes.append("")
            except Exception:
                outcomes.append(traceback.format_exc())
        with ArrhythmiaOverlay(folder, timeout_s) as overlay:
            overlay.classify(windows[0])
            core = registers(overlay)
            cocotb.top.watch.value = 1
            watching = registers(overlay)
        with ArrhythmiaOverlay(folder, timeout_s) as overlay:  # the driver with the HLS core's registers alone
            watched = overlay.classify(windows[1]).logits
        cocotb.top.watch.value = 0
        overlay = ArrhythmiaOverlay(folder, STALL_TIMEOUT)
        cocotb.top.stall.value = 1
        message, before = "", time.monotonic()
        try:
            overlay.classify(windows[0])
        except TransferError as error:
            message = str(error)
        seconds = time.monotonic() - before
        cocotb.top.stall.value = 0
        with ArrhythmiaOverlay(folder, timeout_s) as overlay:  # loading it again mends it
            logits = overlay.classify(windows[1]).logits
    np.savez(
        os.environ["ECG_ALQ_RECORD"],
        names=names,
        outcomes=outcomes,
        stall_message=message,
        stall_seconds=seconds,
        logits_after=logits,
        logits_watched=watched,
        core=core,
        watching=watching,
        live=memory.live,
        allocated=memory.allocated,
    )
