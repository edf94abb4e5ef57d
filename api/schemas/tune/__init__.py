"""Tuning jobs and trials: commands, queries and answers."""
