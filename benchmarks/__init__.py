"""Measurements: each prints a table of Luthier beside baselines that ran in the same call."""

import os

# TensorFlow reads it when it is imported; its remarks would stand between the lines of a table.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
