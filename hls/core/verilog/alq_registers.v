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
    parameter [31:0] VALUES = 0,
    parameter integer FRAMES = 32  // that may be inside the core at once, a power of two
) (
    input wire clk,
    input wire reset,
    input wire [11:0] s_axi_awaddr,
    input wire [2:0] s_axi_awprot,
    input wire s_axi_awvalid,
    output reg s_axi_awready,
    input wire [31:0] s_axi_wdata,
    input wire [3:0] s_axi_wstrb,
    input wire s_axi_wvalid,
    output reg s_axi_wready,
    output wire [1:0] s_axi_bresp,
    output reg s_axi_bvalid,
    input wire s_axi_bready,
    input wire [11:0] s_axi_araddr,
    input wire [2:0] s_axi_arprot,
    input wire s_axi_arvalid,
    output reg s_axi_arready,
    output reg [31:0] s_axi_rdata,
    output wire [1:0] s_axi_rresp,
    output reg s_axi_rvalid,
    input wire s_axi_rready,
    input wire begins,
    input wire ends,
    input wire too_short,
    input wire too_long
);
  `include "alq_functions.vh"
  localparam [31:0] MAGIC = 32'h414c5146;  // "ALQF"
  localparam [31:0] VERSION = 32'd1;

  localparam integer FRAME_BITS = width_of(FRAMES);
  generate
    if (FRAMES < 2 || (FRAMES & (FRAMES - 1)) != 0) begin : refused
      alq_registers_FRAMES_must_be_a_power_of_two error ();
    end
  endgenerate

  // A frame's start time waits in a small ring until its last logit has left: frames overlap in the pipeline. The events
  // come one cycle late, which keeps this block out of the streams' timing and changes no difference.
  reg begun, done;
  always @(posedge clk) begin
    begun <= begins && !reset;
    done  <= ends && !reset;
  end
  reg [31:0] now, cycles, frames;
  (* ram_style = "distributed" *) reg [31:0] started[0:FRAMES-1];
  reg [FRAME_BITS-1:0] head, tail;
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
        cycles <= now - started[head] + 32'd2;  // the sample's own cycle, and the register behind the pins
        frames <= frames + 1'b1;
      end
    end
  end

  // Every handshake leaves from a register: no path from an input to an output, as AXI demands. Address and data of a
  // write are taken one by one and wait for each other.
  reg have_address, have_data, clears;
  reg [1:0] cleared;
  wire address_in = s_axi_awvalid && s_axi_awready;
  wire data_in = s_axi_wvalid && s_axi_wready;
  wire answered = s_axi_bvalid && s_axi_bready;
  wire hold_address = (have_address || address_in) && !answered;
  wire hold_data = (have_data || data_in) && !answered;
  wire write = have_address && have_data && !s_axi_bvalid;
  assign s_axi_bresp = 2'b00;
  always @(posedge clk) begin
    if (address_in) clears <= s_axi_awaddr[11:2] == 10'h004;
    if (data_in) cleared <= s_axi_wstrb[0] ? s_axi_wdata[1:0] : 2'b00;
    if (reset) begin
      have_address <= 1'b0;
      have_data <= 1'b0;
      s_axi_awready <= 1'b0;
      s_axi_wready <= 1'b0;
      s_axi_bvalid <= 1'b0;
      errors <= 2'b00;
    end else begin
      have_address <= hold_address;
      have_data <= hold_data;
      s_axi_awready <= !hold_address;
      s_axi_wready <= !hold_data;
      s_axi_bvalid <= write || (s_axi_bvalid && !s_axi_bready);
      errors <= (errors & ~(write && clears ? cleared : 2'b00)) | {too_long, too_short};
    end
  end

  // AXI has pins for what these registers do not tell apart: bytes of a word, protection.
  wire unused = &{1'b0, s_axi_awprot, s_axi_arprot, s_axi_awaddr[1:0], s_axi_araddr[1:0], s_axi_wdata[31:2], s_axi_wstrb[3:1]};
  wire read_in = s_axi_arvalid && s_axi_arready;
  wire hold_read = read_in || (s_axi_rvalid && !s_axi_rready);
  assign s_axi_rresp = 2'b00;
  reg [31:0] word;
  always @*
    case (s_axi_araddr[11:2])
      10'h000: word = MAGIC;
      10'h001: word = VERSION;
      10'h002: word = cycles;
      10'h003: word = frames;
      10'h004: word = {30'd0, errors};
      10'h005: word = SAMPLES;
      10'h006: word = VALUES;
      10'h008: word = IDENTITY[255-:32];
      10'h009: word = IDENTITY[223-:32];
      10'h00a: word = IDENTITY[191-:32];
      10'h00b: word = IDENTITY[159-:32];
      10'h00c: word = IDENTITY[127-:32];
      10'h00d: word = IDENTITY[95-:32];
      10'h00e: word = IDENTITY[63-:32];
      10'h00f: word = IDENTITY[31-:32];
      default: word = 32'd0;
    endcase
  always @(posedge clk)
    if (reset) begin
      s_axi_arready <= 1'b0;
      s_axi_rvalid  <= 1'b0;
      s_axi_rdata   <= 32'd0;
    end else begin
      s_axi_arready <= !hold_read;
      s_axi_rvalid  <= hold_read;
      if (read_in) s_axi_rdata <= word;
    end
`ifdef FORMAL
  // At most one write and one read are inside; each is answered, once, within a few cycles of its last part; nothing of an
  // answer changes until it is taken; and a request that stands at the pins is taken within a few cycles.
  localparam SOON = 2;
  reg addresses, datas, reads;  // taken and not answered
  reg b_waits, r_waits;
  reg [31:0] rdata_before;
  reg [2:0] write_wait, read_wait, address_wait, data_wait, request_wait;
  always @(posedge clk) begin
    b_waits <= s_axi_bvalid && !s_axi_bready && !reset;
    r_waits <= s_axi_rvalid && !s_axi_rready && !reset;
    rdata_before <= s_axi_rdata;
    if (reset) {addresses, datas, reads} <= 0;
    else begin
      addresses <= (addresses && !answered) || address_in;
      datas <= (datas && !answered) || data_in;
      reads <= (reads && !(s_axi_rvalid && s_axi_rready)) || read_in;
    end
    write_wait   <= reset || !(addresses && datas) || s_axi_bvalid ? 0 : write_wait + 1;
    read_wait    <= reset || !reads || s_axi_rvalid ? 0 : read_wait + 1;
    address_wait <= reset || addresses || !s_axi_awvalid || s_axi_awready ? 0 : address_wait + 1;
    data_wait    <= reset || datas || !s_axi_wvalid || s_axi_wready ? 0 : data_wait + 1;
    request_wait <= reset || reads || !s_axi_arvalid || s_axi_arready ? 0 : request_wait + 1;
  end
  always @* if (!reset) begin
    b_holds : assert (s_axi_bvalid || !b_waits);
    r_holds : assert (!r_waits || (s_axi_rvalid && s_axi_rdata == rdata_before));
    one_write : assert (!(address_in && addresses) && !(data_in && datas));
    one_read : assert (!(read_in && reads));
    no_answer_unasked : assert ((!s_axi_bvalid || (addresses && datas)) && (!s_axi_rvalid || reads));
    always_okay : assert (s_axi_bresp == 0 && s_axi_rresp == 0);
    answered_soon : assert (write_wait <= SOON && read_wait <= SOON);
    taken_soon : assert (address_wait <= SOON && data_wait <= SOON && request_wait <= SOON);
    // what the proofs rest on
    writes_agree : assert (addresses == have_address && datas == have_data && !(addresses && s_axi_awready) && !(datas && s_axi_wready));
    reads_agree : assert (reads == s_axi_rvalid && !(reads && s_axi_arready));
  end
`endif
endmodule
`default_nettype wire
