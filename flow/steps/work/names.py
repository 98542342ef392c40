"""Names of the files in products."""

FROZEN, TEST, PARITY, PROJECT = "network.alq", "test.npz", "parity.json", "project"
