"""What every request passes: keys, limits, repeats, compression and its line in the log."""
