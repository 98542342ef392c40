"""Several cores in one simulator: a top that connects the streams to the core that a plusarg names."""

import dataclasses

from hls.core import generate
from hls.folding import Folding, LayerFolding, legal_engines, legal_lanes
from hls.plan import Plan

INPUT_BITS = 16
PORTS = (
    ("s_axis_tdata", 16, "in"),
    ("s_axis_tvalid", 1, "in"),
    ("s_axis_tready", 1, "out"),
    ("s_axis_tlast", 1, "in"),
    ("m_axis_tdata", 32, "out"),
    ("m_axis_tvalid", 1, "out"),
    ("m_axis_tready", 1, "in"),
    ("m_axis_tlast", 1, "out"),
    ("s_axi_awaddr", 12, "in"),
    ("s_axi_awprot", 3, "in"),
    ("s_axi_awvalid", 1, "in"),
    ("s_axi_awready", 1, "out"),
    ("s_axi_wdata", 32, "in"),
    ("s_axi_wstrb", 4, "in"),
    ("s_axi_wvalid", 1, "in"),
    ("s_axi_wready", 1, "out"),
    ("s_axi_bresp", 2, "out"),
    ("s_axi_bvalid", 1, "out"),
    ("s_axi_bready", 1, "in"),
    ("s_axi_araddr", 12, "in"),
    ("s_axi_arprot", 3, "in"),
    ("s_axi_arvalid", 1, "in"),
    ("s_axi_arready", 1, "out"),
    ("s_axi_rdata", 32, "out"),
    ("s_axi_rresp", 2, "out"),
    ("s_axi_rvalid", 1, "out"),
    ("s_axi_rready", 1, "in"),
)


def random_folding(network, rng):
    """Legal engines and lanes for every layer, small and large alike."""
    stages = network.plane_stages
    return Folding(
        tuple(
            LayerFolding(
                int(rng.choice(legal_engines(stage.layer, stage is stages[-1]))),
                int(rng.choice(legal_lanes(stage.layer))),
            )
            for stage in stages
        )
    )


def join(networks, foldings, folder, dsp_budgets, parts):
    """Generate one core per network and a top `many` around them; returns cores that `play` takes, and the sources."""
    cores = [
        generate(Plan.of(n, f, part, budget), folder, input_bits=INPUT_BITS, top=f"core_{i}")
        for i, (n, f, budget, part) in enumerate(zip(networks, foldings, dsp_budgets, parts))
    ]
    lines = ["module many (input wire aclk, input wire aresetn"]
    for name, bits, way in PORTS:
        lines.append(f", {'input' if way == 'in' else 'output'} wire [{bits - 1}:0] {name}")
    lines += [");", "integer chosen;", 'initial if (!$value$plusargs("core=%d", chosen)) chosen = 0;']
    for index, core in enumerate(cores):
        connections = [".aclk(aclk)", ".aresetn(aresetn)"]
        for name, bits, way in PORTS:
            own = f"{name}_{index}"
            lines.append(f"wire [{bits - 1}:0] {own};")
            if way == "in":
                gate = f" && chosen == {index}" if name.endswith("valid") else ""
                lines.append(f"assign {own} = {name}{gate};")
            connections.append(f".{name}({own})")
        lines.append(f"{core.top} core_{index} ({', '.join(connections)});")
    for name, _, way in PORTS:
        if way == "out":
            chain = "0"
            for index in range(len(cores)):
                chain = f"chosen == {index} ? {name}_{index} : {chain}"
            lines.append(f"assign {name} = {chain};")
    lines.append("endmodule")
    top = folder / "many.v"
    top.write_text("\n".join(lines) + "\n")
    modules = [source for source in cores[0].sources if source.name.startswith("alq_")]
    sources = [*modules, *(core.sources[-1] for core in cores), top]
    tables = tuple(table for core in cores for table in core.tables)
    return [dataclasses.replace(core, top="many", tables=tables) for core in cores], sources
