"""Everything about models: no Flask, no status codes."""

__version__ = "0.2.0"
