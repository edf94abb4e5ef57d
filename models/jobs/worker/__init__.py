"""The worker: it claims jobs, runs their trials in processes and registers the winners."""
