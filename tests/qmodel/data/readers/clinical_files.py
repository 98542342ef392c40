"""Small files of clinical formats, made in code by what their documents say."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np


def atc(path: Path, signal_mv: np.ndarray, rate: int, resolution_nv: int = 500) -> Path:
    """An ATC file of AliveCor (Alive File Format 1.6): blocks fmt and ecg with their sums."""

    def block(name: bytes, content: bytes) -> bytes:
        head = struct.pack("<4sI", name, len(content)) + content
        return head + struct.pack("<I", sum(head) % 2**32)

    counts = np.rint(signal_mv * 1e6 / resolution_nv).astype("<i2")
    form = struct.pack("<BHHBH", 1, rate, resolution_nv, 0, 0)
    path.write_bytes(b"ALIVE\0\0\0" + struct.pack("<I", 2) + block(b"fmt ", form) + block(b"ecg ", counts.tobytes()))
    return path
