// Whole time steps: the channels of a stream side by side in their order, APPEND zeros behind each, extended to VALUE_BITS.
//
// A time step arrives as BEATS beats of LANES values; ORDER says, beat by beat and lane by lane, which channel a value is
// (16 bits each, 16'hffff: none). The step stands until it is taken; the next one enters from that cycle on.
`default_nettype none
module alq_collect #(
    parameter integer BITS = 8,
    parameter integer SIGNED = 0,
    parameter integer LANES = 1,
    parameter integer BEATS = 1,
    parameter integer CHANNELS = 1,
    parameter [16*BEATS*LANES-1:0] ORDER = 0,
    parameter integer APPEND = 0,
    parameter integer VALUE_BITS = 8
) (
    input wire clk,
    input wire reset,
    input wire valid,
    input wire [LANES*BITS-1:0] data,
    output wire ready,
    output reg full,
    input wire take,
    output wire [CHANNELS*VALUE_BITS-1:0] values
);
`include "alq_functions.vh"
  localparam BEAT_BITS = width_of(BEATS);
  localparam integer LAST_BEAT = BEATS - 1;
  localparam WIDE = VALUE_BITS + BITS;
  reg [BEAT_BITS-1:0] beat;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  assign ready = !full || take;
  wire enter = valid && ready;
  always @(posedge clk)
    if (reset) begin
      beat <= 0;
      full <= 1'b0;
    end else begin
      if (take) full <= 1'b0;
      if (enter) begin
        beat <= last_beat ? {BEAT_BITS{1'b0}} : beat + 1'b1;
        if (last_beat) full <= 1'b1;
      end
    end
  genvar place;
  generate
    for (place = 0; place < BEATS * LANES; place = place + 1) begin : slot
      if (ORDER[16*place+:16] != 16'hffff) begin : channel
        localparam integer BEAT = place / LANES;
        reg [BITS-1:0] held;
        always @(posedge clk) if (enter && beat == BEAT[BEAT_BITS-1:0]) held <= data[(place%LANES)*BITS+:BITS];
        wire [WIDE-1:0] wide = {{VALUE_BITS{SIGNED != 0 && held[BITS-1]}}, held};
        wire [WIDE-1:0] scaled = wide << APPEND;
        wire unused = &{1'b0, scaled};  // copies of the sign
        assign values[ORDER[16*place+:16]*VALUE_BITS+:VALUE_BITS] = scaled[VALUE_BITS-1:0];
      end
    end
  endgenerate
`ifdef FORMAL
  reg [BEAT_BITS:0] taken;  // beats of the time step that is collected
  always @(posedge clk)
    if (reset) taken <= 0;
    else taken <= taken + enter - (take ? BEATS : 0);
  always @* if (!reset) begin
    whole_steps : assert (!take || (full && taken == BEATS));
    never_stuck : assert (full || !valid || ready);
    // what the proofs rest on
    counted : assert (full ? taken == BEATS && beat == 0 : taken == beat && beat < BEATS);
  end
`endif
endmodule
`default_nettype wire
