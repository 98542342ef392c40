// AXI4-Stream output: one logit per beat, sign-extended to TDATA_BITS, TLAST with the last of the VALUES of a frame.
`default_nettype none
module alq_sink #(
    parameter integer BITS = 20,
    parameter integer SIGNED = 1,
    parameter integer VALUES = 17,
    parameter integer TDATA_BITS = 32
) (
    input wire clk,
    input wire reset,
    input wire valid,
    input wire [BITS-1:0] data,
    output wire ready,
    output wire [TDATA_BITS-1:0] m_axis_tdata,
    output wire m_axis_tvalid,
    input wire m_axis_tready,
    output wire m_axis_tlast,
    output wire ends  // the last value of a frame is taken
);
`include "alq_functions.vh"
  localparam COUNT_BITS = width_of(VALUES);
  reg [COUNT_BITS-1:0] count;
  assign m_axis_tvalid = valid;
  assign ready = m_axis_tready;
  assign m_axis_tlast = count == VALUES - 1;
  assign ends = m_axis_tvalid && m_axis_tready && m_axis_tlast;
  generate
    if (TDATA_BITS < BITS) begin : refused
      alq_sink_TDATA_BITS_must_hold_BITS error ();
    end
    if (TDATA_BITS > BITS) begin : extended
      assign m_axis_tdata = {{(TDATA_BITS - BITS) {SIGNED ? data[BITS-1] : 1'b0}}, data};
    end else begin : same
      assign m_axis_tdata = data;
    end
  endgenerate
  always @(posedge clk)
    if (reset) count <= 0;
    else if (m_axis_tvalid && m_axis_tready) count <= m_axis_tlast ? {COUNT_BITS{1'b0}} : count + 1'b1;
endmodule
`default_nettype wire
