"""How time and memory grow with trials, rows and parallelism."""
