"""Keras networks from hyperparameter values."""
