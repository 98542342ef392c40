// A value, or zero where `zero` says so, in a register whose reset pin does the masking: no logic at all. Where a
// technology has a better way, it brings a module of the same name.
`default_nettype none
module alq_mask #(
    parameter integer BITS = 4
) (
    input wire clk,
    input wire zero,
    input wire [BITS-1:0] value,
    output reg [BITS-1:0] masked
);
  always @(posedge clk)
    if (zero) masked <= 0;
    else masked <= value;
endmodule
`default_nettype wire
