"""The site, for programs that watch the server.

``/health`` and ``/ready`` tell anybody whether it lives and whether it takes jobs, ``/stats`` has the members of INFO
for dashboards, ``/metrics`` is for Prometheus.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from klein import Klein
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from twisted.internet.defer import Deferred
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.iweb import IRequest
from twisted.web.server import Site
from werkzeug.exceptions import HTTPException, NotFound

from faktory_tw.server import Server

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


Coiterate = Callable[[Iterator[Any]], Deferred]
_step_by_step = Cooperator(terminationPredicateFactory=lambda: lambda: True).coiterate  # one step a turn of the reactor


class Pages:
    """What each address answers.

    ``coiterate`` goes through an iterator, some of it in each turn of the reactor, and then fires a Deferred.
    """

    app = Klein()

    def __init__(self, server: Server, coiterate: Coiterate) -> None:
        self._server = server
        self._coiterate = coiterate

    @app.route("/health", methods=["GET", "HEAD"])
    def health(self, request: IRequest) -> bytes:
        """Alive: no password is needed to ask."""
        return _json(request, self._server.health())

    @app.route("/ready", methods=["GET", "HEAD"])
    def ready(self, request: IRequest) -> bytes:
        """Able to take jobs, or status 503 and why not. No password is needed to ask."""
        obstacles = self._server.obstacles()
        if obstacles:
            request.setResponseCode(503)
        return _json(request, {"ready": not obstacles, "reasons": obstacles})

    @app.route("/stats", methods=["GET", "HEAD"])
    def stats(self, request: IRequest) -> bytes:
        """The same as INFO."""
        if not self._admitted(request):
            return _locked(request)
        return _json(request, self._server.info())

    @app.route("/metrics", methods=["GET", "HEAD"])
    def metrics(self, request: IRequest) -> bytes | Deferred[bytes]:
        """Everything that is measured, in Prometheus' text format."""
        if not self._admitted(request):
            return _locked(request)
        metrics = self._server.metrics
        if metrics is None:
            raise NotFound
        pieces: list[bytes] = []
        told = self._coiterate(map(pieces.append, metrics.scrape()))
        return told.addCallback(lambda _: _text(request, CONTENT_TYPE_PLAIN_0_0_4, b"".join(pieces)))

    @app.handle_errors(HTTPException)
    def refused(self, request: IRequest, failure: Failure) -> bytes:
        """No such page, or not in this way."""
        error = failure.value
        assert isinstance(error, HTTPException)
        request.setResponseCode(error.code or 500)
        return _json(request, {"error": error.name.lower()})

    def _admitted(self, request: IRequest) -> bool:
        given: bytes = request.getPassword()
        return self._server.admits_to_web(given)


def _locked(request: IRequest) -> bytes:
    request.setResponseCode(401)
    request.setHeader("WWW-Authenticate", 'Basic realm="Faktory"')
    return _json(request, {"error": "authorization required"})


def _json(request: IRequest, value: object) -> bytes:
    return _text(request, "application/json", json.dumps(value, separators=(",", ":")).encode())


def _text(request: IRequest, content_type: str, text: bytes) -> bytes:
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    request.setHeader("Content-Type", content_type)
    return text


class QuietSite(Site):
    """A site without an access log: Twisted dates its lines by the reactor's clock, which counts from no date here."""

    def log(self, request: Request) -> None:
        """Say nothing."""


def make_site(server: Server, coiterate: Coiterate = _step_by_step) -> Site:
    """The HTTP factory for one server."""
    site = QuietSite(Pages(server, coiterate).app.resource())
    site.noisy = False
    site.displayTracebacks = False
    return site
