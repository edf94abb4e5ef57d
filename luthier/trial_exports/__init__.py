"""`luthier export-trials`: the trials of a job for TensorBoard, MLflow and Optuna."""
