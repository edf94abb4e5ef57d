"""What a user types: the command line and the Python client."""
