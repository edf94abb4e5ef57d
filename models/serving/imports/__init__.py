"""Graphs that others made, as versions: understood, checked by running them, registered."""
