// Plane layer: line buffer, plane engines, requantisation. A dense layer is one whose taps span its input.
//
// For every output time step the address counts through VISITS planes of CHUNKS words each; all engines walk in step,
// each through its own filters. The pipeline behind the address never stops (it carries valid bits), so back-pressure
// acts at one place: no new visit is issued while `room` is low. A beat leaves whenever an engine has ended a filter.
//
// stage 0 address | 1 signs, chunk select | 2 masked x | + LEVELS adder tree | +1 term | +2 product | +3 sum | +4 value
`default_nettype none
module alq_layer #(
    // what enters (see alq_window)
    parameter integer BITS = 8,
    parameter integer SIGNED = 1,
    parameter integer LANES_IN = 1,
    parameter integer BEATS_IN = 1,
    parameter [BEATS_IN*LANES_IN-1:0] MASK_IN = 1,
    parameter [16*LANES_IN-1:0] SLOTS_IN = 1,
    parameter integer CHANNELS = 1,
    parameter integer TAPS = 4,
    parameter integer STRIDE = 1,
    parameter integer TIMES = 16,
    parameter integer FIRST = 3,
    parameter integer LAST = 15,
    // what computes
    parameter integer ENGINES = 1,
    parameter integer LANES = 4,
    parameter integer RADIX = 2,
    parameter integer LEVELS = 2,
    parameter integer TREE_BITS = 6,
    parameter integer WORDS = 1,  // words of LANES values in the window: groups * CHUNKS
    parameter [16*WORDS*LANES-1:0] SOURCE = 0,  // place in the window of every value of every word; 16'hffff: zero
    parameter integer ROTATE = 0,  // 1: rotating line buffer
    parameter integer OWN_SUM = 0,  // 1: engines add up all x of a word themselves, 0: the window keeps its sum
    parameter integer GROUPED = 0,  // 1: the sign table also holds, for every engine, the word to take
    parameter integer CHUNKS = 1,
    parameter integer VISITS = 4,
    parameter integer SUM_BITS = 12,
    parameter integer TERM_BITS = 13,
    parameter integer COORDINATE_BITS = 8,
    parameter integer ACCUMULATOR_BITS = 20,
    parameter integer MULTIPLIER = 1,
    parameter SIGN_FILE = "",
    parameter integer SIGN_BLOCK = 0,
    parameter PROGRAM_FILE = "",
    parameter integer PROGRAM_BLOCK = 0,
    // what leaves
    parameter integer LOGITS = 0,  // 1: accumulators leave as they are
    parameter integer SHIFT = 6,
    parameter integer OUTPUT_BITS = 4,
    parameter integer OUTPUT_SIGNED = 0
`ifdef FORMAL
    , parameter integer TAKES = 16  // beats of a frame that enter, as the network says
    , parameter integer STEPS = 13  // its output time steps
    , parameter integer GIVES = 13  // its beats that leave
    , parameter [VISITS-1:0] LEAVES = 1  // visits after which a beat leaves
`endif
) (
    input wire clk,
    input wire reset,
    input wire in_valid,
    input wire [LANES_IN*BITS-1:0] in_data,
    output wire in_ready,
    input wire room,
    output wire out_valid,
    output wire [ENGINES*OUTPUT_BITS-1:0] out_data
`ifdef FORMAL
    , output wire moves  // something that brings the frame nearer to its end happens in this cycle
`endif
);
`include "alq_functions.vh"
  localparam ADDRESS_BITS = width_of(VISITS * CHUNKS);
  localparam VISIT_BITS = width_of(VISITS);
  localparam WORD_BITS = width_of(WORDS);
  localparam ENGINE_SIGNS = LANES + (GROUPED != 0 ? WORD_BITS : 0);
  localparam integer SUM_DELAY = LEVELS > 0 ? 1 : 0;  // of the line buffer: the sum is due when the tree's first result is
  localparam integer LAST_VISIT = VISITS - 1;
  localparam integer LAST_CHUNK = CHUNKS - 1;
  localparam ENGINE_PROGRAM = 1 + COORDINATE_BITS + ACCUMULATOR_BITS;

  wire complete, take;
`ifdef FORMAL
  wire buffer_moves;
`endif
  wire [SUM_BITS-1:0] total;

  // stage 0: address
  reg [ADDRESS_BITS-1:0] address;
  reg [VISIT_BITS-1:0] visit;
  wire [WORD_BITS-1:0] chunk;
  wire first_chunk, last_chunk;
  wire unused = &{1'b0, chunk};  // where the words come in turn, or the signs name them
  reg at_start;  // the address is zero: a register, since everything that moves in the line buffer hangs on it
  wire issue = room && (!at_start || complete);
  wire last_visit = visit == LAST_VISIT[VISIT_BITS-1:0];
  generate
    if (CHUNKS == 1) begin : whole
      assign chunk = 0;
      assign first_chunk = 1'b1;
      assign last_chunk = 1'b1;
    end else begin : chunked
      reg [WORD_BITS-1:0] count;
      assign chunk = count;
      assign first_chunk = count == 0;
      assign last_chunk = count == LAST_CHUNK[WORD_BITS-1:0];
      always @(posedge clk)
        if (reset) count <= 0;
        else if (issue) count <= last_chunk ? {WORD_BITS{1'b0}} : count + 1'b1;
    end
  endgenerate
  always @(posedge clk)
    if (reset) begin
      address <= 0;
      visit <= 0;
      at_start <= 1'b1;
    end else if (issue) begin
      address <= last_visit && last_chunk ? {ADDRESS_BITS{1'b0}} : address + 1'b1;
      at_start <= last_visit && last_chunk;
      if (last_chunk) visit <= last_visit ? {VISIT_BITS{1'b0}} : visit + 1'b1;
    end

  // stage 1: the signs, and the words that they belong to
  wire [ENGINES*ENGINE_SIGNS-1:0] signs;
  alq_rom #(
      .DEPTH(VISITS * CHUNKS),
      .WIDTH(ENGINES * ENGINE_SIGNS),
      .ADDRESS(ADDRESS_BITS),
      .BLOCK(SIGN_BLOCK),
      .FILE(SIGN_FILE)
  ) sign_table (
      .clk(clk),
      .address(address),
      .data(signs)
  );
  wire [ENGINES*LANES*BITS-1:0] x;
  genvar place, engine;
  generate
    if (ROTATE != 0) begin : turning
      wire [LANES*BITS-1:0] oldest;
      reg [LANES*BITS-1:0] word;
      always @(posedge clk) word <= oldest;
      assign x = {ENGINES{word}};
      assign take = issue && last_visit && last_chunk;
      assign total = 0;
      alq_ring #(
          .BITS(BITS),
          .WORD(LANES),
          .CHANNELS(CHANNELS),
          .TAPS(TAPS),
          .STRIDE(STRIDE),
          .TIMES(TIMES),
          .FIRST(FIRST),
          .LAST(LAST)
`ifdef FORMAL
          , .TAKES(TAKES)
          , .WINDOWS(STEPS)
`endif
      ) line_buffer (
          .clk(clk),
          .reset(reset),
          .valid(in_valid),
          .data(in_data),
          .ready(in_ready),
          .complete(complete),
          .turn(issue),
          .take(take),
          .oldest(oldest)
`ifdef FORMAL
          , .moves(buffer_moves)
`endif
      );
    end else begin : still
      wire [TAPS*CHANNELS*BITS-1:0] window;
      reg [TAPS*CHANNELS*BITS-1:0] copy;
      reg [WORD_BITS-1:0] chunk_1;
      always @(posedge clk) chunk_1 <= chunk;
      always @(posedge clk) if (take) copy <= window;
      wire unused_here = &{1'b0, copy, chunk_1};  // what no tap takes; where signs name the word
      assign take = issue && at_start;
      alq_window #(
          .BITS(BITS),
          .SIGNED(SIGNED),
          .LANES(LANES_IN),
          .BEATS(BEATS_IN),
          .MASK(MASK_IN),
          .SLOTS(SLOTS_IN),
          .CHANNELS(CHANNELS),
          .TAPS(TAPS),
          .STRIDE(STRIDE),
          .TIMES(TIMES),
          .FIRST(FIRST),
          .LAST(LAST),
          .SUM(OWN_SUM == 0 ? 1 : 0),
          .SUM_DELAY(SUM_DELAY),
          .SUM_BITS(SUM_BITS)
`ifdef FORMAL
          , .TAKES(TAKES)
          , .WINDOWS(STEPS)
`endif
      ) line_buffer (
          .clk(clk),
          .reset(reset),
          .valid(in_valid),
          .data(in_data),
          .ready(in_ready),
          .complete(complete),
          .take(take),
          .window(window),
          .total(total)
`ifdef FORMAL
          , .moves(buffer_moves)
`endif
      );
      wire [WORDS*LANES*BITS-1:0] words;
      for (place = 0; place < WORDS * LANES; place = place + 1) begin : wiring
        if (SOURCE[16*place+:16] == 16'hffff) begin : nothing
          assign words[place*BITS+:BITS] = 0;
        end else begin : value
          assign words[place*BITS+:BITS] = copy[SOURCE[16*place+:16]*BITS+:BITS];
        end
      end
      for (engine = 0; engine < ENGINES; engine = engine + 1) begin : choice
        wire [WORD_BITS-1:0] index;
        if (GROUPED != 0) begin : own_word
          assign index = signs[engine*ENGINE_SIGNS+LANES+:WORD_BITS];
        end else begin : same_word
          assign index = chunk_1;
        end
        alq_word_select #(
            .WORDS(WORDS),
            .WIDTH(LANES * BITS),
            .INDEX(WORD_BITS)
        ) select (
            .words(words),
            .index(index),
            .word (x[engine*LANES*BITS+:LANES*BITS])
        );
      end
    end
  endgenerate

  // the program of every plane, read when its sum leaves the tree
  wire [VISIT_BITS-1:0] visit_late;
  wire subtract, first_late;
  wire [SUM_BITS-1:0] total_late;
  wire [ENGINES*ENGINE_PROGRAM:0] step_word;
  alq_delay #(
      .WIDTH (VISIT_BITS + 1),
      .CYCLES(2 + LEVELS)
  ) delay_visit (
      .clk(clk),
      .in ({visit, last_chunk}),
      .out({visit_late, subtract})
  );
  alq_delay #(
      .WIDTH (1),
      .CYCLES(4 + LEVELS)
  ) delay_first (
      .clk(clk),
      .in (first_chunk),
      .out(first_late)
  );
  alq_delay #(
      .WIDTH (SUM_BITS),
      .CYCLES(LEVELS - SUM_DELAY)
  ) delay_total (
      .clk(clk),
      .in (total),
      .out(total_late)
  );
  alq_rom #(
      .DEPTH(VISITS),
      .WIDTH(ENGINES * ENGINE_PROGRAM + 1),
      .ADDRESS(VISIT_BITS),
      .BLOCK(PROGRAM_BLOCK),
      .FILE(PROGRAM_FILE)
  ) program_table (
      .clk(clk),
      .address(visit_late),
      .data(step_word)
  );

  // valid bits of stages 1 to 4 + LEVELS, then of the filters that end
  reg [4+LEVELS:1] running;
  reg subtract_1, ends, ended, left;
  always @(posedge clk) begin
    subtract_1 <= subtract;
    ends <= step_word[0] && subtract_1;
    if (reset) begin
      running <= 0;
      ended <= 1'b0;
      left <= 1'b0;
    end else begin
      running <= {running[3+LEVELS:1], issue};
      ended <= ends && running[4+LEVELS];
      left <= ended;
    end
  end
  assign out_valid = left;

  generate
    for (engine = 0; engine < ENGINES; engine = engine + 1) begin : engines
      localparam AT = 1 + engine * ENGINE_PROGRAM;
      reg [ACCUMULATOR_BITS-1:0] bias;
      reg start;
      always @(posedge clk) begin
        bias  <= step_word[AT+:ACCUMULATOR_BITS];
        start <= step_word[AT+ACCUMULATOR_BITS+COORDINATE_BITS];
      end
      wire signed [ACCUMULATOR_BITS-1:0] sum;
      alq_engine #(
          .BITS(BITS),
          .SIGNED(SIGNED),
          .LANES(LANES),
          .RADIX(RADIX),
          .LEVELS(LEVELS),
          .TREE_BITS(TREE_BITS),
          .SUM_BITS(SUM_BITS),
          .OWN_SUM(OWN_SUM),
          .TERM_BITS(TERM_BITS),
          .COORDINATE_BITS(COORDINATE_BITS),
          .ACCUMULATOR_BITS(ACCUMULATOR_BITS),
          .MULTIPLIER(MULTIPLIER)
      ) arithmetic (
          .clk(clk),
          .x(x[engine*LANES*BITS+:LANES*BITS]),
          .minus(signs[engine*ENGINE_SIGNS+:LANES]),
          .all(total_late),
          .subtract(subtract),
          .coordinate(step_word[AT+ACCUMULATOR_BITS+:COORDINATE_BITS]),
          .bias(bias),
          .start(start && first_late),
          .valid(running[4+LEVELS]),
          .sum(sum)
      );
      wire [OUTPUT_BITS-1:0] value;
      if (LOGITS != 0) begin : logits
        assign value = sum;
      end else begin : activation
        alq_requantise #(
            .BITS(ACCUMULATOR_BITS),
            .SHIFT(SHIFT),
            .OUTPUT_BITS(OUTPUT_BITS),
            .SIGNED(OUTPUT_SIGNED)
        ) requantise (
            .sum  (sum),
            .value(value)
        );
      end
      reg [OUTPUT_BITS-1:0] result;
      always @(posedge clk) result <= value;
      assign out_data[engine*OUTPUT_BITS+:OUTPUT_BITS] = result;
    end
  endgenerate
`ifdef FORMAL
  // A window is VISITS * CHUNKS cycles, after each of which in LEAVES a beat leaves, a fixed time later.
  localparam LATENCY = 6 + LEVELS;
  reg [ADDRESS_BITS-1:0] issued;  // cycles of this window
  reg [LATENCY-1:0] due;  // beats on their way
  integer each, leaving;
  always @* begin
    leaving = 0;
    for (each = 0; each < VISITS; each = each + 1) leaving = leaving + LEAVES[each];
  end
  assign moves = buffer_moves || issue || |due;
  always @(posedge clk)
    if (reset) begin
      issued <= 0;
      due <= 0;
    end else begin
      if (issue) issued <= issued == VISITS * CHUNKS - 1 ? 0 : issued + 1;
      due <= {due, issue && last_chunk && LEAVES[visit]};
    end
  always @* if (!reset) begin
    one_pass_for_a_window : assert (!take || issued == (ROTATE ? VISITS * CHUNKS - 1 : 0));
    passes_have_windows : assert (!issue || issued != 0 || complete);
    beats_as_planned : assert (out_valid == due[LATENCY-1] && leaving * STEPS == GIVES);
    never_stuck : assert (!room || !in_valid || buffer_moves || issue);
    whole_turns : assert (!ROTATE || CHUNKS * LANES == TAPS * CHANNELS);
    // what the proofs rest on
    counted : assert (issued == visit * CHUNKS + chunk && address == issued && at_start == (issued == 0));
    in_range : assert (visit < VISITS && chunk < CHUNKS);
    ring_waits : assert (!ROTATE || at_start || complete);
  end
`endif
endmodule
`default_nettype wire
