// Frames with the logits of a core, or with a refusal, as the bytes of a serial line. A frame, lowest byte first:
//
//   A5 C3 start word | 81 kind | number | length, 2 bytes | logits, 4 bytes each | CRC-32 from the kind on, 4 bytes
//   A5 C3            | 82      | number | 1, 2 bytes      | reason               | CRC-32
//
// Logits carry the number of the last frame that began; those of a frame before it are cut off.
`default_nettype none
module alq_frame_out #(
    parameter integer VALUES = 17  // logits, below 16384
) (
    input wire clk,
    input wire reset,
    input wire begun,
    input wire refused,
    input wire restart,
    input wire [7:0] number,
    input wire [7:0] reason,
    input wire [31:0] logit,
    input wire logit_valid,
    output wire logit_ready,
    output reg [7:0] byte_data,
    output wire byte_valid,
    input wire byte_ready
);
`include "alq_functions.vh"
  localparam [1:0] IDLE = 0, HEAD = 1, BODY = 2, CRC = 3;
  localparam COUNT_BITS = width_of(VALUES);
  localparam integer FINAL = VALUES - 1;
  localparam integer BYTES = 4 * VALUES;
  reg [1:0] state;
  reg [2:0] place;  // of a byte in the head, in a logit, in the CRC
  reg [COUNT_BITS-1:0] count;
  reg answer, waiting;  // logits are being sent; a refusal is to be sent
  reg [7:0] begun_number, refused_number, refused_reason, out_number, out_reason;
  wire [31:0] sum;
  wire unused_busy, unused_good;
  wire hand = byte_valid && byte_ready;
  wire [1:0] of_four = place[1:0];
  assign byte_valid  = state != IDLE && !(state == BODY && answer && !logit_valid);
  assign logit_ready = state == BODY && answer && hand && of_four == 3;
  alq_crc32 crc (
      .clk(clk),
      .clear(state == IDLE),
      .data(byte_data),
      .valid(hand && (state == BODY || (state == HEAD && place >= 2))),
      .busy(unused_busy),
      .sum(sum),
      .good(unused_good)
  );
  always @(*)
    case (state)
      BODY: byte_data = answer ? logit[8*of_four+:8] : out_reason;
      CRC: byte_data = sum[8*of_four+:8];
      default:
      case (place)
        0: byte_data = 8'ha5;
        1: byte_data = 8'hc3;
        2: byte_data = answer ? 8'h81 : 8'h82;
        3: byte_data = out_number;
        4: byte_data = answer ? BYTES[7:0] : 8'd1;
        default: byte_data = answer ? BYTES[15:8] : 8'd0;
      endcase
    endcase
  always @(posedge clk) begin
    if (begun) begun_number <= number;
    if (reset) begin
      state   <= IDLE;
      waiting <= 1'b0;
    end else begin
      if (restart && answer) state <= IDLE;
      else
        case (state)
          IDLE: begin
            place <= 0;
            count <= 0;
            answer <= !waiting;
            out_number <= waiting ? refused_number : begun_number;
            out_reason <= refused_reason;
            if (waiting || logit_valid) state <= HEAD;
            waiting <= 1'b0;
          end
          HEAD:
          if (hand) begin
            place <= place == 5 ? 3'd0 : place + 1'b1;
            if (place == 5) state <= BODY;
          end
          BODY:
          if (hand) begin
            place <= !answer || of_four == 3 ? 3'd0 : place + 1'b1;
            if (of_four == 3) count <= count + 1'b1;
            if (!answer || (of_four == 3 && count == FINAL[COUNT_BITS-1:0])) state <= CRC;
          end
          default:
          if (hand) begin
            place <= place + 1'b1;
            if (of_four == 3) state <= IDLE;
          end
        endcase
      if (refused) begin
        waiting <= 1'b1;
        refused_number <= number;
        refused_reason <= reason;
      end
    end
  end
endmodule
`default_nettype wire
