// Where branches meet: when every source has a whole time step, all are taken at once. With one term the sources stand
// side by side (concatenation); with as many terms as sources their channels are added up. The widths hold every sum.
`default_nettype none
module alq_join #(
    parameter integer SOURCES = 2,
    parameter integer TERMS = 2,  // of every sum
    parameter integer CHANNELS = 1,  // that leave
    parameter integer BITS = 8
) (
    input wire clk,
    input wire reset,
    input wire [SOURCES-1:0] full,
    input wire [TERMS*CHANNELS*BITS-1:0] values,
    input wire room,
    output wire take,
    output reg out_valid,
    output reg [CHANNELS*BITS-1:0] out_data
);
  assign take = &full && room;
  integer channel, term;
  reg [CHANNELS*BITS-1:0] sums;
  always @* begin
    sums = 0;
    for (channel = 0; channel < CHANNELS; channel = channel + 1)
      for (term = 0; term < TERMS; term = term + 1)
        sums[channel*BITS+:BITS] = sums[channel*BITS+:BITS] + values[(term*CHANNELS+channel)*BITS+:BITS];
  end
  always @(posedge clk) begin
    out_valid <= take && !reset;
    out_data  <= sums;
  end
`ifdef FORMAL
  reg due;
  always @(posedge clk) due <= take && !reset;
  always @* if (!reset) begin
    all_together : assert (!take || &full);
    beats_as_planned : assert (out_valid == due);
  end
`endif
endmodule
`default_nettype wire
