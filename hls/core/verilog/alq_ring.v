// Rotating line buffer: the last TAPS time steps of all channels in one ring of words of WORD values, oldest first at its
// end. A plane engine of WORD lanes reads one word per cycle while the ring turns; a whole turn is a plane, after which
// every word is in its place again. Nothing is ever addressed, and the ring has no reset: on xc7 it is one LUT per 32
// words and bit. While it turns nothing can enter, so alq_window serves layers that are busy all the time.
//
// A time step arrives as CHANNELS beats of one value; WORD divides CHANNELS.
`default_nettype none
module alq_ring #(
    parameter integer BITS = 8,
    parameter integer WORD = 1,
    parameter integer CHANNELS = 1,
    parameter integer TAPS = 4,
    parameter integer STRIDE = 1,
    parameter integer TIMES = 16,  // time steps of a frame
    parameter integer FIRST = 3,  // the time step that completes the first window
    parameter integer LAST = 15  // the last time step, zeros after the frame included
`ifdef FORMAL
    , parameter integer TAKES = 16
    , parameter integer WINDOWS = 13
`endif
) (
    input wire clk,
    input wire reset,
    input wire valid,
    input wire [BITS-1:0] data,
    output wire ready,
    output reg complete,  // a window stands ready
    input wire turn,  // read one word
    input wire take,  // with the last word of the last plane
    output wire [WORD*BITS-1:0] oldest
`ifdef FORMAL
    , output wire moves  // something that brings the frame nearer to its end happens in this cycle
`endif
);
`include "alq_functions.vh"
  localparam WORDS = TAPS * CHANNELS / WORD;
  generate
    if (CHANNELS % WORD != 0) begin : refused
      alq_ring_WORD_must_divide_CHANNELS error ();
    end
    if (LAST < TIMES - 1 || FIRST > LAST) begin : refused_times
      alq_ring_LAST_must_not_come_before_TIMES_or_FIRST error ();
    end
  endgenerate
  localparam BEAT_BITS = width_of(CHANNELS);
  localparam integer LAST_BEAT = CHANNELS - 1;
  localparam integer LAST_FILL = WORD - 1;
  localparam integer LAST_WORD = WORDS - 1;
  localparam FILL_BITS = width_of(WORD);
  localparam CLEAR_BITS = width_of(WORDS);
  localparam TIME_BITS = width_of(LAST + 2);
  localparam WAIT_BITS = width_of((FIRST > STRIDE ? FIRST : STRIDE) + 1);
  localparam integer LAST_TIME = TIMES - 1;
  localparam integer LAST_OF_ALL = LAST;
  localparam integer BEFORE_FIRST = FIRST;
  localparam integer BEFORE_NEXT = STRIDE - 1;

  reg [BEAT_BITS-1:0] beat;
  reg [FILL_BITS-1:0] fill;
  reg [CLEAR_BITS-1:0] cleared;
  reg [TIME_BITS-1:0] times;
  reg [WAIT_BITS-1:0] waiting;
  reg clearing, padding, ended;
  wire enter = (valid || padding) && !complete && !ended && !clearing;
  wire last_beat = beat == LAST_BEAT[BEAT_BITS-1:0];
  wire last_of_word = fill == LAST_FILL[FILL_BITS-1:0];
  assign ready = !padding && !complete && !ended && !clearing;

  always @(posedge clk) begin
    if (reset || (ended && !complete)) begin
      beat <= 0;
      fill <= 0;
      cleared <= 0;
      times <= 0;
      waiting <= BEFORE_FIRST[WAIT_BITS-1:0];
      complete <= 1'b0;
      padding <= 1'b0;
      ended <= 1'b0;
      clearing <= 1'b1;
    end else begin
      if (take) complete <= 1'b0;
      if (clearing) begin
        cleared <= cleared + 1'b1;
        if (cleared == LAST_WORD[CLEAR_BITS-1:0]) clearing <= 1'b0;
      end
      if (enter) begin
        fill <= last_of_word ? {FILL_BITS{1'b0}} : fill + 1'b1;
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

  // A word is collected value by value, the first one highest, then moves into the ring at once.
  wire [WORD*BITS-1:0] entering;
  wire [BITS-1:0] value = padding ? {BITS{1'b0}} : data;
  generate
    if (WORD == 1) begin : single
      assign entering = value;
    end else begin : several
      reg [(WORD-1)*BITS-1:0] collected;
      always @(posedge clk) if (enter) collected <= entering[(WORD-1)*BITS-1:0];
      assign entering = {collected, value};
    end
  endgenerate
  reg [WORDS*WORD*BITS-1:0] ring;
  assign oldest = ring[(WORDS-1)*WORD*BITS+:WORD*BITS];
  wire [WORD*BITS-1:0] next = clearing ? {WORD * BITS{1'b0}} : turn ? oldest : entering;
  wire [WORDS*WORD*BITS-1:0] moved;
  assign moved[WORD*BITS-1:0] = next;
  generate
    if (WORDS > 1) begin : older
      assign moved[WORDS*WORD*BITS-1:WORD*BITS] = ring[(WORDS-1)*WORD*BITS-1:0];
    end
  endgenerate
  always @(posedge clk) if (clearing || turn || (enter && last_of_word)) ring <= moved;
`ifdef FORMAL
  // As in alq_window. Nothing enters while the ring turns.
  wire taking = valid && ready && !reset;
  wire ending = ended && !complete;
  localparam PROOF_BITS = width_of(TAKES + WINDOWS + 2);
  reg [PROOF_BITS-1:0] taken, given;
  wire [PROOF_BITS-1:0] completed = given + complete;
  assign moves = enter || clearing || ending || turn;
  always @(posedge clk)
    if (reset || ending) begin
      taken <= 0;
      given <= 0;
    end else begin
      taken <= taken + taking;
      given <= given + take;
    end
  always @* if (!reset) begin
    whole_frames : assert (!ending || (taken == TAKES && given == WINDOWS));
    never_more : assert (taken <= TAKES && given <= WINDOWS && completed <= WINDOWS && !(taking && taken == TAKES));
    windows_are_whole : assert (complete || !take);
    turns_alone : assert (!turn || (complete && !enter && !clearing));
    // what the proofs rest on
    counted : assert (taken == (times < TIMES ? times * CHANNELS + beat : TIMES * CHANNELS) && beat < CHANNELS);
    phases : assert (ended ? times == LAST + 1 : padding == (times >= TIMES) && times <= LAST);
    spaced : assert (times <= FIRST ? waiting + times == FIRST && completed == 0 :
                     times + waiting == FIRST + completed * STRIDE && waiting < STRIDE && completed != 0);
    whole_steps : assert (!ended || beat == 0);
    cleared_first : assert (!clearing || (times == 0 && beat == 0 && cleared < WORDS));
  end
`endif
endmodule
`default_nettype wire
