"""Datasets: reading, typing, splitting, preprocessing."""
