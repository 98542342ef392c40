"""What runs on and around a board: driver, deploy folder, doctor, serial line. Needs NumPy; PYNQ only on the board."""
