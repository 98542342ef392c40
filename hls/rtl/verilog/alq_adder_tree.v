// Sum of NUMBER values by two-operand adders, one register per level: a level's carry chains are as long as its
// operands, so the clock depends on the width of the sum, not on NUMBER.
`default_nettype none
module alq_adder_tree #(
    parameter NUMBER = 4,
    parameter BITS = 4,
    parameter SIGNED = 0,
    parameter LEVELS = 2,  // smallest L with 2**L >= NUMBER
    parameter REGISTER_EVERY = 1
) (
    input wire clk,
    input wire [NUMBER*BITS-1:0] values,
    output wire [BITS+LEVELS-1:0] total
);
  genvar level, pair;
  generate
    for (level = 0; level <= LEVELS; level = level + 1) begin : stage
      localparam COUNT = (NUMBER + (1 << level) - 1) >> level;
      localparam WIDTH = BITS + level;
      wire [COUNT*WIDTH-1:0] sums;
      if (level == 0) begin : leaves
        assign sums = values;
      end else begin : adders
        localparam BEFORE = (NUMBER + (1 << (level - 1)) - 1) >> (level - 1);
        wire [COUNT*WIDTH-1:0] added;
        for (pair = 0; pair < COUNT; pair = pair + 1) begin : node
          wire [WIDTH-2:0] left = stage[level-1].sums[2*pair*(WIDTH-1)+:WIDTH-1];
          wire left_sign = SIGNED ? left[WIDTH-2] : 1'b0;
          if (2 * pair + 1 < BEFORE) begin : both
            wire [WIDTH-2:0] right = stage[level-1].sums[(2*pair+1)*(WIDTH-1)+:WIDTH-1];
            wire right_sign = SIGNED ? right[WIDTH-2] : 1'b0;
            assign added[pair*WIDTH+:WIDTH] = {left_sign, left} + {right_sign, right};
          end else begin : alone
            assign added[pair*WIDTH+:WIDTH] = {left_sign, left};
          end
        end
        if (level % REGISTER_EVERY == 0 || level == LEVELS) begin : registered
          reg [COUNT*WIDTH-1:0] held;
          always @(posedge clk) held <= added;
          assign sums = held;
        end else begin : through
          assign sums = added;
        end
      end
    end
  endgenerate
  assign total = stage[LEVELS].sums;
endmodule
`default_nettype wire
