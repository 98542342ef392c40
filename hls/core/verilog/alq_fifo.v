// First-in first-out buffer between two layers. The side that writes has no way to wait: it watches `room`, which
// falls MARGIN words before the end, so that everything already in its pipeline still fits.
`default_nettype none
module alq_fifo #(
    parameter integer WIDTH = 8,
    parameter integer DEPTH = 32,  // a power of two
    parameter integer MARGIN = 1
) (
    input wire clk,
    input wire reset,
    input wire write,
    input wire [WIDTH-1:0] write_data,
    output reg room,
    output wire valid,
    output wire [WIDTH-1:0] data,
    input wire ready
);
`include "alq_functions.vh"
  localparam ADDRESS = width_of(DEPTH);
  localparam integer ALL = DEPTH;
  localparam integer ENOUGH = DEPTH - MARGIN;
  generate
    if (DEPTH < 2 || (DEPTH & (DEPTH - 1)) != 0) begin : refused_depth
      alq_fifo_DEPTH_must_be_a_power_of_two error ();
    end
    if (MARGIN < 1 || MARGIN >= DEPTH) begin : refused_margin
      alq_fifo_MARGIN_must_be_1_to_DEPTH_minus_1 error ();
    end
  endgenerate
  (* ram_style = "distributed" *) reg [WIDTH-1:0] words[0:DEPTH-1];
  reg [ADDRESS-1:0] head, tail;
  reg [ADDRESS:0] used;
  wire read = valid && ready;
`ifndef SYNTHESIS
  reg armed;  // before the first reset registers hold anything
  initial armed = 1'b0;
`endif
  assign valid = used != 0;
  assign data = words[head];
  always @(posedge clk) begin
    if (write) words[tail] <= write_data;
    if (reset) begin
      head <= 0;
      tail <= 0;
      used <= 0;
      room <= 1'b0;
    end else begin
      if (write) tail <= tail + 1'b1;
      if (read) head <= head + 1'b1;
      if (write != read) used <= write ? used + 1'b1 : used - 1'b1;
      room <= used < ENOUGH[ADDRESS:0];
    end
`ifndef SYNTHESIS
    if (reset) armed <= 1'b1;
    if (armed && !reset && write && used == ALL[ADDRESS:0]) begin
      $display("ASSERTION FAILED %m: FIFO overflow");
      $stop;
    end
`endif
  end
`ifdef FORMAL
  reg waits;  // a word stood at the output and was not taken
  reg [ADDRESS-1:0] head_before;
  always @(posedge clk) begin
    waits <= valid && !ready && !reset;
    head_before <= head;
  end
  always @* if (!reset) begin
    never_overflows : assert (!(write && used == DEPTH));
    valid_holds : assert (valid || !waits);
    data_holds : assert (!waits || head == head_before);
    no_word_kept_back : assert (valid == (used != 0));
    nothing_written_over : assert (!(write && valid && tail == head));
    // what the proofs rest on
    pointers_agree : assert (used <= DEPTH && tail == head + used[ADDRESS-1:0]);
  end
`endif
endmodule
`default_nettype wire
