// For proofs of control: an engine whose sum is anything. What is proved of it is proved of every arithmetic.
`default_nettype none
module alq_engine #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0,
    parameter integer LANES = 8,
    parameter integer RADIX = 2,
    parameter integer LEVELS = 3,
    parameter integer TREE_BITS = 7,
    parameter integer SUM_BITS = 8,
    parameter integer OWN_SUM = 0,
    parameter integer TERM_BITS = 10,
    parameter integer COORDINATE_BITS = 8,
    parameter integer ACCUMULATOR_BITS = 20,
    parameter integer MULTIPLIER = 1
) (
    input wire clk,
    input wire [LANES*BITS-1:0] x,
    input wire [LANES-1:0] minus,
    input wire [SUM_BITS-1:0] all,
    input wire subtract,
    input wire [COORDINATE_BITS-1:0] coordinate,
    input wire [ACCUMULATOR_BITS-1:0] bias,
    input wire start,
    input wire valid,
    output wire signed [ACCUMULATOR_BITS-1:0] sum
);
  (* anyseq *) wire [ACCUMULATOR_BITS-1:0] anything;
  assign sum = anything;
endmodule
`default_nettype wire
