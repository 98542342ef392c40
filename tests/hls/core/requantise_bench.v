// Prints what alq_requantise makes of every accumulator of BITS bits, for several shifts and widths.
module requantise_bench;
  localparam BITS = 11;
  reg signed [BITS-1:0] sum;
  wire [3:0] a, b, d;
  wire [0:0] c;
  wire [7:0] e;
  wire [5:0] f;
  alq_requantise #(.BITS(BITS), .SHIFT(5), .OUTPUT_BITS(4)) five (.sum(sum), .value(a));
  alq_requantise #(.BITS(BITS), .SHIFT(1), .OUTPUT_BITS(4)) one (.sum(sum), .value(b));
  alq_requantise #(.BITS(BITS), .SHIFT(3), .OUTPUT_BITS(1)) bit_only (.sum(sum), .value(c));
  alq_requantise #(.BITS(BITS), .SHIFT(0), .OUTPUT_BITS(4)) none (.sum(sum), .value(d));
  alq_requantise #(.BITS(BITS), .SHIFT(-2), .OUTPUT_BITS(8)) up (.sum(sum), .value(e));
  alq_requantise #(.BITS(BITS), .SHIFT(12), .OUTPUT_BITS(6)) beyond (.sum(sum), .value(f));
  integer value;
  initial begin
    for (value = -(1 << (BITS - 1)); value < (1 << (BITS - 1)); value = value + 1) begin
      sum = value;
      #1 $display("%0d %0d %0d %0d %0d %0d %0d", value, a, b, c, d, e, f);
    end
    $finish;
  end
endmodule
