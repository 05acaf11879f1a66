"""What a password is worth: looked at once a request, counted for the address that it comes from when it is wrong.

:mod:`faktory_tw.attempts` has the rules. Where a proxy asks for others, all of them have its address: what it says of
them in ``X-Forwarded-For`` could as well be said by somebody who guesses, so it counts for nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from twisted.internet.defer import Deferred

from faktory_tw.server import Server

from ..answers import Refusal
from ..routes import Role

if TYPE_CHECKING:
    from .connections import BoundedRequest

_ROLES = {"operator": Role.OPERATOR, "reader": Role.READER}
_RETRY_SECONDS = "5"


class Verdict(NamedTuple):
    """Who asks, and if it is nobody that is known: why not, and how long the answer waits."""

    role: Role
    throttled: bool = False  # the password was not looked at
    delay_seconds: float = 0.0


class WrongPassword(Refusal):
    """A password that is wrong; the refusal is to be sent after ``delay_seconds``."""

    def __init__(self, sentence: str, delay_seconds: float, **headers: str) -> None:
        super().__init__(401, sentence, **headers)
        self.delay_seconds = delay_seconds


class Throttled(Refusal):
    """So many wrong passwords came from an address that this one was not looked at."""

    def __init__(self) -> None:
        super().__init__(
            429,
            "Too many wrong passwords came from this address. Try again in some seconds.",
            Retry_After=_RETRY_SECONDS,
        )


def verdict_on(server: Server, request: BoundedRequest) -> Verdict:
    """Who asks. It is found out once for each request."""
    if request.verdict is None:
        request.verdict = _judge(server, request)
    return request.verdict


def _judge(server: Server, request: BoundedRequest) -> Verdict:
    if not request.requestHeaders.hasHeader(b"Authorization"):
        return Verdict(_ROLES.get(server.web_role(b"") or "", Role.NOBODY))
    if not server.asks_for_web_password:
        return Verdict(Role.OPERATOR)
    host = address_of(request)
    if not server.web_attempts.admits(host):
        server.refused_connections["throttled"] += 1
        return Verdict(Role.NOBODY, throttled=True)
    role = _ROLES.get(server.web_role(request.getPassword()) or "", Role.NOBODY)
    if role == Role.NOBODY:
        server.refused_connections["web_password"] += 1
        return Verdict(role, delay_seconds=server.web_attempts.failed(host))
    if role == Role.OPERATOR:  # who may only look must not be free to guess the other one
        server.web_attempts.succeeded(host)
    return Verdict(role)


def address_of(request: BoundedRequest) -> str:
    """Where the connection is from, which may be a proxy."""
    peer: Any = request.getClientAddress()
    return str(getattr(peer, "host", None) or "-")


def pause(request: BoundedRequest, seconds: float) -> Deferred[None]:
    """Fires after so long; when its client leaves, it is cancelled with the rest of the answer."""
    over: Deferred[None] = Deferred(lambda _: call.cancel())
    channel: Any = request.channel
    call = channel.callLater(seconds, over.callback, None)
    return over
