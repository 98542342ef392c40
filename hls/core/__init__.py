"""The Verilog core: parameterised modules, and the generator of tops and tables from a frozen network and a folding."""

from hls.core.generate import Core, RtlError, Tap, generate

__all__ = ["Core", "RtlError", "Tap", "generate"]
