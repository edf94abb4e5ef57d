"""The command line and the Python client."""

from models import __version__

__all__ = ["__version__"]
