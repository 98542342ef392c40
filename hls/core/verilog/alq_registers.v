// AXI4-Lite registers (32 bits, byte addresses):
//   0x00 magic number "ALQF"        0x04 version of this map
//   0x08 cycles of the last frame, from its first sample's way into the core to its last logit taken
//   0x0c frames done
//   0x10 error flags: bit 0 a frame was too short, bit 1 too long; write ones to clear
//   0x14 samples per frame          0x18 values per frame of logits
//   0x20 to 0x3c SHA-256 of the frozen file, eight words, most significant first
`default_nettype none
module alq_registers #(
    parameter [255:0] IDENTITY = 0,
    parameter [31:0] SAMPLES = 0,
    parameter [31:0] VALUES = 0
) (
    input wire clk,
    input wire reset,
    input wire [5:0] s_axi_awaddr,
    input wire [2:0] s_axi_awprot,
    input wire s_axi_awvalid,
    output wire s_axi_awready,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    input wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output reg s_axi_bvalid,
    input wire s_axi_bready,
    input wire [5:0] s_axi_araddr,
    input wire [2:0] s_axi_arprot,
    input wire s_axi_arvalid,
    output wire s_axi_arready,
    output reg [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output reg s_axi_rvalid,
    input wire s_axi_rready,
    input wire begins,
    input wire ends,
    input wire too_short,
    input wire too_long
);
  localparam [31:0] MAGIC = 32'h414c5146;  // "ALQF"
  localparam [31:0] VERSION = 32'd1;

  // A frame's start time waits in a small ring until its last logit has left: frames overlap in the pipeline. The events
  // come one cycle late, which keeps this block out of the streams' timing and changes no difference.
  reg begun, done;
  always @(posedge clk) begin
    begun <= begins && !reset;
    done  <= ends && !reset;
  end
  reg [31:0] now, cycles, frames;
  (* ram_style = "distributed" *) reg [31:0] started[0:31];
  reg [4:0] head, tail;
  reg [1:0] errors;
  always @(posedge clk) begin
    if (begun) started[tail] <= now;
    if (reset) begin
      now <= 0;
      cycles <= 0;
      frames <= 0;
      head <= 0;
      tail <= 0;
    end else begin
      now <= now + 1'b1;
      if (begun) tail <= tail + 1'b1;
      if (done) begin
        head   <= head + 1'b1;
        cycles <= now - started[head] + 2'd2;  // the sample's own cycle, and the register behind the pins
        frames <= frames + 1'b1;
      end
    end
  end

  // write: address and data are taken together
  wire write = s_axi_awvalid && s_axi_wvalid && !s_axi_bvalid && !reset;
  assign s_axi_awready = write;
  assign s_axi_wready = write;
  assign s_axi_bresp = 2'b00;
  wire clear = write && s_axi_awaddr[5:2] == 4'h4 && s_axi_wstrb[0];
  always @(posedge clk)
    if (reset) begin
      s_axi_bvalid <= 1'b0;
      errors <= 2'b00;
    end else begin
      if (write) s_axi_bvalid <= 1'b1;
      else if (s_axi_bready) s_axi_bvalid <= 1'b0;
      errors <= (errors & ~(clear ? s_axi_wdata[1:0] : 2'b00)) | {too_long, too_short};
    end

  assign s_axi_arready = !reset && (!s_axi_rvalid || s_axi_rready);
  assign s_axi_rresp   = 2'b00;
  reg [31:0] word;
  always @*
    case (s_axi_araddr[5:2])
      4'h0: word = MAGIC;
      4'h1: word = VERSION;
      4'h2: word = cycles;
      4'h3: word = frames;
      4'h4: word = {30'd0, errors};
      4'h5: word = SAMPLES;
      4'h6: word = VALUES;
      4'h8: word = IDENTITY[255-:32];
      4'h9: word = IDENTITY[223-:32];
      4'ha: word = IDENTITY[191-:32];
      4'hb: word = IDENTITY[159-:32];
      4'hc: word = IDENTITY[127-:32];
      4'hd: word = IDENTITY[95-:32];
      4'he: word = IDENTITY[63-:32];
      4'hf: word = IDENTITY[31-:32];
      default: word = 32'd0;
    endcase
  always @(posedge clk)
    if (reset) begin
      s_axi_rvalid <= 1'b0;
      s_axi_rdata  <= 32'd0;
    end else if (s_axi_arready) begin
      s_axi_rvalid <= s_axi_arvalid;
      s_axi_rdata  <= word;
    end
endmodule
`default_nettype wire
