"""The contestants of `benchmarks.serving`, each the way its own documentation shows it."""
