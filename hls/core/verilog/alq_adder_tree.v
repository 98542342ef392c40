// Sum of NUMBER values, one register per level: the clock depends on the width of the sum, not on NUMBER. RADIX says how
// many numbers a level adds up: three where the technology adds three at the cost of two (Xilinx), four where two adders
// in a row are still fast enough and registers are to be saved (ECP5), two for the fastest clock.
`default_nettype none
module alq_adder_tree #(
    parameter integer NUMBER = 4,
    parameter integer BITS = 4,
    parameter integer SIGNED = 0,
    parameter integer RADIX = 2,
    parameter integer LEVELS = 2,  // smallest L with RADIX**L >= NUMBER
    parameter integer TOTAL_BITS = 6  // BITS + smallest w with 2**w >= NUMBER
) (
    input wire clk,
    input wire [NUMBER*BITS-1:0] values,
    output wire [TOTAL_BITS-1:0] total
);
  // Numbers left after some levels, and their width: enough for the sum of RADIX**level values.
  function integer count_at;
    input integer level;
    integer index;
    begin
      count_at = NUMBER;
      for (index = 0; index < level; index = index + 1) count_at = (count_at + RADIX - 1) / RADIX;
    end
  endfunction
  function integer width_at;
    input integer level;
    integer index, reach;
    begin
      reach = 1;
      for (index = 0; index < level; index = index + 1) reach = reach * RADIX;
      if (reach > NUMBER) reach = NUMBER;
      width_at = BITS;
      for (index = 1; index < reach; index = index * 2) width_at = width_at + 1;
    end
  endfunction

  genvar level, place;
  generate
    if (RADIX < 2 || RADIX > 4 || count_at(LEVELS) != 1 || (LEVELS > 0 && count_at(LEVELS - 1) == 1)) begin : refused
      alq_adder_tree_LEVELS_must_be_the_smallest_that_adds_up_NUMBER error ();
    end
    for (level = 0; level <= LEVELS; level = level + 1) begin : stage
      localparam COUNT = count_at(level);
      localparam WIDTH = width_at(level);
      wire [COUNT*WIDTH-1:0] sums;
      if (level == 0) begin : leaves
        assign sums = values;
      end else begin : adders
        localparam PAST = count_at(level - 1);
        localparam FROM = width_at(level - 1);
        reg [COUNT*WIDTH-1:0] held;
        wire [COUNT*WIDTH-1:0] added;
        for (place = 0; place < COUNT; place = place + 1) begin : node
          localparam FIRST = RADIX * place;
          localparam TERMS = PAST - FIRST < RADIX ? PAST - FIRST : RADIX;
          wire [TERMS*FROM-1:0] terms = stage[level-1].sums[FIRST*FROM+:TERMS*FROM];
          wire [FROM-1:0] a = terms[0+:FROM];
          wire [FROM+1:0] sum;
          if (TERMS == 1) begin : one
            assign sum = {{2{SIGNED != 0 && a[FROM-1]}}, a};
          end else if (TERMS == 3 && RADIX == 3) begin : three
            alq_add3 #(
                .BITS  (FROM),
                .SIGNED(SIGNED)
            ) add3 (
                .a  (a),
                .b  (terms[FROM+:FROM]),
                .c  (terms[2*FROM+:FROM]),
                .sum(sum)
            );
          end else begin : several
            wire [FROM:0] low;
            alq_add2 #(
                .BITS  (FROM),
                .SIGNED(SIGNED)
            ) add2 (
                .a  (a),
                .b  (terms[FROM+:FROM]),
                .sum(low)
            );
            if (TERMS == 2) begin : two
              assign sum = {SIGNED != 0 && low[FROM], low};
            end else begin : more
              wire [FROM:0] high;
              if (TERMS == 3) begin : third
                assign high = {SIGNED != 0 && terms[3*FROM-1], terms[2*FROM+:FROM]};
              end else begin : pair
                alq_add2 #(
                    .BITS  (FROM),
                    .SIGNED(SIGNED)
                ) add2 (
                    .a  (terms[2*FROM+:FROM]),
                    .b  (terms[3*FROM+:FROM]),
                    .sum(high)
                );
              end
              alq_add2 #(
                  .BITS  (FROM + 1),
                  .SIGNED(SIGNED)
              ) last (
                  .a  (low),
                  .b  (high),
                  .sum(sum)
              );
            end
          end
          wire unused = &{1'b0, sum};  // its highest bits, where few numbers are left
          assign added[place*WIDTH+:WIDTH] = sum[WIDTH-1:0];
        end
        always @(posedge clk) held <= added;
        assign sums = held;
      end
    end
  endgenerate
  wire unused = &{1'b0, clk};  // of a single number
  assign total = stage[LEVELS].sums;
endmodule
`default_nettype wire
