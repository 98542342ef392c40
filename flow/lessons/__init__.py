"""What the notebooks show: one module per notebook with its steps and pictures, and the walk that they share."""

from flow.lessons.walk import Walk

__all__ = ["Walk"]
