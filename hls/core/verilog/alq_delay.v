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
      wire unused = &{1'b0, clk};
      assign out = in;
    end else begin : line
      reg [WIDTH*CYCLES-1:0] held;
      wire [WIDTH*CYCLES-1:0] moved;
      assign moved[WIDTH-1:0] = in;
      if (CYCLES > 1) begin : older
        assign moved[WIDTH*CYCLES-1:WIDTH] = held[WIDTH*(CYCLES-1)-1:0];
      end
      always @(posedge clk) held <= moved;
      assign out = held[WIDTH*(CYCLES-1)+:WIDTH];
    end
  endgenerate
endmodule
`default_nettype wire
