// A value, or zero, in a register behind a gate. Every register of ECP5 has a look-up table in front of it anyway, while
// the registers of a tile share two reset lines: a line for every lane of every engine leaves a placer hardly a choice.
`default_nettype none
module alq_mask #(
    parameter integer BITS = 4
) (
    input wire clk,
    input wire zero,
    input wire [BITS-1:0] value,
    output reg [BITS-1:0] masked
);
  always @(posedge clk) masked <= value & ~{BITS{zero}};
endmodule
`default_nettype wire
