"""Rows prepared for training: tasks, splits, weights, and checks of the data."""
