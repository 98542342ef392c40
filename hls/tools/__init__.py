"""Open tools on the Verilog core: synthesis, timing, placement, routing, bitstream, and the rows of results."""

from hls.tools.measure import hardware, sweep_foldings
from hls.tools.process import ToolError

__all__ = ["ToolError", "hardware", "sweep_foldings"]
