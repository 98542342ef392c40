// Read-only table with a registered output, from a file of hexadecimal words.
`default_nettype none
module alq_rom #(
    parameter integer DEPTH = 2,
    parameter integer WIDTH = 8,
    parameter integer ADDRESS = 1,
    parameter integer BLOCK = 0,  // 1: block RAM, 0: look-up tables
    parameter FILE = ""
) (
    input wire clk,
    input wire [ADDRESS-1:0] address,
    output reg [WIDTH-1:0] data
);
  generate
    if (BLOCK != 0) begin : block
      (* rom_style = "block" *) reg [WIDTH-1:0] words[0:DEPTH-1];
      initial $readmemh(FILE, words);
      always @(posedge clk) data <= words[address];
    end else begin : tables
      (* rom_style = "logic" *) reg [WIDTH-1:0] words[0:DEPTH-1];
      initial $readmemh(FILE, words);
      always @(posedge clk) data <= words[address];
    end
  endgenerate
endmodule
`default_nettype wire
