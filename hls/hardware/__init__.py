"""Open tools on the Verilog core: synthesis, timing, placement, routing, bitstream, and the rows of results."""

from hls.hardware.flow import hardware, sweep_foldings
from hls.rtl.tools import ToolError

__all__ = ["ToolError", "hardware", "sweep_foldings"]
