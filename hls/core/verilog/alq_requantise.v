// Drop SHIFT bits rounding half to even, saturate; without a sign that is the ReLU. `sum` is the accumulator plus one half of the last bit kept
// (its tables of biases hold that half), so only an exact tie is left to repair: it clears the lowest bit.
`default_nettype none
module alq_requantise #(
    parameter integer BITS = 20,
    parameter integer SHIFT = 6,  // may be negative: zeros are appended
    parameter integer OUTPUT_BITS = 4,
    parameter integer SIGNED = 0
) (
    input wire signed [BITS-1:0] sum,
    output wire [OUTPUT_BITS-1:0] value
);
  localparam UP = SHIFT < 0 ? -SHIFT : 0;
  localparam DOWN = SHIFT > 0 ? SHIFT : 0;
  localparam WIDE = BITS + UP > OUTPUT_BITS + DOWN + 1 ? BITS + UP : OUTPUT_BITS + DOWN + 1;
  wire signed [WIDE-1:0] scaled = {{(WIDE - BITS) {sum[BITS-1]}}, sum} << UP;
  wire [WIDE-DOWN-1:0] floor = scaled[WIDE-1:DOWN];
  wire negative = floor[WIDE-DOWN-1];
  wire tie;
  generate
    if (DOWN == 0) begin : exact
      assign tie = 1'b0;
    end else begin : rounded
      assign tie = scaled[DOWN-1:0] == 0;
    end
  endgenerate
  wire [OUTPUT_BITS-1:0] even = floor[OUTPUT_BITS-1:0] & ({OUTPUT_BITS{1'b1}} << tie);
  generate
    if (SIGNED != 0) begin : with_sign
      wire [WIDE-DOWN-OUTPUT_BITS:0] above = floor[WIDE-DOWN-1:OUTPUT_BITS-1];  // all like the sign, or it is too large
      wire fits = &above || ~|above;
      wire [OUTPUT_BITS-1:0] limit;
      wire unused;
      assign {limit, unused} = {negative, {OUTPUT_BITS{!negative}}};
      assign value = fits ? even : limit;
    end else begin : without_sign
      wire too_large = |floor[WIDE-DOWN-1:OUTPUT_BITS];
      assign value = negative ? {OUTPUT_BITS{1'b0}} : too_large ? {OUTPUT_BITS{1'b1}} : even;
    end
  endgenerate
endmodule
`default_nettype wire
