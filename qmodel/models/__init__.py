"""The trained networks that ship with the package: frozen files of a few kilobytes."""

from functools import cache
from pathlib import Path

from qmodel.errors import InputError
from qmodel.frozen import FrozenNetwork

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the shipped networks."""
    return sorted(path.stem for path in FOLDER.glob("*.alq"))


def path(name: str = "compact") -> Path:
    """File of a shipped network. Raises: InputError: no network of that name."""
    if name not in names():
        raise InputError(f"a shipped network is one of {', '.join(names())}, received {name!r}")
    return FOLDER / f"{name}.alq"


def load(name: str = "compact") -> FrozenNetwork:
    """A shipped network. Raises: InputError: no network of that name."""
    return FrozenNetwork.load(path(name))


@cache
def trained_on(identity: str) -> frozenset[str] | None:
    """Keys (`qmodel.data.known`) of the recordings that a shipped network was trained on; None: not known."""
    from qmodel.data import known

    for file in sorted(FOLDER.glob("*.txt")):
        own, keys = known.read(file)
        if own == identity:
            return keys
    return None
