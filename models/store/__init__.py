"""The database and the artifact root."""
