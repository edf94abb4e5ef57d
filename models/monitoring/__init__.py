"""What happens to versions in production: figures of predictions, feedback, drift and the guard."""
