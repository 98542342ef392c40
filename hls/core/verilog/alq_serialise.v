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
  reg [COUNT_BITS-1:0] channel;
  wire last = channel == CHANNELS - 1;
  assign valid = full;
  assign data = values[channel*BITS+:BITS];
  assign take = full && ready && last;
  always @(posedge clk)
    if (reset) channel <= 0;
    else if (full && ready) channel <= last ? {COUNT_BITS{1'b0}} : channel + 1'b1;
endmodule
`default_nettype wire
