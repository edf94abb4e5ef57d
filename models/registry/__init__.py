"""Versions, aliases and export."""
