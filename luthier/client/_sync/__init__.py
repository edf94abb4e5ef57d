# Made by client/unasync.py from _async/__init__.py; change that.
"""The synchronous client."""
