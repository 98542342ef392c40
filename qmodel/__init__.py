"""The trained side: ECG data, ALQ quantisation, training, and the frozen integers."""

__version__ = "0.2.0"
