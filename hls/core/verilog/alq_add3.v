// Sum of three numbers of BITS bits. Where a technology has a better way, it brings a module of the same name.
`default_nettype none
module alq_add3 #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0
) (
    input wire [BITS-1:0] a,
    input wire [BITS-1:0] b,
    input wire [BITS-1:0] c,
    output wire [BITS+1:0] sum
);
  wire [BITS+1:0] wide_a = {{2{SIGNED != 0 && a[BITS-1]}}, a};
  wire [BITS+1:0] wide_b = {{2{SIGNED != 0 && b[BITS-1]}}, b};
  wire [BITS+1:0] wide_c = {{2{SIGNED != 0 && c[BITS-1]}}, c};
  assign sum = wide_a + wide_b + wide_c;
endmodule
`default_nettype wire
