"""The manifest of a deploy folder: what lies in it, how to reach the core, and the hash of every file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qmodel.errors import InputError
from qmodel.files import sha256

MANIFEST = "manifest.json"
FORMAT = 1
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
        """The JSON that `load` reads."""
        return json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n"

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Manifest:
        """Read a folder's manifest.

        Raises: ManifestError: none there, damaged, of another format, or it names files outside the folder.
        """
        path = Path(folder) / MANIFEST
        if not path.is_file():
            raise ManifestError(f"{folder} has no {MANIFEST}: name a folder that `ecg-alq package` wrote")
        try:
            content = json.loads(path.read_text("utf-8"))
            found = content.pop("format")
            if found != FORMAT:
                raise ManifestError(
                    f"{path} has format {found}, this program reads {FORMAT}: package the network again with it"
                )
            manifest = cls(**content | {"classes": tuple(content["classes"])})
            names = [manifest.network, manifest.bit, manifest.hwh, manifest.window, *manifest.files]
            strays = [name for name in names if Path(name).name != name]
            missing = REGISTERS.keys() - manifest.registers.keys()
        except ManifestError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ManifestError(f"{path} is damaged ({error}): package the network again") from None
        if strays:
            raise ManifestError(f"{path} names files outside its folder ({strays[0]}): do not use this folder")
        if missing:
            raise ManifestError(f"{path} has no register {', '.join(sorted(missing))}: package the network again")
        return manifest

    def damaged(self, folder: str | os.PathLike) -> list[str]:
        """Files that are missing or whose hash is another, in the order of the manifest."""
        paths = {name: Path(folder) / name for name in self.files}
        return [name for name, path in paths.items() if not path.is_file() or sha256(path) != self.files[name]]
