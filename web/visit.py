"""One request, as the pages see it: what was asked, by whom, in which language; and the ways to work for it.

A page never touches Twisted's request itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from faktory_tw.core.manager import JobManager
from faktory_tw.server import Server
from faktory_tw.wire import CommandError

from .answers import Refusal
from .gate import forgery
from .gate.fields import MOST_FIELDS, Fields, TooManyFields, parse_fields
from .gate.passwords import address_of
from .gate.security import FOR_READING_ONLY
from .look.assets import assets
from .look.languages import PLAIN_ENGLISH, Choice, Language
from .look.preferences import Preferences, here, preferences_of
from .routes import Role, Route

if TYPE_CHECKING:
    from .gate.connections import BoundedRequest
    from .site import WebUI

_MOST_CHARACTERS = 8192  # of one field that is not the text of a job
_MOST_OF_A_NAME = 200
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,20}")
_IN_A_THREAD = 65_536  # a form of so many bytes is read in a thread

T = TypeVar("T")


class Visit:
    """One request. ``role`` and, for pages, ``language`` are set before a page is asked."""

    language: Language = PLAIN_ENGLISH
    language_choice: Choice  # of a page: why it is in that language
    role = Role.NOBODY

    def __init__(self, ui: WebUI, request: BoundedRequest, route: Route | None) -> None:
        self.ui = ui
        self.request = request
        self.route = route
        self.gone = False  # the client has left: nobody waits for the answer
        self.prefix = request.prefix  # of a reverse proxy, before every address
        self.path = request.path.decode("latin-1")
        self.method = request.method.decode("latin-1")
        self.query: Fields = {}
        self.form: Fields = {}

    async def read(self) -> None:
        """Read the fields of the address, and of the form if one was sent. Raises Refusal."""
        self.query = self._parsed(bytes(self.request.uri).partition(b"?")[2])
        if self.method != "POST" or self.route is None or self.route.api:
            return
        body = self.body
        if len(body) < _IN_A_THREAD:
            self.form = self._parsed(body)
        else:
            self.form = await self.ui.load(lambda: self._parsed(body))

    def _parsed(self, text: bytes) -> Fields:
        try:
            return parse_fields(text)
        except TooManyFields:
            told = self.gettext("There are more than %(most)s fields.") % {"most": MOST_FIELDS}
        except UnicodeDecodeError:
            told = self.gettext("What was sent is not UTF-8 text.")
        raise Refusal(400, told)

    @cached_property
    def body(self) -> bytes:
        """What was sent, byte for byte."""
        content: Any = self.request.content
        content.seek(0)
        return bytes(content.read())

    @property
    def has_body(self) -> bool:
        """Whether anything was sent."""
        content: Any = self.request.content
        return bool(content.seek(0, 2))

    @property
    def server(self) -> Server:
        return self.ui.server

    @property
    def manager(self) -> JobManager:
        return self.ui.server.manager

    @property
    def may_change(self) -> bool:
        """Whether this person may change anything; pages show no buttons to others."""
        return self.role >= Role.OPERATOR

    # -- who asks ------------------------------------------------------------------------------------------------

    def header(self, name: str) -> str | None:
        """The first header of that name. Any bytes may be in it; those that are not ASCII are Latin-1 here."""
        values = self.request.requestHeaders.getRawHeaders(name.encode())
        return values[0].decode("latin-1") if values else None

    @property
    def user(self) -> str:
        """What somebody calls themselves; it proves nothing."""
        name: str = self.request.getUser().decode("utf-8", "replace")
        return name[:_MOST_OF_A_NAME]

    @property
    def address(self) -> str:
        """Where the connection is from, which may be a proxy."""
        return address_of(self.request)

    @property
    def secure(self) -> bool:
        """Whether the browser speaks HTTPS, with us or with a proxy."""
        forwarded = (self.header("X-Forwarded-Proto") or "").partition(",")[0]
        return bool(self.request.isSecure()) or forwarded.strip().lower() == "https"

    @property
    def wants_json(self) -> bool:
        """Whether refusals are to be told in JSON."""
        if self.route is not None and self.route.api:
            return True
        accepted = self.header("Accept") or ""
        return (self.route is None and self.path.startswith("/api/")) or (
            "application/json" in accepted and "text/html" not in accepted
        )

    def cookie(self, name: str) -> str | None:
        """A cookie that the browser has sent."""
        value: bytes | None = self.request.getCookie(name.encode())
        return None if value is None else value.decode("latin-1")

    def set_cookie(self, name: str, value: str, days: int = 365, http_only: bool = True) -> None:
        """Give the browser a cookie for our pages; zero ``days`` take it away. To be called before the answer.

        Lax and not Strict: who comes by a link in a mail would seem to have none, and be given another.
        """
        self.request.addCookie(
            name,
            value,
            path=self.prefix or "/",
            max_age=str(days * 86_400),
            secure=self.secure,
            httpOnly=http_only,
            sameSite="lax",
        )

    @cached_property
    def token(self) -> str:
        """What a form of the page that is shown must have, in the field ``token``. It may give the browser a cookie."""
        tokens = self.ui.tokens
        cookie = self.cookie(forgery.COOKIE)
        if cookie is None or not tokens.is_cookie(cookie):
            cookie = tokens.new_cookie()
            self.set_cookie(forgery.COOKIE, cookie)
        return tokens.token(cookie, self.user, self.role.name.lower())

    @property
    def changes(self) -> bool:
        """Whether something is to be changed, and not only looked at."""
        return self.method not in ("GET", "HEAD")

    # -- what was asked ------------------------------------------------------------------------------------------

    @property
    def fields(self) -> Fields:
        """The fields of the form that was sent, or else those of the address."""
        return self.form if self.method == "POST" else self.query

    def text(self, name: str, default: str = "", most: int = _MOST_CHARACTERS) -> str:
        """A field, without the white space around it. Raises Refusal when it is too long."""
        text = self.fields.get(name, [default])[0].strip()
        if len(text) > most:
            raise Refusal(400, self.gettext("%(field)s is too long.") % {"field": name})
        return text

    def texts(self, name: str) -> list[str]:
        """All values of a field, as of the checkboxes of a list."""
        return self.fields.get(name, [])

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number. Raises Refusal for anything else, and for one out of bounds."""
        text = self.text(name)
        if not text:
            return default
        number = int(text) if _WHOLE_NUMBER.fullmatch(text) else most + 1
        if not least <= number <= most:
            told = self.gettext("%(field)s must be a whole number from %(least)s to %(most)s.")
            raise Refusal(400, told % {"field": name, "least": least, "most": most})
        return number

    @property
    def json(self) -> Any:
        """The JSON that a program has sent; an empty object when it has sent nothing. Raises Refusal."""
        return self.decode(object) if self.has_body else {}

    def decode(self, kind: type[T]) -> T:
        """The JSON that a program has sent, as a type that msgspec knows. Raises Refusal when it is something else."""
        try:
            return msgspec.json.decode(self.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Refusal(400, f"This is not the JSON that is expected here: {error}.") from None
        except RecursionError:
            raise Refusal(400, "This JSON is nested too deeply.") from None

    # -- addresses and words -------------------------------------------------------------------------------------

    def url(self, path: str, **query: Any) -> str:
        """The address of one of our pages, behind the proxy's prefix. Fields that are None or empty are left out."""
        given = {name: value for name, value in query.items() if value not in (None, "")}
        return self.prefix + quote(path, safe="/%") + (f"?{urlencode(given, doseq=True)}" if given else "")

    def asset(self, name: str) -> str:
        """The address of a style sheet, script or icon of ``static/``."""
        return self.prefix + assets().path(name)

    @property
    def here(self) -> str:
        """The address of this page without the proxy's prefix, to come back to."""
        return here(self)

    @cached_property
    def preferences(self) -> Preferences:
        """How this person wants to see the pages."""
        return preferences_of(self)

    def gettext(self, text: str) -> str:
        """The text in the language of this visit."""
        return self.language.gettext(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The text for so many things."""
        return self.language.ngettext(one, many, number) % {"num": self.language.number(number)}

    # -- work ----------------------------------------------------------------------------------------------------

    async def run(self, steps: Iterator[Any]) -> None:
        """Go through what is only read, a slice in each turn of the reactor, until the end or until nobody waits."""
        await self.ui.coiterate(self._while_here(steps))

    async def search(self, steps: Iterator[Any]) -> None:
        """The same for what may take a second: searches wait for each other, and no page for them."""
        await self.ui.search(self._while_here(steps))

    def _while_here(self, steps: Iterator[Any]) -> Iterator[Any]:
        for step in steps:
            if self.gone:
                return
            yield step

    async def change(self, steps: Iterator[None], what: str, **facts: Any) -> None:
        """Carry out a change in slices, wait until it is on disk, and tell the log of it. Raises CommandError.

        It is carried out to its end, and told, also when the client leaves.
        """
        self.check_role()
        await self.ui.carry_out(self._change(steps, what, facts))

    async def changed(self, what: str, **facts: Any) -> None:
        """Wait until the changes made so far are on disk, and tell the log of them: ``changed("pause queue", queue=…)``."""
        self.check_role()
        await self.ui.carry_out(self._changed(what, facts))

    def check_role(self) -> None:
        """Raise Refusal when this is nobody who may change anything. The gate has asked before; this is a second lock."""
        if not (self.may_change and self.changes):
            raise Refusal(403, self.gettext(FOR_READING_ONLY))

    async def _change(self, steps: Iterator[None], what: str, facts: dict[str, Any]) -> None:
        try:
            await self.ui.change(steps)
        except CommandError as error:
            self.ui.audit.failed(self, what, facts, str(error))
            raise
        await self._changed(what, facts)

    async def _changed(self, what: str, facts: dict[str, Any]) -> None:
        await self.ui.written()
        self.ui.audit.changed(self, what, facts)
