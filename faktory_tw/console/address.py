"""Where the server is: ``--url``, else the environment, else this machine. A password is never part of an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

DEFAULT_PORT = 7419
DEFAULT_URL = f"tcp://localhost:{DEFAULT_PORT}"
EXAMPLE = f"tcp://:password@localhost:{DEFAULT_PORT}"
_PORT = re.compile(r"\d{1,5}", re.ASCII)


class AddressError(ValueError):
    """A URL that cannot be used. The text is for the user, and has no password in it."""


@dataclass(frozen=True)
class Address:
    """A server. ``str()`` of it is ``host:port``."""

    host: str
    port: int
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    username: str | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """The server of ``tcp://user:password@host:port`` or ``tcp+tls://…``; user and password may be missing."""
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
        host = parts.hostname
    except ValueError:
        raise AddressError(f"{masked(url)!r} is no URL such as {EXAMPLE}; a port is a number up to 65535") from None
    if parts.scheme not in ("tcp", "tcp+tls") or not host:
        raise AddressError(f"{masked(url)!r} is no URL such as {EXAMPLE}, or tcp+tls://… for TLS")
    password = unquote(parts.password) if parts.password else None
    username = unquote(parts.username) if parts.username else None
    return Address(host, port, password, parts.scheme == "tcp+tls", username)


def masked(url: str) -> str:
    """The URL without what is, or could be meant to be, a password."""
    scheme, slashes, rest = url.rpartition("//") if "@" not in url else url.partition("//")
    if not slashes:
        scheme, rest = "", url
    before, at, behind = rest.rpartition("@")
    if at:
        return f"{scheme}{slashes}***@{behind}" if before else url
    name, colon, port = rest.partition(":")
    if colon and not rest.startswith("[") and not _PORT.fullmatch(port) and (not name or len(port) > 5):
        return f"{scheme}{slashes}{name}:***"
    return url


def from_environment(environ: Mapping[str, str]) -> Address:
    """The server that FAKTORY_PROVIDER's variable names, else FAKTORY_URL, else the one on this machine."""
    provider = environ.get("FAKTORY_PROVIDER", "")
    if ":" in provider:
        raise AddressError(
            "Error: FAKTORY_PROVIDER is not a URL. It is the name of the ENV var that contains the URL: "
            "FAKTORY_PROVIDER=FOO_URL and FOO_URL=" + EXAMPLE
        )
    if provider:
        url = environ.get(provider, "")
        if not url:
            raise AddressError(f"FAKTORY_PROVIDER set to invalid value: {provider}")
        return _of_variable(provider, url)
    url = environ.get("FAKTORY_URL", "")
    return _of_variable("FAKTORY_URL", url) if url else parse(DEFAULT_URL)


def _of_variable(name: str, url: str) -> Address:
    try:
        return parse(url)
    except AddressError as error:
        raise AddressError(f"{name}: {error}") from None
