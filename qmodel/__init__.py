"""The trained side: ECG data, ALQ quantisation, training, and the frozen integers."""
