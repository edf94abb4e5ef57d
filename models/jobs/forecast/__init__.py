"""Forecasts of seconds, memory and disk, from a few networks that are trained briefly."""
