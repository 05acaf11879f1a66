"""What is answered when something is refused or goes wrong: a page for people, JSON for programs.

No answer has more of the server in it than a sentence that was written for it; what it does not tell is in the log.
"""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

from werkzeug.exceptions import HTTPException, MethodNotAllowed

from faktory_tw.wire import CommandError, FatalCommandError

from ..answers import Answer, Json, Page, Refusal
from ..look.languages import gettext_noop
from ..routes import Role

if TYPE_CHECKING:
    from ..visit import Visit

FAILED = gettext_noop("Something went wrong. The server's log has more.")
NO_SUCH_PAGE = gettext_noop("There is no such page.")
NO_SUCH_METHOD = gettext_noop("This page cannot be asked for in this way.")

_BARE_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title></head>
<body><h1>{title}</h1><p>{sentence}</p></body>
</html>
"""


def refusal_of(visit: Visit, error: Exception) -> Refusal | None:
    """What to tell of an exception; None for one that nobody has foreseen."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, FatalCommandError):
        return Refusal(503, str(error))
    if isinstance(error, CommandError):
        return Refusal(409, str(error))
    if isinstance(error, MethodNotAllowed):
        return Refusal(405, visit.gettext(NO_SUCH_METHOD), Allow=", ".join(sorted(error.valid_methods or ())))
    if isinstance(error, HTTPException):
        return Refusal(404, visit.gettext(NO_SUCH_PAGE))
    return None


def answer_to(visit: Visit, refusal: Refusal) -> Answer:
    """The answer that tells of a refusal. Strangers get a page without anything of the server's."""
    answer: Answer
    if visit.wants_json:
        answer = Json({"error": refusal.sentence}, refusal.status)
    elif visit.role == Role.NOBODY:
        answer = bare_page(refusal)
    else:
        answer = Page("error.html", refusal.status, sentence=refusal.sentence, status_code=refusal.status)
    answer.headers.update(refusal.headers)
    return answer


def bare_page(refusal: Refusal) -> Answer:
    """A page that needs no template and no language."""
    try:
        title = f"{refusal.status} {HTTPStatus(refusal.status).phrase}"
    except ValueError:
        title = str(refusal.status)
    body = _BARE_PAGE.format(title=escape(title), sentence=escape(refusal.sentence))
    return Answer(body.encode(), refusal.status)
