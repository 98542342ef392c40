// AXI4-Stream input: frames of SAMPLES samples, the last one marked by TLAST.
//
// Every frame that enters, right or wrong, becomes exactly one frame of SAMPLES samples inside: a frame that ends too
// early is filled up with zeros, what exceeds a frame is dropped up to its TLAST. Either raises an error for one cycle.
`default_nettype none
module alq_source #(
    parameter integer BITS = 8,
    parameter integer SAMPLES = 16,
    parameter integer TDATA_BITS = 8
`ifdef FORMAL
    , parameter integer GIVES = 16  // samples of a frame, as the network says
`endif
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
  localparam integer LAST = SAMPLES - 1;
  generate
    if (TDATA_BITS < BITS) begin : refused
      alq_source_TDATA_BITS_must_hold_BITS error ();
    end
    if (TDATA_BITS > BITS) begin : wide
      wire unused = &{1'b0, s_axis_tdata[TDATA_BITS-1:BITS]};
    end
  endgenerate
  // Two registers between the pins and the core: TREADY is a register, so the core's timing ends here.
  reg [BITS-1:0] first, second;
  reg first_last, second_last, first_full, second_full;
  wire have = first_full;
  wire take;
  assign s_axis_tready = !second_full && !reset;
  wire enter = s_axis_tvalid && s_axis_tready;
  always @(posedge clk) begin
    if (take || !first_full) begin
      first <= second_full ? second : s_axis_tdata[BITS-1:0];
      first_last <= second_full ? second_last : s_axis_tlast;
    end
    if (enter) begin
      second <= s_axis_tdata[BITS-1:0];
      second_last <= s_axis_tlast;
    end
    if (reset) begin
      first_full  <= 1'b0;
      second_full <= 1'b0;
    end else if (take || !first_full) begin
      first_full  <= second_full || enter;
      second_full <= 1'b0;
    end else if (enter) second_full <= 1'b1;
  end

  reg [COUNT_BITS-1:0] count;
  reg filling, dropping;
  wire last = count == LAST[COUNT_BITS-1:0];
  wire step = valid && ready;
  assign valid = filling || (have && !dropping);
  assign data = filling ? {BITS{1'b0}} : first;
  assign take = have && !filling && (dropping || ready);
  assign begins = step && count == 0;
  always @(posedge clk)
    if (reset) begin
      count <= 0;
      filling <= 1'b0;
      dropping <= 1'b0;
      too_short <= 1'b0;
      too_long <= 1'b0;
    end else begin
      too_short <= step && !filling && !last && first_last;
      too_long  <= step && !filling && last && !first_last;
      if (step) begin
        count <= last ? {COUNT_BITS{1'b0}} : count + 1'b1;
        if (last) filling <= 1'b0;
        else if (first_last && !filling) filling <= 1'b1;
        if (last && !filling && !first_last) dropping <= 1'b1;
      end
      if (dropping && have && first_last) dropping <= 1'b0;
    end
`ifdef FORMAL
  reg waits, outside;  // a sample stood inside and was not taken; the last sample from outside did not end its frame
  reg [1:0] inside;  // samples between the pins and the frames
  reg [COUNT_BITS:0] given;  // samples of this frame, counted by themselves
  wire fresh = take && !outside;  // first sample of a frame from outside
  always @(posedge clk) begin
    waits <= valid && !ready && !reset;
    if (reset) begin
      outside <= 1'b0;
      inside <= 0;
      given <= 0;
    end else begin
      if (take) outside <= !first_last;
      inside <= inside + enter - take;
      if (step) given <= begins ? 1 : given + 1;
    end
  end
  always @* if (!reset) begin
    valid_holds : assert (valid || !waits);
    no_sample_lost : assert (inside == first_full + second_full && !(take && inside == 0) && !(enter && inside == 2));
    one_frame_inside_for_one_outside : assert (begins == fresh);
    whole_frames : assert (!step || (begins ? given == 0 || given == GIVES : given != 0 && given < GIVES));
    flags : assert (!(filling && dropping) && (second_full <= first_full));
    inside_and_outside_agree : assert (dropping ? outside && count == 0 : outside == (count != 0 && !filling));
    filling_is_inside : assert (!filling || count != 0);
    counted : assert (count < GIVES && (given == count || (count == 0 && given == GIVES)));
  end
`endif
endmodule
`default_nettype wire
