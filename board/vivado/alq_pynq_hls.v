// The registers of the Verilog core for the HLS core, which has none: both streams pass through and are watched, so that
// the driver finds the same identity, counters and error flags whichever core the bitstream holds.
`default_nettype none
module alq_pynq_hls #(
    parameter integer SAMPLE_BITS = 8,
    parameter integer LOGIT_BITS = 32,
    parameter integer SAMPLES = 3600,
    parameter integer VALUES = 17,
    parameter [255:0] IDENTITY = 256'h0
) (
    (* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 clk CLK" *)
    (* X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axis:m_axis:to_core:from_core:s_axi, ASSOCIATED_RESET aresetn" *)
    input wire clk,
    (* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST" *)
    (* X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)
    input wire aresetn,
    input wire [SAMPLE_BITS-1:0] s_axis_tdata,
    input wire s_axis_tvalid,
    output wire s_axis_tready,
    input wire [SAMPLE_BITS/8-1:0] s_axis_tkeep,  // every byte counts: the DMA sends whole samples
    input wire s_axis_tlast,
    output wire [SAMPLE_BITS-1:0] to_core_tdata,
    output wire to_core_tvalid,
    input wire to_core_tready,
    output wire [SAMPLE_BITS/8-1:0] to_core_tkeep,
    output wire [SAMPLE_BITS/8-1:0] to_core_tstrb,
    output wire to_core_tlast,
    input wire [LOGIT_BITS-1:0] from_core_tdata,
    input wire from_core_tvalid,
    output wire from_core_tready,
    input wire [LOGIT_BITS/8-1:0] from_core_tkeep,
    input wire [LOGIT_BITS/8-1:0] from_core_tstrb,
    input wire from_core_tlast,
    output wire [LOGIT_BITS-1:0] m_axis_tdata,
    output wire m_axis_tvalid,
    input wire m_axis_tready,
    output wire [LOGIT_BITS/8-1:0] m_axis_tkeep,
    output wire m_axis_tlast,
    input wire [11:0] s_axi_awaddr,
    input wire [2:0] s_axi_awprot,
    input wire s_axi_awvalid,
    output wire s_axi_awready,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    input wire s_axi_wvalid,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output wire s_axi_bvalid,
    input wire s_axi_bready,
    input wire [11:0] s_axi_araddr,
    input wire [2:0] s_axi_arprot,
    input wire s_axi_arvalid,
    output wire s_axi_arready,
    output wire [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output wire s_axi_rvalid,
    input wire s_axi_rready
);
  assign to_core_tdata = s_axis_tdata;
  assign to_core_tvalid = s_axis_tvalid;
  assign s_axis_tready = to_core_tready;
  assign to_core_tkeep = {(SAMPLE_BITS / 8) {1'b1}};
  assign to_core_tstrb = {(SAMPLE_BITS / 8) {1'b1}};
  assign to_core_tlast = s_axis_tlast;
  assign m_axis_tdata = from_core_tdata;
  assign m_axis_tvalid = from_core_tvalid;
  assign from_core_tready = m_axis_tready;
  assign m_axis_tkeep = {(LOGIT_BITS / 8) {1'b1}};
  assign m_axis_tlast = from_core_tlast;

  reg reset;
  always @(posedge clk) reset <= !aresetn;
  wire enter = s_axis_tvalid && s_axis_tready;
  wire ends = m_axis_tvalid && m_axis_tready && m_axis_tlast;
  reg [31:0] count;  // samples of the frame that entered so far; a frame that is too long counts on
  // One register, as the Verilog core has behind its pins: the map counts cycles from there.
  reg begins, too_short, too_long;
  always @(posedge clk)
    if (reset) begin
      count <= 0;
      begins <= 1'b0;
      too_short <= 1'b0;
      too_long <= 1'b0;
    end else begin
      begins <= enter && count == 0;
      too_short <= enter && s_axis_tlast && count < SAMPLES - 1;
      too_long <= enter && !s_axis_tlast && count == SAMPLES - 1;
      if (enter) count <= s_axis_tlast ? 0 : count + 1'b1;
    end

  alq_registers #(
      .IDENTITY(IDENTITY),
      .SAMPLES(SAMPLES),
      .VALUES(VALUES)
  ) registers (
      .clk(clk),
      .reset(reset),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awprot(s_axi_awprot),
      .s_axi_awvalid(s_axi_awvalid),
      .s_axi_awready(s_axi_awready),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid),
      .s_axi_wready(s_axi_wready),
      .s_axi_bresp(s_axi_bresp),
      .s_axi_bvalid(s_axi_bvalid),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arprot(s_axi_arprot),
      .s_axi_arvalid(s_axi_arvalid),
      .s_axi_arready(s_axi_arready),
      .s_axi_rdata(s_axi_rdata),
      .s_axi_rresp(s_axi_rresp),
      .s_axi_rvalid(s_axi_rvalid),
      .s_axi_rready(s_axi_rready),
      .begins(begins),
      .ends(ends),
      .too_short(too_short),
      .too_long(too_long)
  );
endmodule
`default_nettype wire
