"""Hyperparameter values in, compiled Keras network out."""
