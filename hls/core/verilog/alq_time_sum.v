// Sum over all time steps of a frame, one running sum per channel in a ring of registers, BEATS beats per time step.
`default_nettype none
module alq_time_sum #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0,
    parameter integer LANES = 1,
    parameter integer BEATS = 8,
    parameter integer TIMES = 8,
    parameter integer OUTPUT_BITS = 7
`ifdef FORMAL
    , parameter integer TAKES = 64  // beats of a frame, as the network says
    , parameter integer GIVES = 8
`endif
) (
    input wire clk,
    input wire reset,
    input wire in_valid,
    input wire [LANES*BITS-1:0] in_data,
    output reg out_valid,
    output reg [LANES*OUTPUT_BITS-1:0] out_data
);
`include "alq_functions.vh"
  localparam BEAT_BITS = width_of(BEATS);
  localparam integer LAST_BEAT = BEATS - 1;
  localparam TIME_BITS = width_of(TIMES);
  localparam integer LAST_TIME = TIMES - 1;
  localparam MORE = OUTPUT_BITS - BITS;

  reg [BEAT_BITS-1:0] beat;
  reg [TIME_BITS-1:0] times;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  wire first_time = times == 0;
  wire last_time = times == LAST_TIME[TIME_BITS-1:0];
  wire [LANES*OUTPUT_BITS-1:0] sums;
  always @(posedge clk) begin
    if (reset) begin
      beat  <= 0;
      times <= 0;
    end else if (in_valid) begin
      beat <= last_beat ? {BEAT_BITS{1'b0}} : beat + 1'b1;
      if (last_beat) times <= last_time ? {TIME_BITS{1'b0}} : times + 1'b1;
    end
    out_valid <= in_valid && last_time && !reset;
    out_data  <= sums;
  end

  genvar lane;
  generate
    if (MORE < 0) begin : refused
      alq_time_sum_OUTPUT_BITS_must_hold_BITS error ();
    end
    for (lane = 0; lane < LANES; lane = lane + 1) begin : channel
      reg [BEATS*OUTPUT_BITS-1:0] held;
      wire [OUTPUT_BITS-1:0] past = held[(BEATS-1)*OUTPUT_BITS+:OUTPUT_BITS] & {OUTPUT_BITS{!first_time}};
      wire [BITS-1:0] value = in_data[lane*BITS+:BITS];
      wire [OUTPUT_BITS-1:0] wide;
      if (MORE > 0) begin : extended
        assign wide = {{MORE{SIGNED != 0 && value[BITS-1]}}, value};
      end else begin : same
        assign wide = value;
      end
      wire [OUTPUT_BITS-1:0] sum = past + wide;
      wire [BEATS*OUTPUT_BITS-1:0] moved;
      assign moved[OUTPUT_BITS-1:0] = sum;
      if (BEATS > 1) begin : older
        assign moved[BEATS*OUTPUT_BITS-1:OUTPUT_BITS] = held[(BEATS-1)*OUTPUT_BITS-1:0];
      end
      always @(posedge clk) if (in_valid) held <= moved;
      assign sums[lane*OUTPUT_BITS+:OUTPUT_BITS] = sum;
    end
  endgenerate
`ifdef FORMAL
  localparam PROOF_BITS = width_of(TAKES + GIVES + 2);
  reg [PROOF_BITS-1:0] taken, given;
  reg due;
  wire give = in_valid && last_time;
  wire ending = give && last_beat;
  always @(posedge clk) begin
    due <= give && !reset;
    if (reset || ending) begin
      taken <= 0;
      given <= 0;
    end else begin
      taken <= taken + in_valid;
      given <= given + give;
    end
  end
  always @* if (!reset) begin
    whole_frames : assert (!ending || (taken + 1 == TAKES && given + 1 == GIVES));
    beats_as_planned : assert (out_valid == due);
    // what the proofs rest on
    counted : assert (taken == times * BEATS + beat && beat < BEATS && times < TIMES && given == (last_time ? beat : 0));
  end
`endif
endmodule
`default_nettype wire
