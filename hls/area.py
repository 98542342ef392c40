"""Area of the pieces of a folded core by formula: LUTs, flip-flops, block RAM and multipliers.

Everything here is *estimated*. The formulas count what the Verilog core instantiates (adders, table bits,
multiplexers), the constants for control were fitted to synthesis (yosys 0.70, synth_xilinx).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from qmodel.frozen import Activation, Add, AveragePool, Concatenate, MaxPool, PlaneLayer, Stage


class Device(NamedTuple):
    """What a device holds (block RAM in units of 36 kbit), and its logic: inputs of a LUT, operands that one level of
    an adder tree takes (alq_adder_tree.v); and the multipliers that a core takes of it unless told otherwise.

    Source: data sheets (Xilinx DS190; Lattice FPGA-DS-02012).
    """

    luts: int
    ffs: int
    bram36: float
    dsps: int
    lut_inputs: int
    adder_operands: int
    core_dsps: int


DEVICES = {
    "xc7z020": Device(53_200, 106_400, 140, 220, 6, 3, 16),
    "ecp5-85k": Device(83_640, 83_640, 104, 156, 4, 4, 24),
}
PLAIN_ADDER_LUTS = 1.6  # per bit: four-input LUTs of an adder without a carry chain, fitted to synthesis
BLOCK_DEPTH = 64  # tables with more words go to block RAM
ROTATE_CHUNKS = 8  # a plane of more chunks is read from a rotating line buffer, else from one with a multiplexer


def device_of(part: str) -> str | None:
    """The device that a part number begins with ("xc7z020clg400-1": device, package, speed); None: not one of ours."""
    return next((name for name in DEVICES if part.startswith(name)), None)


def multipliers(part: str, wanted: int | None = None) -> int:
    """Multipliers that a core on a device may take: `wanted`, or what is set aside; engines beyond use adders."""
    device = DEVICES[part]
    return min(device.dsps, device.core_dsps if wanted is None else wanted)


class Area(NamedTuple):
    """Resources of a piece of the core."""

    luts: float = 0
    ffs: float = 0
    bram36: float = 0
    dsps: int = 0

    def plus(self, *others: Area) -> Area:
        """Sum of this and others."""
        return Area(*(sum(column) for column in zip(self, *others)))

    def times(self, count: int) -> Area:
        """This piece `count` times."""
        return Area(self.luts * count, self.ffs * count, self.bram36 * count, self.dsps * count)


def tree_levels(number: int, operands: int) -> int:
    """Levels of a tree of adders that take `operands` numbers each."""
    levels = 0
    while number > 1:
        number, levels = -(-number // operands), levels + 1
    return levels


def adder_tree(number: int, bits: int, operands: int) -> Area:
    """A tree of adders with a register per level: one LUT per bit of every adder, of two or three operands alike.

    A level of four operands is made of adders of two, without carry chains: PLAIN_ADDER_LUTS per bit.
    """
    luts = ffs = 0.0
    total = bits + (number - 1).bit_length()
    while number > 1:
        grown = min(bits + (operands - 1).bit_length(), total)
        nodes, rest = divmod(number, operands)
        if operands == 4:
            pairs = number // 2
            luts += PLAIN_ADDER_LUTS * (pairs * min(bits + 1, total) + (nodes + (rest > 2)) * grown)
        else:
            luts += nodes * grown + (min(bits + 1, total) if rest > 1 else 0)
        number, bits = nodes + (rest > 0), grown
        ffs += number * bits
    return Area(luts, ffs)


def table(depth: int, width: int, device: Device) -> Area:
    """A read-only table: LUTs up to BLOCK_DEPTH words (at most one per function of the address), else block RAM."""
    if depth > BLOCK_DEPTH:
        per_block = 512 * max(1, -(-depth // 512))  # 512 words of 72 bits, deeper ones narrower
        return Area(0, 0, -(-width * per_block // 18_432) / 2)
    if depth < 2:
        return Area(0, width)
    blocks = -(-depth // (1 << device.lut_inputs))
    luts = blocks + (blocks > 1) * -(-blocks // 2)
    return Area(min(width * luts, 2.0 ** min(depth, 60) / 2), width)


def word_select(words: int, width: int, device: Device) -> float:
    """LUTs that choose one of `words` words: four-way choices in six-input LUTs, two-way choices in four-input ones."""
    ways = 4 if device.lut_inputs >= 6 else 2
    return width * -(-(words - 1) // (ways - 1))


def buffer_area(width: int, depth: int, device: Device) -> Area:
    """A FIFO in LUT RAM with its counters."""
    if device.lut_inputs >= 6:
        memory = -(-width // 6) * 4 if depth <= 32 else -(-width // 3) * 4 * -(-depth // 64)
    else:
        memory = -(-width // 4) * 2 * -(-depth // 16)
    address = (depth - 1).bit_length()
    return Area(memory + 4 * address + 8, 3 * address + 3)


def after_area(stage: Stage, lanes: int, beats: int, device: Device) -> Area:
    """A pool (one ring of running values and one comparator or adder per open window and lane), a sum over time, an
    activation, or a join (a register per channel of every source, and adders)."""
    bits = stage.output_format.bits
    if isinstance(stage.layer, (Add, Concatenate)):
        held = sum(tensor.channels * tensor.format.bits for tensor in stage.inputs)
        adders = bits * stage.output_channels * (len(stage.inputs) - 1) if isinstance(stage.layer, Add) else 0
        return Area(held / 4 + adders + 20, held + bits * stage.output_channels + 10)
    if isinstance(stage.layer, Activation):
        return Area(lanes * (stage.input_format.bits + 2 * bits), lanes * bits + 1)
    per_lut = 32 if device.lut_inputs >= 6 else 16
    ring = bits * -(-beats // per_lut) if device.lut_inputs >= 6 else bits * -(-beats // per_lut) / 2
    if isinstance(stage.layer, (MaxPool, AveragePool)):
        rings = -(-stage.layer.size // stage.layer.stride)
        return Area(rings * lanes * (ring + 1.75 * bits) + 12 * rings + 12, lanes * bits * (1 + rings) + 20)
    return Area(lanes * (ring + bits) + 20, 2 * lanes * bits + 16)


def term_bits(stage: Stage[PlaneLayer], lanes: int) -> int:
    """About the width of what the multiplier takes: a sum of `lanes` values, doubled, with its sign."""
    return stage.input_format.bits + (lanes - 1).bit_length() + 2


def engine_area(stage: Stage[PlaneLayer], lanes: int, visits: int, device: Device, multiplier: bool) -> Area:
    """One plane engine: masks (registers alone, or behind gates: alq_mask.v), adder tree, tables, multiply-add,
    requantisation."""
    layer, bits = stage.layer, stage.input_format.bits
    chunks = -(-layer.group_size // lanes)
    tree = adder_tree(lanes, bits, device.adder_operands)
    term, coordinate = term_bits(stage, lanes), layer.coordinate_format.bits
    output = layer.output.bits if layer.output else 0
    area = tree.plus(
        Area(lanes * bits if device.lut_inputs < 6 else 0, lanes * bits),
        table(visits * chunks, lanes, device),
        table(visits, coordinate + term + 6, device),
        Area(2 * output + 4 if output else 0, output + 2),
    )
    if layer.groups > 1 or layer.channel_groups > 1 or layer.dilation > 1 or _rotates(layer, lanes):
        area = area.plus(tree, Area(0, lanes * bits))
    if multiplier:
        return area.plus(Area(dsps=1))
    adders = -(-coordinate // 3) * (term + 4) + (term + 12)
    return area.plus(Area(adders + 2 * (term + coordinate + 2), coordinate * term + term + coordinate + 20))


def _rotates(layer: PlaneLayer, lanes: int) -> bool:
    return rotates(layer, lanes, 1)


def rotates(layer: PlaneLayer, lanes: int, lanes_in: int) -> bool:
    """Whether a layer reads its window from a rotating line buffer (many chunks, values arriving one by one)."""
    return (
        layer.groups == 1
        and layer.channel_groups == 1
        and layer.dilation == 1
        and lanes_in == 1
        and -(-layer.group_size // lanes) > ROTATE_CHUNKS
        and layer.channels % lanes == 0
    )


def layer_area(
    stage: Stage[PlaneLayer],
    engines: int,
    lanes: int,
    after: Sequence[Stage] = (),
    part: str = "xc7z020",
    multiplier: bool = True,
) -> Area:
    """A plane layer with line buffer, engines, control, the pools and sums `after` it and its FIFO.

    line buffer: a register per value, twice, and a multiplexer of the chunks; or, when it rotates, one LUT per 32 bits.
    """
    device, layer, bits = DEVICES[part], stage.layer, stage.input_format.bits
    chunks = -(-layer.group_size // lanes)
    visits = -(-max(layer.filters, int(layer.plane_counts.sum())) // engines)
    beats = -(-layer.filters // engines)
    window = layer.span * layer.channels * bits
    if _rotates(layer, lanes):
        per_lut = 32 if device.lut_inputs >= 6 else 16
        line_buffer = Area(lanes * bits * (-(-chunks // per_lut) + 1), 3 * lanes * bits)
    else:
        words = layer.channel_groups * layer.groups * chunks
        copies = 1 if words == chunks else engines
        line_buffer = Area(copies * word_select(words, lanes * bits, device) + 3 * bits + 12, 2 * window + 30)
    engine = engine_area(stage, lanes, visits, device, multiplier)
    output = stage.output_format.bits
    tail = [after_area(one, engines, beats, device) for one in after]
    fifo = buffer_area(engines * (after[-1].output_format.bits if after else output), 32, device)
    control = Area(75, 60)
    return engine.times(engines).plus(line_buffer, control, fifo, *tail)


def frame_area(part: str = "xc7z020") -> Area:
    """What every core has once: the streams' ends and the AXI4-Lite registers."""
    return Area(300, 250)
