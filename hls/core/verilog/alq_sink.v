// AXI4-Stream output: one logit per beat, sign-extended to TDATA_BITS, TLAST with the last of the VALUES of a frame.
`default_nettype none
module alq_sink #(
    parameter integer BITS = 20,
    parameter integer SIGNED = 1,
    parameter integer VALUES = 17,
    parameter integer TDATA_BITS = 32
`ifdef FORMAL
    , parameter integer TAKES = 17  // values of a frame, as the network says
`endif
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
  localparam integer LAST = VALUES - 1;
  reg [COUNT_BITS-1:0] count;
  assign m_axis_tvalid = valid;
  assign ready = m_axis_tready;
  assign m_axis_tlast = count == LAST[COUNT_BITS-1:0];
  assign ends = m_axis_tvalid && m_axis_tready && m_axis_tlast;
  generate
    if (TDATA_BITS < BITS) begin : refused
      alq_sink_TDATA_BITS_must_hold_BITS error ();
    end
    if (TDATA_BITS > BITS) begin : extended
      assign m_axis_tdata = {{(TDATA_BITS - BITS) {SIGNED != 0 && data[BITS-1]}}, data};
    end else begin : same
      assign m_axis_tdata = data;
    end
  endgenerate
  always @(posedge clk)
    if (reset) count <= 0;
    else if (m_axis_tvalid && m_axis_tready) count <= m_axis_tlast ? {COUNT_BITS{1'b0}} : count + 1'b1;
`ifdef FORMAL
  reg waits, last_before;
  reg [1:0] ends_before;  // lowest and highest bit: the bits between are treated as these
  reg [COUNT_BITS-1:0] given;  // values of this frame
  always @(posedge clk) begin
    waits <= m_axis_tvalid && !m_axis_tready && !reset;
    last_before <= m_axis_tlast;
    ends_before <= {m_axis_tdata[TDATA_BITS-1], m_axis_tdata[0]};
    if (reset) given <= 0;
    else if (m_axis_tvalid && m_axis_tready) given <= m_axis_tlast ? 0 : given + 1;
  end
  always @* if (!reset) begin
    valid_does_not_wait_for_ready : assert (m_axis_tvalid == valid);
    valid_holds : assert (m_axis_tvalid || !waits);
    data_holds : assert ({m_axis_tdata[TDATA_BITS-1], m_axis_tdata[0]} == ends_before || !waits);
    last_holds : assert (m_axis_tlast == last_before || !waits);
    last_ends_a_frame : assert (m_axis_tlast == (given == TAKES - 1));
    counted : assert (given == count && given < TAKES);
  end
`endif
endmodule
`default_nettype wire
