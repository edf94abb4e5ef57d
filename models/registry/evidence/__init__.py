"""The evidence of a version: scores with intervals, baselines, and what the columns decide."""
