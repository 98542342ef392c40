"""Which recordings a network was trained on: told by the first ten seconds of their leads, as short hashes.

A figure on a recording that was trained on says nothing about another person. The keys hold no signal; a recording that
was cut elsewhere, or filtered, is not recognised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from qmodel.data.recording import ADC_UNITS_PER_MV
from qmodel.errors import InputError
from qmodel.files import written_beside
from qmodel.fixed_point import WINDOW_SAMPLES

DIGITS = 10  # hexadecimal, of a key: two recordings of a million share one with a chance of one in a million


def key(signal_mv: np.ndarray) -> str | None:
    """Key of a lead by its first window at 360 Hz, whatever its offset; None: shorter, or flat.

    Args: signal_mv: float (sample,), 360 Hz.
    """
    first = np.asarray(signal_mv[:WINDOW_SAMPLES], np.float64)
    if len(first) < WINDOW_SAMPLES:
        return None
    units = np.rint(ADC_UNITS_PER_MV * first)
    changes = np.diff(units - units.min()).astype("<i8")
    return hashlib.sha256(changes.tobytes()).hexdigest()[:DIGITS] if changes.any() else None


def write(path: Path, identity: str, keys: Iterable[str]) -> None:
    """Write the keys of what a network was trained on: its identity, then a key a line."""
    with written_beside(path) as beside:
        beside.write_text("\n".join([identity, *sorted(set(keys)), ""]), "ascii")


def read(path: Path) -> tuple[str, frozenset[str]]:
    """Identity of the network, and keys. Raises: InputError: not as `write` makes it."""
    identity, *keys = path.read_text("ascii").split() or [""]
    if len(identity) != 64 or any(len(each) != DIGITS for each in keys):
        raise InputError(f"{path} must hold an identity of 64 digits, then keys of {DIGITS}")
    return identity, frozenset(keys)
