"""The kernels for Bambu, the open HLS compiler of the PandA framework: arrays instead of streams, native integers.

A second judge beside the vendor's tools, for whoever has it installed; see the documentation for what it accepts.
Source: Ferrandi et al., "Bambu: an open-source research framework for the high-level synthesis of complex
applications", DAC 2021.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from hls.convert import TOP, golden_frames
from hls.extension import KERNELS
from hls.folding import LayerFolding
from hls.synthesis import SynthesisError
from hls.tables import cpp_tables, engine_tables
from hls.templates import planes_config, pool_config
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool, PlaneLayer, Stage

DEVICE = "xc7z020-1clg484-VVD"  # Bambu's characterisation of the Zynq 7020
LOG = "bambu.log"
FRAMES = 2  # golden frames of the testbench; RTL simulation is slow

HEADER = """#ifndef ECG_ALQ_H_
#define ECG_ALQ_H_

#include <cstdint>

typedef {sample} sample_t;
typedef {logit} logit_t;

static const unsigned n_samples = {samples};
static const unsigned n_logits = {logits};

void ecg_alq(sample_t samples[n_samples], logit_t logits[n_logits]);

#endif
"""

SOURCE = """#include "ecg_alq.h"
#include "alq_planes.h"
#include "alq_pooling.h"

// Frozen network {identity}
{tables}
{configs}
#pragma HLS interface port = samples mode = array
#pragma HLS interface port = logits mode = array
void ecg_alq(sample_t samples[n_samples], logit_t logits[n_logits]) {{
{arrays}
{calls}
}}
"""


def native(form: Format) -> str:
    """Smallest signed native C++ integer that holds every value of a format."""
    bits = form.bits + (not form.signed)
    return next(f"std::int{size}_t" for size in (8, 16, 32, 64) if bits <= size)


def write(network: FrozenNetwork, folder: str | os.PathLike) -> Path:
    """Write the array-interface C++ of a network, its golden vectors and testbench.

    Returns: the folder. Raises: FileExistsError: there is something at `folder` already.
    """
    folder = Path(folder).absolute()
    if folder.exists():
        raise FileExistsError(f"{folder} exists already: choose another folder or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        built = Path(beside) / folder.name
        built.mkdir()
        for name in ("alq_planes.h", "alq_pooling.h", "alq_requantise.h"):
            lines = (KERNELS / name).read_text().splitlines(keepends=True)
            # Bambu unrolls and pipelines by itself and stops at some of the vendor's pragmas.
            (built / name).write_text("".join(line for line in lines if not line.lstrip().startswith("#pragma HLS")))
        for path in (KERNELS / "bambu").iterdir():
            shutil.copyfile(path, built / path.name)
        last = network.stages[-1]
        (built / f"{TOP}.h").write_text(
            HEADER.format(
                sample=native(network.input_format),
                logit=native(last.output_format),
                samples=network.input_length,
                logits=last.output_length * last.output_channels,
            )
        )
        (built / f"{TOP}.cpp").write_text(_source(network))
        (built / "vectors.h").write_text(_vectors(network))
        os.replace(built, folder)
    return folder


def _source(network: FrozenNetwork) -> str:
    tables, configs, arrays, calls = [], [], [], []
    source = "samples"
    source_type = "sample_t"
    for index, stage in enumerate(network.stages):
        final = index == len(network.stages) - 1
        target = "logits" if final else f"{stage.name}_out"
        target_type = "logit_t" if final else native(stage.output_format)
        if not final:
            arrays.append(f"    static {target_type} {target}[{stage.output_length * stage.output_channels}];")
        function, arguments = _stage(index, stage, tables, configs)
        types = f"{source_type}, {target_type}, config{index}"
        calls.append(f"    alq::{function}<{types}>({', '.join([source, target, *arguments])});")
        source, source_type = target, target_type
    return SOURCE.format(
        identity=network.identity,
        tables="".join(tables),
        configs="".join(configs),
        arrays="\n".join(arrays),
        calls="\n".join(calls),
    )


def _stage(index: int, stage: Stage, tables: list[str], configs: list[str]) -> tuple[str, list[str]]:
    """Function and further arguments of a stage; its tables and configuration are appended to the lists."""
    if not isinstance(stage.layer, PlaneLayer):
        configs.append(pool_config(index, stage))
        return ("max_pool" if isinstance(stage.layer, MaxPool) else "time_sum"), []
    folding = LayerFolding(1, stage.layer.group_size)  # a loop over planes; Bambu decides what runs side by side
    engines = engine_tables(stage.layer, folding)
    configs.append(planes_config(index, stage, folding, engines))
    arguments = []
    for name, table in cpp_tables(engines).items():
        dimensions = "".join(f"[{size}]" for size in table.values.shape)
        tables.append(
            f"static const {table.type_name} {stage.name}_{name}{dimensions} = {{{', '.join(table.texts)}}};\n"
        )
        arguments.append(f"{stage.name}_{name}")
    return "plane_convolution", arguments


def _vectors(network: FrozenNetwork) -> str:
    x = golden_frames(network, FRAMES)

    def table(rows: np.ndarray) -> str:
        return "{" + ",\n".join("{" + ", ".join(map(str, row)) + "}" for row in rows.tolist()) + "}"

    return (
        f"static const unsigned n_frames = {FRAMES};\n"
        f"static const sample_t golden_samples[n_frames][n_samples] = {table(x)};\n"
        f"static const logit_t golden_logits[n_frames][n_logits] = {table(network.run(x))};\n"
    )


def command(clock_mhz: float = 100.0) -> list[str]:
    """Command line that synthesises and simulates a written folder, run inside it."""
    return [
        "bambu", f"{TOP}.cpp", f"--top-fname={TOP}", "--generate-interface=INFER", f"--device-name={DEVICE}",
        f"--clock-period={1000 / clock_mhz:g}", "--std=c++14", "-O3", "--generate-tb=testbench.cpp", "--simulate",
    ]  # fmt: skip


def synthesise(folder: str | os.PathLike, clock_mhz: float = 100.0) -> str:
    """Run Bambu on a written folder: synthesis, and simulation of the Verilog against the golden vectors.

    Returns: what it prints, also in `bambu.log`. Raises: SynthesisError: not installed, or it failed.
    """
    folder, line = Path(folder), command(clock_mhz)
    if shutil.which(line[0]) is None:
        raise SynthesisError(
            "Bambu is not installed (no `bambu` on the PATH): get its AppImage from https://panda.dei.polimi.it, call "
            f"it bambu and put it on the PATH; or copy {folder} to a machine that has it and run `{' '.join(line)}` "
            "there"
        )
    with (folder / LOG).open("w") as log:
        result = subprocess.run(line, cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=False)
    output = (folder / LOG).read_text()
    if result.returncode != 0:
        raise SynthesisError(f"bambu ended with code {result.returncode}; see {folder / LOG}\n{output[-500:]}")
    return output
