"""Training in NumPy: a network as arrays, its forward and backward pass, its optimizers."""
