// The channels of a whole time step one after the other.
`default_nettype none
module alq_serialise #(
    parameter integer BITS = 8,
    parameter integer CHANNELS = 2
) (
    input wire clk,
    input wire reset,
    input wire full,
    input wire [CHANNELS*BITS-1:0] values,
    output wire take,
    output wire valid,
    output wire [BITS-1:0] data,
    input wire ready
);
`include "alq_functions.vh"
  localparam COUNT_BITS = width_of(CHANNELS);
  localparam integer LAST = CHANNELS - 1;
  reg [COUNT_BITS-1:0] channel;
  wire last = channel == LAST[COUNT_BITS-1:0];
  assign valid = full;
  assign data = values[channel*BITS+:BITS];
  assign take = full && ready && last;
  always @(posedge clk)
    if (reset) channel <= 0;
    else if (full && ready) channel <= last ? {COUNT_BITS{1'b0}} : channel + 1'b1;
`ifdef FORMAL
  reg waits;
  reg [COUNT_BITS-1:0] given;  // channels of this time step
  always @(posedge clk) begin
    waits <= valid && !ready && !reset;
    if (reset) given <= 0;
    else if (valid && ready) given <= take ? 0 : given + 1;
  end
  always @* if (!reset) begin
    valid_holds : assert (valid || !waits);
    whole_steps : assert (!take || (valid && ready && given == CHANNELS - 1));
    counted : assert (given == channel && channel < CHANNELS);
  end
`endif
endmodule
`default_nettype wire
