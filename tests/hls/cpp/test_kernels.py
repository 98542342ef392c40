"""The kernels as hardware sees them: the branch that synthesis compiles, and pragmas where Vitis HLS takes them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from hls.cpp.convert import convert
from hls.cpp.extension import KERNELS
from tests.hls.projects import small_network

COMPILERS = [name for name in ("g++", "clang++", "clang++-19") if shutil.which(name)]
# hls4ml's headers of ap_int and hls::stream stand in for the tools' own: they come first, without __SYNTHESIS__, which
# they do not know; from there on the sources are what synthesis sees.
UNIT = """#include "ap_axi_sdata.h"
#include "ap_fixed.h"
#include "ap_int.h"
#include "hls_stream.h"
#define __SYNTHESIS__ 1
{more}
#include "firmware/alq_network.cpp"
#include "firmware/ecg_alq.cpp"
"""
# Where AMD's guide UG1399 (HLS Pragmas) places each: in a function's body, in a loop's body, or behind the variable
# that it names; and the options that it knows.
PLACES = {
    "INLINE": ("function", set()),
    "DATAFLOW": ("function", set()),
    "INTERFACE": ("function", {"axis", "ap_ctrl_none", "port"}),
    "PIPELINE": ("loop", {"II"}),
    "UNROLL": ("loop", {"factor"}),
    "LOOP_TRIPCOUNT": ("loop", {"min", "max"}),
    "ARRAY_PARTITION": ("variable", {"variable", "complete", "cyclic", "block", "dim", "factor"}),
    "ARRAY_RESHAPE": ("variable", {"variable", "complete", "cyclic", "block", "dim", "factor"}),
    "STREAM": ("variable", {"variable", "depth"}),
    "BIND_STORAGE": ("variable", {"variable", "type", "impl"}),
    "DEPENDENCE": ("variable", {"variable", "inter", "intra", "false"}),
}


@pytest.mark.parametrize("tool", ["Vitis", "Vivado"])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_branch_of_synthesis_compiles(tmp_path, compiler, tool):
    project = convert(small_network(), tmp_path / "project", backend=tool)
    unit = project / "synthesis.cpp"
    unit.write_text(UNIT.format(more="#define __VITIS_HLS__ 1" if tool == "Vitis" else ""))
    command = [compiler, "-std=c++14" if tool == "Vitis" else "-std=c++11", "-fsyntax-only", "-Wall", "-Werror"]
    command += ["-Wno-unknown-pragmas", "-Wno-unused-label", "-Wno-uninitialized"]
    command += ["-isystem", str(project / "firmware" / "ap_types"), "-I", str(project / "simulation")]
    command += ["-I", str(project / "firmware"), "-I", str(project), str(unit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[:2000]


@pytest.mark.parametrize(("define", "packed"), [("", True), ("#define __VITIS_HLS__ 1", False)])
def test_vivado_hls_is_told_to_pack_the_beats(tmp_path, define, packed):
    """Without DATA_PACK it makes a stream of every member of a struct."""
    project = convert(small_network(), tmp_path / "project", backend="Vivado" if packed else "Vitis")
    unit = project / "synthesis.cpp"
    unit.write_text(UNIT.format(more=define))
    command = [
        "g++",
        "-E",
        "-P",
        "-I",
        str(project / "firmware"),
        "-I",
        str(project),
        "-I",
        str(project / "simulation"),
    ]
    command += ["-isystem", str(project / "firmware" / "ap_types"), str(unit)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = set(re.findall(r"#pragma HLS DATA_PACK variable = (\w+)", text))
    assert found == ({"beat", "out"} if packed else set())


@pytest.mark.parametrize("header", sorted(path.name for path in KERNELS.glob("*.h")))
def test_pragmas_stand_where_the_guide_places_them(header):
    lines = (KERNELS / header).read_text().splitlines()
    for number, line in enumerate(lines):
        match = re.match(r"\s*#pragma HLS (\w+)(.*)", line)
        if match is None:
            continue
        where = f"{header}, line {number + 1}: {line.strip()}"
        kind, options = match[1].upper(), match[2]
        assert kind in PLACES, where
        place, known = PLACES[kind]
        named = set(re.findall(r"(\w+)\s*=|\b([a-z]\w+)\b(?!\s*=)", re.sub(r"=\s*[\w.:]+", "=", options)))
        assert {a or b for a, b in named} <= known, where
        # the statement before it, other pragmas and preprocessor lines left out
        before = [text for text in lines[:number] if text.strip() and not text.lstrip().startswith(("#", "//"))]
        if place == "variable":
            variable = re.search(r"variable\s*=\s*(\w+)", options)[1]
            body = "\n".join(before).rpartition("\ntemplate ")[2]  # of the same function, its arguments included
            assert re.search(rf"\b{variable}\b", body), where
        else:
            opening = before[-1]
            assert opening.rstrip().endswith("{"), where
            loop = re.search(r"\b(for|while)\s*\(", "\n".join(before[-3:]).rsplit(";\n", 1)[-1]) is not None
            assert loop == (place == "loop"), where


def test_no_stream_bears_the_name_of_a_verilog_keyword(tmp_path):
    project = convert(small_network(), tmp_path / "project")
    keywords = {"input", "output", "inout", "reg", "wire", "module", "signed", "table", "time", "event", "buf", "begin"}
    for path in (project / "firmware").glob("*.cpp"):
        names = re.findall(r"hls::stream<\w+>\s*&?\s*(\w+)", path.read_text())
        assert not keywords & set(names), path.name
