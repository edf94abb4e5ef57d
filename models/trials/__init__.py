"""Train and score one trial."""
