"""A live recording on disk while it plays: a WFDB record of 24 bits, events and beats as they are found.

The header is valid at any moment (it leaves the length out until the end, as header(5) allows), so a machine that goes
down loses seconds, not the recording.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from qmodel.errors import InputError
from qmodel.files import write_text

PER_MV = 10_000  # a tenth of a microvolt, up to 838 mV: an electrode's offset fits
_MISSING = -(2**23)


class Recorder:
    """Writes one lead.

    Args: folder: made if it is missing; lead, rate_hz: of the source, whose samples are kept as they are; source: its
        name.  Raises: InputError: the folder cannot be made.
    """

    def __init__(self, folder: Path, lead: str, rate_hz: float, source: str) -> None:
        self.name = time.strftime("live-%Y%m%d-%H%M%S")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be made: {error.strerror}") from error
        number = 2
        while (folder / f"{self.name}.hea").exists():
            self.name = f"{self.name.split('_')[0]}_{number}"
            number += 1
        self.header = folder / f"{self.name}.hea"
        self._lead, self._rate, self._source = " ".join(lead.split()) or "ECG", rate_hz, source
        self._samples, self._sum, self._first = 0, 0, 0
        self._data = open(folder / f"{self.name}.dat", "xb")  # noqa: SIM115
        self._events = open(folder / f"{self.name}.events.jsonl", "x", encoding="utf-8")  # noqa: SIM115
        self._describe(None)

    def _describe(self, samples: int | None) -> None:
        length = "" if samples is None else f" {samples}"
        sums = "" if samples is None else f" {self._first} {self._sum % 65536} 0 {self._lead}"
        line = f"{self.name}.dat 24 {PER_MV}(0)/mV 24 0{sums or f' 0 0 0 {self._lead}'}"
        source = "".join(c if c.isprintable() else " " for c in self._source)
        write_text(
            self.header, f"{self.name} 1 {self._rate:.10g}{length}\n{line}\n# recorded by ecg-alq from {source}\n"
        )

    def add(self, values: np.ndarray) -> None:
        """Append samples in mV, NaN where one is missing."""
        counts = np.clip(np.rint(np.nan_to_num(values) * PER_MV), _MISSING + 1, -_MISSING - 1).astype(np.int32)
        counts[np.isnan(values)] = _MISSING
        if not self._samples and len(counts):
            self._first = int(counts[0])
        self._data.write(counts.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
        self._data.flush()
        self._samples += len(counts)
        self._sum += int(counts.sum(dtype=np.int64))

    def event(self, content: dict) -> None:
        """Append what was found, a line of JSON."""
        self._events.write(json.dumps(content) + "\n")
        self._events.flush()

    def close(self) -> Path | None:
        """Finish the header. Returns: it, None where nothing came (nothing is left then)."""
        if self._data.closed:
            return self.header
        self._data.close()
        self._events.close()
        if not self._samples:
            for suffix in (".hea", ".dat", ".events.jsonl"):
                (self.header.parent / f"{self.name}{suffix}").unlink(missing_ok=True)
            return None
        self._describe(self._samples)
        return self.header
