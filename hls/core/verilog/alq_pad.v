// A pool's padding: LEFT time steps of VALUE before every frame, RIGHT behind it. Nothing enters meanwhile.
`default_nettype none
module alq_pad #(
    parameter integer BITS = 8,
    parameter integer LANES = 1,
    parameter integer BEATS = 1,
    parameter integer TIMES = 8,  // time steps of a frame
    parameter integer LEFT = 1,
    parameter integer RIGHT = 1,
    parameter [BITS-1:0] VALUE = 0
`ifdef FORMAL
    , parameter integer TAKES = 8  // beats of a frame, as the network says
    , parameter integer GIVES = 10
`endif
) (
    input wire clk,
    input wire reset,
    input wire valid,
    input wire [LANES*BITS-1:0] data,
    output wire ready,
    input wire room,
    output wire out_valid,
    output wire [LANES*BITS-1:0] out_data
);
`include "alq_functions.vh"
  localparam BEAT_BITS = width_of(BEATS);
  localparam integer LAST_BEAT = BEATS - 1;
  localparam TIME_BITS = width_of(LEFT + TIMES + RIGHT);
  localparam integer BEGIN = LEFT;
  localparam integer LENGTH = TIMES;
  localparam integer LAST_TIME = LEFT + TIMES + RIGHT - 1;
  reg [BEAT_BITS-1:0] beat;
  reg [TIME_BITS-1:0] times;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  wire [TIME_BITS:0] since = {1'b0, times} - BEGIN[TIME_BITS:0];  // the frame's first time step; before it very large
  wire of_frame = since < LENGTH[TIME_BITS:0];
  assign ready = room && of_frame && !reset;
  assign out_valid = room && (valid || !of_frame) && !reset;
  assign out_data = of_frame ? data : {LANES{VALUE}};
  always @(posedge clk)
    if (reset) begin
      beat  <= 0;
      times <= 0;
    end else if (out_valid) begin
      beat <= last_beat ? {BEAT_BITS{1'b0}} : beat + 1'b1;
      if (last_beat) times <= times == LAST_TIME[TIME_BITS-1:0] ? {TIME_BITS{1'b0}} : times + 1'b1;
    end
`ifdef FORMAL
  localparam PROOF_BITS = width_of(TAKES + GIVES + 2);
  reg [PROOF_BITS-1:0] taken, given;
  wire take = valid && ready;
  wire ending = out_valid && given == GIVES - 1;
  always @(posedge clk)
    if (reset || ending) begin
      taken <= 0;
      given <= 0;
    end else begin
      taken <= taken + take;
      given <= given + out_valid;
    end
  always @* if (!reset) begin
    whole_frames : assert (!ending || (taken + take == TAKES && times == LEFT + TIMES + RIGHT - 1 && last_beat));
    never_stuck : assert (!room || !valid || out_valid);
    // what the proofs rest on
    counted : assert (given == times * BEATS + beat && beat < BEATS && times < LEFT + TIMES + RIGHT);
    inside : assert (taken == (times < LEFT ? 0 : times < LEFT + TIMES ? given - LEFT * BEATS : TIMES * BEATS));
  end
`endif
endmodule
`default_nettype wire
