"""Measurements: each prints a table of Luthier beside baselines that ran in the same call."""
