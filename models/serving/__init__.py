"""Predictions from a registered version."""
