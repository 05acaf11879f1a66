"""Where the site is, for who asks: behind a reverse proxy its addresses have a prefix, told in ``X-Script-Name``.

And where somebody may be sent on to: to addresses of ours only.
"""

from __future__ import annotations

import re
from urllib.parse import quote

_MOST_CHARACTERS = 200
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")  # no segment begins with a dot: neither "." nor ".."
_SAFE = "/?&=%+,;:@!$'()*~#"  # may stand in a Location as they are; "%": what is encoded already stays so
_NO_PATH = re.compile(r"[\x00-\x20\x7f\\]")


def prefix_of(header: str | None) -> str:
    """The prefix that a proxy tells, without a slash at its end. ValueError for what is none."""
    prefix = (header or "").strip().rstrip("/")
    if prefix and (len(prefix) > _MOST_CHARACTERS or _PREFIX.fullmatch(prefix) is None):
        raise ValueError(f"must be a path such as /faktory, of at most {_MOST_CHARACTERS} plain characters")
    return prefix


def without_prefix(path: bytes, prefix: str) -> bytes:
    """The path as our routes know it: some proxies take the prefix away before they ask, others leave it."""
    start = prefix.encode()
    if prefix and (path == start or path.startswith(start + b"/")):
        return path[len(start) :] or b"/"
    return path


def location(path: str) -> str:
    """A path of ours, as it stands in a ``Location``. ValueError for an address that is not ours."""
    if not path.startswith("/") or path.startswith("//") or _NO_PATH.search(path.partition("?")[0]):
        raise ValueError(f"{path[:100]!r} is no path of ours")
    return quote(path, safe=_SAFE)
