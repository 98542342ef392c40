// Bytes to a serial line (8 data bits, no parity, one stop bit).
`default_nettype none
module alq_uart_out #(
    parameter integer CYCLES_PER_BIT = 100
) (
    input wire clk,
    input wire reset,
    input wire [7:0] data,
    input wire valid,
    output wire ready,
    output reg line
);
`include "alq_functions.vh"
  localparam TIMER_BITS = width_of(CYCLES_PER_BIT + 1);
  localparam integer BIT = CYCLES_PER_BIT - 1;
  reg [8:0] rest;  // what follows the start bit
  reg [3:0] left;
  reg [TIMER_BITS-1:0] timer;
  assign ready = left == 0 && timer == 0;
  always @(posedge clk)
    if (reset) begin
      line  <= 1'b1;
      left  <= 0;
      timer <= 0;
    end else if (timer != 0) timer <= timer - 1'b1;
    else if (left != 0) begin
      line  <= rest[0];
      rest  <= {1'b1, rest[8:1]};
      left  <= left - 1'b1;
      timer <= BIT[TIMER_BITS-1:0];
    end else if (valid) begin
      line  <= 1'b0;
      rest  <= {1'b1, data};
      left  <= 9;
      timer <= BIT[TIMER_BITS-1:0];
    end
endmodule
`default_nettype wire
