"""Oracles, which decide the values to try next: ask and tell."""
