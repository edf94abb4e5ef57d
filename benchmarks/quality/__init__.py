"""How good the predictions are: Luthier through HTTP beside the best libraries for tables."""
