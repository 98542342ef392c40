"""Area of one folded layer: LUTs, flip-flops, block RAM and multipliers by formula, for choosing a folding.

Everything here is *estimated*: formulas with constants fitted to synthesis of the Verilog core (yosys, xc7).
"""

from __future__ import annotations

from typing import NamedTuple

from qmodel.frozen import Stage


class Part(NamedTuple):
    """What a device holds; block RAM in units of 36 kbit. Source: data sheets (Xilinx DS190, Lattice FPGA-DS-02012)."""

    luts: int
    ffs: int
    bram36: float
    dsps: int


PARTS = {
    "xc7z020": Part(53_200, 106_400, 140, 220),
    "ecp5-85k": Part(83_640, 83_640, 104, 156),
}


class Area(NamedTuple):
    """Resources of a part of the core."""

    luts: float
    ffs: float
    bram36: float
    dsps: int


ENGINE_LUTS = 60  # subtract, coordinate and bias tables, requantise
LAYER_LUTS = 80  # counters, window control, FIFO


def tree_luts(lanes: int, bits: int) -> int:
    """LUTs of a tree of two-operand adders over `lanes` numbers of `bits` bits: one per bit of every adder."""
    total = 0
    while lanes > 1:
        total += lanes // 2 * bits
        lanes, bits = lanes - lanes // 2, bits + 1
    return total


def layer_area(stage: Stage, engines: int, lanes: int) -> Area:
    """Area of a plane layer: engines * (adder tree + sign table + ENGINE_LUTS) + chunk selection + LAYER_LUTS."""
    layer, bits = stage.layer, stage.input_format.bits
    chunks = -(-layer.group_size // lanes)
    words = chunks * max(1, int(layer.plane_counts.sum())) / engines
    block_rom = words > 64
    tree = tree_luts(lanes, bits)
    select = 0 if chunks * layer.groups == 1 else lanes * bits * -(-chunks * layer.groups // 4)
    luts = engines * (tree + (0 if block_rom else lanes) + ENGINE_LUTS) + select + LAYER_LUTS
    if layer.groups > 1:
        luts += tree
    ffs = 2 * layer.taps * layer.channels * bits + engines * (lanes * bits + 2 * tree + 60)
    bram = engines * -(-lanes // 36) * max(1, words / 1024) / 2 if block_rom else 0
    return Area(luts, ffs, bram, engines)
