"""Write the Verilog core of a frozen network: one top, and the tables of signs, coordinates and biases.

The modules in `verilog/` are written by hand and hold all behaviour; the top only names their parameters. What it holds
is decided in `hls.core.layout`; here it becomes text and files.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hls.core.ipxact import Port, component
from hls.core.layout import AXI_LITE, Assign, Instance, Layout, Tap, Wire, layout
from hls.folding import Folding
from hls.plan import Plan
from qmodel.files import write_json, write_text, written_beside
from qmodel.frozen import FrozenNetwork

VERILOG = Path(__file__).with_name("verilog")
TOP = "ecg_alq"
PATIENCE = 6  # cycles in which nothing moves but the registers between a layer's pools; a FIFO's `room` takes two


@dataclass(frozen=True)
class Core:
    """A generated core: its files and how to read what it computes."""

    plan: Plan
    folder: Path
    top: str
    sources: tuple[Path, ...]
    tables: tuple[Path, ...]
    taps: tuple[Tap, ...]
    input_bits: int
    output_bits: int

    @property
    def network(self) -> FrozenNetwork:
        """The network that it computes."""
        return self.plan.network

    @property
    def folding(self) -> Folding:
        """Engines and lanes of every plane layer."""
        return self.plan.folding

    @property
    def part(self) -> str:
        """The device that it is made for."""
        return self.plan.part


def generate(plan: Plan, folder: str | Path, input_bits: int | None = None, top: str = TOP) -> Core:
    """Write the Verilog core of a plan into `folder`: modules, top `ecg_alq`, tables, `core.json`, `component.xml`.

    Args: input_bits, top: see `hls.core.layout.layout`. Raises: RtlError: what the core does not support.
    """
    parts = layout(plan, top, input_bits)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = []
    for table in parts.tables:
        write_text(folder / table.file, table.text)
        tables.append(folder / table.file)
    top_file = folder / f"{top}.v"
    write_text(top_file, top_text(parts))
    modules = []
    for module in sorted(VERILOG.glob("alq_*")):
        with written_beside(folder / module.name) as beside:
            shutil.copyfile(module, beside)
        modules.append(folder / module.name)
    content = {
        "identity": plan.network.identity,
        "folding": [entry._asdict() for entry in plan.folding.layers],
        "fifos": [buffer._asdict() for buffer in parts.buffers],
        "input_bits": parts.input_bits,
        "output_bits": parts.output_bits,
    }
    write_json(folder / "core.json", content)
    sources = tuple(path for path in modules if path.suffix == ".v")
    said = f"Classifier of ECG windows of {plan.network.input.values} samples; frozen network {plan.network.identity}"
    files = [*modules, top_file, *tables]
    write_text(
        folder / "component.xml",
        component(top, ports_of(parts), files, folder, part=plan.part, description=said),
    )
    return Core(plan, folder, top, (*sources, top_file), tuple(tables), parts.taps, parts.input_bits, parts.output_bits)


def item_lines(item: Wire | Assign | Instance) -> list[str]:
    """Verilog of one item of a layout."""
    if isinstance(item, Wire):
        return [f"  wire {f'[{item.bits - 1}:0] ' if item.bits > 1 else ''}{', '.join(item.names)};"]
    if isinstance(item, Assign):
        return [f"  assign {item.target} = {item.value};"]
    return [
        f"  {item.module} #(",
        ",\n".join(f"      .{key}({value})" for key, value in item.parameters.items()),
        *_for_proofs(item.proof),
        f"  ) {item.name} (",
        ",\n".join(f"      .{key}({value})" for key, value in item.ports.items()),
        *_for_proofs(item.proof_ports),
        "  );",
    ]


def _for_proofs(connected: Mapping[str, str | int]) -> list[str]:
    if not connected:
        return []
    return ["`ifdef FORMAL", *(f"      , .{key}({value})" for key, value in connected.items()), "`endif"]


def _progress(parts: Layout) -> list[str]:
    """While a value waits anywhere and a logit would be taken, something moves soon (hls/tools/prove.py)."""
    longest = max((len(segment.after) for segment in parts.plan.segments), default=0)
    return [
        "`ifdef FORMAL",
        "  alq_progress #(",
        f"      .EVENTS({len(parts.events)}), .LAYERS({len(parts.stalls)}), .PATIENCE({PATIENCE + longest})",
        "  ) progress (",
        "      .clk(aclk),",
        "      .reset(reset),",
        f"      .willing(m_axis_tready && ({' || '.join(parts.offers)})),",
        f"      .events({{{', '.join(parts.events)}}}),",
        f"      .stalls({{{', '.join(parts.stalls)}}})",
        "  );",
        "`endif",
    ]


def _pins(parts: Layout) -> list[str]:
    """Declarations of the top's ports."""
    return [
        "input wire aclk",
        "input wire aresetn",
        f"input wire [{parts.input_bits - 1}:0] s_axis_tdata",
        "input wire s_axis_tvalid",
        "output wire s_axis_tready",
        "input wire s_axis_tlast",
        f"output wire [{parts.output_bits - 1}:0] m_axis_tdata",
        "output wire m_axis_tvalid",
        "input wire m_axis_tready",
        "output wire m_axis_tlast",
        *AXI_LITE,
    ]


def ports_of(parts: Layout) -> list[Port]:
    """The pins of a core's top."""
    found = []
    for pin in _pins(parts):
        words = pin.split()
        bits = int(words[2][1:].split(":")[0]) + 1 if len(words) == 4 else 1
        found.append(Port(words[-1], words[0] == "output", bits))
    return found


def top_text(parts: Layout) -> str:
    """Verilog of the top module."""
    taps = parts.taps
    lines = [
        f"// Generated from the frozen network {parts.plan.network.identity}; do not edit.",
        "`default_nettype none",
        f"module {parts.top} (",
        ",\n".join(f"    {pin}" for pin in _pins(parts)),
        "`ifdef ALQ_TAPS  // every stream between layers, for comparison with the golden model",
        f"    , output wire [{len(taps) - 1}:0] tap_valid",
    ]
    lines += [f"    , output wire [{one.bits * one.beats.lanes - 1}:0] tap_{one.name}" for one in taps]
    lines += ["`endif", ");", "  reg reset;", "  always @(posedge aclk) reset <= !aresetn;"]
    # registers begin as anything: before its first reset a core promises nothing
    lines += ["`ifdef FORMAL", "  initial reset = 1'b1;", "`endif"]
    lines += ["`ifdef ALQ_TAPS"]
    lines.append(f"  assign tap_valid = {{{', '.join(f'{one.name}_valid' for one in reversed(taps))}}};")
    lines += [f"  assign tap_{one.name} = {one.name}_data;" for one in taps]
    lines.append("`endif")
    moves = [port for item in parts.items if isinstance(item, Instance) for port in item.proof_ports.values()]
    if moves:
        lines += ["`ifdef FORMAL", f"  wire {', '.join(moves)};", "`endif"]
    lines += [*(line for item in parts.items for line in item_lines(item)), *_progress(parts), "endmodule"]
    lines += ["`default_nettype wire", ""]
    return "\n".join(lines)
