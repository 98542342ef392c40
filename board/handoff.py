"""Vivado's hardware handoff (`.hwh`): which blocks a bitstream holds, where they answer, and how wide its DMA is."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass

from board.manifest import REGISTERS_BYTES, Manifest
from qmodel.errors import InputError


class HandoffError(InputError):
    """A file is not a hardware handoff."""


@dataclass(frozen=True)
class Handoff:
    """What a handoff says.

    Args: kinds: block -> its kind, as "xilinx.com:ip:axi_dma:7.1"; parameters: block -> parameters, names in lower
        case; addresses: block -> first and last byte of its registers; vivado: version.
    """

    kinds: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, str]]
    addresses: Mapping[str, tuple[int, int]]
    vivado: str | None

    @classmethod
    def read(cls, path: str | os.PathLike) -> Handoff:
        """Read a file. Raises: HandoffError: not such a file; OSError: not readable."""
        try:
            root = ElementTree.parse(path).getroot()
        except ElementTree.ParseError as error:
            raise HandoffError(f"{path} is not XML ({error}): take the .hwh that Vivado wrote") from None
        if root.tag != "EDKSYSTEM":
            raise HandoffError(f"{path} starts with <{root.tag}>, a hardware handoff with <EDKSYSTEM>")
        kinds, parameters, addresses = {}, {}, {}
        for module in root.iterfind("./MODULES/MODULE"):
            name = module.get("INSTANCE", "")
            kinds[name] = module.get("VLNV", "")
            entries = module.iterfind("./PARAMETERS/PARAMETER")
            parameters[name] = {entry.get("NAME", "").lower(): entry.get("VALUE", "") for entry in entries}
            for entry in module.iterfind("./MEMORYMAP/MEMRANGE[@MEMTYPE='REGISTER']"):
                first, last = (int(entry.get(end, "0"), 16) for end in ("BASEVALUE", "HIGHVALUE"))
                addresses[entry.get("INSTANCE", "")] = first, last
        return cls(kinds, parameters, addresses, root.get("VIVADOVERSION"))

    def problems(self, manifest: Manifest, samples: int, values: int) -> list[str]:
        """Where the design is not what the driver needs, one line each.

        Args: samples, values: transfers of a frame and of an answer.
        """
        found = []
        address = self.addresses.get(manifest.core)
        if address is None:
            found.append(f"no block {manifest.core} with registers")
        elif address[0] != manifest.address or address[1] - address[0] + 1 < REGISTERS_BYTES:
            found.append(
                f"{manifest.core} answers at 0x{address[0]:08x} to 0x{address[1]:08x}, "
                f"the manifest says 0x{manifest.address:08x}, {REGISTERS_BYTES} bytes at least"
            )
        if ":axi_dma:" not in self.kinds.get(manifest.dma, ""):
            return [*found, f"no AXI DMA named {manifest.dma}"]
        dma = self.parameters[manifest.dma]
        wanted = {"c_include_sg": 0, "c_micro_dma": 0, "c_include_mm2s": 1, "c_include_s2mm": 1}
        wanted |= {"c_m_axis_mm2s_tdata_width": manifest.input_bits, "c_s_axis_s2mm_tdata_width": manifest.output_bits}
        found += [
            f"{manifest.dma} has {name} = {dma.get(name, 'none')}, needed {value}"
            for name, value in wanted.items()
            if dma.get(name) != str(value)
        ]
        length = max(samples * manifest.input_bits, values * manifest.output_bits) // 8
        counter = dma.get("c_sg_length_width", "")
        if not counter.isdigit() or length >= 1 << int(counter):
            found.append(f"{manifest.dma} counts {counter or 'no'} bits of length, too few for {length} bytes")
        return found
