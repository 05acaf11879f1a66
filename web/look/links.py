"""Addresses of our own pages that need some care.

A queue may be called "..", and a browser takes that out of a path before it asks, however it is spelled: such a name
travels as a field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from ..visit import Visit

_DOTS = (".", "..")


def address(path: str, **query: Any) -> str:
    """What a Redirect wants: a path with its fields, but those that are None or empty, without the proxy's prefix."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def queue_page(name: str) -> tuple[str, dict[str, str]]:
    """Path and fields of the page of a queue."""
    return ("/queue", {"name": name}) if name in _DOTS else (f"/queues/{name}", {})


def queue_address(name: str, **query: Any) -> str:
    """The page of a queue, for a Redirect."""
    path, fields = queue_page(name)
    return address(path, **fields, **query)


def queue_url(visit: Visit, name: str, **query: Any) -> str:
    """The page of a queue, for a link."""
    path, fields = queue_page(name)
    return visit.url(path, **fields, **query)
