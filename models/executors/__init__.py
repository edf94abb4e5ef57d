"""Processes in which trials run."""
