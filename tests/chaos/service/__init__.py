"""A service under test, and what is done to it."""
