// A writer that issues a beat whenever it may and writes it LATENCY cycles later, and a reader that takes what it likes:
// `fits` says that everything written and under way still has a place.
module fifo_proof #(
    parameter DEPTH = 16,
    parameter MARGIN = 6,
    parameter LATENCY = 4
) (
    input clk,
    input want,
    input ready,
    output fits
);
  wire room, valid, data;
  wire [$clog2(DEPTH):0] used;  // the FIFO's own, which the script connects: yosys knows no names across modules
  reg [LATENCY-1:0] under_way;
  wire issue = want && room;
  always @(posedge clk) under_way <= {under_way, issue};
  alq_fifo #(
      .WIDTH (1),
      .DEPTH (DEPTH),
      .MARGIN(MARGIN)
  ) fifo (
      .clk(clk),
      .reset(1'b0),
      .write(under_way[LATENCY-1]),
      .write_data(1'b0),
      .room(room),
      .valid(valid),
      .data(data),
      .ready(ready)
  );
  integer index;
  reg [7:0] beats;
  always @* begin
    beats = used;
    for (index = 0; index < LATENCY; index = index + 1) beats = beats + under_way[index];
  end
  assign fits = beats <= DEPTH;
endmodule
