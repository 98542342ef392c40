// Sum of three numbers of BITS bits on Xilinx 7 series: one LUT6_2 per bit makes the majority of the three bits (O5) and
// their parity xor the majority one place below (O6); the carry chain adds the two. Vivado builds the same from `a+b+c`.
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
  localparam WIDTH = BITS + 2;
  localparam BLOCKS = (WIDTH + 3) / 4;
  wire [WIDTH-1:0] wide_a = {{2{SIGNED != 0 && a[BITS-1]}}, a};
  wire [WIDTH-1:0] wide_b = {{2{SIGNED != 0 && b[BITS-1]}}, b};
  wire [WIDTH-1:0] wide_c = {{2{SIGNED != 0 && c[BITS-1]}}, c};
  wire [WIDTH-1:0] majority;
  wire [4*BLOCKS-1:0] below, select, total;
  wire [4*BLOCKS:0] carry;
  assign carry[0] = 1'b0;
  genvar place, block;
  generate
    for (place = 0; place < 4 * BLOCKS; place = place + 1) begin : bits
      if (place < WIDTH) begin : used
        if (place == 0) begin : lowest
          assign below[place] = 1'b0;
        end else begin : higher
          assign below[place] = majority[place-1];
        end
        // I4 is unused; I5 = 1 gives both halves of the table an output of their own
        LUT6_2 #(
            .INIT(64'h6996_6996_e8e8_e8e8)
        ) pair (
            .I0(wide_a[place]),
            .I1(wide_b[place]),
            .I2(wide_c[place]),
            .I3(below[place]),
            .I4(1'b0),
            .I5(1'b1),
            .O5(majority[place]),
            .O6(select[place])
        );
      end else begin : unused
        assign below[place]  = 1'b0;
        assign select[place] = 1'b0;
      end
    end
    for (block = 0; block < BLOCKS; block = block + 1) begin : chain
      CARRY4 four (
          .CI(carry[4*block]),
          .CYINIT(1'b0),
          .DI(below[4*block+:4]),
          .S(select[4*block+:4]),
          .CO(carry[4*block+1+:4]),
          .O(total[4*block+:4])
      );
    end
  endgenerate
  wire unused = &{1'b0, majority[WIDTH-1], carry, total};
  assign sum = total[WIDTH-1:0];
endmodule
`default_nettype wire
