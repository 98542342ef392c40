"""A frozen network as C99 for microcontrollers: one header, one source, a golden vector and a test."""

from hls.c.generate import CExportError, write

__all__ = ["CExportError", "write"]
