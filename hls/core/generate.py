"""Generate the Verilog core of a frozen network: one top, and the tables of signs, coordinates and biases.

The modules in `verilog/` are written by hand and hold all behaviour; the top only names their parameters. Between two
modules runs a stream of beats: a time step of C channels is dealt out over the engines of the layer that made it, so a
beat holds one value per engine, and which channel that is (or none) depends on the beat's number alone.
"""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hls.area import BLOCK_DEPTH, PARTS, multipliers, rotates, tree_levels
from hls.folding import Folding, LayerFolding, check, chunks, deal, fold
from qmodel.errors import InputError
from qmodel.files import write_json, write_text, written_beside
from qmodel.fixed_point import transfer_bits
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer, Stage

VERILOG = Path(__file__).with_name("verilog")
TOP = "ecg_alq"
FIXED_STAGES = 6  # of the arithmetic pipeline, adder tree not counted (alq_layer.v)


class RtlError(InputError):
    """A network that the Verilog core does not support."""


@dataclass(frozen=True)
class Beats:
    """Order in which a time step's channels travel: channels[beat][lane], None where a lane is empty."""

    channels: tuple[tuple[int | None, ...], ...]

    @property
    def lanes(self) -> int:
        """Values side by side."""
        return len(self.channels[0])

    def lane(self, lane: int) -> list[int]:
        """Channels that travel in one lane, in order."""
        return [beat[lane] for beat in self.channels if beat[lane] is not None]


@dataclass(frozen=True)
class Tap:
    """A stream inside the core that simulation compares with the golden model: output of stage `stage`."""

    stage: int
    name: str
    bits: int
    signed: bool
    beats: Beats


@dataclass(frozen=True)
class Core:
    """A generated core: its files and how to read what it computes."""

    network: FrozenNetwork
    folding: Folding
    folder: Path
    top: str
    sources: tuple[Path, ...]
    tables: tuple[Path, ...]
    taps: tuple[Tap, ...]
    part: str
    input_bits: int
    output_bits: int


def visits_of(layer: PlaneLayer, engines: int) -> list[list[tuple[int, int | None, bool, bool]]]:
    """What every engine walks through: (filter, plane or None, first of its filter, last of its filter)."""
    walks = []
    for hand in deal(layer, engines):
        walk = []
        for index in hand:
            planes = np.flatnonzero(layer.plane_filter == index).tolist() or [None]
            walk += [(index, plane, plane == planes[0], plane == planes[-1]) for plane in planes]
        walks.append(walk)
    return walks


def _bits_unsigned(value: int) -> int:
    return max(1, int(value).bit_length())


def _bits_signed(low: int, high: int) -> int:
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length() if high > 0 else 0) + 1


def _packed(values, width: int) -> int:
    """Integers side by side in one, the first lowest; two's complement in `width` bits."""
    packed = 0
    for place, value in enumerate(values):
        packed |= (int(value) & ((1 << width) - 1)) << (place * width)
    return packed


def _vector(value: int, width: int) -> str:
    return f"{width}'h{value:x}"


class _Layer:
    """Widths, tables and parameters of one plane layer."""

    def __init__(self, stage: Stage, folding: LayerFolding, entering: Beats, radix: int):
        layer, source = stage.layer, stage.input_format
        if max(layer.padding[0], layer.padding[1]) >= layer.taps:
            raise RtlError(f"{stage.name}: padding must be below the {layer.taps} taps, received {layer.padding}")
        self.stage, self.layer, self.folding, self.entering = stage, layer, folding, entering
        self.chunks = chunks(layer, folding.lanes)
        self.walks = visits_of(layer, folding.engines)
        self.visits = max(map(len, self.walks))
        ends = sorted({visit for walk in self.walks for visit, step in enumerate(walk) if step[3]})
        self.ends = ends
        self.leaving = Beats(
            tuple(
                tuple(walk[visit][0] if visit < len(walk) and walk[visit][3] else None for walk in self.walks)
                for visit in ends
            )
        )
        self.levels = tree_levels(folding.lanes, radix)
        self.radix, self.tree_bits = radix, source.bits + (folding.lanes - 1).bit_length()
        self.grouped = layer.groups > 1
        self.rotate = rotates(layer, folding.lanes, entering.lanes)
        lanes, weights = folding.lanes, layer.taps * layer.channels
        low, high = source.low, source.high
        # widths from the worst case of any input; the accumulator's from the actual weights
        self.sum_bits = max(_bits_signed(weights * low, weights * high), source.bits + 2)
        whole = layer.group_size
        if self.grouped or self.rotate or self.chunks == 1:  # every term is a sum of +-x
            reach = min(lanes, whole) * max(high, -low)
            self.term_bits = _bits_signed(-reach, reach)
        else:
            self.term_bits = _bits_signed(
                min(2 * lanes * low, 2 * lanes * low - whole * high),
                max(2 * lanes * high, 2 * lanes * high - whole * low),
            )
        self.term_bits = max(self.term_bits, self.tree_bits + 2)
        self.shift = source.fraction + layer.coordinate_format.fraction - layer.output.fraction if layer.output else 0
        self.half = 1 << (self.shift - 1) if self.shift > 0 else 0
        self.output = stage.output_format
        rounded = dataclasses.replace(layer, bias=layer.bias + self.half)  # as the tables hold it
        self.accumulator_bits = max(rounded.accumulator_bits(source), layer.accumulator_bits(source))

    def places(self) -> dict[int, int]:
        """Place in the line buffer of every weight (tap * channels + channel)."""
        layer, places, base = self.layer, {}, 0
        for lane in range(self.entering.lanes):
            mine = self.entering.lane(lane)
            for tap in range(layer.taps):
                for slot, channel in enumerate(mine):
                    newer = (layer.taps - 1 - tap) * len(mine) + len(mine) - 1 - slot
                    places[tap * layer.channels + channel] = base + newer
            base += layer.taps * len(mine)
        return places

    def words(self) -> np.ndarray:
        """Weights (tap * channels + channel) that a word holds, -1 where none; shape (word, lane)."""
        layer, lanes = self.layer, self.folding.lanes
        if self.rotate:  # oldest first, the first value of a word in its last lane
            channels = np.array(self.entering.lane(0))
            order = (np.arange(layer.taps)[:, None] * layer.channels + channels).reshape(-1, lanes)
            return order[:, ::-1]
        if self.grouped:
            order = layer.weight_index
        else:  # the order of the line buffer itself
            places = self.places()
            order = np.array(sorted(places, key=places.get))[None]
        padded = np.full((layer.groups, self.chunks * lanes), -1)
        padded[:, : layer.group_size] = order
        return padded.reshape(layer.groups * self.chunks, lanes)

    def sign_words(self) -> tuple[list[int], int]:
        """Table of signs (1 = -1), one word per visit and chunk, all engines side by side; and its width."""
        layer, lanes = self.layer, self.folding.lanes
        words = self.words()
        word_bits = _bits_unsigned(len(words) - 1)
        width = lanes + (word_bits if self.grouped else 0)
        slot = np.zeros((layer.groups, layer.taps * layer.channels), np.int64)  # place of a weight in its group
        for group in range(layer.groups):
            slot[group, layer.weight_index[group]] = np.arange(layer.group_size)
        table = []
        for visit in range(self.visits):
            for chunk in range(self.chunks):
                fields = []
                for walk in self.walks:
                    plane = walk[visit][1] if visit < len(walk) else None
                    if plane is None:
                        fields.append(0)
                        continue
                    group = int(layer.plane_group[plane])
                    word = group * self.chunks + chunk
                    held = words[word]
                    minus = ~layer.signs[plane][slot[group, held]] & (held >= 0)
                    fields.append(_packed(minus, 1) | (word << lanes if self.grouped else 0))
                table.append(_packed(fields, width))
        return table, width * len(self.walks)

    def program_words(self) -> tuple[list[int], int]:
        """Table of one word per visit: {engine: start, coordinate, bias}, and in bit 0 whether a beat leaves."""
        layer, bits = self.layer, self.accumulator_bits
        coordinate_bits = layer.coordinate_format.bits
        width = 1 + coordinate_bits + bits
        table = []
        for visit in range(self.visits):
            fields = []
            for walk in self.walks:
                if visit >= len(walk):
                    fields.append(0)
                    continue
                index, plane, first, _ = walk[visit]
                bias = int(layer.bias[index]) + self.half if first else 0
                coordinate = 0 if plane is None else int(layer.coordinates[plane])
                fields.append(_packed([bias], bits) | coordinate << bits | int(first) << (bits + coordinate_bits))
            table.append(_packed(fields, width) << 1 | (visit in self.ends))
        return table, width * len(self.walks) + 1

    def parameters(self, tables: str, multiplier: bool) -> dict[str, str | int]:
        """Parameters of alq_layer; `multiplier`: every engine has a DSP block, else it multiplies with adders."""
        stage, layer, entering = self.stage, self.layer, self.entering
        places, words = self.places(), self.words()
        lanes_in, beats_in = entering.lanes, len(entering.channels)
        mask = [channel is not None for beat in entering.channels for channel in beat]
        source = [0xFFFF if weight < 0 else places[int(weight)] for weight in words.reshape(-1)]
        if self.rotate:
            source = [0] * len(source)  # nothing is wired
        first = layer.taps - 1 - layer.padding[0]
        last = max(stage.input_length - 1, first + (stage.output_length - 1) * layer.stride)
        return {
            "BITS": stage.input_format.bits,
            "SIGNED": int(stage.input_format.signed),
            "LANES_IN": lanes_in,
            "BEATS_IN": beats_in,
            "MASK_IN": _vector(_packed(mask, 1), beats_in * lanes_in),
            "SLOTS_IN": _vector(_packed([len(entering.lane(i)) for i in range(lanes_in)], 16), 16 * lanes_in),
            "CHANNELS": layer.channels,
            "TAPS": layer.taps,
            "STRIDE": layer.stride,
            "TIMES": stage.input_length,
            "FIRST": first,
            "LAST": last,
            "ENGINES": self.folding.engines,
            "LANES": self.folding.lanes,
            "RADIX": self.radix,
            "LEVELS": self.levels,
            "TREE_BITS": self.tree_bits,
            "WORDS": len(words),
            "ROTATE": int(self.rotate),
            "SOURCE": _vector(_packed(source, 16), 16 * len(source)),
            "GROUPED": int(self.grouped),
            "CHUNKS": self.chunks,
            "VISITS": self.visits,
            "SUM_BITS": self.sum_bits,
            "TERM_BITS": self.term_bits,
            "COORDINATE_BITS": layer.coordinate_format.bits,
            "ACCUMULATOR_BITS": self.accumulator_bits,
            "MULTIPLIER": int(multiplier),
            "SIGN_FILE": f'"{tables}_signs.hex"',
            "SIGN_BLOCK": int(self.visits * self.chunks > BLOCK_DEPTH),
            "PROGRAM_FILE": f'"{tables}_program.hex"',
            "PROGRAM_BLOCK": int(self.visits > BLOCK_DEPTH),
            "LOGITS": int(layer.output is None),
            "SHIFT": self.shift,
            "OUTPUT_BITS": self.output.bits,
        }

    def emission(self) -> np.ndarray:
        """Whether a beat leaves after every cycle of one output step; bool, shape (cycle,)."""
        cycles = np.zeros((self.visits, self.chunks), bool)
        cycles[self.ends, -1] = True
        return cycles.reshape(-1)


class Buffer(NamedTuple):
    """A FIFO between two layers: bits of a beat, beats it holds, beats before its end at which it asks to stop."""

    width: int
    depth: int
    margin: int

    @property
    def bits(self) -> int:
        """Memory bits."""
        return self.width * self.depth


class _Segment:
    """From one FIFO to the next: a source (the input, or a plane layer), then pools and sums, which never wait."""

    def __init__(self, layer: _Layer | None, stage_index: int | None):
        self.layer, self.stage_index = layer, stage_index
        self.after: list[tuple[int, Stage]] = []

    def emission(self, network: FrozenNetwork) -> np.ndarray:
        """Whether a beat enters the FIFO after every cycle of a frame at full speed; bool, shape (cycle,)."""
        if self.layer:
            step, times = self.layer.emission(), self.layer.stage.output_length
        else:
            step, times = np.ones(1, bool), network.input_length
        alive = np.arange(times)
        for _, stage in self.after:
            if isinstance(stage.layer, MaxPool):
                alive = alive[np.arange(stage.output_length) * stage.layer.stride + stage.layer.size - 1]
            else:
                alive = alive[-1:]
        frame = np.zeros((times, len(step)), bool)
        frame[alive] = step
        return frame.reshape(-1)

    def buffer(self, network: FrozenNetwork, padding_after: int) -> Buffer:
        """The FIFO: room for what is still in the pipeline when `room` falls, and for what the next layer's padding
        holds up (it cannot take the next frame's first time steps while it works on zeros)."""
        beats = len(self.layer.leaving.channels) if self.layer else 1
        latency = (FIXED_STAGES + self.layer.levels if self.layer else 0) + len(self.after) + 2
        emission = self.emission(network)
        twice = np.concatenate([[0], np.cumsum(np.concatenate([emission, emission]))])
        margin = int((twice[latency:] - twice[:-latency]).max()) if latency < len(twice) else int(twice[-1])
        margin += 1
        wanted = margin + beats * (1 + padding_after)
        values = self.layer.leaving.lanes if self.layer else 1
        stage = self.after[-1][1] if self.after else self.layer.stage
        return Buffer(values * stage.output_format.bits, max(16, 1 << (wanted - 1).bit_length()), margin)


class _Text:
    """Verilog lines and what was declared so far."""

    def __init__(self):
        self.lines: list[str] = []

    def instance(self, module: str, name: str, parameters: dict, ports: dict) -> None:
        self.lines.append(f"  {module} #(")
        self.lines.append(",\n".join(f"      .{key}({value})" for key, value in parameters.items()))
        self.lines.append(f"  ) {name} (")
        self.lines.append(",\n".join(f"      .{key}({value})" for key, value in ports.items()))
        self.lines.append("  );")

    def wire(self, bits: int, *names: str) -> None:
        self.lines.append(f"  wire {f'[{bits - 1}:0] ' if bits > 1 else ''}{', '.join(names)};")


def _segments(network: FrozenNetwork, folding: Folding, radix: int) -> list[_Segment]:
    segments, beats, entries = [_Segment(None, None)], Beats(((0,),)), iter(folding.layers)
    for index, stage in enumerate(network.stages):
        if isinstance(stage.layer, PlaneLayer):
            layer = _Layer(stage, next(entries), beats, radix)
            segments.append(_Segment(layer, index))
            beats = layer.leaving
        else:
            segments[-1].after.append((index, stage))
    return segments


def _padding_after(segments: list[_Segment], number: int) -> int:
    return segments[number + 1].layer.layer.padding[1] if number + 1 < len(segments) else 0


def buffers(network: FrozenNetwork, folding: Folding, part: str = "xc7z020") -> list[Buffer]:
    """The FIFO behind every plane layer (behind the pools and sums that follow it)."""
    segments = _segments(network, folding, PARTS[part].adder_operands)
    return [s.buffer(network, _padding_after(segments, n)) for n, s in enumerate(segments) if s.layer]


def _with_multipliers(segments: list[_Segment], budget: int) -> set[str]:
    """Names of the layers whose engines get DSP blocks: those with the widest products first, as far as they reach."""
    layers, chosen = [segment.layer for segment in segments if segment.layer], set()
    for layer in sorted(layers, key=lambda layer: -layer.term_bits):
        if layer.folding.engines <= budget:
            chosen.add(layer.stage.name)
            budget -= layer.folding.engines
    return chosen


def generate(
    network: FrozenNetwork,
    folder: str | Path,
    folding: Folding | None = None,
    part: str = "xc7z020",
    input_bits: int | None = None,
    dsp_budget: int | None = None,
    top: str = TOP,
) -> Core:
    """Write the Verilog core of a network into `folder`: modules, top `ecg_alq`, tables, and `core.json`.

    Args: folding: default `fold(network)`; input_bits: width of the input stream's TDATA (the sample lies in its low
        bits), default `transfer_bits` of the input format; dsp_budget: see `hls.area.multipliers`;
        top: name of the top module, with which the tables' names begin.
    Raises: RtlError: no plane layer, padding not below the taps; FoldingError: a folding that does not fit.
    """
    if not network.plane_stages:
        raise RtlError("the core needs at least one layer with weights, received none")
    folding = fold(network, part=part, dsp_budget=dsp_budget) if folding is None else folding
    check(network, folding)
    least = transfer_bits(network.input_format)
    input_bits = least if input_bits is None else input_bits
    if input_bits < least or input_bits not in (8, 16, 32, 64):
        raise RtlError(f"input_bits must be 8, 16, 32 or 64, at least {least}, received {input_bits}")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    segments = _segments(network, folding, PARTS[part].adder_operands)
    blocks = _with_multipliers(segments, multipliers(part, dsp_budget))
    text, taps, tables, report = _Text(), [], [], []

    def table(name: str, words: list[int], width: int) -> None:
        path = folder / name
        digits = -(-width // 4)
        write_text(path, "".join(f"{word:0{digits}x}\n" for word in words))
        tables.append(path)

    def tap(index: int, name: str, bits: int, signed: bool, beats: Beats) -> None:
        taps.append(Tap(index, name, bits, signed, beats))

    # the stream that enters the next segment: names of its wires, its width per value, its beats
    bits, signed, beats = network.input_format.bits, network.input_format.signed, Beats(((0,),))
    valid, data, ready = "source_valid", "source_data", "source_ready"
    text.wire(1, valid, ready, "begins", "ends", "too_short", "too_long")
    text.wire(bits, data)
    text.instance(
        "alq_source",
        "source",
        {"BITS": bits, "SAMPLES": network.input_length, "TDATA_BITS": input_bits},
        {
            "clk": "aclk",
            "reset": "reset",
            "s_axis_tdata": "s_axis_tdata",
            "s_axis_tvalid": "s_axis_tvalid",
            "s_axis_tready": "s_axis_tready",
            "s_axis_tlast": "s_axis_tlast",
            "valid": valid,
            "data": data,
            "ready": ready,
            "begins": "begins",
            "too_short": "too_short",
            "too_long": "too_long",
        },
    )
    for number, segment in enumerate(segments):
        if segment.layer is None and not segment.after:
            continue
        layer = segment.layer
        room = f"room_{number}"
        text.wire(1, room)
        if layer:
            name = layer.stage.name
            signs, sign_width = layer.sign_words()
            program, program_width = layer.program_words()
            table(f"{top}_{name}_signs.hex", signs, sign_width)
            table(f"{top}_{name}_program.hex", program, program_width)
            bits, signed, beats = layer.output.bits, layer.output.signed, layer.leaving
            flow = f"{name}_valid", f"{name}_data"
            text.wire(1, flow[0])
            text.wire(beats.lanes * bits, flow[1])
            text.instance(
                "alq_layer",
                name,
                layer.parameters(f"{top}_{name}", name in blocks),
                {
                    "clk": "aclk",
                    "reset": "reset",
                    "in_valid": valid,
                    "in_data": data,
                    "in_ready": ready,
                    "room": room,
                    "out_valid": flow[0],
                    "out_data": flow[1],
                },
            )
            tap(segment.stage_index, name, bits, signed, beats)
        else:
            text.lines.append(f"  assign {ready} = {room};")
            text.wire(1, "entering")
            text.lines.append(f"  assign entering = {valid} && {ready};")
            flow = "entering", data
        for index, stage in segment.after:
            name, entering = stage.name, flow
            flow = f"{name}_valid", f"{name}_data"
            common = {"BITS": bits, "SIGNED": int(signed), "LANES": beats.lanes, "BEATS": len(beats.channels)}
            common["TIMES"] = stage.input_length
            ports = {"clk": "aclk", "reset": "reset", "in_valid": entering[0], "in_data": entering[1]}
            ports |= {"out_valid": flow[0], "out_data": flow[1]}
            bits = stage.output_format.bits
            text.wire(1, flow[0])
            text.wire(beats.lanes * bits, flow[1])
            if isinstance(stage.layer, MaxPool):
                size, stride = stage.layer.size, stage.layer.stride
                own = {"SIZE": size, "STRIDE": stride, "RINGS": -(-size // stride)}
                text.instance("alq_pool", name, common | own, ports)
            else:
                text.instance("alq_time_sum", name, common | {"OUTPUT_BITS": bits}, ports)
            tap(index, name, bits, signed, beats)
        buffer = segment.buffer(network, _padding_after(segments, number))
        valid, data, ready = f"fifo_{number}_valid", f"fifo_{number}_data", f"fifo_{number}_ready"
        text.wire(1, valid, ready)
        text.wire(beats.lanes * bits, data)
        text.instance(
            "alq_fifo",
            f"fifo_{number}",
            {"WIDTH": buffer.width, "DEPTH": buffer.depth, "MARGIN": buffer.margin},
            {
                "clk": "aclk",
                "reset": "reset",
                "write": flow[0],
                "write_data": flow[1],
                "room": room,
                "valid": valid,
                "data": data,
                "ready": ready,
            },
        )
        report.append(buffer._asdict())
    final = network.stages[-1]
    values = final.output_length * final.output_channels
    output_bits = max(32, transfer_bits(final.output_format))
    text.instance(
        "alq_sink",
        "sink",
        {"BITS": bits, "SIGNED": int(signed), "VALUES": values, "TDATA_BITS": output_bits},
        {
            "clk": "aclk",
            "reset": "reset",
            "valid": valid,
            "data": data,
            "ready": ready,
            "m_axis_tdata": "m_axis_tdata",
            "m_axis_tvalid": "m_axis_tvalid",
            "m_axis_tready": "m_axis_tready",
            "m_axis_tlast": "m_axis_tlast",
            "ends": "ends",
        },
    )
    axi = [line.split()[-1] for line in _AXI_LITE]
    text.instance(
        "alq_registers",
        "registers",
        {"IDENTITY": f"256'h{network.identity}", "SAMPLES": network.input_length, "VALUES": values},
        {"clk": "aclk", "reset": "reset"}
        | {name: name for name in axi}
        | {name: name for name in ("begins", "ends", "too_short", "too_long")},
    )
    top_file = folder / f"{top}.v"
    write_text(top_file, _top(top, network, input_bits, output_bits, taps, text))
    modules = []
    for module in sorted(VERILOG.glob("alq_*")):
        with written_beside(folder / module.name) as beside:
            shutil.copyfile(module, beside)
        modules.append(folder / module.name)
    content = {
        "identity": network.identity,
        "folding": [entry._asdict() for entry in folding.layers],
        "fifos": report,
        "input_bits": input_bits,
        "output_bits": output_bits,
    }
    write_json(folder / "core.json", content)
    sources = tuple(path for path in modules if path.suffix == ".v")
    return Core(
        network, folding, folder, top, (*sources, top_file), tuple(tables), tuple(taps), part, input_bits, output_bits
    )


_AXI_LITE = """input wire [5:0] s_axi_awaddr
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
input wire [5:0] s_axi_araddr
input wire [2:0] s_axi_arprot
input wire s_axi_arvalid
output wire s_axi_arready
output wire [31:0] s_axi_rdata
output wire [1:0] s_axi_rresp
output wire s_axi_rvalid
input wire s_axi_rready""".splitlines()


def _top(top: str, network: FrozenNetwork, input_bits: int, output_bits: int, taps: list[Tap], text: _Text) -> str:
    ports = [
        "input wire aclk",
        "input wire aresetn",
        f"input wire [{input_bits - 1}:0] s_axis_tdata",
        "input wire s_axis_tvalid",
        "output wire s_axis_tready",
        "input wire s_axis_tlast",
        f"output wire [{output_bits - 1}:0] m_axis_tdata",
        "output wire m_axis_tvalid",
        "input wire m_axis_tready",
        "output wire m_axis_tlast",
        *_AXI_LITE,
    ]
    lines = [
        f"// Generated from the frozen network {network.identity}; do not edit.",
        "`default_nettype none",
        f"module {top} (",
        ",\n".join(f"    {port}" for port in ports),
        "`ifdef ALQ_TAPS  // every stream between layers, for comparison with the golden model",
        f"    , output wire [{len(taps) - 1}:0] tap_valid",
    ]
    lines += [f"    , output wire [{one.bits * one.beats.lanes - 1}:0] tap_{one.name}" for one in taps]
    lines += ["`endif", ");", "  reg reset;", "  always @(posedge aclk) reset <= !aresetn;"]
    lines += ["`ifdef ALQ_TAPS"]
    lines.append(f"  assign tap_valid = {{{', '.join(f'{one.name}_valid' for one in reversed(taps))}}};")
    lines += [f"  assign tap_{one.name} = {one.name}_data;" for one in taps]
    lines += ["`endif", *text.lines, "endmodule", "`default_nettype wire", ""]
    return "\n".join(lines)
