"""Trainers of the runs of a trial."""
