"""Protocols of other inference servers, over the same models and the same engine."""
