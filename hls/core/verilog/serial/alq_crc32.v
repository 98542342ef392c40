// CRC-32 as zlib and Ethernet have it, a bit a cycle: bytes on a serial line are further apart. `sum` is what is sent
// behind the bytes, lowest first; over bytes and their sum together `good` holds.
`default_nettype none
module alq_crc32 (
    input wire clk,
    input wire clear,
    input wire [7:0] data,
    input wire valid,
    output wire busy,
    output wire [31:0] sum,
    output wire good
);
  reg [31:0] register;
  reg [7:0] bits;
  reg [3:0] left;
  assign busy = left != 0;
  assign sum  = ~register;
  assign good = register == 32'hdebb20e3;
  always @(posedge clk)
    if (clear) begin
      register <= 32'hffffffff;
      left <= 0;
    end else if (valid) begin
      bits <= data;
      left <= 8;
    end else if (left != 0) begin
      register <= {1'b0, register[31:1]} ^ (register[0] ^ bits[0] ? 32'hedb88320 : 32'h0);
      bits <= {1'b0, bits[7:1]};
      left <= left - 1'b1;
    end
endmodule
`default_nettype wire
