"""What a generated core consists of, as values: instances, wires and tables; nothing here writes a file.

`layout(plan)` walks the plan's segments once: the source, then per segment a layer or a join, its pools, sums and
activations and a FIFO for every reader, then the sink and the registers. The streams between them are values too
(`Stream`), so that a module can take any of them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from hls.area import BLOCK_DEPTH
from hls.plan import Beats, Buffer, LayerPlan, Plan, Segment, parallel, serial, signed_bits
from qmodel.errors import InputError
from qmodel.fixed_point import Format, transfer_bits
from qmodel.frozen import Activation, Add, AveragePool, MaxPool, Stage

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
    """An instance of a module: parameters and connected ports, in the order in which they are written.

    proof, proof_ports: further ones for proofs alone, as the beats of a frame by the network's shapes.
    """

    module: str
    name: str
    parameters: Parameters
    ports: dict[str, str]
    proof: Parameters
    proof_ports: dict[str, str]


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
    """A core as values.

    Args: items: wires, assignments and instances in order; buffers: the FIFOs, in order; events: Verilog expressions of
        everything that brings a frame nearer to its end, offers: of a value that waits to be taken, stalls: of what a
        layer never does; all three for proofs (alq_progress.v).
    """

    plan: Plan
    top: str
    input_bits: int
    output_bits: int
    items: tuple[Wire | Assign | Instance, ...]
    tables: tuple[Table, ...]
    taps: tuple[Tap, ...]
    buffers: tuple[Buffer, ...]
    events: tuple[str, ...]
    offers: tuple[str, ...]
    stalls: tuple[str, ...]


def vector(value: int, width: int) -> str:
    """A Verilog constant of any width."""
    return f"{width}'h{value:x}"


def packed(values: np.ndarray) -> int:
    """Integers of PLACE_BITS side by side in one, the first lowest."""
    return int.from_bytes(np.asarray(values, "<u2").tobytes(), "little")


def field_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Two's complement bits of integers, least significant first; bool, shape (..., bit)."""
    return (np.asarray(values, np.int64)[..., None] >> np.arange(width) & 1).astype(bool)


def beat_mask(beats: Beats) -> str:
    """One bit per beat and lane, the first beat's lanes lowest: whether it holds a value."""
    held = [channel is not None for beat in beats.channels for channel in beat]
    return vector(sum(1 << place for place, one in enumerate(held) if one), len(held))


def _shift(fraction: int, output: Format, bits: int) -> int:
    """Bits to drop. Beyond either width every value rounds to zero, or saturates."""
    return min(max(fraction - output.fraction, -output.bits), bits)


class LayerLayout:
    """Widths, tables and parameters of alq_layer for one plane layer.

    Raises: RtlError: a line buffer with more values than places can be told apart.
    """

    def __init__(self, plan: LayerPlan):
        stage, layer = plan.stage, plan.layer
        self.plan = plan
        self.grouped = layer.groups > 1 or layer.channel_groups > 1
        source = stage.input_format
        self.shift = 0
        if layer.output:
            fraction = source.fraction + layer.coordinate_format.fraction
            self.shift = _shift(fraction, layer.output, layer.accumulator_bits(source))
        self.half = 1 << (self.shift - 1) if self.shift > 0 else 0
        # widths from the worst case of any input; the accumulator's from the actual weights
        weights = layer.span * layer.channels
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
        """Place in the line buffer of the values that taps take (tap * channels + channel); int64, shape (value,)."""
        layer, entering = self.plan.layer, self.plan.entering
        places, base = np.zeros((layer.span, layer.channels), np.int64), 0
        for lane in range(entering.lanes):
            mine = entering.lane(lane)
            for slot, channel in enumerate(mine):
                newer = np.arange(layer.span)[::-1] * len(mine) + len(mine) - 1 - slot
                places[:, channel] = base + newer
            base += layer.span * len(mine)
        return places[:: layer.dilation].reshape(-1)

    def rows(self) -> np.ndarray:
        """Values (tap * channels + channel) of every group of every channel group; shape (row, group weight)."""
        layer = self.plan.layer
        tap, channel = np.divmod(layer.weight_index, layer.fan)
        runs = np.arange(layer.channel_groups)[:, None, None] * layer.fan
        return (tap * layer.channels + channel + runs).reshape(-1, layer.group_size)

    def words(self) -> np.ndarray:
        """Values (tap * channels + channel) that a word holds, -1 where none; shape (word, lane)."""
        plan, layer, lanes = self.plan, self.plan.layer, self.plan.folding.lanes
        if plan.rotate:  # oldest first, the first value of a word in its last lane
            channels = np.array(plan.entering.lane(0))
            order = (np.arange(layer.taps)[:, None] * layer.channels + channels).reshape(-1, lanes)
            return order[:, ::-1]
        # one group: the order of the line buffer itself
        order = self.rows() if self.grouped else np.argsort(self.places())[None]
        padded = np.full((len(order), plan.chunks * lanes), -1)
        padded[:, : layer.group_size] = order
        return padded.reshape(-1, lanes)

    def sign_bits(self) -> np.ndarray:
        """Table of signs (1 = -1), one word per visit and chunk, all engines side by side; bool (word, bit).

        With several groups an engine's field also holds, above the signs, the word of the window that they belong to.
        """
        plan, layer, lanes = self.plan, self.plan.layer, self.plan.folding.lanes
        words = self.words()
        word_bits = max(1, (len(words) - 1).bit_length())
        slot = np.zeros(layer.taps * layer.channels, np.int64)  # place of a value in its group
        for row in self.rows():
            slot[row] = np.arange(layer.group_size)
        width = lanes + (word_bits if self.grouped else 0)
        table = np.zeros((plan.visits, plan.chunks, len(plan.walks), width), bool)
        for engine, walk in enumerate(plan.walks):
            with_plane = [(at, step.filter, step.plane) for at, step in enumerate(walk) if step.plane is not None]
            visits = [at for at, _, _ in with_plane]
            planes = np.array([plane for _, _, plane in with_plane], np.int64)
            row = np.array([plan.row_group(index, plane) for _, index, plane in with_plane], np.int64)
            word = row[:, None] * plan.chunks + np.arange(plan.chunks)
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
        source = np.where(words < 0, NO_PLACE, self.places()[words]).reshape(-1)
        if plan.rotate:
            source = np.zeros(source.size)  # nothing is wired
        first = layer.span - 1 - layer.padding[0]
        last = max(stage.input_length - 1, first + (stage.output_length - 1) * layer.stride)
        slots = [len(entering.lane(lane)) for lane in range(lanes_in)]
        return {
            "BITS": stage.input_format.bits,
            "SIGNED": int(stage.input_format.signed),
            "LANES_IN": lanes_in,
            "BEATS_IN": beats_in,
            "MASK_IN": beat_mask(entering),
            "SLOTS_IN": vector(packed(np.array(slots)), PLACE_BITS * lanes_in),
            "CHANNELS": layer.channels,
            "TAPS": layer.span,
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
            "OWN_SUM": int(plan.own_sums),
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
            "OUTPUT_SIGNED": int(stage.output_format.signed),
        }


@dataclass
class _Builder:
    """Collects the items of a core."""

    top: str
    items: list[Wire | Assign | Instance] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    taps: list[Tap] = field(default_factory=list)
    buffers: list[Buffer] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    offers: list[str] = field(default_factory=list)
    stalls: list[str] = field(default_factory=list)

    def wire(self, bits: int, *names: str) -> None:
        self.items.append(Wire(bits, names))

    def instance(
        self,
        module: str,
        name: str,
        parameters: Parameters,
        ports: dict[str, str],
        proof: Parameters | None = None,
        moves: str = "",
    ) -> None:
        """Args: proof: parameters for proofs alone; moves: wire of the module's event, for proofs alone."""
        clocked = {"clk": "aclk", "reset": "reset"} | ports
        if moves:
            self.events.append(moves)
        self.items.append(Instance(module, name, parameters, clocked, proof or {}, {"moves": moves} if moves else {}))

    def source(self, plan: Plan, input_bits: int) -> Stream:
        """The input stream's end."""
        form = plan.network.input_format
        beats = serial(plan.network.input_channels)
        stream = Stream("source_valid", "source_data", "source_ready", form.bits, form.signed, beats)
        self.wire(1, stream.valid, stream.ready, "begins", "ends", "too_short", "too_long")
        self.wire(stream.bits, stream.data)
        pins = ("s_axis_tdata", "s_axis_tvalid", "s_axis_tready", "s_axis_tlast")
        self.instance(
            "alq_source",
            "source",
            {"BITS": stream.bits, "SAMPLES": plan.network.input.values, "TDATA_BITS": input_bits},
            {pin: pin for pin in pins}
            | {"valid": stream.valid, "data": stream.data, "ready": stream.ready}
            | {name: name for name in ("begins", "too_short", "too_long")},
            {"GIVES": plan.network.input.values},
        )
        self.events += ["s_axis_tvalid && s_axis_tready", _moved(stream), "m_axis_tvalid && m_axis_tready"]
        self.offers += ["s_axis_tvalid", stream.valid]
        return stream

    def segment(self, number: int, segment: Segment, streams: list[Stream]) -> list[Stream]:
        """A layer, a join or what comes as it is, the stages behind it, and a FIFO for every reader."""
        if not segment.buffers:
            return streams
        room = f"room_{number}"
        self.wire(1, room)
        after = segment.after
        if segment.head and segment.index is not None:
            flow = self.layer(segment.head, segment.index, streams[0], room)
        elif segment.join and segment.index is not None:
            flow = self.join(segment.join, segment.index, streams, room)
        elif segment.padded:
            flow = self.padded(segment.padded, streams[0], room)
        else:
            entering = f"entering_{number}"
            self.items.append(Assign(streams[0].ready, room))
            self.wire(1, entering)
            self.items.append(Assign(entering, f"{streams[0].valid} && {streams[0].ready}"))
            flow = streams[0]._replace(valid=entering, ready="")
        for index, stage in after:
            flow = self.after(index, stage, flow)
        leaving = []
        rooms = [f"{room}_{place}" for place in range(len(segment.buffers))]
        if len(rooms) == 1:
            rooms = [room]
        else:
            self.wire(1, *rooms)
            self.items.append(Assign(room, " && ".join(rooms)))
        for place, buffer in enumerate(segment.buffers):
            name = f"fifo_{number}" if len(rooms) == 1 else f"fifo_{number}_{place}"
            leaving.append(self.fifo(name, buffer, flow, rooms[place]))
        return leaving

    def collect(self, name: str, stream: Stream, channels: int, bits: int, append: int) -> tuple[str, str]:
        """All channels of a time step side by side, `append` zeros behind each; names of `full` and of the values."""
        full, values = f"{name}_full", f"{name}_values"
        beats = stream.beats
        order = [NO_PLACE if channel is None else channel for beat in beats.channels for channel in beat]
        self.wire(1, full)
        self.wire(channels * bits, values)
        self.instance(
            "alq_collect",
            name,
            {
                "BITS": stream.bits,
                "SIGNED": int(stream.signed),
                "LANES": beats.lanes,
                "BEATS": len(beats.channels),
                "CHANNELS": channels,
                "ORDER": vector(packed(np.array(order)), PLACE_BITS * len(order)),
                "APPEND": append,
                "VALUE_BITS": bits,
            },
            {"valid": stream.valid, "data": stream.data, "ready": stream.ready}
            | {"take": f"{name}_take", "full": full, "values": values},
        )
        self.events.append(f"{name}_take")
        return full, values

    def join(self, stage: Stage, index: int, streams: list[Stream], room: str) -> Stream:
        """An addition or a concatenation: every source is collected into whole time steps first."""
        name, form, addition = stage.name, stage.output_format, isinstance(stage.layer, Add)
        take = f"{name}_take"
        self.wire(1, take)
        full, values = [], []
        for number, (stream, tensor) in enumerate(zip(streams, stage.inputs)):
            own = f"{name}_{number}"
            self.wire(1, f"{own}_take")
            self.items.append(Assign(f"{own}_take", take))
            append = form.fraction - tensor.format.fraction
            one = self.collect(own, stream, tensor.channels, form.bits, append)
            full.append(one[0])
            values.append(one[1])
        flow = Stream(f"{name}_valid", f"{name}_data", "", form.bits, form.signed, parallel(stage.output_channels))
        self.wire(1, flow.valid)
        self.wire(flow.beats.lanes * flow.bits, flow.data)
        self.instance(
            "alq_join",
            name,
            {
                "SOURCES": len(streams),
                "TERMS": len(streams) if addition else 1,
                "CHANNELS": stage.output_channels,
                "BITS": form.bits,
            },
            {"full": f"{{{', '.join(reversed(full))}}}", "values": f"{{{', '.join(reversed(values))}}}"}
            | {"room": room, "take": take, "out_valid": flow.valid, "out_data": flow.data},
        )
        self.taps.append(Tap(index, name, flow.bits, flow.signed, flow.beats))
        return flow

    def padded(self, stage: Stage, stream: Stream, room: str) -> Stream:
        """A stream with a pool's padding between its frames."""
        name, layer = f"{stage.name}_pad", stage.layer
        flow = stream._replace(valid=f"{name}_valid", data=f"{name}_data", ready="")
        self.wire(1, flow.valid)
        self.wire(flow.beats.lanes * flow.bits, flow.data)
        value = stage.input_format.low if isinstance(layer, MaxPool) else 0
        self.instance(
            "alq_pad",
            name,
            {
                "BITS": stream.bits,
                "LANES": stream.beats.lanes,
                "BEATS": len(stream.beats.channels),
                "TIMES": stage.input_length,
                "LEFT": layer.padding[0],
                "RIGHT": layer.padding[1],
                "VALUE": vector(value & ((1 << stream.bits) - 1), stream.bits),
            },
            {"valid": stream.valid, "data": stream.data, "ready": stream.ready, "room": room}
            | {"out_valid": flow.valid, "out_data": flow.data},
            {
                "TAKES": stage.input_length * len(stream.beats.channels),
                "GIVES": (stage.input_length + sum(layer.padding)) * len(stream.beats.channels),
            },
        )
        return flow

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
            {
                "TAKES": plan.stage.input_length * len(plan.entering.channels),
                "STEPS": plan.stage.output_length,
                "GIVES": plan.stage.output_length * len(plan.leaving.channels),
                "LEAVES": vector(sum(1 << at for at in plan.ends), plan.visits),
            },
            f"{name}_moves",
        )
        self.stalls.append(f"{room} && {stream.valid} && !{name}_moves")
        self.taps.append(Tap(index, name, flow.bits, flow.signed, flow.beats))
        return flow

    def after(self, index: int, stage: Stage, entering: Stream) -> Stream:
        """A pool, a sum over time or an activation, which takes a beat whenever one comes."""
        name, bits = stage.name, stage.output_format.bits
        flow = entering._replace(
            valid=f"{name}_valid", data=f"{name}_data", bits=bits, signed=stage.output_format.signed
        )
        self.wire(1, flow.valid)
        self.wire(flow.beats.lanes * bits, flow.data)
        parameters: Parameters = {
            "BITS": entering.bits,
            "SIGNED": int(entering.signed),
            "LANES": entering.beats.lanes,
        }
        times = {"BEATS": len(entering.beats.channels), "TIMES": stage.input_length}
        layer = stage.layer
        if isinstance(layer, Activation):
            module = "alq_activation"
            form = stage.input_format
            shift = _shift(form.fraction, layer.output, form.bits + 1)
            parameters |= {"SHIFT": shift, "OUTPUT_BITS": bits, "OUTPUT_SIGNED": int(layer.output.signed)}
        elif isinstance(layer, (MaxPool, AveragePool)):
            module = "alq_pool"
            times["TIMES"] += sum(layer.padding)
            own = {"SIZE": layer.size, "STRIDE": layer.stride, "RINGS": -(-layer.size // layer.stride)}
            parameters |= times | own | {"SUM": int(isinstance(layer, AveragePool)), "OUTPUT_BITS": bits}
        else:
            module = "alq_time_sum"
            parameters |= times | {"OUTPUT_BITS": bits}
        ports = {"in_valid": entering.valid, "in_data": entering.data, "out_valid": flow.valid, "out_data": flow.data}
        proof: Parameters = {}
        if module != "alq_activation":
            beats = len(entering.beats.channels)
            proof = {"TAKES": int(times["TIMES"]) * beats, "GIVES": stage.output_length * beats}
        self.instance(module, name, parameters, ports, proof)
        self.taps.append(Tap(index, name, bits, flow.signed, flow.beats))
        return flow

    def fifo(self, name: str, buffer: Buffer, flow: Stream, room: str) -> Stream:
        """A FIFO at the end of a segment."""
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
        self.events += [flow.valid, _moved(stream)]
        self.offers.append(stream.valid)
        return stream

    def in_order(self, stream: Stream, channels: int) -> Stream:
        """The stream with one channel per beat, in order."""
        if stream.beats == serial(channels):
            return stream
        ordered = stream._replace(
            valid="outputs_valid", data="outputs_data", ready="outputs_ready", beats=serial(channels)
        )
        self.wire(1, ordered.valid, ordered.ready, "outputs_take")
        self.wire(stream.bits, ordered.data)
        full, values = self.collect("outputs", stream, channels, stream.bits, 0)
        self.instance(
            "alq_serialise",
            "outputs_serial",
            {"BITS": stream.bits, "CHANNELS": channels},
            {"full": full, "values": values, "take": "outputs_take"}
            | {"valid": ordered.valid, "data": ordered.data, "ready": ordered.ready},
        )
        self.events.append(_moved(ordered))
        return ordered

    def sink(self, stream: Stream, values: int, output_bits: int) -> None:
        """The output stream's end."""
        pins = ("m_axis_tdata", "m_axis_tvalid", "m_axis_tready", "m_axis_tlast", "ends")
        self.instance(
            "alq_sink",
            "sink",
            {"BITS": stream.bits, "SIGNED": int(stream.signed), "VALUES": values, "TDATA_BITS": output_bits},
            {"valid": stream.valid, "data": stream.data, "ready": stream.ready} | {pin: pin for pin in pins},
            {"TAKES": values},
        )

    def registers(self, plan: Plan, values: int) -> None:
        """The registers on AXI4-Lite."""
        names = [line.split()[-1] for line in AXI_LITE] + ["begins", "ends", "too_short", "too_long"]
        self.instance(
            "alq_registers",
            "registers",
            {
                "IDENTITY": f"256'h{plan.network.identity}",
                "SAMPLES": plan.network.input.values,
                "VALUES": values,
                "FRAMES": _frames_inside(plan),
            },
            {name: name for name in names},
        )


def _moved(stream: Stream) -> str:
    return f"{stream.valid} && {stream.ready}"


def _frames_inside(plan: Plan) -> int:
    """A power of two, at least as many as the frames that can be inside the core at once, FIFOs full to the last beat.

    A FIFO of n beats holds parts of at most n / (beats of a frame) + 2 frames; so do a layer and its input.
    """
    inside = 4
    for segment in plan.segments:
        stage = segment.after[-1][1] if segment.after else segment.head.stage if segment.head else segment.join
        steps = stage.output_length if stage else plan.network.input_length
        for buffer in segment.buffers:
            inside += buffer.depth // (steps * len(segment.leaving.channels)) + 4
    return max(32, 1 << (inside - 1).bit_length())


def layout(plan: Plan, top: str, input_bits: int | None = None) -> Layout:
    """Everything that the core of a plan consists of.

    Args: top: name of the top module, with which the tables' names begin; input_bits: width of the input stream's TDATA
        (the sample lies in its low bits), default `transfer_bits` of the input format.
    Raises: RtlError: a width that is not a stream's, a line buffer that is too long.
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
    made = [[builder.source(plan, input_bits)]]
    for number, segment in enumerate(plan.segments):
        entering = [made[source][place] for source, place in segment.sources] or made.pop()
        made.append(builder.segment(number, segment, entering))
    builder.sink(builder.in_order(made[-1][-1], final.output_channels), values, output_bits)
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
        tuple(dict.fromkeys(builder.events)),
        tuple(builder.offers),
        tuple(builder.stalls),
    )
