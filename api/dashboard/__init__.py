"""The dashboard: the page at `/` and its files."""
