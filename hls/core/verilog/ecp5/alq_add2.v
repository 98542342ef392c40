// Sum of two numbers of BITS bits on Lattice ECP5: the carries of narrow numbers as plain logic. A carry chain takes its
// own slices in a row and one more to begin, which for the few bits of an adder tree costs as much as it adds, and
// thousands of short chains take a placer most of its time. Wide numbers are faster on a chain.
`default_nettype none
module alq_add2 #(
    parameter integer BITS = 4,
    parameter integer SIGNED = 0
) (
    input wire [BITS-1:0] a,
    input wire [BITS-1:0] b,
    output wire [BITS:0] sum
);
  localparam WIDEST = 8;  // without a chain
  wire [BITS:0] wide_a = {SIGNED != 0 && a[BITS-1], a};
  wire [BITS:0] wide_b = {SIGNED != 0 && b[BITS-1], b};
  genvar place;
  generate
    if (BITS > WIDEST) begin : chain
      assign sum = wide_a + wide_b;
    end else begin : logic_alone
      wire [BITS:0] carry;
      assign carry[0] = 1'b0;
      for (place = 0; place < BITS; place = place + 1) begin : bits
        assign carry[place+1] = (wide_a[place] & wide_b[place]) | ((wide_a[place] | wide_b[place]) & carry[place]);
      end
      assign sum = wide_a ^ wide_b ^ carry;
    end
  endgenerate
endmodule
`default_nettype wire
