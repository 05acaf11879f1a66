"""The site: ``/health`` for whoever watches the process, ``/stats`` with the members of INFO for dashboards."""

from __future__ import annotations

import hmac
import json

from klein import Klein
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException

from faktory_tw.server import Server

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Pages:
    """What each address answers."""

    app = Klein()

    def __init__(self, server: Server) -> None:
        self._server = server

    @app.route("/health", methods=["GET", "HEAD"])
    def health(self, request: IRequest) -> bytes:
        """Alive: no password is needed to ask."""
        return _json(request, self._server.health())

    @app.route("/stats", methods=["GET", "HEAD"])
    def stats(self, request: IRequest) -> bytes:
        """The same as INFO."""
        if not self._admitted(request):
            request.setResponseCode(401)
            request.setHeader("WWW-Authenticate", 'Basic realm="Faktory"')
            return _json(request, {"error": "authorization required"})
        return _json(request, self._server.info())

    @app.handle_errors(HTTPException)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """No such page, or not in this way."""
        error = failure.value
        assert isinstance(error, HTTPException)
        request.setResponseCode(error.code or 500)
        return _json(request, {"error": error.name.lower()})

    def _admitted(self, request: IRequest) -> bool:
        password = self._server.password
        given: bytes = request.getPassword()
        return password is None or hmac.compare_digest(given, password.encode())


def _json(request: IRequest, value: object) -> bytes:
    for name, text in _HEADERS.items():
        request.setHeader(name, text)
    request.setHeader("Content-Type", "application/json")
    return json.dumps(value, separators=(",", ":")).encode()


class QuietSite(Site):
    """A site without an access log: Twisted dates its lines by the reactor's clock, which counts from no date here."""

    def log(self, request: Request) -> None:
        """Say nothing."""


def make_site(server: Server) -> Site:
    """The HTTP factory for one server."""
    site = QuietSite(Pages(server).app.resource())
    site.noisy = False
    site.displayTracebacks = False
    return site
