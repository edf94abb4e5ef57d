"""Cells: how the values of a column are spelled, how that is found out, and how they are read."""
