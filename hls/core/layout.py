"""What a generated core consists of, as values: instances, wires and tables; nothing here writes a file.

`layout(plan)` walks the plan's segments once: the source, then per segment a layer, its pools and sums and a FIFO, then
the sink and the registers. The streams between them are values too (`Stream`), so that a module can take any of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hls.area import BLOCK_DEPTH
from hls.plan import INPUT_BEATS, Beats, Buffer, LayerPlan, Plan, Segment, signed_bits
from qmodel.errors import InputError
from qmodel.fixed_point import transfer_bits
from qmodel.frozen import MaxPool, Stage

PLACE_BITS = 16  # of SOURCE and SLOTS_IN: a place in the line buffer
NO_PLACE = (1 << PLACE_BITS) - 1  # of a lane that takes nothing
STREAM_BITS = (8, 16, 32, 64)  # widths of TDATA
Parameters = dict[str, "str | int"]

AXI_LITE = """input wire [11:0] s_axi_awaddr
input wire [2:0] s_axi_awprot
input wire s_axi_awvalid
output wire s_axi_awready
input wire [31:0] s_axi_wdata
input wire [3:0] s_axi_wstrb
input wire s_axi_wvalid
output wire s_axi_wready
output wire [1:0] s_axi_bresp
output wire s_axi_bvalid
input wire s_axi_bready
input wire [11:0] s_axi_araddr
input wire [2:0] s_axi_arprot
input wire s_axi_arvalid
output wire s_axi_arready
output wire [31:0] s_axi_rdata
output wire [1:0] s_axi_rresp
output wire s_axi_rvalid
input wire s_axi_rready""".splitlines()


class RtlError(InputError):
    """A network or an option that the Verilog core does not support; the message says what it does."""


@dataclass(frozen=True)
class Tap:
    """A stream inside the core that simulation compares with the golden model: output of stage `stage`."""

    stage: int
    name: str
    bits: int
    signed: bool
    beats: Beats


class Wire(NamedTuple):
    """Declared wires of one width."""

    bits: int
    names: tuple[str, ...]


class Assign(NamedTuple):
    """A continuous assignment."""

    target: str
    value: str


class Instance(NamedTuple):
    """An instance of a module: parameters and connected ports, in the order in which they are written."""

    module: str
    name: str
    parameters: Parameters
    ports: dict[str, str]


class Table(NamedTuple):
    """A read-only table: its file, and its words as bits, least significant first; bool, shape (word, bit)."""

    file: str
    bits: np.ndarray

    @property
    def text(self) -> str:
        """A word per line, hexadecimal, as $readmemh takes it."""
        rows, width = self.bits.shape
        padded = np.zeros((rows, -(-width // 8) * 8), bool)
        padded[:, :width] = self.bits
        characters = np.frombuffer(np.packbits(padded[:, ::-1], axis=1).tobytes().hex().encode(), np.uint8)
        digits = -(-width // 4)
        lines = np.full((rows, digits + 1), ord("\n"), np.uint8)
        lines[:, :digits] = characters.reshape(rows, -1)[:, -digits:]
        return lines.tobytes().decode()


class Stream(NamedTuple):
    """A stream with back-pressure: its wires, and what a beat holds."""

    valid: str
    data: str
    ready: str
    bits: int
    signed: bool
    beats: Beats


@dataclass(frozen=True)
class Layout:
    """A core as values. Args: items: wires, assignments and instances in order; buffers: the FIFOs, in order."""

    plan: Plan
    top: str
    input_bits: int
    output_bits: int
    items: tuple[Wire | Assign | Instance, ...]
    tables: tuple[Table, ...]
    taps: tuple[Tap, ...]
    buffers: tuple[Buffer, ...]


def vector(value: int, width: int) -> str:
    """A Verilog constant of any width."""
    return f"{width}'h{value:x}"


def packed(values: np.ndarray) -> int:
    """Integers of PLACE_BITS side by side in one, the first lowest."""
    return int.from_bytes(np.asarray(values, "<u2").tobytes(), "little")


def field_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Two's complement bits of integers, least significant first; bool, shape (..., bit)."""
    return (np.asarray(values, np.int64)[..., None] >> np.arange(width) & 1).astype(bool)


class LayerLayout:
    """Widths, tables and parameters of alq_layer for one plane layer.

    Raises: RtlError: padding not below the taps, or a line buffer with more values than places can be told apart.
    """

    def __init__(self, plan: LayerPlan):
        stage, layer = plan.stage, plan.layer
        if max(layer.padding) >= layer.taps:
            raise RtlError(f"{stage.name}: padding must be below the {layer.taps} taps, received {layer.padding}")
        self.plan = plan
        self.grouped = layer.groups > 1
        source = stage.input_format
        self.shift = source.fraction + layer.coordinate_format.fraction - layer.output.fraction if layer.output else 0
        self.half = 1 << (self.shift - 1) if self.shift > 0 else 0
        # widths from the worst case of any input; the accumulator's from the actual weights
        weights = layer.taps * layer.channels
        self.sum_bits = max(signed_bits(weights * source.low, weights * source.high), source.bits + 2)
        rounded = dataclasses.replace(layer, bias=layer.bias + self.half)  # as the tables hold it
        self.accumulator_bits = max(rounded.accumulator_bits(source), layer.accumulator_bits(source))
        most = max(len(plan.entering.lane(lane)) for lane in range(plan.entering.lanes))
        if most > NO_PLACE or (not plan.rotate and weights > NO_PLACE):
            raise RtlError(
                f"{stage.name}: a line buffer holds at most {NO_PLACE} values, received {layer.taps} taps of "
                f"{layer.channels} channels: one engine in the layer before and fewer lanes here make it rotate, "
                "which has no such limit; or use fewer taps or channels"
            )

    def places(self) -> np.ndarray:
        """Place in the line buffer of every weight (tap * channels + channel); int64, shape (weight,)."""
        layer, entering = self.plan.layer, self.plan.entering
        places, base = np.zeros((layer.taps, layer.channels), np.int64), 0
        for lane in range(entering.lanes):
            mine = entering.lane(lane)
            for slot, channel in enumerate(mine):
                newer = np.arange(layer.taps)[::-1] * len(mine) + len(mine) - 1 - slot
                places[:, channel] = base + newer
            base += layer.taps * len(mine)
        return places.reshape(-1)

    def words(self) -> np.ndarray:
        """Weights (tap * channels + channel) that a word holds, -1 where none; shape (word, lane)."""
        plan, layer, lanes = self.plan, self.plan.layer, self.plan.folding.lanes
        if plan.rotate:  # oldest first, the first value of a word in its last lane
            channels = np.array(plan.entering.lane(0))
            order = (np.arange(layer.taps)[:, None] * layer.channels + channels).reshape(-1, lanes)
            return order[:, ::-1]
        # one group: the order of the line buffer itself
        order = layer.weight_index if self.grouped else np.argsort(self.places())[None]
        padded = np.full((layer.groups, plan.chunks * lanes), -1)
        padded[:, : layer.group_size] = order
        return padded.reshape(layer.groups * plan.chunks, lanes)

    def sign_bits(self) -> np.ndarray:
        """Table of signs (1 = -1), one word per visit and chunk, all engines side by side; bool (word, bit).

        With several groups an engine's field also holds, above the signs, the word of the window that they belong to.
        """
        plan, layer, lanes = self.plan, self.plan.layer, self.plan.folding.lanes
        words = self.words()
        word_bits = max(1, (len(words) - 1).bit_length())
        slot = np.zeros(layer.taps * layer.channels, np.int64)  # place of a weight in its group
        for group in layer.weight_index:
            slot[group] = np.arange(layer.group_size)
        width = lanes + (word_bits if self.grouped else 0)
        table = np.zeros((plan.visits, plan.chunks, len(plan.walks), width), bool)
        for engine, walk in enumerate(plan.walks):
            visits = [at for at, step in enumerate(walk) if step.plane is not None]
            planes = np.array([walk[at].plane for at in visits], np.int64)
            word = layer.plane_group[planes][:, None] * plan.chunks + np.arange(plan.chunks)
            held = words[word]
            minus = ~layer.signs[planes[:, None, None], slot[held]] & (held >= 0)
            table[visits, :, engine, :lanes] = minus
            if self.grouped:
                table[visits, :, engine, lanes:] = field_bits(word, word_bits)
        return table.reshape(plan.visits * plan.chunks, -1)

    def program_bits(self) -> np.ndarray:
        """Table of one word per visit: {engine: start, coordinate, bias}, and in bit 0 whether a beat leaves."""
        plan, layer, bits = self.plan, self.plan.layer, self.accumulator_bits
        coordinate_bits = layer.coordinate_format.bits
        table = np.zeros((plan.visits, len(plan.walks), bits + coordinate_bits + 1), bool)
        for engine, walk in enumerate(plan.walks):
            first = np.array([step.first for step in walk])
            bias = layer.bias[[step.filter for step in walk]] + self.half
            coordinates = [0 if step.plane is None else int(layer.coordinates[step.plane]) for step in walk]
            table[: len(walk), engine, :bits] = field_bits(np.where(first, bias, 0), bits)
            table[: len(walk), engine, bits:-1] = field_bits(np.array(coordinates), coordinate_bits)
            table[: len(walk), engine, -1] = first
        leaves = np.isin(np.arange(plan.visits), plan.ends)
        return np.concatenate([leaves[:, None], table.reshape(plan.visits, -1)], axis=1)

    def parameters(self, tables: str) -> Parameters:
        """Parameters of alq_layer; `tables`: what its files' names begin with."""
        plan, stage, layer = self.plan, self.plan.stage, self.plan.layer
        entering, words = plan.entering, self.words()
        lanes_in, beats_in = entering.lanes, len(entering.channels)
        mask = sum(
            1 << place
            for place, channel in enumerate(channel for beat in entering.channels for channel in beat)
            if channel is not None
        )
        source = np.where(words < 0, NO_PLACE, self.places()[words]).reshape(-1)
        if plan.rotate:
            source = np.zeros(source.size)  # nothing is wired
        first = layer.taps - 1 - layer.padding[0]
        last = max(stage.input_length - 1, first + (stage.output_length - 1) * layer.stride)
        slots = [len(entering.lane(lane)) for lane in range(lanes_in)]
        return {
            "BITS": stage.input_format.bits,
            "SIGNED": int(stage.input_format.signed),
            "LANES_IN": lanes_in,
            "BEATS_IN": beats_in,
            "MASK_IN": vector(mask, beats_in * lanes_in),
            "SLOTS_IN": vector(packed(np.array(slots)), PLACE_BITS * lanes_in),
            "CHANNELS": layer.channels,
            "TAPS": layer.taps,
            "STRIDE": layer.stride,
            "TIMES": stage.input_length,
            "FIRST": first,
            "LAST": last,
            "ENGINES": plan.folding.engines,
            "LANES": plan.folding.lanes,
            "RADIX": plan.operands,
            "LEVELS": plan.levels,
            "TREE_BITS": plan.tree_bits,
            "WORDS": len(words),
            "ROTATE": int(plan.rotate),
            "SOURCE": vector(packed(source), PLACE_BITS * len(source)),
            "GROUPED": int(self.grouped),
            "CHUNKS": plan.chunks,
            "VISITS": plan.visits,
            "SUM_BITS": self.sum_bits,
            "TERM_BITS": plan.term_bits,
            "COORDINATE_BITS": layer.coordinate_format.bits,
            "ACCUMULATOR_BITS": self.accumulator_bits,
            "MULTIPLIER": int(plan.multiplier),
            "SIGN_FILE": f'"{tables}_signs.hex"',
            "SIGN_BLOCK": int(plan.visits * plan.chunks > BLOCK_DEPTH),
            "PROGRAM_FILE": f'"{tables}_program.hex"',
            "PROGRAM_BLOCK": int(plan.visits > BLOCK_DEPTH),
            "LOGITS": int(layer.output is None),
            "SHIFT": self.shift,
            "OUTPUT_BITS": stage.output_format.bits,
        }


@dataclass
class _Builder:
    """Collects the items of a core."""

    top: str
    items: list[Wire | Assign | Instance] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)

    def wire(self, bits: int, *names: str) -> None:
        self.items.append(Wire(bits, names))

    def instance(self, module: str, name: str, parameters: Parameters, ports: dict[str, str]) -> None:
        self.items.append(Instance(module, name, parameters, {"clk": "aclk", "reset": "reset"} | ports))

    def source(self, plan: Plan, input_bits: int) -> Stream:
        """The input stream's end."""
        form = plan.network.input_format
        stream = Stream("source_valid", "source_data", "source_ready", form.bits, form.signed, INPUT_BEATS)
        self.wire(1, stream.valid, stream.ready, "begins", "ends", "too_short", "too_long")
        self.wire(stream.bits, stream.data)
        pins = ("s_axis_tdata", "s_axis_tvalid", "s_axis_tready", "s_axis_tlast")
        self.instance(
            "alq_source",
            "source",
            {"BITS": stream.bits, "SAMPLES": plan.network.input_length, "TDATA_BITS": input_bits},
            {pin: pin for pin in pins}
            | {"valid": stream.valid, "data": stream.data, "ready": stream.ready}
            | {name: name for name in ("begins", "too_short", "too_long")},
        )
        return stream

    def segment(self, number: int, segment: Segment, stream: Stream) -> Stream:
        """A layer, or the input itself, its pools and sums, and the FIFO behind them."""
        if segment.buffer is None:
            return stream
        room = f"room_{number}"
        self.wire(1, room)
        if segment.head and segment.index is not None:
            flow = self.layer(segment.head, segment.index, stream, room)
        else:
            self.items.append(Assign(stream.ready, room))
            self.wire(1, "entering")
            self.items.append(Assign("entering", f"{stream.valid} && {stream.ready}"))
            flow = stream._replace(valid="entering", ready="")
        for index, stage in segment.after:
            flow = self.after(index, stage, flow)
        return self.fifo(number, segment.buffer, flow, room)

    def layer(self, plan: LayerPlan, index: int, stream: Stream, room: str) -> Stream:
        """A plane layer and its tables."""
        name, parts = plan.stage.name, LayerLayout(plan)
        files = f"{self.top}_{name}"
        self.tables.append(Table(f"{files}_signs.hex", parts.sign_bits()))
        self.tables.append(Table(f"{files}_program.hex", parts.program_bits()))
        form = plan.stage.output_format
        flow = Stream(f"{name}_valid", f"{name}_data", "", form.bits, form.signed, plan.leaving)
        self.wire(1, flow.valid)
        self.wire(flow.beats.lanes * flow.bits, flow.data)
        self.instance(
            "alq_layer",
            name,
            parts.parameters(files),
            {
                "in_valid": stream.valid,
                "in_data": stream.data,
                "in_ready": stream.ready,
                "room": room,
                "out_valid": flow.valid,
                "out_data": flow.data,
            },
        )
        self.taps.append(Tap(index, name, flow.bits, flow.signed, flow.beats))
        return flow

    def after(self, index: int, stage: Stage, entering: Stream) -> Stream:
        """A pool or a sum over time, which takes a beat whenever one comes."""
        name, bits = stage.name, stage.output_format.bits
        flow = entering._replace(valid=f"{name}_valid", data=f"{name}_data", bits=bits)
        self.wire(1, flow.valid)
        self.wire(flow.beats.lanes * bits, flow.data)
        parameters: Parameters = {
            "BITS": entering.bits,
            "SIGNED": int(entering.signed),
            "LANES": entering.beats.lanes,
            "BEATS": len(entering.beats.channels),
            "TIMES": stage.input_length,
        }
        if isinstance(stage.layer, MaxPool):
            size, stride = stage.layer.size, stage.layer.stride
            module = "alq_pool"
            parameters |= {"SIZE": size, "STRIDE": stride, "RINGS": -(-size // stride)}
        else:
            module = "alq_time_sum"
            parameters |= {"OUTPUT_BITS": bits}
        ports = {"in_valid": entering.valid, "in_data": entering.data, "out_valid": flow.valid, "out_data": flow.data}
        self.instance(module, name, parameters, ports)
        self.taps.append(Tap(index, name, bits, flow.signed, flow.beats))
        return flow

    def fifo(self, number: int, buffer: Buffer, flow: Stream, room: str) -> Stream:
        """The FIFO at the end of a segment."""
        name = f"fifo_{number}"
        stream = flow._replace(valid=f"{name}_valid", data=f"{name}_data", ready=f"{name}_ready")
        self.wire(1, stream.valid, stream.ready)
        self.wire(stream.beats.lanes * stream.bits, stream.data)
        self.instance(
            "alq_fifo",
            name,
            {"WIDTH": buffer.width, "DEPTH": buffer.depth, "MARGIN": buffer.margin},
            {"write": flow.valid, "write_data": flow.data, "room": room}
            | {"valid": stream.valid, "data": stream.data, "ready": stream.ready},
        )
        self.buffers.append(buffer)
        return stream

    def sink(self, stream: Stream, values: int, output_bits: int) -> None:
        """The output stream's end."""
        pins = ("m_axis_tdata", "m_axis_tvalid", "m_axis_tready", "m_axis_tlast", "ends")
        self.instance(
            "alq_sink",
            "sink",
            {"BITS": stream.bits, "SIGNED": int(stream.signed), "VALUES": values, "TDATA_BITS": output_bits},
            {"valid": stream.valid, "data": stream.data, "ready": stream.ready} | {pin: pin for pin in pins},
        )

    def registers(self, plan: Plan, values: int) -> None:
        """The registers on AXI4-Lite."""
        names = [line.split()[-1] for line in AXI_LITE] + ["begins", "ends", "too_short", "too_long"]
        self.instance(
            "alq_registers",
            "registers",
            {
                "IDENTITY": f"256'h{plan.network.identity}",
                "SAMPLES": plan.network.input_length,
                "VALUES": values,
                "FRAMES": _frames_inside(plan),
            },
            {name: name for name in names},
        )


def _frames_inside(plan: Plan) -> int:
    """A power of two, at least as many as the frames that can be inside the core at once, FIFOs full to the last beat.

    A FIFO of n beats holds parts of at most n / (beats of a frame) + 2 frames; so do a layer and its input.
    """
    inside = 4
    for segment in plan.segments:
        if segment.buffer is not None:
            stage = segment.after[-1][1] if segment.after else segment.head.stage if segment.head else None
            steps = stage.output_length if stage else plan.network.input_length
            inside += segment.buffer.depth // (steps * len(segment.leaving.channels)) + 4
    return max(32, 1 << (inside - 1).bit_length())


def layout(plan: Plan, top: str, input_bits: int | None = None) -> Layout:
    """Everything that the core of a plan consists of.

    Args: top: name of the top module, with which the tables' names begin; input_bits: width of the input stream's TDATA
        (the sample lies in its low bits), default `transfer_bits` of the input format.
    Raises: RtlError: padding not below the taps, a width that is not a stream's, a line buffer that is too long.
    """
    network = plan.network
    least = transfer_bits(network.input_format)
    input_bits = least if input_bits is None else input_bits
    if input_bits < least or input_bits not in STREAM_BITS:
        raise RtlError(f"input_bits must be 8, 16, 32 or 64, at least {least}, received {input_bits}")
    final = network.stages[-1]
    values = final.output_length * final.output_channels
    output_bits = max(32, transfer_bits(final.output_format))
    builder = _Builder(top)
    stream = builder.source(plan, input_bits)
    for number, segment in enumerate(plan.segments):
        stream = builder.segment(number, segment, stream)
    builder.sink(stream, values, output_bits)
    builder.registers(plan, values)
    return Layout(
        plan,
        top,
        input_bits,
        output_bits,
        tuple(builder.items),
        tuple(builder.tables),
        tuple(builder.taps),
        tuple(builder.buffers),
    )
