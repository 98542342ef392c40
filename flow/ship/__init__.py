"""Onto a board: bitstream, deploy folder, deployment."""
