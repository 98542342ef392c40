// The core behind a serial line (8 data bits, no parity, one stop bit), for boards whose host is a terminal.
//
// A frame is SAMPLES bytes, one signed sample each; the answer is its logits, four bytes each, lowest first. The line's
// rest is the frame's border: a gap of 2**IDLE_BITS cycles inside a frame starts the core afresh.
`default_nettype none
module alq_serial #(
    parameter SAMPLES = 3600,
    parameter CYCLES_PER_BIT = 100,
    parameter IDLE_BITS = 23
) (
    input wire clk,
    input wire reset,
    input wire receive,
    output reg transmit,
    output reg [4:0] largest,  // which logit of the last frame is the largest
    output reg answered  // changes with every frame
);
`include "alq_functions.vh"
  localparam TIMER_BITS = width_of(CYCLES_PER_BIT + 1);
  localparam COUNT_BITS = width_of(SAMPLES);

  // receiver: samples the middle of every bit
  reg [2:0] line;
  reg [TIMER_BITS-1:0] in_timer;
  reg [3:0] in_bit;
  reg [7:0] in_byte;
  reg in_busy, in_valid;
  wire in_ready;
  always @(posedge clk) begin
    line <= {line[1:0], receive};
    if (reset) begin
      in_busy  <= 1'b0;
      in_valid <= 1'b0;
      in_timer <= 0;
      in_bit   <= 0;
    end else begin
      if (in_ready) in_valid <= 1'b0;
      if (!in_busy) begin
        in_busy  <= !line[2];
        in_timer <= CYCLES_PER_BIT / 2;
        in_bit   <= 0;
      end else if (in_timer != 0) in_timer <= in_timer - 1'b1;
      else begin
        in_timer <= CYCLES_PER_BIT - 1;
        in_bit   <= in_bit + 1'b1;
        if (in_bit == 0 && line[2]) in_busy <= 1'b0;  // a glitch, not a start bit
        if (in_bit >= 1 && in_bit <= 8) in_byte <= {line[2], in_byte[7:1]};
        if (in_bit == 9) begin
          in_busy  <= 1'b0;
          in_valid <= 1'b1;
        end
      end
    end
  end

  // frames
  reg [COUNT_BITS-1:0] count;
  reg [IDLE_BITS-1:0] idle;
  wire last = count == SAMPLES - 1;
  wire restart = &idle;
  always @(posedge clk)
    if (reset || restart) begin
      count <= 0;
      idle  <= 0;
    end else begin
      idle <= in_busy || count == 0 ? {IDLE_BITS{1'b0}} : idle + 1'b1;
      if (in_valid && in_ready) count <= last ? {COUNT_BITS{1'b0}} : count + 1'b1;
    end
  reg core_resetn;
  always @(posedge clk) core_resetn <= !(reset || restart);

  wire [31:0] logit;
  wire logit_valid, logit_last;
  reg  logit_ready;
  ecg_alq core (
      .aclk(clk),
      .aresetn(core_resetn),
      .s_axis_tdata(in_byte),
      .s_axis_tvalid(in_valid),
      .s_axis_tready(in_ready),
      .s_axis_tlast(last),
      .m_axis_tdata(logit),
      .m_axis_tvalid(logit_valid),
      .m_axis_tready(logit_ready),
      .m_axis_tlast(logit_last),
      .s_axi_awaddr(6'd0),
      .s_axi_awprot(3'd0),
      .s_axi_awvalid(1'b0),
      .s_axi_awready(),
      .s_axi_wdata(32'd0),
      .s_axi_wstrb(4'd0),
      .s_axi_wvalid(1'b0),
      .s_axi_wready(),
      .s_axi_bresp(),
      .s_axi_bvalid(),
      .s_axi_bready(1'b1),
      .s_axi_araddr(6'd0),
      .s_axi_arprot(3'd0),
      .s_axi_arvalid(1'b0),
      .s_axi_arready(),
      .s_axi_rdata(),
      .s_axi_rresp(),
      .s_axi_rvalid(),
      .s_axi_rready(1'b1)
  );

  // transmitter: four bytes of ten bits each, with start and stop bits in place
  reg [39:0] frame;
  reg [5:0] out_bits;
  reg [TIMER_BITS-1:0] out_timer;
  // The comparison takes two cycles more: 32 bits of carry would be the longest path of all.
  reg signed [31:0] value, best;
  reg [4:0] place, best_place;
  reg at_start, value_last, fresh, larger, compared;
  always @(posedge clk)
    if (reset) begin
      transmit <= 1'b1;
      out_bits <= 0;
      out_timer <= 0;
      logit_ready <= 1'b0;
      at_start <= 1'b1;
      fresh <= 1'b0;
      compared <= 1'b0;
      place <= 0;
      largest <= 0;
      answered <= 1'b0;
    end else begin
      logit_ready <= 1'b0;
      fresh <= 1'b0;
      larger <= at_start || value > best;
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
      if (out_timer != 0) out_timer <= out_timer - 1'b1;
      else if (out_bits != 0) begin
        transmit <= frame[0];
        frame <= {1'b1, frame[39:1]};
        out_bits <= out_bits - 1'b1;
        out_timer <= CYCLES_PER_BIT - 1;
      end else begin
        transmit <= 1'b1;
        if (logit_valid && !logit_ready) begin
          logit_ready <= 1'b1;
          frame <= {
            1'b1, logit[31:24], 1'b0, 1'b1, logit[23:16], 1'b0, 1'b1, logit[15:8], 1'b0, 1'b1, logit[7:0], 1'b0
          };
          out_bits <= 40;
          fresh <= 1'b1;
          value <= logit;
          value_last <= logit_last;
        end
      end
    end
endmodule
`default_nettype wire
