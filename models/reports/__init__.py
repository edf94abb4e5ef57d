"""Reports on jobs: compared, ranked by hyperparameter, and drawn as pages and pictures."""
