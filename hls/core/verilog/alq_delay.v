// Delay line of CYCLES registers without reset (a shift-register LUT on xc7); CYCLES may be 0.
`default_nettype none
module alq_delay #(
    parameter integer WIDTH = 1,
    parameter integer CYCLES = 1
) (
    input wire clk,
    input wire [WIDTH-1:0] in,
    output wire [WIDTH-1:0] out
);
  generate
    if (CYCLES == 0) begin : none
      assign out = in;
    end else begin : line
      reg [WIDTH*CYCLES-1:0] held;
      always @(posedge clk) held <= CYCLES == 1 ? in : {held, in};
      assign out = held[WIDTH*(CYCLES-1)+:WIDTH];
    end
  endgenerate
endmodule
`default_nettype wire
