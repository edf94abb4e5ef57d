"""Datasets kept, described and opened again."""
