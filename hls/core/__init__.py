"""The Verilog core: parameterised modules, and the generator of tops and tables from a plan."""

from hls.core.generate import Core, generate
from hls.core.layout import RtlError, Tap

__all__ = ["Core", "RtlError", "Tap", "generate"]
