"""What each step does in its folder: one module per step, whose imports are the program that its product depends on."""
