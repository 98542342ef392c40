"""From a frozen network to an HLS project: hls4ml's graph and writer, our layers, AXI4-Stream top and testbench."""

from __future__ import annotations

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from hls4ml.model.graph import ModelGraph
from hls4ml.writer import get_writer

from hls.cpp.extension import BACKENDS, KERNELS, register
from hls.cpp.graph import project_plan, stage_attributes
from hls.fifos import SMALLEST, fifo_depths
from hls.folding import Folding
from hls.plan import Plan
from qmodel.errors import InputError
from qmodel.files import folder_beside, json_with, sealed, sha256
from qmodel.fixed_point import transfer_bits
from qmodel.frozen import FrozenNetwork

NETWORK_FUNCTION = "alq_network"  # what hls4ml writes
TOP = "ecg_alq"  # the AXI4-Stream core around it
IO_TYPES = ("io_stream", "io_parallel")
MAX_PARALLEL_VALUES = 4096  # of one stage: what Vitis HLS partitions into registers
GOLDEN_FRAMES = 4

TOP_HEADER = """#ifndef ECG_ALQ_H_
#define ECG_ALQ_H_

#include "ap_axi_sdata.h"
#include "defines.h"
#include "hls_stream.h"

// One transfer per sample and per logit: two's complement integers, sign-extended; TLAST ends a frame.
// sample = value * 2**{input_fraction}, logit = value * 2**{output_fraction}.
typedef ap_axis<{sample_bits}, {sideband}, {sideband}, {sideband}> sample_axis;
typedef ap_axis<{logit_bits}, {sideband}, {sideband}, {sideband}> logit_axis;

static const unsigned n_samples = {samples}; // per frame
static const unsigned n_logits = {logits};

void ecg_alq(hls::stream<sample_axis> &samples, hls::stream<logit_axis> &logits);

#endif
"""

TOP_SOURCE = """#include "ecg_alq.h"
#include "alq_network.h"
#include "nnet_utils/alq_axis.h"

// Frozen network {identity}
void ecg_alq(hls::stream<sample_axis> &samples, hls::stream<logit_axis> &logits) {{
    #pragma HLS INTERFACE axis port=samples
    #pragma HLS INTERFACE axis port=logits
    // No start signal: the core runs whenever samples arrive.
    #pragma HLS INTERFACE ap_ctrl_none port=return
    // All stages at once: the next frame enters while the last one is still on its way.
    #pragma HLS DATAFLOW
{declarations}
    alq::read_frame<n_samples>(samples, beats_in);
    alq_network(beats_in, beats_out);
    alq::write_frame<n_logits, {output_signed}>(beats_out, logits);
}}
"""

STREAM_DECLARATIONS = """    hls::stream<input_t> beats_in("beats_in");
    #pragma HLS STREAM variable=beats_in depth={input_depth}
    hls::stream<result_t> beats_out("beats_out");
    #pragma HLS STREAM variable=beats_out depth={output_depth}
"""

ARRAY_DECLARATIONS = """    input_t beats_in[n_samples];
    #pragma HLS ARRAY_PARTITION variable=beats_in complete
    result_t beats_out[n_logits];
    #pragma HLS ARRAY_PARTITION variable=beats_out complete
"""

BUILD_SCRIPT = """# C simulation, synthesis, co-simulation and export of the core.
#   {command}
# The environment variable ECG_ALQ_STEPS names the steps: any of csim csynth cosim export; without it, csim csynth.
cd [file dirname [file normalize [info script]]]
set steps {{csim csynth}}
if {{[info exists ::env(ECG_ALQ_STEPS)]}} {{ set steps $::env(ECG_ALQ_STEPS) }}

open_project -reset {top}_prj
set_top {top}
add_files firmware/{network}.cpp -cflags "-std={standard} -Ifirmware"
add_files firmware/{top}.cpp -cflags "-std={standard} -Ifirmware"
add_files -tb {top}_test.cpp -cflags "-std={standard} -Ifirmware"
add_files -tb tb_data
open_solution -reset solution1
set_part {part}
create_clock -period {period} -name default
# Whole time steps lie in registers: {partition} values is the widest array of these kernels.
catch {{ config_array_partition -maximum_size {partition} }}
config_compile -name_max_length 80

if {{[lsearch $steps csim] >= 0}} {{ csim_design }}
if {{[lsearch $steps csynth] >= 0}} {{ csynth_design }}
if {{[lsearch $steps cosim] >= 0}} {{ cosim_design }}
if {{[lsearch $steps export] >= 0}} {{ export_design -format ip_catalog -display_name "{top}" -version "1.0" }}
exit
"""


VIVADO_SCRIPT = """# Places and routes the core alone (out of context), after csynth, and reports resources and timing.
#   vivado -mode batch -source vivado.tcl
cd [file dirname [file normalize [info script]]]
# The folder, not its *.v: the tables of the ROMs lie beside them as *.dat, and without one a ROM would hold zeros.
set_msg_config -id {{Synth 8-4445}} -new_severity ERROR
add_files {top}_prj/solution1/syn/verilog
foreach script [glob -nocomplain {top}_prj/solution1/syn/verilog/*.tcl] {{ source $script }}
set clock [open vivado_clock.xdc w]
puts $clock "create_clock -period {period} -name ap_clk \\[get_ports ap_clk\\]"
close $clock
read_xdc -mode out_of_context vivado_clock.xdc
synth_design -top {top} -part {part} -mode out_of_context
opt_design
place_design
route_design
report_utilization -file vivado_utilization.rpt
report_timing_summary -file vivado_timing.rpt
exit
"""


class ConversionError(InputError):
    """A network or an option that cannot become a project; the message says what can."""


def graph(
    plan: Plan,
    folder: str | os.PathLike,
    part: str,
    clock_mhz: float,
    backend: str,
    io_type: str,
) -> ModelGraph:
    """hls4ml's graph of a frozen network, every format exact; `folder` is where hls4ml would write it."""
    register()
    source = plan.network.input_format
    input_precision = f"{'' if source.signed else 'u'}fixed<{source.bits},{source.bits - source.fraction}>"
    config = {
        "OutputDir": str(folder),
        "ProjectName": NETWORK_FUNCTION,
        "Backend": backend,
        "Part": part,
        "ClockPeriod": 1000 / clock_mhz,
        "IOType": io_type,
        "HLSConfig": {"Model": {"Precision": input_precision, "ReuseFactor": 1}},
        "WriterConfig": {"Namespace": None, "WriteWeightsTxt": False, "WriteTar": False, "TBOutputStream": "both"},
    }
    layers = [{"class_name": "Input", "name": "samples", "input_shape": list(plan.network.input[:2])}]
    layers += stage_attributes(plan, "samples")
    return ModelGraph.from_layer_list(config, layers)


def golden_frames(network: FrozenNetwork, frames: int = GOLDEN_FRAMES) -> np.ndarray:
    """Input frames that every project carries: extremes, then noise over the whole range (seeded by the identity)."""
    low, high = network.input_format.low, network.input_format.high
    rng = np.random.default_rng(int(network.identity[:16], 16))
    x = rng.integers(low, high + 1, (frames, network.input.values))
    x[0] = rng.choice([low, high], network.input.values)
    return x


def convert(
    network: FrozenNetwork,
    folder: str | os.PathLike,
    folding: Folding | None = None,
    part: str = "xc7z020clg400-1",
    clock_mhz: float = 100.0,
    backend: str = "Vitis",
    io_type: str = "io_stream",
) -> Path:
    """Write the HLS project of a frozen network; an old project at `folder` is replaced at the very end.

    Args: folding: engines and lanes of every plane layer, default `default_folding(network, part)`; part: device with
        package and speed grade; backend: Vitis (2022.1 and later) or Vivado; io_type: io_stream, or io_parallel for
        small networks.
    Returns: the folder. Raises: ConversionError: an option or network outside these rules; FoldingError: a folding that
        does not fit the network; FileExistsError: the folder holds something else.
    """
    if backend not in BACKENDS:
        raise ConversionError(f"backend must be one of {list(BACKENDS)}, received {backend!r}")
    if io_type not in IO_TYPES:
        raise ConversionError(f"io_type must be one of {list(IO_TYPES)}, received {io_type!r}")
    if not 1 <= clock_mhz <= 1000:
        raise ConversionError(f"clock_mhz must lie in 1 to 1000, received {clock_mhz}")
    plan = project_plan(network, folding, part)
    if io_type == "io_parallel":
        _check_parallel(network)
    folder = Path(folder).absolute()
    with folder_beside(folder, json_with("manifest.json", "identity", "io_type"), "an HLS project") as built:
        _write(plan, built, part, clock_mhz, backend, io_type)
    return folder


def _check_parallel(network: FrozenNetwork) -> None:
    if not network.is_chain:
        raise ConversionError("io_parallel takes chains, and this network has branches: use io_stream")
    values = max(network.input.values, *(stage.output.values for stage in network.stages))
    if values > MAX_PARALLEL_VALUES:
        raise ConversionError(
            f"io_parallel keeps every stage in registers, at most {MAX_PARALLEL_VALUES} values, and this network "
            f"has a stage of {values}: use io_stream"
        )


def _write(plan: Plan, folder: Path, part: str, clock_mhz: float, backend: str, io_type: str) -> None:
    network = plan.network
    model = graph(plan, folder, part, clock_mhz, backend, io_type)
    model.apply_flow(f"{backend.lower()}:ip")
    depths = fifo_depths(plan)
    nodes = {node.name: node for node in model.get_layers()}
    in_front = {
        source: depth
        for stage, own in zip(network.stages, depths)
        for source, depth in zip(nodes[stage.name].inputs, own)
    }
    if io_type == "io_stream":
        for node in nodes.values():
            for name in node.outputs:
                node.get_output_variable(name).pragma = ("stream", in_front.get(name, SMALLEST))
    # hls4ml's writer, without what belongs to its own top: ours has another testbench, script and library.
    writer = get_writer(backend)
    writer.write_project_dir(model)
    writer.write_project_cpp(model)
    writer.write_project_header(model)
    writer.write_weights(model)
    writer.write_defines(model)
    writer.write_parameters(model)
    writer.write_nnet_utils(model)
    writer.write_generated_code(model)
    if backend == "Vitis":
        writer.write_nnet_utils_overrides(model)
    firmware = folder / "firmware"
    # Interface pragmas belong to the top; hls4ml writes them into the function that here is called by the top.
    _remove_lines(firmware / f"{NETWORK_FUNCTION}.cpp", "#pragma HLS INTERFACE")
    # Our layers need one of hls4ml's headers; without the others the project is readable and compiles faster.
    _remove_lines(firmware / "parameters.h", '#include "nnet_utils/nnet_')
    for header in (firmware / "nnet_utils").iterdir():
        if header.name != "nnet_types.h" and not header.name.startswith("alq_"):
            header.unlink()

    output = network.stages[-1]
    (firmware / f"{TOP}.h").write_text(
        TOP_HEADER.format(
            input_fraction=-network.input_format.fraction,
            output_fraction=-output.output_format.fraction,
            sample_bits=transfer_bits(network.input_format),
            logit_bits=transfer_bits(output.output_format),
            sideband=0 if backend == "Vitis" else 1,  # Vivado HLS has no empty side channels
            samples=network.input.values,
            logits=output.output_length * output.output_channels,
        )
    )
    streams = STREAM_DECLARATIONS.format(input_depth=in_front.get("samples", SMALLEST), output_depth=SMALLEST)
    declarations = streams if io_type == "io_stream" else ARRAY_DECLARATIONS
    (firmware / f"{TOP}.cpp").write_text(
        TOP_SOURCE.format(
            identity=network.identity,
            declarations=declarations,
            output_signed="true" if output.output_format.signed else "false",
        )
    )
    shutil.copyfile(KERNELS / "simulation" / "testbench.cpp", folder / f"{TOP}_test.cpp")
    simulation = folder / "simulation"
    simulation.mkdir()
    for name in ("library.cpp", "ap_axi_sdata.h"):
        shutil.copyfile(KERNELS / "simulation" / name, simulation / name)
    _write_vectors(network, folder / "tb_data")
    command = "vitis_hls -f build_prj.tcl     (2024.2 and later: vitis-run --mode hls --tcl build_prj.tcl)"
    (folder / "build_prj.tcl").write_text(
        BUILD_SCRIPT.format(
            command=command if backend == "Vitis" else "vivado_hls -f build_prj.tcl",
            standard="c++14" if backend == "Vitis" else "c++0x",
            top=TOP,
            network=NETWORK_FUNCTION,
            part=part,
            period=f"{1000 / clock_mhz:g}",
            partition=MAX_PARALLEL_VALUES,
        )
    )
    (folder / "vivado.tcl").write_text(VIVADO_SCRIPT.format(top=TOP, part=part, period=f"{1000 / clock_mhz:g}"))
    network.save(folder / "network.alq")
    _write_manifest(plan, depths, folder, part, clock_mhz, backend, io_type)


def _remove_lines(path: Path, start: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.lstrip().startswith(start)]
    if len(kept) == len(lines):
        raise RuntimeError(f"hls4ml {version('hls4ml')} wrote no {start!r} into {path.name}: unsupported version")
    path.write_text("".join(kept))


def _write_vectors(network: FrozenNetwork, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    x = golden_frames(network)
    for name, rows in (("samples", x), ("logits", network.run(x))):
        np.savetxt(folder / f"{name}.dat", rows, fmt="%d")


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a checkout that nobody installed
        return "not installed"


def _write_manifest(
    plan: Plan, depths: list[tuple[int, ...]], folder: Path, part: str, clock_mhz: float, backend: str, io_type: str
) -> None:
    network = plan.network
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    first, last = network.input_format, network.stages[-1]
    manifest = {
        "identity": network.identity,
        "top": TOP,
        "part": part,
        "clock_mhz": clock_mhz,
        "backend": backend,
        "io_type": io_type,
        "folding": {layer.stage.name: layer.folding._asdict() for layer in plan.layers},
        "fifo_depths": {s.name: own[0] if len(own) == 1 else own for s, own in zip(network.stages, depths)},
        "input": {"transfer_bits": transfer_bits(first), "length": network.input.values, **first._asdict()},
        "output": {
            "transfer_bits": transfer_bits(last.output_format),
            "length": last.output_length * last.output_channels,
            **last.output_format._asdict(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in ("ecg-alq", "hls4ml", "numpy")},
        },
        "files": {p.relative_to(folder).as_posix(): sha256(p) for p in files},
    }
    (folder / "manifest.json").write_text(json.dumps(sealed(manifest), indent=2) + "\n")
