"""What can train the trials: one module each, with `prepare(task, turns)`."""
