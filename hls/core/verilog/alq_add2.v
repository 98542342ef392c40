// Sum of two numbers of BITS bits. Where a technology has a better way, it brings a module of the same name.
`default_nettype none
module alq_add2 #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0
) (
    input wire [BITS-1:0] a,
    input wire [BITS-1:0] b,
    output wire [BITS:0] sum
);
  assign sum = {SIGNED != 0 && a[BITS-1], a} + {SIGNED != 0 && b[BITS-1], b};
endmodule
`default_nettype wire
