"""Who may ask for what: passwords, roles, forged changes, and the headers that keep a browser out of trouble."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Refusal
from ..look.languages import gettext_noop
from ..routes import Role, Route
from . import forgery
from .fields import FORM_TYPE, JSON_TYPE, media_type
from .passwords import Throttled, WrongPassword, verdict_on

if TYPE_CHECKING:
    from ..visit import Visit

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; font-src 'self'; "
        "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
FOR_READING_ONLY = gettext_noop("This password is for reading only. Nothing was changed.")
NOT_UNDER_THIS_NAME = (
    "A server without a password answers under local names and addresses only, because other sites could ask in your "
    "name. Set a password, or ask for it as localhost or by its address."
)
STRICT_TRANSPORT = "max-age=2592000"  # thirty days: who turns HTTPS off again is not locked out for a year

_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def recognize(visit: Visit, route: Route | None) -> None:
    """Find out who asks. Raises Refusal when they may not see what they ask for; no page is known to strangers."""
    is_for_everybody = route is not None and route.role == Role.NOBODY
    if not is_for_everybody and _is_open(visit) and forgery.may_be_rebound(visit.request):
        raise Refusal(403, NOT_UNDER_THIS_NAME)
    if is_for_everybody and not visit.changes:
        return  # and a password that is sent all the same is not looked at
    verdict = verdict_on(visit.server, visit.request)
    visit.role = verdict.role
    if visit.role >= Role.READER or is_for_everybody:
        return
    if verdict.throttled:
        raise Throttled
    if visit.header("Authorization"):
        sentence = "The password is wrong. Any user name will do."
    else:
        sentence = "A password is needed. Any user name will do."
    raise WrongPassword(sentence, verdict.delay_seconds, WWW_Authenticate='Basic realm="Faktory", charset="UTF-8"')


def check_role(visit: Visit, route: Route) -> None:
    """Raise Refusal when this person may not ask for this. Whatever a route says, changes are for operators."""
    wanted = Role.OPERATOR if visit.changes and not route.personal else route.role
    if visit.role < wanted:
        raise Refusal(403, visit.gettext(FOR_READING_ONLY))


def check_change(visit: Visit, route: Route) -> None:
    """Raise Refusal for a change that was forged, or that is sent as something else.

    To be called before the form is read; `check_form` is for afterwards.
    """
    if forgery.is_from_elsewhere(visit.request, visit.secure):
        raise Refusal(403, visit.gettext("This was sent by a page of another site. Nothing was changed."))
    encoding = visit.header("Content-Encoding")
    if encoding and encoding.strip().lower() != "identity":
        raise Refusal(415, visit.gettext("The body of the request must not be compressed."))
    wanted = JSON_TYPE if route.api else FORM_TYPE
    given = media_type(visit.header("Content-Type"))
    # A page of another site can send a POST of another type without asking us first, but no DELETE and no PUT.
    if given != wanted and (given or visit.has_body or visit.method == "POST"):
        raise Refusal(415, visit.gettext("Send this as %(type)s.") % {"type": wanted})


def _is_open(visit: Visit) -> bool:
    """Whether nobody asks for a password. Elsewhere than in development somebody has decided so: a proxy asks for one."""
    server = visit.server
    in_development = server.settings is not None and server.settings.environment == "development"
    return in_development and server.password is None and server.web_password is None


def check_form(visit: Visit) -> None:
    """Raise Refusal for a form that no page of ours has shown to this browser."""
    token = visit.form.pop(forgery.FIELD, [""])[0]
    cookie = visit.cookie(forgery.COOKIE)
    if not visit.ui.tokens.is_right(token, cookie, visit.user, visit.role.name.lower()):
        sentence = "This form is too old, or another browser's. Nothing was changed: reload the page and try again."
        raise Refusal(403, visit.gettext(sentence))


def headers(visit: Visit) -> dict[str, str]:
    """The headers of an answer, whatever it is."""
    host = (visit.header("Host") or "").rsplit(":", 1)[0]
    if visit.secure and host not in _LOCAL:
        return {**HEADERS, "Strict-Transport-Security": STRICT_TRANSPORT}
    return HEADERS
