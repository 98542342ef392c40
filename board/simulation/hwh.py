"""A hardware handoff without Vivado: the blocks, buses and addresses of our design, for simulation and tests."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from board.manifest import Manifest

AXIS, AXI = "xilinx.com:interface:axis:1.0", "xilinx.com:interface:aximm:1.0"
SPAN = 0x10000  # of registers, Vivado's usual choice
STREAM = ("tdata", "tvalid", "tready", "tlast")
LITE = (
    *("awaddr", "awvalid", "awready", "wdata", "wstrb", "wvalid", "wready", "bvalid", "bready", "bresp"),
    *("araddr", "arvalid", "arready", "rdata", "rvalid", "rready", "rresp"),
)


def _bus(module: Element, name: str, bus: str, role: str, kind: str, signals: tuple[str, ...] = ()) -> None:
    interface = SubElement(module, "BUSINTERFACE", NAME=name, BUSNAME=bus, TYPE=role, VLNV=kind)
    ports = SubElement(interface, "PORTMAPS")
    for signal in signals:
        SubElement(ports, "PORTMAP", LOGICAL=signal.upper(), PHYSICAL=f"{name}_{signal}")


def write(path: Path, manifest: Manifest, module: str, dma_address: int = 0x4040_0000) -> Path:
    """Write a handoff in which the core's Verilog module is `module`, with the clock `clk` and the reset `aresetn`."""
    root = Element("EDKSYSTEM", VIVADOVERSION="none: written for simulation")
    modules = SubElement(root, "MODULES")

    def block(name: str, kind: str, parameters: dict[str, object]) -> Element:
        element = SubElement(
            modules, "MODULE", INSTANCE=name, FULLNAME=f"/{name}", MODTYPE=kind.split(":")[2], VLNV=kind
        )
        listed = SubElement(element, "PARAMETERS")
        for key, value in parameters.items():
            SubElement(listed, "PARAMETER", NAME=key, VALUE=str(value))
        return element

    core = block(manifest.core, f"xilinx.com:module_ref:{module}:1.0", {})
    ports = SubElement(core, "PORTS")
    SubElement(ports, "PORT", NAME="clk", SIGIS="clk")
    SubElement(ports, "PORT", NAME="aresetn", SIGIS="rst", POLARITY="ACTIVE_LOW")
    buses = SubElement(core, "BUSINTERFACES")
    _bus(buses, "s_axis", "dma_send", "TARGET", AXIS, STREAM)
    _bus(buses, "m_axis", "dma_receive", "INITIATOR", AXIS, STREAM)
    _bus(buses, "s_axi", "registers", "SLAVE", AXI, LITE)
    dma = block(
        manifest.dma,
        "xilinx.com:ip:axi_dma:7.1",
        {
            "c_include_sg": 0,
            "c_micro_dma": 0,
            "c_include_mm2s": 1,
            "c_include_s2mm": 1,
            "c_sg_length_width": 16,
            "c_m_axis_mm2s_tdata_width": manifest.input_bits,
            "c_s_axis_s2mm_tdata_width": manifest.output_bits,
        },
    )
    buses = SubElement(dma, "BUSINTERFACES")
    _bus(buses, "M_AXIS_MM2S", "dma_send", "INITIATOR", AXIS)
    _bus(buses, "S_AXIS_S2MM", "dma_receive", "TARGET", AXIS)
    processor = block("processing_system7_0", "xilinx.com:ip:processing_system7:5.5", {})
    memory = SubElement(processor, "MEMORYMAP")
    for name, first, bus in (
        (manifest.core, manifest.address, "s_axi"),
        (manifest.dma, dma_address, "S_AXI_LITE"),
    ):
        entry = SubElement(memory, "MEMRANGE", INSTANCE=name, MEMTYPE="REGISTER", SLAVEBUSINTERFACE=bus)
        entry.attrib |= {"BASEVALUE": f"0x{first:08X}", "HIGHVALUE": f"0x{first + SPAN - 1:08X}"}
    ElementTree.ElementTree(root).write(path)
    return path
