// Both blocks of the block designs as cocotbpynq sees them: the streams run through the registers of the HLS core
// (alq_pynq_hls) into the Verilog core (alq_pynq_rtl). `watch` chooses whose registers the bus reaches, the former's if
// it is 1; `stall` stops the core in its tracks.
`default_nettype none
module pynq_bench (
    input wire clk,
    input wire aresetn,
    input wire stall,
    input wire watch,
    input wire [7:0] s_axis_tdata,
    input wire s_axis_tvalid,
    output wire s_axis_tready,
    input wire s_axis_tlast,
    output wire [31:0] m_axis_tdata,
    output wire m_axis_tvalid,
    input wire m_axis_tready,
    output wire m_axis_tlast,
    input wire [11:0] s_axi_awaddr,
    input wire s_axi_awvalid,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    input wire s_axi_wvalid,
    input wire s_axi_bready,
    input wire [11:0] s_axi_araddr,
    input wire s_axi_arvalid,
    input wire s_axi_rready,
    output wire s_axi_awready,
    output wire s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output wire s_axi_bvalid,
    output wire s_axi_arready,
    output wire [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output wire s_axi_rvalid
);
  wire [7:0] samples;
  wire [31:0] logits;
  wire samples_valid, samples_ready, samples_last, logits_valid, logits_ready, logits_last, core_valid;
  assign logits_valid = core_valid && !stall;
  wire hls_awready, rtl_awready;
  assign s_axi_awready = watch ? hls_awready : rtl_awready;
  wire hls_wready, rtl_wready;
  assign s_axi_wready = watch ? hls_wready : rtl_wready;
  wire [1:0] hls_bresp, rtl_bresp;
  assign s_axi_bresp = watch ? hls_bresp : rtl_bresp;
  wire hls_bvalid, rtl_bvalid;
  assign s_axi_bvalid = watch ? hls_bvalid : rtl_bvalid;
  wire hls_arready, rtl_arready;
  assign s_axi_arready = watch ? hls_arready : rtl_arready;
  wire [31:0] hls_rdata, rtl_rdata;
  assign s_axi_rdata = watch ? hls_rdata : rtl_rdata;
  wire [1:0] hls_rresp, rtl_rresp;
  assign s_axi_rresp = watch ? hls_rresp : rtl_rresp;
  wire hls_rvalid, rtl_rvalid;
  assign s_axi_rvalid = watch ? hls_rvalid : rtl_rvalid;
  alq_pynq_hls registers (
      .clk(clk),
      .aresetn(aresetn),
      .s_axis_tdata(s_axis_tdata),
      .s_axis_tvalid(s_axis_tvalid),
      .s_axis_tready(s_axis_tready),
      .s_axis_tlast(s_axis_tlast),
      .to_core_tdata(samples),
      .to_core_tvalid(samples_valid),
      .to_core_tready(samples_ready),
      .to_core_tlast(samples_last),
      .from_core_tdata(logits),
      .from_core_tvalid(logits_valid),
      .from_core_tready(logits_ready),
      .from_core_tlast(logits_last),
      .m_axis_tdata(m_axis_tdata),
      .m_axis_tvalid(m_axis_tvalid),
      .m_axis_tready(m_axis_tready),
      .m_axis_tlast(m_axis_tlast),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awvalid(s_axi_awvalid && watch),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid && watch),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arvalid(s_axi_arvalid && watch),
      .s_axi_rready(s_axi_rready),
      .s_axi_awprot(3'd0),
      .s_axi_arprot(3'd0),
      .s_axi_awready(hls_awready),
      .s_axi_wready(hls_wready),
      .s_axi_bresp(hls_bresp),
      .s_axi_bvalid(hls_bvalid),
      .s_axi_arready(hls_arready),
      .s_axi_rdata(hls_rdata),
      .s_axi_rresp(hls_rresp),
      .s_axi_rvalid(hls_rvalid)
  );
  alq_pynq_rtl core (
      .clk(clk),
      .aresetn(aresetn),
      .s_axis_tdata(samples),
      .s_axis_tvalid(samples_valid),
      .s_axis_tready(samples_ready),
      .s_axis_tlast(samples_last),
      .m_axis_tdata(logits),
      .m_axis_tvalid(core_valid),
      .m_axis_tready(logits_ready && !stall),
      .m_axis_tlast(logits_last),
      .s_axi_awaddr(s_axi_awaddr),
      .s_axi_awvalid(s_axi_awvalid && !watch),
      .s_axi_wdata(s_axi_wdata),
      .s_axi_wstrb(s_axi_wstrb),
      .s_axi_wvalid(s_axi_wvalid && !watch),
      .s_axi_bready(s_axi_bready),
      .s_axi_araddr(s_axi_araddr),
      .s_axi_arvalid(s_axi_arvalid && !watch),
      .s_axi_rready(s_axi_rready),
      .s_axi_awprot(3'd0),
      .s_axi_arprot(3'd0),
      .s_axi_awready(rtl_awready),
      .s_axi_wready(rtl_wready),
      .s_axi_bresp(rtl_bresp),
      .s_axi_bvalid(rtl_bvalid),
      .s_axi_arready(rtl_arready),
      .s_axi_rdata(rtl_rdata),
      .s_axi_rresp(rtl_rresp),
      .s_axi_rvalid(rtl_rvalid)
  );
endmodule
`default_nettype wire
