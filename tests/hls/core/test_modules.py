"""Modules on their own: requantisation over all inputs, adders of a technology proved, the language level kept."""

import re
from pathlib import Path

import numpy as np
import pytest

from hls.core.generate import VERILOG
from hls.process import ToolError, run
from hls.tools.yosys import run_script
from qmodel.fixed_point import Format, requantise

HERE = Path(__file__).parent
BENCH_BITS = 11
BENCH = ((5, 4), (1, 4), (3, 1), (0, 4), (-2, 8), (12, 6))  # shift, output bits, as in requantise_bench.v


def test_requantisation_equals_golden_for_every_accumulator(verilator, tmp_path):
    program, environment = verilator
    argv = [program, "--binary", "--top-module", "requantise_bench", "-Wno-fatal", "-Wno-lint", "--Mdir", "build"]
    argv += ["-CFLAGS", "-std=c++20"]  # delays are coroutines
    argv += [str(HERE / "requantise_bench.v"), str(VERILOG / "alq_requantise.v")]
    run(argv, tmp_path, "build.log", 600, environment)
    log = run([str(tmp_path / "build" / "Vrequantise_bench")], tmp_path, "run.log", 600)
    lines = [line.split() for line in log.read_text().splitlines() if line[:1] in "-0123456789" and " " in line]
    rows = np.array([line for line in lines if len(line) == 1 + len(BENCH)], np.int64)
    assert len(rows) == 1 << BENCH_BITS
    for column, (shift, bits) in enumerate(BENCH, 1):
        half = 1 << (shift - 1) if shift > 0 else 0
        inside = rows[:, 0] - half >= -(1 << (BENCH_BITS - 1))  # the module receives the accumulator plus one half
        golden = requantise(rows[inside, 0] - half, shift, Format(bits, 0, False))
        assert np.array_equal(rows[inside, column], golden), (shift, bits)


ADDERS = {"xc7": ("alq_add3", "a, b, c", 1), "ecp5": ("alq_add2", "a, b", 0)}  # module, operands, bits of growth - 1


@pytest.mark.parametrize(("bits", "signed"), [(1, 0), (4, 0), (7, 0), (2, 1), (5, 1), (9, 1)])
@pytest.mark.parametrize("technology", ADDERS)
def test_a_technologys_own_adder_equals_the_portable_one(tmp_path, technology, bits, signed):
    pytest.importorskip("pyosys")
    module, operands, growth = ADDERS[technology]
    ports = f"input [{bits - 1}:0] {operands}, output [{bits + growth}:0] sum"
    for name in ("plain", "own"):
        text = f"module {name} ({ports}); {module} #(.BITS({bits}), .SIGNED({signed})) x ({operands}, sum); endmodule\n"
        (tmp_path / f"{name}.v").write_text(text)
    steps = []
    for name, source in (("plain", VERILOG / f"{module}.v"), ("own", VERILOG / technology / f"{module}.v")):
        models = ["read_verilog +/xilinx/cells_sim.v"] if name == "own" else []
        steps += ["design -reset", *models, f"read_verilog -defer {source}", f"read_verilog {name}.v"]
        steps += [f"hierarchy -top {name}", "proc", "flatten", "opt_clean", f"design -stash {name}"]
    steps += [f"design -copy-from {name} -as {name} {name}" for name in ("plain", "own")]
    steps += ["miter -equiv -flatten -make_outputs plain own both", "sat -verify -prove trigger 0 both"]
    log = run_script(steps, tmp_path, "proof")
    assert "SAT proof finished - no model found: SUCCESS!" in log.read_text()


def test_a_wrong_adder_is_refuted(tmp_path):
    pytest.importorskip("pyosys")
    (tmp_path / "two.v").write_text(
        "module right (input [3:0] a, output [3:0] y); assign y = a + 4'd3; endmodule\n"
        "module wrong (input [3:0] a, output [3:0] y); assign y = a | 4'd3; endmodule\n"
    )
    steps = ["read_verilog two.v", "miter -equiv -flatten -make_outputs right wrong both"]
    with pytest.raises(Exception, match="proof did fail"):
        run_script([*steps, "sat -verify -prove trigger 0 both"], tmp_path, "proof")


def prove_fifo(folder, depth, latency, margin):
    """By induction over time, from an empty FIFO: yosys `sat` follows every choice of writer and reader."""
    steps = [f"read_verilog -DSYNTHESIS -I{VERILOG} {VERILOG / 'alq_fifo.v'} {HERE / 'fifo_proof.v'}"]
    steps += [f"chparam -set DEPTH {depth} -set LATENCY {latency} -set MARGIN {margin} fifo_proof"]
    steps += ["hierarchy -top fifo_proof", "proc", "flatten", r"connect -set used \fifo.used", "memory -nordff"]
    steps += ["opt_clean"]
    steps += ["sat -verify -tempinduct -prove fits 1 -set-init-zero -maxsteps 40"]
    return run_script(steps, folder, "proof").read_text()


@pytest.mark.parametrize(("depth", "latency"), [(16, 6), (16, 9), (32, 14)])
def test_a_fifo_never_overflows(tmp_path, depth, latency):
    """The generator's margin is `latency` + 3 for a writer that never pauses; with less than `latency` + 1 it fails."""
    pytest.importorskip("pyosys")
    assert "Induction step proven: SUCCESS!" in prove_fifo(tmp_path, depth, latency, latency + 1)
    with pytest.raises(ToolError, match="proof did fail"):
        prove_fifo(tmp_path, depth, latency, latency)


def test_the_core_keeps_to_verilog_2001(verilator, ecg_core):
    program, environment = verilator
    argv = [program, "--lint-only", "--language", "1364-2001", "-Wall", "--top-module", ecg_core.top]
    # Widths are adjusted by assignment all over, as the language defines it; a parameter may leave a pin unused.
    argv += ["-Wno-WIDTHEXPAND", "-Wno-WIDTHTRUNC", "-Wno-UNUSEDSIGNAL", "-Wno-UNUSEDPARAM", "-Wno-DECLFILENAME"]
    argv += [*map(str, ecg_core.sources)]
    log = run(argv, ecg_core.folder, "lint.log", 600, environment)
    assert "%Warning" not in log.read_text()


ILLEGAL = {
    "alq_fifo_DEPTH_must_be_a_power_of_two": ("alq_fifo", {"DEPTH": 24}),
    "alq_fifo_MARGIN_must_be_1_to_DEPTH_minus_1": ("alq_fifo", {"DEPTH": 16, "MARGIN": 16}),
    "alq_registers_FRAMES_must_be_a_power_of_two": ("alq_registers", {"FRAMES": 12}),
    "alq_adder_tree_LEVELS_must_be_the_smallest_that_adds_up_NUMBER": ("alq_adder_tree", {"NUMBER": 9, "LEVELS": 3}),
    "alq_ring_WORD_must_divide_CHANNELS": ("alq_ring", {"WORD": 2, "CHANNELS": 5}),
    "alq_pool_RINGS_must_be_SIZE_by_STRIDE_rounded_up": ("alq_pool", {"SIZE": 5, "STRIDE": 2, "RINGS": 2}),
    "alq_word_select_INDEX_must_count_WORDS": ("alq_word_select", {"WORDS": 5, "INDEX": 2}),
    "alq_sink_TDATA_BITS_must_hold_BITS": ("alq_sink", {"BITS": 40, "TDATA_BITS": 32}),
}


def elaborate(folder, module, parameters):
    sources = " ".join(str(path) for path in sorted(VERILOG.glob("*.v")))
    steps = [f"read_verilog -defer -DSYNTHESIS -I{VERILOG} {sources}"]
    steps += [f"chparam -set {name} {value} {module}" for name, value in parameters.items()]
    return run_script([*steps, f"hierarchy -check -top {module}"], folder, module)


@pytest.mark.parametrize("message", ILLEGAL)
def test_illegal_parameters_are_refused_before_anything_is_built(tmp_path, message):
    """Verilog-2001 has no $error at elaboration: the rule is the name of a module that there is not."""
    pytest.importorskip("pyosys")
    module, parameters = ILLEGAL[message]
    with pytest.raises(ToolError, match=message):
        elaborate(tmp_path, module, parameters)


def test_the_parameters_by_default_are_legal(tmp_path):
    pytest.importorskip("pyosys")
    for module in {module for module, _ in ILLEGAL.values()}:
        elaborate(tmp_path, module, {})


def test_every_parameter_has_a_type():
    for path in VERILOG.rglob("*.v"):
        for line in path.read_text().splitlines():
            found = re.match(r"\s*parameter (?!integer |\[)(\w+)\s*= (.*)", line)
            assert found is None or found[2].startswith('"'), f"{path.name}: {line.strip()}"
