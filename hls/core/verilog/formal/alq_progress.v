// Progress as a bound: while a sample is offered or a value waits in any FIFO, and a logit would be taken (`willing`),
// something moves within PATIENCE cycles. What moves brings a frame nearer to its end, and every module is proved to move a fixed number of times in a frame: so stalls
// end, and frames come out. Layers may do anything here but what each is proved never to do: to stand still (`stalls`)
// while it has a beat to take and room for what it makes.
`default_nettype none
module alq_progress #(
    parameter integer EVENTS = 1,
    parameter integer LAYERS = 1,
    parameter integer PATIENCE = 8
) (
    input wire clk,
    input wire reset,
    input wire willing,
    input wire [EVENTS-1:0] events,
    input wire [LAYERS-1:0] stalls
);
  reg [7:0] waited;
  always @(posedge clk) waited <= reset || !willing || |events ? 0 : waited + 1;
  always @* begin
    assume (reset || stalls == 0);
    if (!reset) stalls_end : assert (waited <= PATIENCE);
  end
endmodule
`default_nettype wire
