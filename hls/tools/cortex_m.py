"""The C export on a Cortex-M4: built by GCC for ARM, run in QEMU; flash, RAM and instructions of a window.

Flash and RAM are *built*: what the linker put there, for the smallest program around the network. Instructions are
*emulated*: QEMU counts them, one by one; it knows nothing of wait states, so they are no cycles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from hls.c.generate import SOURCES, write
from hls.process import ToolError
from qmodel.errors import InputError
from qmodel.fixed_point import standardise
from qmodel.frozen import FrozenNetwork

GCC, SIZE, QEMU = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
PACKAGES = "gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm"
FLAGS: tuple[str, ...] = ("-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft", "-std=c99", "-Wall", "-Wextra", "-Werror")
FLAGS += (
    "-ffunction-sections",
    "-fdata-sections",
    "-nostartfiles",
    "--specs=nano.specs",
    "--specs=nosys.specs",
    "-Wl,--gc-sections",
)
OPTIMISATION = "-O2"
CALIBRATION, TOLERANCE = 200_000, 200  # instructions of the loop in cortex_m4.c, and what its frame may add
TIMEOUT = 1800  # seconds


@dataclass(frozen=True)
class CortexM4:
    """What the export needs on a Cortex-M4.

    Args: flash: bytes of the whole program: start, network, mathematics; ram: bytes of window, state, logits and
        stack; state, stack: of these; instructions: of a window, the most of `windows`; exact: all logits golden.
    """

    flash: int
    ram: int
    state: int
    stack: int
    instructions: int
    windows: int
    exact: bool
    compiler: str
    emulator: str
    optimisation: str

    @property
    def row(self) -> dict:
        """For JSON."""
        return asdict(self)


def missing() -> list[str]:
    """Programs that are not installed."""
    return [name for name in (GCC, SIZE, QEMU) if shutil.which(name) is None]


def _run(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        raise ToolError(f"{command[0]} did not end within {TIMEOUT} s") from None
    if done.returncode:
        raise ToolError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout + done.stderr


def measure(network: FrozenNetwork, windows: np.ndarray, folder: Path, optimisation: str = OPTIMISATION) -> CortexM4:
    """Build the export for a Cortex-M4, classify windows in the emulator, and compare every logit.

    Args: windows: ADC units, 16-bit integers, shape (window, sample) or (window, sample, channel); folder: for what is
        built. Raises: ToolError: a program is not installed or fails; InputError: no window.
    """
    if names := missing():
        raise ToolError(f"{', '.join(names)} not installed: on Debian and Ubuntu apt install {PACKAGES}")
    adc = np.ascontiguousarray(windows, "<i2")
    if not len(adc):
        raise InputError("a measurement needs at least one window")
    write(network, folder)
    for name in ("cortex_m4.c", "cortex_m4.ld"):
        shutil.copyfile(SOURCES / name, folder / name)
    build = [GCC, *FLAGS, optimisation, "-T", "cortex_m4.ld", "cortex_m4.c", "ecg_alq.c", "-lm"]
    _run([*build, "-o", "smallest.elf"], folder)
    _run([*build, "-DMEASURE", "-o", "measure.elf"], folder)
    text, data, bss = map(int, _run([SIZE, "smallest.elf"], folder).splitlines()[1].split()[:3])
    (folder / "windows.bin").write_bytes(adc.tobytes())
    command = [QEMU, "-M", "mps2-an386", "-kernel", "measure.elf", "-icount", "shift=0", "-display", "none"]
    command += ["-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    said = {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", _run(command, folder), re.M)}
    if abs(said["calibration"] - CALIBRATION) > TOLERANCE:
        raise ToolError(f"{QEMU} counts {said['calibration']} instructions where {CALIBRATION} ran")
    golden = network.run(standardise(windows, network.input_format, axis=-1 if adc.ndim == 2 else -2))
    got = np.frombuffer((folder / "logits.bin").read_bytes(), f"<i{_logit_bytes(folder)}")
    exact = got.size == golden.size and bool((got.reshape(golden.shape) == golden).all())
    return CortexM4(
        flash=text + data,
        ram=data + bss + said["stack"],
        state=said["state"],
        stack=said["stack"],
        instructions=said["most"],
        windows=len(adc),
        exact=exact,
        compiler=_run([GCC, "--version"], folder).splitlines()[0],
        emulator=_run([QEMU, "--version"], folder).splitlines()[0],
        optimisation=optimisation,
    )


def _logit_bytes(folder: Path) -> int:
    return 8 if "typedef int64_t ecg_alq_logit" in (folder / "ecg_alq.h").read_text("utf-8") else 4
