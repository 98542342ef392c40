// Plane engine: sum over planes of coordinate * (sum of +-x), without a multiplier per weight.
//
// sum of +-x = 2 * (sum of the x with sign +1) - sum of all x. Every cycle takes LANES values of one
// plane: x is masked by its sign (the reset pin of a register, no logic), added up in a tree, and one multiplier adds
// coordinate * (2 * masked sum) to the accumulator; the sum of all x is subtracted once per plane, in its last chunk.
// `start` loads the accumulator with the filter's bias instead. All inputs arrive when they are due (alq_layer).
`default_nettype none
module alq_engine #(
    parameter BITS = 4,
    parameter SIGNED = 0,
    parameter LANES = 8,
    parameter LEVELS = 3,
    parameter SUM_BITS = 8,
    parameter OWN_SUM = 0,  // 1: add up all x in a second tree, 0: the sum comes from the line buffer
    parameter TERM_BITS = 10,  // of 2 * masked sum - sum of all x, signed
    parameter COORDINATE_BITS = 8,
    parameter ACCUMULATOR_BITS = 20,
    parameter MULTIPLIER = 1  // 1: *, which synthesis puts into a DSP block; 0: shifts and adders
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
  localparam TREE_BITS = BITS + LEVELS;
  wire [LANES*BITS-1:0] masked;
  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : weight
      reg [BITS-1:0] value;
      always @(posedge clk)
        if (minus[lane]) value <= 0;
        else value <= x[lane*BITS+:BITS];
      assign masked[lane*BITS+:BITS] = value;
    end
  endgenerate
  wire [TREE_BITS-1:0] positive;
  alq_adder_tree #(
      .NUMBER(LANES),
      .BITS(BITS),
      .SIGNED(SIGNED),
      .LEVELS(LEVELS)
  ) tree (
      .clk(clk),
      .values(masked),
      .total(positive)
  );
  wire [TERM_BITS-1:0] twice, once;
  assign twice = {{(TERM_BITS) {SIGNED ? positive[TREE_BITS-1] : 1'b0}}, positive, 1'b0};
  generate
    if (OWN_SUM) begin : own
      reg [LANES*BITS-1:0] values;
      always @(posedge clk) values <= x;
      wire [TREE_BITS-1:0] both;
      alq_adder_tree #(
          .NUMBER(LANES),
          .BITS(BITS),
          .SIGNED(SIGNED),
          .LEVELS(LEVELS)
      ) tree (
          .clk(clk),
          .values(values),
          .total(both)
      );
      assign once = {{(TERM_BITS) {SIGNED ? both[TREE_BITS-1] : 1'b0}}, both};
    end else begin : shared
      assign once = {{(TERM_BITS) {SIGNED ? all[SUM_BITS-1] : 1'b0}}, all} & {TERM_BITS{subtract}};
    end
  endgenerate
  reg signed [TERM_BITS-1:0] term;
  always @(posedge clk) term <= twice - once;

  reg signed [ACCUMULATOR_BITS-1:0] accumulator;
  assign sum = accumulator;
  generate
    if (MULTIPLIER) begin : block
      reg signed [TERM_BITS+COORDINATE_BITS:0] product;
      always @(posedge clk) begin
        product <= term * $signed({1'b0, coordinate});
        if (valid) accumulator <= (start ? $signed(bias) : accumulator) + product;
      end
    end else begin : adders
      // partial products in two halves, added when they enter the accumulator
      localparam LOW = (COORDINATE_BITS + 1) / 2;
      wire signed [TERM_BITS+COORDINATE_BITS-1:0] wide = term;
      reg signed [TERM_BITS+COORDINATE_BITS-1:0] low, high, low_next, high_next;
      integer bit_index;
      always @* begin
        low_next  = 0;
        high_next = 0;
        for (bit_index = 0; bit_index < COORDINATE_BITS; bit_index = bit_index + 1)
          if (bit_index < LOW) low_next = low_next + (coordinate[bit_index] ? wide <<< bit_index : 0);
          else high_next = high_next + (coordinate[bit_index] ? wide <<< bit_index : 0);
      end
      always @(posedge clk) begin
        low  <= low_next;
        high <= high_next;
        if (valid) accumulator <= (start ? $signed(bias) : accumulator) + low + high;
      end
    end
  endgenerate
endmodule
`default_nettype wire
