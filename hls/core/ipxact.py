"""IP-XACT beside a core: `component.xml` tells pins, registers and files, so that a tool can take the core as an IP.

The form is IEEE 1685-2009 (namespace `spirit`), which Vivado reads and writes; the bus definitions have AMD's names
(`xilinx.com:interface:axis:1.0` and others). Order and number of the elements follow the standard's schema. Whether
Vivado takes it has not been tried: docs/first-contact.md asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from hls.area import device_of

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
XILINX = "http://www.xilinx.com"
VENDOR, LIBRARY, VERSION = "ecg-alq", "ecg-alq", "1.0"
FAMILIES = {"xc7z020": "zynq"}  # AMD's names of the families that our devices belong to
REGISTERS_RANGE = 4096  # bytes: 12 bits of address
# Offset, name, bits that may be written, and what a register tells (alq_registers.v).
REGISTERS = (
    (0x00, "magic", False, "the letters ALQF"),
    (0x04, "version", False, "of this map"),
    (0x08, "cycles", False, "of the last frame, from its first sample to its last logit"),
    (0x0C, "frames", False, "done"),
    (0x10, "errors", True, "bit 0: a frame was too short, bit 1: too long; write ones to clear"),
    (0x14, "samples", False, "per frame"),
    (0x18, "values", False, "logits per frame"),
    *((0x20 + 4 * word, f"identity_{word}", False, "SHA-256 of the frozen file") for word in range(8)),
)


class Port(NamedTuple):
    """A pin of the top module."""

    name: str
    output: bool
    bits: int


def _element(parent: ElementTree.Element, name: str, text: object = None) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, f"{{{SPIRIT}}}{name}")
    if text is not None:
        child.text = str(text)
    return child


def _reference(parent: ElementTree.Element, name: str, bus: str, kind: str) -> None:
    """A bus definition, by vendor, library, name and version."""
    child = ElementTree.SubElement(parent, f"{{{SPIRIT}}}{name}")
    for key, value in (("vendor", "xilinx.com"), ("library", kind), ("name", bus), ("version", "1.0")):
        child.set(f"{{{SPIRIT}}}{key}", value)


def _interface(
    parent: ElementTree.Element,
    name: str,
    bus: str,
    kind: str,
    pins: Iterable[tuple[str, str]],
    *,
    master: bool = False,
    memory: str | None = None,
    parameters: dict[str, str] | None = None,
) -> None:
    """A bus interface. Args: pins: logical and physical name of each; memory: map that a slave shows."""
    own = _element(parent, "busInterface")
    _element(own, "name", name)
    _reference(own, "busType", bus, kind)
    _reference(own, "abstractionType", f"{bus}_rtl", kind)
    role = _element(own, "master" if master else "slave")
    if memory:
        _element(role, "memoryMapRef").set(f"{{{SPIRIT}}}memoryMapRef", memory)
    maps = _element(own, "portMaps")
    for logical, physical in pins:
        one = _element(maps, "portMap")
        _element(_element(one, "logicalPort"), "name", logical)
        _element(_element(one, "physicalPort"), "name", physical)
    if parameters:
        given = _element(own, "parameters")
        for key, value in parameters.items():
            one = _element(given, "parameter")
            _element(one, "name", key)
            _element(one, "value", value)


def _memory(parent: ElementTree.Element) -> None:
    own = _element(_element(parent, "memoryMaps"), "memoryMap")
    _element(own, "name", "s_axi")
    block = _element(own, "addressBlock")
    for name, value in (
        ("name", "registers"),
        ("baseAddress", 0),
        ("range", REGISTERS_RANGE),
        ("width", 32),
        ("usage", "register"),
    ):
        _element(block, name, value)
    for offset, name, writes, what in REGISTERS:
        register = _element(block, "register")
        _element(register, "name", name)
        _element(register, "description", what)
        _element(register, "addressOffset", f"0x{offset:x}")
        _element(register, "size", 32)
        _element(register, "access", "read-write" if writes else "read-only")


def _model(parent: ElementTree.Element, top: str, ports: Sequence[Port]) -> None:
    own = _element(parent, "model")
    views = _element(own, "views")
    for name, tool in (("synthesis", ":vivado.xilinx.com:synthesis"), ("simulation", ":vivado.xilinx.com:simulation")):
        view = _element(views, "view")
        _element(view, "name", name)
        _element(view, "envIdentifier", tool)
        _element(view, "language", "verilog")
        _element(view, "modelName", top)
        _element(_element(view, "fileSetRef"), "localName", "sources")
    pins = _element(own, "ports")
    for port in ports:
        pin = _element(pins, "port")
        _element(pin, "name", port.name)
        wire = _element(pin, "wire")
        _element(wire, "direction", "out" if port.output else "in")
        if port.bits > 1:
            vector = _element(wire, "vector")
            _element(vector, "left", port.bits - 1)
            _element(vector, "right", 0)


def _files(parent: ElementTree.Element, files: Sequence[Path], folder: Path) -> None:
    own = _element(_element(parent, "fileSets"), "fileSet")
    _element(own, "name", "sources")
    for path in files:
        entry = _element(own, "file")
        _element(entry, "name", path.relative_to(folder).as_posix())
        if path.suffix in (".v", ".vh"):
            _element(entry, "fileType", "verilogSource")
        else:
            _element(entry, "userFileType", "mem")  # what $readmemh reads
        if path.suffix == ".vh":
            _element(entry, "isIncludeFile", "true")


def component(
    top: str, ports: Sequence[Port], files: Sequence[Path], folder: Path, *, part: str, description: str
) -> str:
    """`component.xml` of a core.

    Args: files: all it consists of, the top last among the sources; folder: where the file will lie.
    """
    ElementTree.register_namespace("spirit", SPIRIT)
    ElementTree.register_namespace("xilinx", XILINX)
    root = ElementTree.Element(f"{{{SPIRIT}}}component")
    for name, value in (("vendor", VENDOR), ("library", LIBRARY), ("name", top), ("version", VERSION)):
        _element(root, name, value)
    buses = _element(root, "busInterfaces")

    def pins(prefix: str) -> list[tuple[str, str]]:
        return [(one.name[len(prefix) :].upper(), one.name) for one in ports if one.name.startswith(prefix)]

    _interface(buses, "s_axis", "axis", "interface", pins("s_axis_"))
    _interface(buses, "m_axis", "axis", "interface", pins("m_axis_"), master=True)
    _interface(buses, "s_axi", "aximm", "interface", pins("s_axi_"), memory="s_axi")
    clocked = {"ASSOCIATED_BUSIF": "s_axis:m_axis:s_axi", "ASSOCIATED_RESET": "aresetn"}
    _interface(buses, "aclk", "clock", "signal", [("CLK", "aclk")], parameters=clocked)
    _interface(buses, "aresetn", "reset", "signal", [("RST", "aresetn")], parameters={"POLARITY": "ACTIVE_LOW"})
    _memory(root)
    _model(root, top, ports)
    _files(root, files, folder)
    _element(root, "description", description)
    device = device_of(part)
    if device in FAMILIES:
        core = ElementTree.SubElement(_element(root, "vendorExtensions"), f"{{{XILINX}}}coreExtensions")
        family = ElementTree.SubElement(
            ElementTree.SubElement(core, f"{{{XILINX}}}supportedFamilies"), f"{{{XILINX}}}family"
        )
        family.set(f"{{{XILINX}}}lifeCycle", "Production")
        family.text = FAMILIES[device]
        ElementTree.SubElement(core, f"{{{XILINX}}}displayName").text = "ECG arrhythmia classifier (ecg-alq)"
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"
