"""Training of perceptrons in NumPy."""
