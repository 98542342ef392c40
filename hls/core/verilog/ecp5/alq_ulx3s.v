// Top for the ULX3S board: 25 MHz oscillator, phase-locked loop, the core behind the USB serial line, LEDs.
// LEDs: 0 to 4 the class of the last frame, 5 changes with every frame, 6 receiving, 7 the clock is locked.
`default_nettype none
module alq_ulx3s #(
    parameter integer MULTIPLY = 7,  // core clock = 25 MHz * MULTIPLY / 2; the oscillator runs at 12.5 MHz * MULTIPLY * DIVIDE
    parameter integer DIVIDE = 7,  // 400 to 800 MHz
    parameter integer BAUD = 1000000,
    parameter integer SAMPLES = 3600,
    parameter integer VALUES = 17
) (
    input wire clk_25mhz,
    input wire ftdi_txd,
    output wire ftdi_rxd,
    output wire [7:0] led,
    output wire wifi_gpio0
);
  localparam CLOCK_HZ = 12500000 * MULTIPLY;
  assign wifi_gpio0 = 1'b1;  // keeps the board's ESP32 from its boot loader
  wire clk, locked;
  (* FREQUENCY_PIN_CLKI = "25" *)
  EHXPLLL #(
      .PLLRST_ENA("DISABLED"),
      .INTFB_WAKE("DISABLED"),
      .STDBY_ENABLE("DISABLED"),
      .DPHASE_SOURCE("DISABLED"),
      .OUTDIVIDER_MUXA("DIVA"),
      .OUTDIVIDER_MUXB("DIVB"),
      .OUTDIVIDER_MUXC("DIVC"),
      .OUTDIVIDER_MUXD("DIVD"),
      .CLKI_DIV(2),
      .CLKOP_ENABLE("ENABLED"),
      .CLKOP_DIV(DIVIDE),
      .CLKOP_CPHASE(DIVIDE - 1),
      .CLKOP_FPHASE(0),
      .FEEDBK_PATH("CLKOP"),
      .CLKFB_DIV(MULTIPLY)
  ) loop (
      .RST(1'b0),
      .STDBY(1'b0),
      .CLKI(clk_25mhz),
      .CLKOP(clk),
      .CLKFB(clk),
      .CLKINTFB(),
      .PHASESEL0(1'b0),
      .PHASESEL1(1'b0),
      .PHASEDIR(1'b1),
      .PHASESTEP(1'b1),
      .PHASELOADREG(1'b1),
      .PLLWAKESYNC(1'b0),
      .ENCLKOP(1'b0),
      .LOCK(locked)
  );
  reg [3:0] wait_reset;
  initial wait_reset = 4'd0;
  always @(posedge clk)
    if (!locked) wait_reset <= 4'd0;
    else if (!(&wait_reset)) wait_reset <= wait_reset + 1'b1;
  alq_serial #(
      .SAMPLES(SAMPLES),
      .VALUES(VALUES),
      .CYCLES_PER_BIT(CLOCK_HZ / BAUD)
  ) serial (
      .clk(clk),
      .reset(!(&wait_reset)),
      .receive(ftdi_txd),
      .transmit(ftdi_rxd),
      .largest(led[4:0]),
      .answered(led[5])
  );
  assign led[6] = !ftdi_txd;
  assign led[7] = locked;
endmodule
`default_nettype wire
