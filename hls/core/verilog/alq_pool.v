// Maximum or sum over SIZE time steps every STRIDE steps, windows may overlap: each of the RINGS windows open at a time
// keeps its running values of one time step's BEATS beats in a ring of registers (shift-register LUTs on xc7).
`default_nettype none
module alq_pool #(
    parameter integer BITS = 4,
    parameter integer LANES = 1,
    parameter integer BEATS = 8,
    parameter integer SIZE = 2,
    parameter integer STRIDE = 2,
    parameter integer RINGS = 1,  // ceil(SIZE / STRIDE)
    parameter integer TIMES = 8,  // time steps of a frame that enter
    parameter integer SIGNED = 0,
    parameter integer SUM = 0,  // 1: sum, 0: maximum
    parameter integer OUTPUT_BITS = 4  // a maximum's are the input's
`ifdef FORMAL
    , parameter integer TAKES = 64  // beats of a frame, as the network says
    , parameter integer GIVES = 32
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
  localparam PERIOD = RINGS * STRIDE;
  generate
    if (PERIOD < SIZE || PERIOD - STRIDE >= SIZE) begin : refused
      alq_pool_RINGS_must_be_SIZE_by_STRIDE_rounded_up error ();
    end
  endgenerate
  localparam PHASE_BITS = width_of(PERIOD > SIZE ? PERIOD : SIZE);
  localparam integer CLOSES = SIZE - 1;  // phase in which a window closes
  localparam integer LAST_PHASE = PERIOD - 1;

  reg [BEAT_BITS-1:0] beat;
  reg [TIME_BITS-1:0] times;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  wire next_time = in_valid && last_beat;
  wire end_of_frame = times == LAST_TIME[TIME_BITS-1:0];
  always @(posedge clk)
    if (reset) begin
      beat  <= 0;
      times <= 0;
    end else if (in_valid) begin
      beat <= last_beat ? {BEAT_BITS{1'b0}} : beat + 1'b1;
      if (last_beat) times <= end_of_frame ? {TIME_BITS{1'b0}} : times + 1'b1;
    end

  wire [RINGS-1:0] closing;
  wire [RINGS*LANES*OUTPUT_BITS-1:0] results;
  genvar ring, lane;
  generate
    for (ring = 0; ring < RINGS; ring = ring + 1) begin : open
      // time steps since this ring's window began; the rings begin STRIDE steps apart, later ones wait for their turn
      localparam integer BEGINS = ring == 0 ? 0 : PERIOD - ring * STRIDE;
      reg [PHASE_BITS-1:0] phase;
      reg waiting;
      wire begins = phase == 0;
      assign closing[ring] = phase == CLOSES[PHASE_BITS-1:0] && !waiting;
      always @(posedge clk)
        if (reset || (next_time && end_of_frame)) begin
          phase   <= BEGINS[PHASE_BITS-1:0];
          waiting <= ring != 0;
        end else if (next_time) begin
          phase <= phase == LAST_PHASE[PHASE_BITS-1:0] ? {PHASE_BITS{1'b0}} : phase + 1'b1;
          if (phase == LAST_PHASE[PHASE_BITS-1:0]) waiting <= 1'b0;
        end
      for (lane = 0; lane < LANES; lane = lane + 1) begin : channel
        wire [BITS-1:0] entering = in_data[lane*BITS+:BITS];
        wire [OUTPUT_BITS-1:0] value;
        wire [BITS-1:0] unused;
        assign {unused, value} = {{OUTPUT_BITS{SIGNED != 0 && entering[BITS-1]}}, entering};
        reg [BEATS*OUTPUT_BITS-1:0] held;
        wire [OUTPUT_BITS-1:0] oldest = held[(BEATS-1)*OUTPUT_BITS+:OUTPUT_BITS];
        wire larger = SIGNED != 0 ? $signed(value) > $signed(oldest) : value > oldest;
        wire [OUTPUT_BITS-1:0] result = begins ? value : SUM != 0 ? oldest + value : larger ? value : oldest;
        wire [BEATS*OUTPUT_BITS-1:0] moved;
        assign moved[OUTPUT_BITS-1:0] = result;
        if (BEATS > 1) begin : older
          assign moved[BEATS*OUTPUT_BITS-1:OUTPUT_BITS] = held[(BEATS-1)*OUTPUT_BITS-1:0];
        end
        always @(posedge clk) if (in_valid) held <= moved;
        assign results[(ring*LANES+lane)*OUTPUT_BITS+:OUTPUT_BITS] = result;
      end
    end
  endgenerate

  integer each;
  reg [LANES*OUTPUT_BITS-1:0] chosen;
  always @* begin
    chosen = 0;
    for (each = 0; each < RINGS; each = each + 1)
      chosen = chosen | (closing[each] ? results[each*LANES*OUTPUT_BITS+:LANES*OUTPUT_BITS] : {(LANES * OUTPUT_BITS) {1'b0}});
  end
  always @(posedge clk) begin
    out_valid <= in_valid && |closing && !reset;
    out_data  <= chosen;
  end
`ifdef FORMAL
  // Ring r closes windows that begin r * STRIDE + n * PERIOD time steps after the frame.
  localparam PROOF_BITS = width_of(TAKES + GIVES + 2);
  reg [PROOF_BITS-1:0] taken, given;
  wire ending = next_time && end_of_frame;
  wire give = in_valid && |closing;
  always @(posedge clk)
    if (reset || ending) begin
      taken <= 0;
      given <= 0;
    end else begin
      taken <= taken + in_valid;
      given <= given + give;
    end
  wire [PROOF_BITS*(RINGS+1)-1:0] closed;  // windows closed by the rings before
  assign closed[0+:PROOF_BITS] = 0;
  wire [RINGS-1:0] in_step;
  generate
    for (ring = 0; ring < RINGS; ring = ring + 1) begin : proof
      wire [PHASE_BITS-1:0] phase = open[ring].phase;
      wire waiting = open[ring].waiting;
      reg [PROOF_BITS-1:0] turn;  // n
      always @(posedge clk)
        if (reset || ending) turn <= 0;
        else if (next_time && phase == PERIOD - 1 && !waiting) turn <= turn + 1;
      assign closed[PROOF_BITS*(ring+1)+:PROOF_BITS] = closed[PROOF_BITS*ring+:PROOF_BITS] + (waiting ? 0 : turn + (phase >= SIZE));
      assign in_step[ring] = phase < PERIOD && (waiting ? phase + ring * STRIDE == times + PERIOD && turn == 0 :
                                                times == ring * STRIDE + turn * PERIOD + phase);
    end
  endgenerate
  reg due;
  always @(posedge clk) due <= give && !reset;
  always @* if (!reset) begin
    whole_frames : assert (!ending || (taken + 1 == TAKES && given + give == GIVES));
    one_window_at_a_time : assert ((closing & (closing - 1)) == 0);
    beats_as_planned : assert (out_valid == due);
    // what the proofs rest on
    counted : assert (taken == times * BEATS + beat && beat < BEATS && times < TIMES);
    rings_in_step : assert (&in_step);
    windows_counted : assert (given == closed[PROOF_BITS*RINGS+:PROOF_BITS] * BEATS + (closing != 0 ? beat : 0));
  end
`endif
endmodule
`default_nettype wire
