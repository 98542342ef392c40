"""The driver, unchanged, without a board: a stand-in for the module `pynq` over a fast model or over simulated RTL."""
