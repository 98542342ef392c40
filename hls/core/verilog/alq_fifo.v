// First-in first-out buffer between two layers. The side that writes has no way to wait: it watches `room`, which
// falls MARGIN words before the end, so that everything already in its pipeline still fits.
`default_nettype none
module alq_fifo #(
    parameter WIDTH = 8,
    parameter DEPTH = 32,  // a power of two
    parameter MARGIN = 1
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
      room <= used < DEPTH - MARGIN;
    end
`ifndef SYNTHESIS
    if (reset) armed <= 1'b1;
    if (armed && !reset && write && used == DEPTH) begin
      $display("ASSERTION FAILED %m: FIFO overflow");
      $stop;
    end
`endif
  end
endmodule
`default_nettype wire
