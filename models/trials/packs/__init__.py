"""Training many networks at once: a pack is one TensorFlow program over stacked weights."""
