"""What computes the integers of a frozen network outside NumPy, and the comparison of all of them."""
