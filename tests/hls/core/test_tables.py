"""Every bit of every table: flipping one that means something changes the output, flipping a filler changes nothing."""

import re

import numpy as np
import pytest

from hls.core import generate
from hls.folding import Folding, LayerFolding
from hls.plan import Plan
from hls.process import run
from qmodel.fixed_point import Format
from qmodel.frozen import FrozenNetwork, MaxPool
from tests.strategies import random_inputs, random_plane_layer

WINDOWS, PATIENCE = 24, 400  # frames at most per flipped bit; cycles in which a frame must be done

# Flips every bit of the tables in turn, sends frames until a logit differs from the golden one, and flips it back.
BENCH = """
module bench;
  reg clk = 0, resetn = 0, valid = 0;
  always #2 clk = !clk;
  reg [7:0] samples[0:{samples}*{windows}-1];
  reg [31:0] golden[0:{logits}*{windows}-1];
  reg [7:0] sample;
  wire ready, out_valid, last;
  wire [31:0] logit;
  ecg_alq core (
      .aclk(clk), .aresetn(resetn), .s_axis_tdata(sample), .s_axis_tvalid(valid), .s_axis_tready(ready),
      .s_axis_tlast(sent == {samples} - 1), .m_axis_tdata(logit), .m_axis_tvalid(out_valid), .m_axis_tready(1'b1),
      .m_axis_tlast(last), .s_axi_awvalid(1'b0), .s_axi_wvalid(1'b0), .s_axi_bready(1'b1), .s_axi_arvalid(1'b0),
      .s_axi_rready(1'b1));
  integer window, sent, came, cycle, at, place;
  reg differs, taken;
  task frames;
    begin
      differs = 0;
      valid = 0;
      resetn = 0;
      repeat (8) @(negedge clk);
      resetn = 1;
      for (window = 0; window < {windows} && !differs; window = window + 1) begin
        sent = 0; came = 0; cycle = 0;
        while ((sent < {samples} || came < {logits}) && !differs) begin
          sample = samples[window*{samples}+sent];
          valid = sent < {samples};
          #1;  // after the falling edge, before the rising one
          if (out_valid) begin
            if (came == {logits} || logit !== golden[window*{logits}+came]) differs = 1;
            came = came + 1;
          end
          taken = valid && ready;
          cycle = cycle + 1;
          if (cycle == {patience}) differs = 1;
          #3;
          if (taken) sent = sent + 1;
        end
      end
    end
  endtask
  initial begin
    $readmemh("samples.hex", samples);
    $readmemh("golden.hex", golden);
    sent = 0;
    frames;
    $display("whole %0d", differs);
{flips}
    $finish;
  end
endmodule
"""
FLIPS = """    for (at = 0; at < {words}; at = at + 1)
      for (place = 0; place < {width}; place = place + 1) begin
        {table}[at][place] = !{table}[at][place];
        frames;
        $display("{name} %0d %0d %0d", at, place, differs);
        {table}[at][place] = !{table}[at][place];
      end"""


@pytest.fixture(scope="module")
def network():
    """Filters of two planes and one, so that engines wait, and in the last layer none; several chunks, one not full.

    Few bits are dropped, few activations saturate and every filter has an odd coordinate, so that every change is seen.
    """
    rng = np.random.default_rng(2440)
    first = random_plane_layer(rng, 1, 3, 4, padding=(1, 2), coordinate_bits=4, coordinate_fraction=2,
                               max_planes=2, output=Format(8, 2, False))  # fmt: skip
    second = random_plane_layer(rng, 3, 2, 8, coordinate_bits=4, max_planes=2, output=None)
    return FrozenNetwork(16, Format(8, 4, True), (first, MaxPool(2, 2), second))


@pytest.fixture(scope="module")
def folding():
    return Folding((LayerFolding(3, 2), LayerFolding(1, 5)))


def live_bits(plan, bias_bits):
    """Bits that mean something: (table, word, bit) of signs, coordinates, biases, first and last planes."""
    layer, walks, count = plan.layer, plan.walks, plan.chunks
    coordinate_bits = layer.coordinate_format.bits
    live = set()
    for visit in range(max(map(len, walks))):
        live.add(("program", visit, 0))
        for engine, walk in enumerate(walks):
            if visit >= len(walk):
                continue  # an engine that waits for the busiest one
            _, plane, first, _ = walk[visit]
            if plane is not None:
                for weight in range(layer.group_size):
                    chunk, lane = divmod(weight, plan.folding.lanes)
                    live.add(("signs", visit * count + chunk, engine * plan.folding.lanes + lane))
            base = 1 + engine * (bias_bits + coordinate_bits + 1)
            meant = range(0 if first else bias_bits, bias_bits + coordinate_bits + 1)
            live |= {("program", visit, base + place) for place in meant}
    return live


def accumulator_bits(core, name):
    text = core.sources[-1].read_text()
    return int(re.findall(r"ACCUMULATOR_BITS\((\d+)\)", text[: text.index(f") {name} (")])[-1])


def hexadecimal(values, digits):
    return "".join(f"{int(value) & (1 << 4 * digits) - 1:0{digits}x}\n" for value in values)


def test_every_bit_of_every_table(network, folding, verilator, tmp_path):
    core = generate(Plan.of(network, folding), tmp_path)
    windows = random_inputs(network, np.random.default_rng(2), WINDOWS)
    golden = network.run(windows)
    (tmp_path / "samples.hex").write_text(hexadecimal(windows.reshape(-1), 2))
    (tmp_path / "golden.hex").write_text(hexadecimal(golden.reshape(-1), 8))
    flips, expected = [], set()
    for plan in core.plan.layers:
        stage = plan.stage
        live = live_bits(plan, accumulator_bits(core, stage.name))
        for kind in ("signs", "program"):
            words = (tmp_path / f"{core.top}_{stage.name}_{kind}.hex").read_text().split()
            table = f"core.{stage.name}.{'sign' if kind == 'signs' else kind}_table.tables.words"
            width = 4 * len(words[0])
            flips.append(FLIPS.format(words=len(words), width=width, table=table, name=f"{stage.name}_{kind}"))
        expected |= {(f"{stage.name}_{kind}", word, bit) for kind, word, bit in live}
    sizes = {"samples": network.input_length, "logits": golden.shape[1], "windows": WINDOWS, "patience": PATIENCE}
    text = BENCH
    for key, value in (sizes | {"flips": "\n".join(flips)}).items():
        text = text.replace(f"{{{key}}}", str(value))
    (tmp_path / "bench.v").write_text(text)
    program, environment = verilator
    argv = [program, "--binary", "--top-module", "bench", "-Wno-fatal", "-Wno-lint", "-DSYNTHESIS", "--Mdir", "build"]
    argv += ["-CFLAGS", "-std=c++20", *map(str, core.sources), "bench.v"]
    run(argv, tmp_path, "build.log", 600, environment)
    log = run([str(tmp_path / "build" / "Vbench")], tmp_path, "run.log", 600)
    lines = [line.split() for line in log.read_text().splitlines()]
    assert ["whole", "0"] in lines  # unchanged tables give the golden logits
    seen = {
        (name, int(word), int(bit)) for name, word, bit, differs in (x for x in lines if len(x) == 4) if differs == "1"
    }
    assert seen == expected
