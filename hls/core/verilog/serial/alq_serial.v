// The core behind a serial line (8 data bits, no parity, one stop bit), for boards whose host is a terminal: frames of
// samples in (alq_frame_in.v), frames of logits or of a refusal out (alq_frame_out.v), each with a start word, a number,
// its length and a CRC-32. What is flipped, lost or added on the line is found out, and the next frame is right again.
`default_nettype none
module alq_serial #(
    parameter integer SAMPLES = 3600,
    parameter integer VALUES = 17,
    parameter integer CYCLES_PER_BIT = 100,
    parameter integer IDLE_BITS = 23
) (
    input wire clk,
    input wire reset,
    input wire receive,
    output wire transmit,
    output reg [4:0] largest,  // which logit of the last frame is the largest
    output reg answered  // changes with every frame
);
  wire [7:0] in_byte, out_byte, sample, number, reason;
  wire in_valid, in_busy, out_valid, out_ready;
  wire sample_valid, sample_last, sample_ready, begun, accepted, refused, restart;
  alq_uart_in #(
      .CYCLES_PER_BIT(CYCLES_PER_BIT)
  ) uart_in (
      .clk(clk),
      .reset(reset),
      .line(receive),
      .data(in_byte),
      .valid(in_valid),
      .busy(in_busy)
  );
  alq_frame_in #(
      .SAMPLES  (SAMPLES),
      .IDLE_BITS(IDLE_BITS)
  ) frame_in (
      .clk(clk),
      .reset(reset),
      .byte_data(in_byte),
      .byte_valid(in_valid),
      .byte_busy(in_busy),
      .data(sample),
      .last(sample_last),
      .valid(sample_valid),
      .ready(sample_ready),
      .begun(begun),
      .accepted(accepted),
      .refused(refused),
      .restart(restart),
      .number(number),
      .reason(reason)
  );

  // The core starts afresh with every frame.
  reg [3:0] holding;
  reg core_resetn;
  always @(posedge clk) begin
    holding <= reset || restart ? 4'hf : holding == 0 ? 4'h0 : holding - 1'b1;
    core_resetn <= holding == 0 && !reset && !restart;
  end

  wire [31:0] logit;
  wire core_valid, logit_last, logit_ready;
  wire logit_valid = core_valid && accepted;
  wire unused_awready, unused_wready, unused_bvalid, unused_arready, unused_rvalid;
  wire [1:0] unused_bresp, unused_rresp;
  wire [31:0] unused_rdata;
  ecg_alq core (
      .aclk(clk),
      .aresetn(core_resetn),
      .s_axis_tdata(sample),
      .s_axis_tvalid(sample_valid),
      .s_axis_tready(sample_ready),
      .s_axis_tlast(sample_last),
      .m_axis_tdata(logit),
      .m_axis_tvalid(core_valid),
      .m_axis_tready(logit_ready),
      .m_axis_tlast(logit_last),
      .s_axi_awaddr(12'd0),
      .s_axi_awprot(3'd0),
      .s_axi_awvalid(1'b0),
      .s_axi_awready(unused_awready),
      .s_axi_wdata(32'd0),
      .s_axi_wstrb(4'd0),
      .s_axi_wvalid(1'b0),
      .s_axi_wready(unused_wready),
      .s_axi_bresp(unused_bresp),
      .s_axi_bvalid(unused_bvalid),
      .s_axi_bready(1'b1),
      .s_axi_araddr(12'd0),
      .s_axi_arprot(3'd0),
      .s_axi_arvalid(1'b0),
      .s_axi_arready(unused_arready),
      .s_axi_rdata(unused_rdata),
      .s_axi_rresp(unused_rresp),
      .s_axi_rvalid(unused_rvalid),
      .s_axi_rready(1'b1)
  );

  alq_frame_out #(
      .VALUES(VALUES)
  ) frame_out (
      .clk(clk),
      .reset(reset),
      .begun(begun),
      .refused(refused),
      .restart(restart),
      .number(number),
      .reason(reason),
      .logit(logit),
      .logit_valid(logit_valid),
      .logit_ready(logit_ready),
      .byte_data(out_byte),
      .byte_valid(out_valid),
      .byte_ready(out_ready)
  );
  alq_uart_out #(
      .CYCLES_PER_BIT(CYCLES_PER_BIT)
  ) uart_out (
      .clk(clk),
      .reset(reset),
      .data(out_byte),
      .valid(out_valid),
      .ready(out_ready),
      .line(transmit)
  );

  // The comparison takes two cycles more: 32 bits of carry would be the longest path of all.
  reg signed [31:0] value, best;
  reg [4:0] place, best_place;
  reg at_start, value_last, fresh, larger, compared;
  always @(posedge clk)
    if (reset || restart) begin
      at_start <= 1'b1;
      fresh <= 1'b0;
      compared <= 1'b0;
      place <= 0;
      if (reset) begin
        largest  <= 0;
        answered <= 1'b0;
      end
    end else begin
      fresh <= logit_ready;
      if (logit_ready) begin
        value <= logit;
        value_last <= logit_last;
      end
      larger   <= at_start || value > best;
      compared <= fresh;
      if (compared) begin
        if (larger) begin
          best <= value;
          best_place <= place;
        end
        place <= value_last ? 5'd0 : place + 1'b1;
        at_start <= value_last;
        if (value_last) begin
          largest  <= larger ? place : best_place;
          answered <= !answered;
        end
      end
    end
endmodule
`default_nettype wire
