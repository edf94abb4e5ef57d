"""Rows prepared for networks: tasks, splits, preprocessing."""
