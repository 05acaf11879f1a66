"""The HTTP side of the server, on Klein: pages for people, an API and measurements for programs."""

from .app import make_site

__all__ = ["make_site"]
