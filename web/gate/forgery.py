"""Requests that somebody else's page makes a browser send: how they are told from those of our own pages.

Two things are asked of each change. It comes from a page of ours: browsers say so in ``Sec-Fetch-Site``, or at least
tell where the page is from, in ``Origin``. And a form has a token that only a page of ours could show: an HMAC, with a
secret of this process, of a cookie, the user's name and the role. So a cookie that was planted, or a token that somebody
else was shown, does not do. What programs send is JSON, which a page from elsewhere can only send after asking us first,
and we never allow it; so it needs no token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from twisted.web.iweb import IRequest

COOKIE = "faktory_token"
FIELD = "token"

_COOKIE_FORM = re.compile(r"[A-Za-z0-9_-]{32}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".test")  # which nobody can register
_TRUSTED_SITES = ("same-origin", "none")  # none: a bookmark, or typed; no page has sent it


class Tokens:
    """Makes the tokens of forms, and knows its own again. Those of another process, or of the one before, are not its own."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def new_cookie(self) -> str:
        """The value of a cookie for a browser that has none."""
        return secrets.token_urlsafe(24)

    def is_cookie(self, value: str | None) -> bool:
        """Whether a cookie has the form of ours."""
        return value is not None and _COOKIE_FORM.fullmatch(value) is not None

    def token(self, cookie: str, user: str, role: str | None) -> str:
        """What the forms have that are shown to who has this cookie, under that name and in that role."""
        told = "\0".join((cookie, role or "", user)).encode("utf-8", "surrogatepass")
        return hmac.new(self._secret, told, hashlib.sha256).hexdigest()

    def is_right(self, token: str, cookie: str | None, user: str, role: str | None) -> bool:
        """Whether a form has the token that belongs to this cookie, user and role."""
        if cookie is None or not self.is_cookie(cookie):
            return False
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(cookie, user, role).encode())


def is_from_elsewhere(request: IRequest, secure: bool) -> bool:
    """Whether a change was sent by a page that is not ours, as far as the browser tells; programs tell nothing.

    ``secure``: it came over HTTPS, at least to the proxy. ``X-Forwarded-Host`` counts like ``Host``: a page from elsewhere
    cannot have either set, because it would have to ask us first.
    """
    sites = _values(request, "Sec-Fetch-Site")
    if sites:
        return len(sites) > 1 or sites[0].lower() not in _TRUSTED_SITES
    origins = _values(request, "Origin")
    if not origins:
        return False
    hosts = [host for name in ("Host", "X-Forwarded-Host") for host in _values(request, name)]
    return len(origins) > 1 or not any(_is_at(origins[0], host.split(",")[0].strip(), secure) for host in hosts)


def may_be_rebound(request: IRequest) -> bool:
    """Whether the host that was asked for has a name that anybody on the Internet may have given to this machine.

    A page from elsewhere can have the name of its own site lead here, and is then at the same origin. Where there is a
    password the browser does not send it under that name; where there is none, only addresses and local names are safe.
    """
    for told in _values(request, "Host"):
        try:
            name = (urlsplit(f"//{told}").hostname or "").rstrip(".")
        except ValueError:
            return True
        if "." in name and not name.endswith(_LOCAL_NAMES) and not _is_address(name):
            return True
    return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_at(origin: str, host: str, secure: bool) -> bool:
    """Whether a page of that origin was served by this host. A page that came without HTTPS is not trusted with it."""
    try:
        parts = urlsplit(origin)
        ours = urlsplit(f"{parts.scheme}://{host}")
        if parts.scheme not in (("https",) if secure else _DEFAULT_PORTS) or not parts.hostname or "@" in host:
            return False
        default = _DEFAULT_PORTS[parts.scheme]
        return (parts.hostname, parts.port or default) == (ours.hostname, ours.port or default)
    except ValueError:
        return False


def _values(request: IRequest, name: str) -> list[str]:
    return [value.decode("latin-1") for value in request.requestHeaders.getRawHeaders(name.encode(), [])]
