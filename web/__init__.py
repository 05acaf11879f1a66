"""The HTTP side of the server, on Klein."""

from .app import make_site

__all__ = ["make_site"]
