"""Open tools on the Verilog core: synthesis, timing, placement, routing, bitstream, and the rows of results."""
