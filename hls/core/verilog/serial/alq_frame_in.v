// Frames of samples out of the bytes of a serial line. A frame, numbers lowest byte first:
//
//   A5 C3 start word | 01 kind | number | length, 2 bytes | samples, a byte each | CRC-32 from the kind on, 4 bytes
//
// The core gets the samples as they come; its logits count only once the CRC was right (`accepted`), so that a frame
// that did not arrive whole has no answer. Every frame finds the core as after a reset: nothing reaches the next one.
`default_nettype none
module alq_frame_in #(
    parameter integer SAMPLES = 3600,  // below 65536
    parameter integer IDLE_BITS = 23  // a silence of 2**IDLE_BITS cycles inside a frame ends it
) (
    input wire clk,
    input wire reset,
    input wire [7:0] byte_data,
    input wire byte_valid,
    input wire byte_busy,
    output reg [7:0] data,
    output reg last,
    output reg valid,
    input wire ready,
    output reg begun,  // for one cycle: a frame begins; what is left of another is forgotten
    output reg accepted,  // the frame arrived whole
    output reg refused,  // for one cycle: a frame was broken
    output reg restart,  // for one cycle: the core has samples of a frame that is given up
    output reg [7:0] number,  // of the frame that begins or is refused
    output reg [7:0] reason
);
`include "alq_functions.vh"
  localparam [7:0] LENGTH = 8'd1, SUM = 8'd2, SILENCE = 8'd3, OVERRUN = 8'd4;  // reasons
  localparam [3:0] HUNT = 0, WORD = 1, KIND = 2, NUMBER = 3, LOW = 4, HIGH = 5, SAMPLE = 6, CRC = 7, CHECK = 8;
  localparam COUNT_BITS = width_of(SAMPLES);
  localparam integer BYTES = SAMPLES;
  localparam integer FINAL = SAMPLES - 1;
  reg [3:0] state;
  reg [COUNT_BITS-1:0] count;
  reg [1:0] place;  // in the CRC
  reg [IDLE_BITS-1:0] idle;
  reg fits;
  wire sum_busy, sum_good;
  wire [31:0] unused_sum;
  alq_crc32 crc (
      .clk(clk),
      .clear(state == HUNT || state == WORD),
      .data(byte_data),
      .valid(byte_valid),
      .busy(sum_busy),
      .sum(unused_sum),
      .good(sum_good)
  );
  always @(posedge clk) begin
    begun   <= 1'b0;
    refused <= 1'b0;
    restart <= 1'b0;
    if (valid && ready) valid <= 1'b0;
    idle <= state == HUNT || byte_busy || byte_valid ? {IDLE_BITS{1'b0}} : idle + 1'b1;
    if (reset) begin
      state <= HUNT;
      valid <= 1'b0;
      accepted <= 1'b0;
    end else if (byte_valid)
      case (state)
        HUNT: if (byte_data == 8'ha5) state <= WORD;
        WORD: state <= byte_data == 8'hc3 ? KIND : byte_data == 8'ha5 ? WORD : HUNT;
        KIND: begin
          fits  <= byte_data == 8'h01;
          state <= NUMBER;
        end
        NUMBER: begin
          number <= byte_data;
          state  <= LOW;
        end
        LOW: begin
          if (byte_data != BYTES[7:0]) fits <= 1'b0;
          state <= HIGH;
        end
        HIGH:
        if (fits && byte_data == BYTES[15:8]) begin
          begun <= 1'b1;
          restart <= 1'b1;
          accepted <= 1'b0;
          valid <= 1'b0;
          count <= 0;
          state <= SAMPLE;
        end else begin
          refused <= 1'b1;
          reason  <= LENGTH;
          state   <= HUNT;
        end
        SAMPLE:
        if (valid && !ready) begin
          valid   <= 1'b0;
          refused <= 1'b1;
          restart <= 1'b1;
          reason  <= OVERRUN;
          state   <= HUNT;
        end else begin
          data  <= byte_data;
          last  <= count == FINAL[COUNT_BITS-1:0];
          valid <= 1'b1;
          count <= count + 1'b1;
          place <= 0;
          if (count == FINAL[COUNT_BITS-1:0]) state <= CRC;
        end
        CRC: begin
          place <= place + 1'b1;
          if (place == 3) state <= CHECK;
        end
        default: ;  // CHECK takes eight cycles, fewer than a byte
      endcase
    else if (state == CHECK && !sum_busy) begin
      state <= HUNT;
      if (sum_good && !valid) accepted <= 1'b1;
      else begin
        valid   <= 1'b0;
        refused <= 1'b1;
        restart <= 1'b1;
        reason  <= sum_good ? OVERRUN : SUM;
      end
    end else if (&idle) begin
      state <= HUNT;
      if (state == SAMPLE || state == CRC) begin
        valid   <= 1'b0;
        restart <= 1'b1;
      end
      refused <= state != WORD;
      reason  <= SILENCE;
    end
  end
endmodule
`default_nettype wire
