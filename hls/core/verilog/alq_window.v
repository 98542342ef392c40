// Line buffer: the last TAPS time steps of all channels, all visible at once.
//
// A time step arrives as BEATS beats of LANES values; bit beat * LANES + lane of MASK says which lanes hold a value in
// that beat. Lane l brings SLOTS[l] values per time step (16 bits each in the parameter) and owns a shift register of
// TAPS * SLOTS[l] values, newest first: no multiplexers. Zeros are shifted in after the frame's last time step where the
// padding asks for them; the registers are cleared between frames, which is the padding before the first one.
// (alq_ring is the small and slow form of the same.)
`default_nettype none
module alq_window #(
    parameter integer BITS = 8,
    parameter integer SIGNED = 1,
    parameter integer LANES = 1,
    parameter integer BEATS = 1,
    parameter [BEATS*LANES-1:0] MASK = 1,
    parameter [16*LANES-1:0] SLOTS = 1,
    parameter integer CHANNELS = 1,  // sum of SLOTS
    parameter integer TAPS = 4,
    parameter integer STRIDE = 1,
    parameter integer TIMES = 16,  // time steps of a frame
    parameter integer FIRST = 3,  // the time step that completes the first window
    parameter integer LAST = 15,  // the last time step, zeros after the frame included
    parameter integer SUM = 1,  // 1: keep the running sum of the window
    parameter integer SUM_DELAY = 1,  // 1: a register behind the differences, 0: the sum is there one cycle earlier
    parameter integer SUM_BITS = 12
`ifdef FORMAL
    , parameter integer TAKES = 16
    , parameter integer WINDOWS = 13
`endif
) (
    input wire clk,
    input wire reset,
    input wire valid,
    input wire [LANES*BITS-1:0] data,
    output wire ready,
    output reg complete,  // a window stands ready
    input wire take,  // it is copied at the end of this cycle
    output wire [TAPS*CHANNELS*BITS-1:0] window,  // lane by lane, newest first
    output wire [SUM_BITS-1:0] total  // of the window taken last, from cycle 2 + SUM_DELAY after `take`
`ifdef FORMAL
    , output wire moves  // something that brings the frame nearer to its end happens in this cycle
`endif
);
`include "alq_functions.vh"
  localparam BEAT_BITS = width_of(BEATS);
  localparam integer LAST_BEAT = BEATS - 1;
  localparam TIME_BITS = width_of(LAST + 2);
  localparam WAIT_BITS = width_of((FIRST > STRIDE ? FIRST : STRIDE) + 1);
  localparam integer LAST_TIME = TIMES - 1;
  localparam integer LAST_OF_ALL = LAST;
  localparam integer BEFORE_FIRST = FIRST;
  localparam integer BEFORE_NEXT = STRIDE - 1;

  reg [BEAT_BITS-1:0] beat;
  reg [TIME_BITS-1:0] times;
  reg [WAIT_BITS-1:0] waiting;  // time steps before the one that completes the next window
  reg padding, ended;
  wire held = ended || (complete && !take);
  wire shift = (valid || padding) && !held;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  wire clear = reset || (ended && (!complete || take));
  assign ready = !padding && !held;

  always @(posedge clk) begin
    if (clear) begin
      beat <= 0;
      times <= 0;
      waiting <= BEFORE_FIRST[WAIT_BITS-1:0];
      complete <= 1'b0;
      padding <= 1'b0;
      ended <= 1'b0;
    end else begin
      if (take) complete <= 1'b0;
      if (shift) begin
        beat <= last_beat ? {BEAT_BITS{1'b0}} : beat + 1'b1;
        if (last_beat) begin
          times <= times + 1'b1;
          if (times == LAST_TIME[TIME_BITS-1:0] && LAST > TIMES - 1) padding <= 1'b1;
          if (times == LAST_OF_ALL[TIME_BITS-1:0]) ended <= 1'b1;
          waiting <= waiting == 0 ? BEFORE_NEXT[WAIT_BITS-1:0] : waiting - 1'b1;
          if (waiting == 0) complete <= 1'b1;
        end
      end
    end
  end

  function integer first_slot;  // number of slots in the lanes before `lane`
    input integer lane;
    integer index;
    begin
      first_slot = 0;
      for (index = 0; index < lane; index = index + 1) first_slot = first_slot + {16'd0, SLOTS[16*index+:16]};
    end
  endfunction

  wire [LANES*(BITS+1)-1:0] change;  // what every lane adds to the sum
  wire [LANES*BEATS-1:0] mask = MASK;
  genvar lane, index;
  generate
    if (first_slot(LANES) != CHANNELS) begin : refused_slots
      alq_window_SLOTS_must_add_up_to_CHANNELS error ();
    end
    if (LAST < TIMES - 1 || FIRST > LAST) begin : refused_times
      alq_window_LAST_must_not_come_before_TIMES_or_FIRST error ();
    end
    for (lane = 0; lane < LANES; lane = lane + 1) begin : chain
      localparam LENGTH = TAPS * SLOTS[16*lane+:16];
      wire [BEATS-1:0] mine;
      for (index = 0; index < BEATS; index = index + 1) begin : pick
        assign mine[index] = mask[index*LANES+lane];
      end
      wire enable = shift && mine[beat];
      wire [BITS-1:0] entering = padding ? {BITS{1'b0}} : data[lane*BITS+:BITS];
      reg [LENGTH*BITS-1:0] values;
      wire [LENGTH*BITS-1:0] moved;
      assign moved[BITS-1:0] = entering;
      if (LENGTH > 1) begin : older
        assign moved[LENGTH*BITS-1:BITS] = values[(LENGTH-1)*BITS-1:0];
      end
      always @(posedge clk)
        if (clear) values <= 0;
        else if (enable) values <= moved;
      assign window[first_slot(lane)*TAPS*BITS+:LENGTH*BITS] = values;
      wire [BITS-1:0] leaving = values[(LENGTH-1)*BITS+:BITS];
      wire [BITS:0] difference = {SIGNED != 0 && entering[BITS-1], entering} - {SIGNED != 0 && leaving[BITS-1], leaving};
      assign change[lane*(BITS+1)+:BITS+1] = enable ? difference : {(BITS + 1) {1'b0}};
    end
    if (SUM != 0) begin : running
      wire [LANES*(BITS+1)-1:0] change_late;
      wire clear_late, take_late;
      alq_delay #(
          .WIDTH (LANES * (BITS + 1) + 2),
          .CYCLES(SUM_DELAY)
      ) delay_change (
          .clk(clk),
          .in ({change, clear, take}),
          .out({change_late, clear_late, take_late})
      );
      reg [SUM_BITS-1:0] changes, sum, sum_taken;
      reg cleared, taken;
      integer each;
      reg [SUM_BITS-1:0] added;
      always @* begin
        added = 0;
        for (each = 0; each < LANES; each = each + 1)
          added = added + {{(SUM_BITS - BITS) {change_late[each*(BITS+1)+BITS]}}, change_late[each*(BITS+1)+:BITS]};
      end
      always @(posedge clk) begin
        changes <= clear_late ? {SUM_BITS{1'b0}} : added;
        cleared <= clear_late;
        taken <= take_late;
        sum <= cleared ? {SUM_BITS{1'b0}} : sum + changes;
        if (taken) sum_taken <= sum;
      end
      assign total = sum_taken;
    end else begin : none
      wire unused = &{1'b0, change};
      assign total = 0;
    end
  endgenerate
`ifdef FORMAL
  // A frame takes TAKES beats and gives WINDOWS windows. Between two windows lie STRIDE time steps.
  wire enter = valid && ready && !reset;
  wire ending = ended && (!complete || take);
  localparam PROOF_BITS = width_of(TAKES + WINDOWS + 2);
  reg [PROOF_BITS-1:0] taken, given;
  wire [PROOF_BITS-1:0] completed = given + complete;
  assign moves = shift || ending || take;
  always @(posedge clk)
    if (reset || ending) begin
      taken <= 0;
      given <= 0;
    end else begin
      taken <= taken + enter;
      given <= given + take;
    end
  always @* if (!reset) begin
    whole_frames : assert (!ending || (taken == TAKES && given + take == WINDOWS));
    never_more : assert (taken <= TAKES && given <= WINDOWS && completed <= WINDOWS && !(enter && taken == TAKES));
    windows_are_whole : assert (complete || !take);
    // what the proofs rest on
    counted : assert (taken == (times < TIMES ? times * BEATS + beat : TIMES * BEATS) && beat < BEATS);
    phases : assert (ended ? times == LAST + 1 : padding == (times >= TIMES) && times <= LAST);
    spaced : assert (times <= FIRST ? waiting + times == FIRST && completed == 0 :
                     times + waiting == FIRST + completed * STRIDE && waiting < STRIDE && completed != 0);
    whole_steps : assert (!ended || beat == 0);
  end
`endif
endmodule
`default_nettype wire
