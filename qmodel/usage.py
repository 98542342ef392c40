"""What a frozen network takes of a recording and what it says of it, by its metadata: for anybody's network."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from qmodel import reading
from qmodel.data.fragments import CLASSES
from qmodel.data.quality import GOOD, REASONS
from qmodel.data.recording import STANDARD, Takes
from qmodel.errors import InputError
from qmodel.fixed_point import MAX_ADC_MAGNITUDE
from qmodel.frozen import FrozenNetwork

UNSURE = "unsure"
# Said of windows that get no class: a class of one of these names could not be told from that.
RESERVED = (UNSURE, reading.UNLIKE, reading.NOT_AN_ECG, GOOD, *REASONS)
LONGEST_NAME = 40
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1.0, 100_000.0
WANTED = (
    "freeze it with metadata={'classes': [...], 'rate_hz': ..., 'leads': [...]} (docs/howto/own-data.md), or train it "
    "with `ecg-alq train --dataset`"
)


@dataclass(frozen=True)
class Usage:
    """What a network takes, and the names of what it says. Args: per_step: it answers every step (qmodel.reading)."""

    takes: Takes
    classes: tuple[str, ...]
    per_step: bool = False

    @classmethod
    def of(cls, network: FrozenNetwork) -> Usage:
        """A network's own; one without metadata that has the shape of the 17 MIT-BIH classes is one of those.

        Raises: InputError: it does not say what it takes, or gives something else than a logit for every class.
        """
        metadata = network.metadata or {}
        shape = (network.input_length, network.input_channels)
        if reading.answers_per_step(network):
            if shape != (STANDARD.samples, 1):
                raise InputError(f"a network that finds beats takes {STANDARD.samples} samples of one lead, this one "
                                 f"{shape[0]} of {shape[1]}")  # fmt: skip
            return cls(STANDARD, CLASSES, per_step=True)
        if network.output.length != 1:
            raise InputError(
                f"a network that classifies gives one logit for every class of a window, this one gives "
                f"{network.output.length} time steps of {network.output.channels}: average over time before the last "
                "layer"
            )
        names = network.class_names
        if names is None or "rate_hz" not in metadata:
            if not metadata and shape == (STANDARD.samples, 1) and network.output.channels == len(CLASSES):
                return cls(STANDARD, CLASSES)
            lacks = " and ".join(key for key in ("classes", "rate_hz") if key not in metadata)
            raise InputError(
                f"the network ({shape[0]} samples of {shape[1]} lead(s) in, {network.output.channels} logits out) does "
                f"not say what it is for, its metadata has no {lacks}: {WANTED}"
            )
        samples = metadata.get("window_samples", network.input_length)
        if samples != network.input_length:
            raise InputError(
                f"the network's metadata says windows of {samples} samples, it takes {network.input_length}: {WANTED}"
            )
        rate = float(metadata["rate_hz"])  # type: ignore[arg-type]  # a number, by FrozenNetwork
        if not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ or network.input_length > MAX_ADC_MAGNITUDE:
            raise InputError(
                f"a network that classifies takes at most {MAX_ADC_MAGNITUDE} samples at {LOWEST_RATE_HZ:g} to "
                f"{HIGHEST_RATE_HZ:g} Hz, this one {network.input_length} at {rate:g} Hz"
            )
        if bad := unusable_names(names):
            raise InputError(f"the network's classes: {'; '.join(bad.values())}")
        leads = metadata.get("leads")
        takes = Takes(rate, network.input_length, network.input_channels, tuple(leads) if leads else None)  # type: ignore[arg-type]
        return cls(takes, names)


def unusable_names(names: Iterable[str]) -> dict[str, str]:
    """Class names that tables, pictures and annotations cannot hold, each with the rule and the way out."""
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name in names:
        key = unicodedata.normalize("NFKC", name).casefold()
        if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or name != name.strip():
            found[name] = (
                f"a class name must have 1 to {LONGEST_NAME} printable characters, received {name[:60]!r}: rename it"
            )
        elif key in RESERVED:
            found[name] = f"{name!r} is what is said of a window that gets no class: rename the class"
        elif seen.setdefault(key, name) != name:
            found[name] = (
                f"{name!r} and {seen[key]!r} differ by case or spelling alone: write them alike, or rename one"
            )
    return found
