"""What an engine is: anything that computes the integers of a frozen network, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np

from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork

if TYPE_CHECKING:
    from typing_extensions import Self


class Engine(Protocol):
    """Computes a frozen network; use it in a `with` statement, so that what it holds is let go.

    name: as reports call it; network: what it computes.
    """

    name: str
    network: FrozenNetwork

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers (batch, time): int64, shape (batch, logit)."""

    def trace(self, x: np.ndarray) -> Sequence[np.ndarray | None]:
        """Output of every stage, (batch, time, channel); None where the engine does not show a stage."""

    def __enter__(self) -> Engine:
        """The engine itself."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let go of what it holds."""


class Held:
    """An engine that holds nothing that must be let go: a base for those of this package."""

    def __enter__(self) -> Self:
        """The engine itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to do."""


class Traced(Held):
    """An engine made of a function that gives every stage's output for input integers (batch, time)."""

    def __init__(
        self, name: str, network: FrozenNetwork, function: Callable[[np.ndarray], Sequence[np.ndarray | None]]
    ) -> None:
        self.name, self.network, self._function = name, network, function

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers."""
        logits = self.trace(x)[-1]
        if logits is None:
            raise InputError(f"{self.name} does not give logits")
        return np.asarray(logits).reshape(len(x), -1)

    def trace(self, x: np.ndarray) -> Sequence[np.ndarray | None]:
        """Output of every stage."""
        return self._function(x)


class Golden(Traced):
    """The golden model, NumPy: it defines what every other engine must give."""

    def __init__(self, network: FrozenNetwork) -> None:
        super().__init__("golden model", network, network.trace)

    def run(self, x: np.ndarray) -> np.ndarray:
        """Logits of input integers."""
        return self.network.run(x)
