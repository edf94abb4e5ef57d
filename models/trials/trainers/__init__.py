"""What trains the runs of a trial."""
