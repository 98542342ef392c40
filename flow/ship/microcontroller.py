"""The C99 export for microcontrollers, and what it needs on a Cortex-M4."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from flow.build.provenance import provenance
from flow.build.results import put_rows
from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork

ROWS = "microcontroller.json"


def exported(network: FrozenNetwork, folder: Path) -> dict:
    """Write header, source and test. Returns: what was written, for JSON."""
    from flow.ship.package import class_names, test_window
    from hls.c import write
    from hls.c.generate import HEADER, NETWORK, SOURCE, TEST

    vector = np.array(test_window(network)["samples"])
    write(network, folder, class_names(network), vector)
    return {"folder": str(folder), "files": [HEADER, SOURCE, TEST, NETWORK], "identity": network.identity}


def emulated(network: FrozenNetwork, windows: int) -> dict:
    """Flash, RAM and instructions of a window on a Cortex-M4, every logit compared with the golden model.

    Args: windows: how many; MIT-BIH's where its records are found, made-up ECG elsewhere.
    Raises: ToolError: compiler or emulator is missing; InputError: no window.
    """
    from hls.tools.cortex_m import measure

    if windows < 1:
        raise InputError(f"--windows must be at least 1, received {windows}")
    adc, source = _windows(network, windows)
    with tempfile.TemporaryDirectory(prefix="ecg-alq-cortex-m4-") as folder:
        row = measure(network, adc, Path(folder) / "export").row
    kinds = {"flash": "built", "ram": "built and emulated", "instructions": "emulated"}
    return row | {"engine": "c", "target": "cortex-m4", "source": source, "kinds": kinds}


def _windows(network: FrozenNetwork, count: int) -> tuple[np.ndarray, str]:
    from qmodel.data import fragments, mitdb, synthetic
    from qmodel.fixed_point import WINDOW_SAMPLES

    if (network.input_length, network.input_channels) != (WINDOW_SAMPLES, 1):
        leads = (network.input_channels,) if network.input_channels > 1 else ()
        shape = (count, network.input_length, *leads)
        return np.random.default_rng(0).integers(-400, 400, shape), "noise"
    try:
        signals, source = fragments.load_windows(mitdb.find()).signals, "MIT-BIH"
    except mitdb.DataError:
        signals, source = synthetic.synthetic_windows(per_class=-(-count // 17)).signals, "synthetic ECG"
    chosen = np.random.default_rng(0).permutation(len(signals))[:count]
    return np.asarray(signals)[np.sort(chosen)].astype(np.int16), source


def add_row(results: Path, name: str, row: dict) -> None:
    """Add the row of a network to `microcontroller.json`."""
    put_rows(results / ROWS, [{"network": name} | row | {"provenance": provenance()}], lambda kept: (kept["network"],))


def lines(result: dict) -> list[str]:
    """The result for a terminal."""
    text = [f"{', '.join(result['files'])}: {result['folder']}"]
    text.append(f"test it: cd {result['folder']} && cc -std=c99 -O2 ecg_alq.c test_ecg_alq.c -o test -lm && ./test")
    if row := result.get("cortex-m4"):
        verdict = "every logit exact" if row["exact"] else "LOGITS DIFFER"
        text.append(
            f"Cortex-M4: {row['flash']:,} bytes of flash, {row['ram']:,} of RAM with the window, "
            f"{row['instructions'] / 1e6:.1f} million instructions a window; {row['windows']} windows, {verdict}"
        )
    return text
