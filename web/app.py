"""The site: every address on Klein, behind one gate.

A request is read and bounded (:mod:`web.gate.connections`), admitted or refused (:mod:`web.gate.security`), answered by the function
of its route, and what that returns is written with the headers that every answer has. Whatever goes wrong becomes a page,
or JSON for programs, that says what happened (:mod:`web.gate.errors`).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

from klein import Klein
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Cooperator
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from faktory_tw.server import Server

from . import api, monitoring, pages
from .answers import Answer, Page, Redirect, Refusal
from .gate import errors, security
from .gate.connections import BoundedRequest, BoundedSite
from .gate.fields import FORM_BYTES
from .gate.passwords import WrongPassword, pause, verdict_on
from .gate.prefix import location, prefix_of, without_prefix
from .routes import Role, Route
from .site import Coiterate, InThread, WebUI
from .visit import Visit

# One step a turn of the reactor; searches take turns among themselves, so that no page waits for twenty of them.
_step_by_step = Cooperator(terminationPredicateFactory=lambda: lambda: True).coiterate
_search_step_by_step = Cooperator(terminationPredicateFactory=lambda: lambda: True).coiterate
_log = Logger(namespace="faktory_tw.web")

_MOST_ADDRESS = 8192
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS")
_UNSAFE_STATUS = (403, 415)  # of a change: somebody has tried

ROUTES: tuple[Route, ...] = (*monitoring.ROUTES, *pages.ROUTES, *api.ROUTES)


class Gate:
    """Answers requests for one server."""

    def __init__(self, ui: WebUI) -> None:
        self._ui = ui

    def klein(self, routes: tuple[Route, ...]) -> Klein:
        """These routes, with what happens to all others."""
        app = Klein()
        app.url_map.merge_slashes = False  # "//queues" is no page of ours, and nobody is sent on to one
        for route in routes:
            app.route(route.path, methods=list(route.methods), endpoint=f"{route.methods[0]} {route.path}")(
                self._answering(route)
            )

        @app.handle_errors(HTTPException)
        def no_such_page(request: Any, failure: Failure) -> Any:
            error: Any = failure.value
            return self.answer(request, None, {}, error)

        return app

    def _answering(self, route: Route) -> Any:
        def answer(request: BoundedRequest, **values: Any) -> Deferred[bytes]:
            return self.answer(request, route, values)

        return answer

    def answer(
        self, request: BoundedRequest, route: Route | None, values: dict[str, Any], error: Exception | None = None
    ) -> Deferred[bytes]:
        """The body of the answer. ``error``: what was found wrong before there was a route."""
        return ensureDeferred(self._answer(Visit(self._ui, request, route), values, error))

    async def _answer(self, visit: Visit, values: dict[str, Any], error: Exception | None) -> bytes:
        visit.request.notifyFinish().addErrback(lambda _: setattr(visit, "gone", True))
        try:
            return await self._write(visit, await self._respond(visit, values, error))
        except CancelledError:
            raise
        except Exception as failed:  # noqa: BLE001 - no request may end the process
            return await self._tell(visit, failed)

    async def _respond(self, visit: Visit, values: dict[str, Any], error: Exception | None) -> Answer:
        route = visit.route
        if isinstance(error, Refusal):
            raise error
        security.recognize(visit, route)
        if not visit.wants_json and visit.role > Role.NOBODY:
            await self._ui.speak(visit)
        if isinstance(error, RequestRedirect) and not visit.changes:
            return Redirect(f"{visit.path}/")
        if error is not None:
            raise error
        assert route is not None
        if visit.changes:
            security.check_change(visit, route)
        security.check_role(visit, route)
        self._check_length(visit, route)
        await visit.read()
        if visit.changes and not route.api:
            security.check_form(visit)
        answer: Answer = await route.respond(visit, **values)
        return answer

    def _check_length(self, visit: Visit, route: Route) -> None:
        request = visit.request
        content: Any = request.content
        if request.too_long or (not route.large and content.seek(0, 2) > FORM_BYTES):
            most = self.most_body_bytes(request) if route.large else FORM_BYTES
            raise Refusal(
                413, visit.gettext("This is longer than %(most)s bytes.") % {"most": visit.language.number(most)}
            )

    def most_body_bytes(self, request: Any) -> int:
        """How long a body is read: who may push jobs may send one that is as long as a job may be."""
        server = self._ui.server
        return server.max_line_bytes if verdict_on(server, request).role == Role.OPERATOR else FORM_BYTES

    # -- answers -------------------------------------------------------------------------------------------------

    async def _tell(self, visit: Visit, error: Exception) -> bytes:
        """Answer with what went wrong."""
        refusal = errors.refusal_of(visit, error)
        if refusal is None:
            _log.failure("A page failed: {path}", path=visit.path)
            refusal = Refusal(500, visit.gettext(errors.FAILED))
        if isinstance(refusal, WrongPassword) and refusal.delay_seconds:
            await pause(visit.request, refusal.delay_seconds)
        if visit.changes and refusal.status in _UNSAFE_STATUS:
            self._ui.audit.refused(visit, refusal.status, refusal.sentence)
        try:
            return await self._write(visit, errors.answer_to(visit, refusal))
        except CancelledError:
            raise
        except Exception:  # noqa: BLE001 - the page that tells of errors has one itself
            _log.failure("The page of an error failed: {path}", path=visit.path)
            return await self._write(visit, errors.bare_page(refusal))

    async def _write(self, visit: Visit, answer: Answer) -> bytes:
        request = visit.request
        if isinstance(answer, Page):
            answer.body = await self._render(visit, answer)
            answer.headers.update({"Content-Language": visit.language.tag, "Vary": "Accept-Language, Cookie"})
        elif isinstance(answer, Redirect):
            notice = self._ui.leave_notice(answer.notice, answer.failed) if answer.notice else None
            separator = "&" if "?" in answer.path else "?"
            path = location(answer.path)
            request.setHeader("Location", visit.prefix + path + (f"{separator}notice={notice}" if notice else ""))
        request.setResponseCode(answer.status)
        for name, value in {
            **security.headers(visit),
            "Content-Type": answer.content_type,
            "Content-Length": str(len(answer.body)),
            **answer.headers,
        }.items():
            request.setHeader(name, value)
        return answer.body

    async def _render(self, visit: Visit, page: Page) -> bytes:
        renderer = await self._ui.renderer()
        notice = visit.query.get("notice", [""])[0]
        frame = {
            "visit": visit,
            "summary": await self._ui.summary(visit),
            "notice": self._ui.take_notice(notice) if notice else None,
            "now": self._ui.server.clock.time(),
        }
        return renderer.render(page.template, visit.language, {**frame, **page.values})


class Root(Resource):
    """What every request reaches first: it finds out the prefix of a proxy, and refuses what Klein could not read."""

    isLeaf = True

    def __init__(self, gate: Gate, klein: Resource) -> None:
        super().__init__()
        self._gate = gate
        self._klein = klein

    def render(self, request: Any) -> Any:
        request.responseHeaders.removeHeader(b"Server")
        refusal = _unreadable(request)
        if refusal is None:
            return self._klein.render(request)
        request.method = request.method if request.method in _METHODS else b"GET"

        def finish(body: bytes) -> None:
            request.write(body)
            request.finish()

        answered = self._gate.answer(request, None, {}, refusal)
        request.notifyFinish().addErrback(lambda _: answered.cancel())
        answered.addCallback(finish).addErrback(lambda failure: failure.trap(CancelledError))
        return NOT_DONE_YET


def _unreadable(request: Any) -> Refusal | None:
    """Why a request cannot be looked at; None if it can, and then its path is without the prefix."""
    if request.method not in _METHODS:
        return Refusal(501, "There is no such method.")
    wrong_host = _wrong_host(request)
    if wrong_host:
        return Refusal(400, wrong_host)
    if len(request.uri) > _MOST_ADDRESS:
        return Refusal(414, f"The address is longer than {_MOST_ADDRESS} characters.")
    try:
        b"".join(request.postpath).decode()
    except UnicodeDecodeError:
        return Refusal(400, "The address is not UTF-8 text.")
    headers = request.requestHeaders.getRawHeaders(b"X-Script-Name", [])
    try:
        request.prefix = prefix_of(b", ".join(headers).decode("ascii"))
    except ValueError:
        return Refusal(400, "X-Script-Name, which a reverse proxy sets, must be a path such as /faktory.")
    request.path = without_prefix(request.path, request.prefix)
    if not request.path.startswith(b"/"):
        return Refusal(400, "The address must be a path.")
    request.postpath = list(map(unquote_to_bytes, request.path[1:].split(b"/")))
    if request.path != b"/" and b"/".join(request.postpath).startswith(b"/"):  # Klein would take it for one slash
        return Refusal(404, errors.NO_SUCH_PAGE)
    return None


def _wrong_host(request: Any) -> str:
    """What is wrong with the host that was asked for; empty if nothing is."""
    hosts = request.requestHeaders.getRawHeaders(b"Host", [])
    if len(hosts) > 1 or (not hosts and request.clientproto == b"HTTP/1.1"):
        return "There must be one header Host."
    try:  # as Klein will read it
        request.getRequestHostname().decode("ascii").partition(":")[0].encode("idna")
    except UnicodeError:
        return "The header Host must have the name or address under which this server was asked."
    return ""


def make_site(
    server: Server,
    coiterate: Coiterate | None = None,
    in_thread: InThread = deferToThread,
    routes: tuple[Route, ...] = ROUTES,
) -> BoundedSite:
    """The HTTP factory for one server."""
    ui = WebUI(server, coiterate or _step_by_step, coiterate or _search_step_by_step, in_thread, _log)
    gate = Gate(ui)
    return BoundedSite(Root(gate, gate.klein(routes).resource()), gate.most_body_bytes, ui)
