"""Predictions over HTTP: Luthier beside a bare Flask route and other model servers."""
