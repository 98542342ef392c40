// Bytes from a serial line (8 data bits, no parity, one stop bit). A byte without its stop bit is not given: the frame
// that misses it is found out by its CRC.
`default_nettype none
module alq_uart_in #(
    parameter integer CYCLES_PER_BIT = 100
) (
    input wire clk,
    input wire reset,
    input wire line,
    output reg [7:0] data,
    output reg valid,  // for one cycle
    output reg busy  // a byte is on the line
);
`include "alq_functions.vh"
  localparam TIMER_BITS = width_of(CYCLES_PER_BIT + 1);
  localparam integer BIT = CYCLES_PER_BIT - 1;
  localparam integer HALF = CYCLES_PER_BIT / 2;
  reg [2:0] seen;  // the line, brought into this clock
  reg [TIMER_BITS-1:0] timer;
  reg [3:0] place;
  always @(posedge clk) begin
    seen  <= {seen[1:0], line};
    valid <= 1'b0;
    if (reset) begin
      busy  <= 1'b0;
      timer <= 0;
      place <= 0;
    end else if (!busy) begin
      busy  <= !seen[2];
      timer <= HALF[TIMER_BITS-1:0];
      place <= 0;
    end else if (timer != 0) timer <= timer - 1'b1;
    else begin  // the middle of a bit
      timer <= BIT[TIMER_BITS-1:0];
      place <= place + 1'b1;
      if (place == 0) busy <= !seen[2];  // else a glitch, not a start bit
      else if (place <= 8) data <= {seen[2], data[7:1]};
      else begin
        busy  <= 1'b0;
        valid <= seen[2];
      end
    end
  end
endmodule
`default_nettype wire
