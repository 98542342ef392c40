// Requantisation by itself, all lanes of a beat at once.
`default_nettype none
module alq_activation #(
    parameter integer BITS = 8,
    parameter integer SIGNED = 1,
    parameter integer LANES = 1,
    parameter integer SHIFT = 2,
    parameter integer OUTPUT_BITS = 4,
    parameter integer OUTPUT_SIGNED = 0
) (
    input wire clk,
    input wire reset,
    input wire in_valid,
    input wire [LANES*BITS-1:0] in_data,
    output reg out_valid,
    output reg [LANES*OUTPUT_BITS-1:0] out_data
);
  localparam WIDE = (SHIFT > BITS ? SHIFT : BITS) + 2;  // with a sign, and one half of the last bit kept
  localparam DOWN = SHIFT > 0 ? SHIFT : 0;
  wire [WIDE-1:0] half = ({{(WIDE - 1) {1'b0}}, 1'b1} << DOWN) >> 1;
  wire [LANES*OUTPUT_BITS-1:0] values;
  genvar lane;
  generate
    for (lane = 0; lane < LANES; lane = lane + 1) begin : channel
      wire [BITS-1:0] value = in_data[lane*BITS+:BITS];
      wire signed [WIDE-1:0] sum = {{(WIDE - BITS) {SIGNED != 0 && value[BITS-1]}}, value} + half;
      alq_requantise #(
          .BITS(WIDE),
          .SHIFT(SHIFT),
          .OUTPUT_BITS(OUTPUT_BITS),
          .SIGNED(OUTPUT_SIGNED)
      ) requantise (
          .sum  (sum),
          .value(values[lane*OUTPUT_BITS+:OUTPUT_BITS])
      );
    end
  endgenerate
  always @(posedge clk) begin
    out_valid <= in_valid && !reset;
    out_data  <= values;
  end
endmodule
`default_nettype wire
