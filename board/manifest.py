"""The manifest of a deploy folder: what lies in it, how to reach the core, and the hash of every file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qmodel.errors import InputError
from qmodel.files import sha256

MANIFEST = "manifest.json"
FORMAT = 2
REGISTERS = {  # byte offsets of the core's AXI4-Lite map (hls/core/verilog/alq_registers.v)
    "magic": 0x00,
    "version": 0x04,
    "cycles": 0x08,
    "frames": 0x0C,
    "errors": 0x10,
    "samples": 0x14,
    "values": 0x18,
    "identity": 0x20,
}
MAGIC = int.from_bytes(b"ALQF", "big")
REGISTERS_VERSION = 1
REGISTERS_BYTES = 0x40


_SUM = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][\w .+-]*", re.ASCII)  # of a file in the folder, or of a block in the design


def _integer(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 32


def _text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable()


def _mapping(value: object, good: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(map(good, value.values()))


# What each entry must be: whether a value is, and in words.
_ENTRIES: dict[str, tuple[Callable[[object], bool], str]] = {
    "identity": (lambda value: isinstance(value, str) and bool(_SUM.fullmatch(value)), "64 hexadecimal digits"),
    **dict.fromkeys(("network", "bit", "hwh", "window"), (_text, "the name of a file")),
    **dict.fromkeys(("engine", "part", "core", "dma", "pynq"), (_text, "text")),
    "clock_mhz": (
        lambda value: type(value) in (int, float) and math.isfinite(value) and value > 0,  # type: ignore[arg-type,operator]
        "a number above 0",
    ),
    "address": (_integer, "a whole number of 32 bits"),
    **dict.fromkeys(("input_bits", "output_bits"), (lambda value: value in (8, 16, 32, 64), "8, 16, 32 or 64")),
    "classes": (lambda value: isinstance(value, list) and all(map(_text, value)), "a list of names"),
    "registers": (lambda value: _mapping(value, _integer), "whole numbers by name"),
    "versions": (lambda value: _mapping(value, lambda v: v is None or _text(v)), "text by name"),
    "files": (
        lambda value: _mapping(value, lambda v: isinstance(v, str) and bool(_SUM.fullmatch(v))),
        "SHA-256 sums by name of file",
    ),
}


class ManifestError(InputError):
    """A folder is not a deploy folder, or is not whole; the message says what to do."""


@dataclass(frozen=True)
class Manifest:
    """What `manifest.json` says.

    Args:
        identity: SHA-256 of the frozen file, which the core tells as well; network, bit, hwh, window: names of files.
        engine: "rtl" or "hls"; part: device; clock_mhz: of the core.
        core, dma: names of the blocks in the design; address: of the core's registers.
        input_bits, output_bits: width of a transfer on either stream.
        classes: names of the logits; registers: byte offsets by name.
        pynq: oldest release of PYNQ that runs it; versions: of the tools and packages that made it.
        files: name -> SHA-256 of every other file of the folder.
    """

    identity: str
    network: str
    bit: str
    hwh: str
    window: str
    engine: str
    part: str
    clock_mhz: float
    core: str
    dma: str
    address: int
    input_bits: int
    output_bits: int
    classes: tuple[str, ...]
    pynq: str
    registers: Mapping[str, int] = field(default_factory=lambda: dict(REGISTERS))
    versions: Mapping[str, str | None] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The JSON that `load` reads: the entries, and the SHA-256 over them, so that an edited one is noticed."""
        content = {"format": FORMAT} | asdict(self)
        return json.dumps(content | {"sha256": _fingerprint(content)}, indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Manifest:
        """Read a folder's manifest.

        Raises: ManifestError: none there, damaged or edited, of another format, or it names files outside the folder.
        """
        path = Path(folder) / MANIFEST
        again = "package the network again"
        if not path.is_file():
            raise ManifestError(f"{folder} has no {MANIFEST}: name a folder that `ecg-alq package` wrote")
        try:
            content = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{path} is damaged ({error}): {again}") from None
        if not isinstance(content, dict) or "format" not in content:
            raise ManifestError(f"{path} is not the manifest of a deploy folder: {again}")
        found = content.pop("format")
        if type(found) is not int or found != FORMAT:
            raise ManifestError(f"{path} has format {found!r}, this program reads {FORMAT}: {again} with it")
        total = content.pop("sha256", None)
        if different := sorted(content.keys() ^ _ENTRIES.keys()):
            raise ManifestError(f"{path} is damaged (the entry {different[0]} is missing or unknown): {again}")
        for name, (good, words) in _ENTRIES.items():
            if not good(content[name]):
                raise ManifestError(f"{path} is damaged ({name} must be {words}): {again}")
        names = [content[name] for name in ("network", "bit", "hwh", "window")]
        strays = [name for name in (*names, *content["files"]) if not _NAME.fullmatch(name)]
        if strays:
            raise ManifestError(f"{path} names files outside its folder ({strays[0]!r}): do not use this folder")
        if unlisted := [name for name in names if name not in content["files"]]:
            raise ManifestError(f"{path} has no SHA-256 of {unlisted[0]}: {again}")
        if missing := REGISTERS.keys() - content["registers"].keys():
            raise ManifestError(f"{path} has no register {', '.join(sorted(missing))}: {again}")
        if total != _fingerprint({"format": FORMAT} | content):
            raise ManifestError(f"{path} was edited (its entries do not match its own SHA-256): {again}")
        return cls(**content | {"classes": tuple(content["classes"])})

    def damaged(self, folder: str | os.PathLike) -> list[str]:
        """Files that are missing or whose hash is another, in the order of the manifest."""
        paths = {name: Path(folder) / name for name in self.files}
        return [name for name, path in paths.items() if not path.is_file() or sha256(path) != self.files[name]]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object whose names come once. Raises: ValueError."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an entry comes twice")
    return content


def _fingerprint(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
