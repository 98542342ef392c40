// Plane engine: sum over planes of coordinate * (sum of +-x), without a multiplier per weight.
//
// sum of +-x = 2 * (sum of the x with sign +1) - sum of all x. Every cycle takes LANES values of one
// plane: x is masked by its sign (alq_mask), added up in a tree, and one multiplier adds
// coordinate * (2 * masked sum) to the accumulator; the sum of all x is subtracted once per plane, in its last chunk.
// `start` loads the accumulator with the filter's bias instead. All inputs arrive when they are due (alq_layer).
`default_nettype none
module alq_engine #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0,
    parameter integer LANES = 8,
    parameter integer RADIX = 2,  // of the adder tree
    parameter integer LEVELS = 3,
    parameter integer TREE_BITS = 7,
    parameter integer SUM_BITS = 8,
    parameter integer OWN_SUM = 0,  // 1: add up all x in a second tree, 0: the sum comes from the line buffer
    parameter integer TERM_BITS = 10,  // of 2 * masked sum - sum of all x, signed
    parameter integer COORDINATE_BITS = 8,
    parameter integer ACCUMULATOR_BITS = 20,
    parameter integer MULTIPLIER = 1  // 1: *, which synthesis puts into a DSP block; 0: shifts and adders
) (
    input wire clk,
    input wire [LANES*BITS-1:0] x,  // stage 1
    input wire [LANES-1:0] minus,  // stage 1; 1: the sign is -1
    input wire [SUM_BITS-1:0] all,  // stage 2 + LEVELS
    input wire subtract,  // stage 2 + LEVELS
    input wire [COORDINATE_BITS-1:0] coordinate,  // stage 3 + LEVELS
    input wire [ACCUMULATOR_BITS-1:0] bias,  // stage 4 + LEVELS
    input wire start,  // stage 4 + LEVELS
    input wire valid,  // stage 4 + LEVELS
    output wire signed [ACCUMULATOR_BITS-1:0] sum  // stage 5 + LEVELS
);
  wire [LANES*BITS-1:0] masked;
  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : weight
      alq_mask #(
          .BITS(BITS)
      ) mask (
          .clk(clk),
          .zero(minus[lane]),
          .value(x[lane*BITS+:BITS]),
          .masked(masked[lane*BITS+:BITS])
      );
    end
  endgenerate
  wire [TREE_BITS-1:0] positive;
  alq_adder_tree #(
      .NUMBER(LANES),
      .BITS(BITS),
      .SIGNED(SIGNED),
      .RADIX(RADIX),
      .LEVELS(LEVELS),
      .TOTAL_BITS(TREE_BITS)
  ) tree (
      .clk(clk),
      .values(masked),
      .total(positive)
  );
  // Signed on both sides, though the widths make it the same: yosys 0.70 moves this subtraction into the DSP block's
  // pre-adder, and there extends unsigned operands with zeros even when the difference is signed.
  wire signed [TERM_BITS-1:0] twice, once;
  wire [TREE_BITS:0] unused_twice;
  assign {unused_twice, twice} = {{TERM_BITS{SIGNED != 0 && positive[TREE_BITS-1]}}, positive, 1'b0};
  generate
    if (OWN_SUM != 0) begin : own
      reg [LANES*BITS-1:0] values;
      always @(posedge clk) values <= x;
      wire [TREE_BITS-1:0] both;
      alq_adder_tree #(
          .NUMBER(LANES),
          .BITS(BITS),
          .SIGNED(SIGNED),
          .RADIX(RADIX),
          .LEVELS(LEVELS),
          .TOTAL_BITS(TREE_BITS)
      ) tree (
          .clk(clk),
          .values(values),
          .total(both)
      );
      wire [TREE_BITS-1:0] unused_once;
      assign {unused_once, once} = {{TERM_BITS{SIGNED != 0 && both[TREE_BITS-1]}}, both};
      wire unused = &{1'b0, all, subtract};
    end else begin : shared
      wire [TERM_BITS-1:0] sum_of_all;
      wire [SUM_BITS-1:0] unused_all;
      assign {unused_all, sum_of_all} = {{TERM_BITS{SIGNED != 0 && all[SUM_BITS-1]}}, all};
      assign once = sum_of_all & {TERM_BITS{subtract}};
    end
  endgenerate
  reg signed [TERM_BITS-1:0] term;
  always @(posedge clk) term <= twice - once;

  reg signed [ACCUMULATOR_BITS-1:0] accumulator;
  assign sum = accumulator;
  generate
    if (MULTIPLIER != 0) begin : block
      reg signed [TERM_BITS+COORDINATE_BITS:0] product;
      wire [ACCUMULATOR_BITS-1:0] added;
      wire [TERM_BITS+COORDINATE_BITS:0] unused_product;
      assign {unused_product, added} = {{ACCUMULATOR_BITS{product[TERM_BITS+COORDINATE_BITS]}}, product};
      always @(posedge clk) begin
        product <= term * $signed({1'b0, coordinate});
        if (valid) accumulator <= (start ? $signed(bias) : accumulator) + $signed(added);
      end
    end else begin : adders
      // One register per bit of the coordinate holds the term or zero; then sums of three.
      localparam THREES = (COORDINATE_BITS + 2) / 3;
      localparam NINES = (THREES + 2) / 3;
      localparam BITS_3 = TERM_BITS + 4;
      localparam BITS_9 = BITS_3 + 8;
      wire [3*THREES*TERM_BITS-1:0] parts;
      wire [3*NINES*BITS_3-1:0] threes;
      wire [NINES*BITS_9-1:0] nines;
      genvar place;
      for (place = 0; place < 3 * THREES; place = place + 1) begin : part
        if (place < COORDINATE_BITS) begin : used
          alq_mask #(
              .BITS(TERM_BITS)
          ) mask (
              .clk(clk),
              .zero(!coordinate[place]),
              .value(term),
              .masked(parts[place*TERM_BITS+:TERM_BITS])
          );
        end else begin : unused
          assign parts[place*TERM_BITS+:TERM_BITS] = 0;
        end
      end
      for (place = 0; place < 3 * NINES; place = place + 1) begin : three
        if (place < THREES) begin : used
          wire signed [TERM_BITS-1:0] a = parts[3*place*TERM_BITS+:TERM_BITS];
          wire signed [TERM_BITS-1:0] b = parts[(3*place+1)*TERM_BITS+:TERM_BITS];
          wire signed [TERM_BITS-1:0] c = parts[(3*place+2)*TERM_BITS+:TERM_BITS];
          alq_add3 #(
              .BITS  (TERM_BITS + 2),
              .SIGNED(1)
          ) add3 (
              .a  ({{2{a[TERM_BITS-1]}}, a}),
              .b  ({b[TERM_BITS-1], b, 1'b0}),
              .c  ({c, 2'b00}),
              .sum(threes[place*BITS_3+:BITS_3])
          );
        end else begin : unused
          assign threes[place*BITS_3+:BITS_3] = 0;
        end
      end
      for (place = 0; place < NINES; place = place + 1) begin : nine
        wire [BITS_3-1:0] a = threes[3*place*BITS_3+:BITS_3];
        wire [BITS_3-1:0] b = threes[(3*place+1)*BITS_3+:BITS_3];
        wire [BITS_3-1:0] c = threes[(3*place+2)*BITS_3+:BITS_3];
        alq_add3 #(
            .BITS  (BITS_3 + 6),
            .SIGNED(1)
        ) add3 (
            .a  ({{6{a[BITS_3-1]}}, a}),
            .b  ({{3{b[BITS_3-1]}}, b, 3'b000}),
            .c  ({c, 6'b000000}),
            .sum(nines[place*BITS_9+:BITS_9])
        );
      end
      reg [BITS_9+9*NINES-1:0] product;
      integer each;
      always @* begin
        product = 0;
        for (each = 0; each < NINES; each = each + 1)
          product = product + ({{(9 * NINES) {nines[(each+1)*BITS_9-1]}}, nines[each*BITS_9+:BITS_9]} << 9 * each);
      end
      wire [ACCUMULATOR_BITS-1:0] added;
      wire [BITS_9+9*NINES-1:0] unused_product;
      assign {unused_product, added} = {{ACCUMULATOR_BITS{product[BITS_9+9*NINES-1]}}, product};
      always @(posedge clk) if (valid) accumulator <= (start ? $signed(bias) : accumulator) + $signed(added);
    end
  endgenerate
endmodule
`default_nettype wire
