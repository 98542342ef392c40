"""Modules on their own: requantisation over all inputs, adders of a technology proved, the language level kept."""

import re
from pathlib import Path

import numpy as np
import pytest

from hls.area import DEVICES
from hls.core.generate import VERILOG, generate
from hls.folding import smallest
from hls.plan import Plan
from hls.process import ToolError, run
from hls.tools.yosys import run_script
from qmodel.fixed_point import Format, requantise
from qmodel.frozen import INPUT, Activation, AveragePool, Concatenate, FrozenNetwork, MaxPool, TimeSum
from tests.hls.core.many import random_folding
from tests.strategies import random_plane_layer

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


CELLS = {
    "LUT6_2": """module LUT6_2 #(parameter [63:0] INIT = 0) (
  input wire I0, input wire I1, input wire I2, input wire I3, input wire I4, input wire I5,
  output wire O5, output wire O6);
  assign {O6, O5} = {INIT[{I5, I4, I3, I2, I1, I0}], INIT[{1'b0, I4, I3, I2, I1, I0}]};
endmodule
""",
    "CARRY4": """module CARRY4 (
  input wire CI, input wire CYINIT, input wire [3:0] DI, input wire [3:0] S,
  output wire [3:0] CO, output wire [3:0] O);
  assign {CO, O} = {DI & {4{CI}}, S ^ {4{CYINIT}}};
endmodule
""",
}  # stand-ins for the cells that a technology's modules name: pins and widths alone
TECHNOLOGY = {"xc7z020": "xc7", "ecp5-85k": "ecp5"}


@pytest.fixture(scope="module")
def linted(ecg_network, ecg_folding, tmp_path_factory):
    """Cores in which every module stands: name of the top, folder, files, with the modules of either technology."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("linted")
    form, output = Format(5, 2, True), Format(4, 1, False)
    one, other = (random_plane_layer(rng, 1, 2, 3, output=output) for _ in range(2))
    last = random_plane_layer(rng, 3, 2, 1, grouping="kernelwise", output=None)
    pools = MaxPool(3, 2, (1, 0)), AveragePool(3, 2, (0, 1))
    parts = (one, Activation(output), AveragePool(3, 1), *pools, Concatenate(), TimeSum(), last)
    sources = ((INPUT,), (INPUT,), (1,), (0,), (2,), (3, 4), (5,), (6,))
    graphs = [
        FrozenNetwork(10, form, parts, sources=sources),
        FrozenNetwork(8, form, (one, other, Concatenate()), sources=((INPUT,), (INPUT,), (0, 1))),
    ]
    plans = [Plan.of(graph, random_folding(graph, rng), list(DEVICES)[at % 2]) for at, graph in enumerate(graphs)]
    plans += [Plan.of(ecg_network, one, part) for one, part in zip((ecg_folding, smallest(ecg_network)), DEVICES)]
    cells = [folder / f"{name}.v" for name in CELLS]
    for path in cells:
        path.write_text(CELLS[path.stem])
    designs = []
    for number, plan in enumerate(plans):
        core = generate(plan, folder / str(number), input_bits=16)
        own = {path.name: path for path in (VERILOG / TECHNOLOGY[plan.part]).glob("alq_[am]*.v")}
        files = [own.get(path.name, path) for path in core.sources]
        designs.append((core.top, core.folder, [*files, *(cells if "alq_add3.v" in own else [])]))
    serial = generate(Plan.of(ecg_network, ecg_folding), folder / "serial")
    return [*designs, ("alq_serial", serial.folder, [*serial.sources, *sorted((VERILOG / "serial").glob("*.v"))])]


def slang(top, folder, files):
    """Errors and warnings of slang, conversions of width among them; of sign alone, a bit pattern stays what it is."""
    driver = pytest.importorskip("pyslang.driver")
    run = driver.Driver()
    run.addStandardArgs()
    options = ["-Wextra", "-Wconversion", "-Wno-sign-conversion", "-Werror", "--single-unit", "-I", folder]
    line = " ".join(map(str, ["slang", "--top", top, *options, *files]))
    read = run.parseCommandLine(line, driver.CommandLineOptions()) and run.processOptions() and run.parseAllSources()
    run.reportCompilation(run.createCompilation(), True)
    return read and run.reportDiagnostics(True)


def test_two_linters_find_nothing(verilator, linted):
    """Verilator with -Wall, as Verilog-2001, and slang: no exceptions but the one that `slang` names."""
    program, environment = verilator
    tops = ""
    for top, folder, files in linted:
        taps = [] if top == "alq_serial" else ["-DALQ_TAPS"]
        argv = [program, "--lint-only", "--language", "1364-2001", "-Wall", "--top-module", top, *taps]
        log = run([*argv, *map(str, files)], folder, "lint.log", 600, environment).read_text()
        assert "%Warning" not in log, log
        assert slang(top, folder, files), [top, *files]
        tops += (folder / "ecg_alq.v").read_text()
    used = set(re.findall(r"^  (alq_\w+) #", tops, re.MULTILINE))
    parts = ("pad", "layer", "pool", "time_sum", "activation", "collect", "join", "fifo", "serialise", "registers")
    assert used >= {f"alq_{part}" for part in parts}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("{BITS{1'b0}} : first;", "{(BITS + 1) {1'b0}} : first;"), ("assign take = have", "assign take = halve")],
)
def test_either_linter_sees_a_fault(verilator, linted, tmp_path, right, wrong):
    program, environment = verilator
    top, folder, files = linted[-2]
    text = next(path for path in files if path.name == "alq_source.v").read_text()
    assert right in text
    (tmp_path / "alq_source.v").write_text(text.replace(right, wrong))
    files = [tmp_path / path.name if path.name == "alq_source.v" else path for path in files]
    assert not slang(top, folder, files)
    argv = [program, "--lint-only", "--language", "1364-2001", "-Wall", "--top-module", top, f"-I{folder}"]
    with pytest.raises(ToolError):
        run([*argv, *map(str, files)], tmp_path, "lint.log", 600, environment)


ILLEGAL = {
    "alq_fifo_DEPTH_must_be_a_power_of_two": ("alq_fifo", {"DEPTH": 24}),
    "alq_fifo_MARGIN_must_be_1_to_DEPTH_minus_1": ("alq_fifo", {"DEPTH": 16, "MARGIN": 16}),
    "alq_registers_FRAMES_must_be_a_power_of_two": ("alq_registers", {"FRAMES": 12}),
    "alq_adder_tree_LEVELS_must_be_the_smallest_that_adds_up_NUMBER": ("alq_adder_tree", {"NUMBER": 9, "LEVELS": 3}),
    "alq_ring_WORD_must_divide_CHANNELS": ("alq_ring", {"WORD": 2, "CHANNELS": 5}),
    "alq_pool_RINGS_must_be_SIZE_by_STRIDE_rounded_up": ("alq_pool", {"SIZE": 5, "STRIDE": 2, "RINGS": 2}),
    "alq_word_select_INDEX_must_count_WORDS": ("alq_word_select", {"WORDS": 5, "INDEX": 2}),
    "alq_sink_TDATA_BITS_must_hold_BITS": ("alq_sink", {"BITS": 40, "TDATA_BITS": 32}),
    "alq_source_TDATA_BITS_must_hold_BITS": ("alq_source", {"BITS": 12, "TDATA_BITS": 8}),
    "alq_time_sum_OUTPUT_BITS_must_hold_BITS": ("alq_time_sum", {"BITS": 9, "OUTPUT_BITS": 8}),
    "alq_window_SLOTS_must_add_up_to_CHANNELS": ("alq_window", {"CHANNELS": 2}),
    "alq_window_LAST_must_not_come_before_TIMES_or_FIRST": ("alq_window", {"TIMES": 20}),
    "alq_ring_LAST_must_not_come_before_TIMES_or_FIRST": ("alq_ring", {"FIRST": 16}),
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
