"""Which persons a network for persons never met learns from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qmodel.data.partial import Tracks


@dataclass(frozen=True)
class Task:
    """A network that learns from some persons, so that others can be asked.

    Args: name; without: database that is left out; persons: of MIT-BIH that may be learned from, None: all.
    """

    name: str
    without: str | None = None
    persons: tuple[str, ...] | None = None

    @property
    def base(self) -> str:
        """Name of the float network that it begins with."""
        return f"base-{self.without}" if self.without else "base"

    def windows(self, tracks: Tracks, mit: bool = True) -> np.ndarray:
        """Indices of the windows that it may learn from. Args: mit: those of MIT-BIH among them."""
        database, own = tracks.window_database, tracks.window_database == "mitdb"
        allowed = ~own
        if self.without:
            allowed &= database != self.without
        if mit:
            allowed |= own if self.persons is None else own & np.isin(tracks.window_person, self.persons)
        return np.flatnonzero(allowed)
