// AXI4-Stream input: frames of SAMPLES samples, the last one marked by TLAST.
//
// Every frame that enters, right or wrong, becomes exactly one frame of SAMPLES samples inside: a frame that ends too
// early is filled up with zeros, what exceeds a frame is dropped up to its TLAST. Either raises an error for one cycle.
`default_nettype none
module alq_source #(
    parameter BITS = 8,
    parameter SAMPLES = 16,
    parameter TDATA_BITS = 8
) (
    input wire clk,
    input wire reset,
    input wire [TDATA_BITS-1:0] s_axis_tdata,
    input wire s_axis_tvalid,
    output wire s_axis_tready,
    input wire s_axis_tlast,
    output wire valid,
    output wire [BITS-1:0] data,
    input wire ready,
    output wire begins,  // the first sample of a frame is taken
    output reg too_short,
    output reg too_long
);
`include "alq_functions.vh"
  localparam COUNT_BITS = width_of(SAMPLES);
  reg [COUNT_BITS-1:0] count;
  reg filling, dropping;
  wire last = count == SAMPLES - 1;
  wire step = valid && ready;
  assign valid = filling || (s_axis_tvalid && !dropping);
  assign data = filling ? {BITS{1'b0}} : s_axis_tdata[BITS-1:0];
  assign s_axis_tready = dropping || (ready && !filling);
  assign begins = step && count == 0;
  always @(posedge clk)
    if (reset) begin
      count <= 0;
      filling <= 1'b0;
      dropping <= 1'b0;
      too_short <= 1'b0;
      too_long <= 1'b0;
    end else begin
      too_short <= step && !filling && !last && s_axis_tlast;
      too_long  <= step && !filling && last && !s_axis_tlast;
      if (step) begin
        count <= last ? {COUNT_BITS{1'b0}} : count + 1'b1;
        if (last) filling <= 1'b0;
        else if (s_axis_tlast && !filling) filling <= 1'b1;
        if (last && !filling && !s_axis_tlast) dropping <= 1'b1;
      end
      if (dropping && s_axis_tvalid && s_axis_tlast) dropping <= 1'b0;
    end
endmodule
`default_nettype wire
