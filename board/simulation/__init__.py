"""The driver, unchanged, without a board: a stand-in for the module `pynq` over a fast model or over simulated RTL.

For development and tests; not part of the distribution (the RTL side runs on cocotbpynq, whose licence is GPL-3).
"""
