"""The site asked as a browser asks: bytes of HTTP in, bytes of HTTP out, and no network.

    answer = ask(house, "/queues")                               # one request
    assert answer.status == 200 and "default" in answer.page.text
    answer = ask(house, "/queues/default/pause", form={})        # a form, sent as one of ours: with its token
    answer = ask(house, "/api/queues/default/pause", json={})    # a command of a program

A :class:`Browser` keeps its cookies from one request to the next, has a password and follows redirects; ``submit`` fills
in a form that it was shown. What takes several turns of the reactor, or waits for the disk, is done when ``ask`` returns.
"""

from __future__ import annotations

import base64
import json as json_library
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from http.client import HTTPMessage, parse_headers
from io import BytesIO
from typing import Any
from urllib.parse import urlencode, urlsplit
from weakref import WeakKeyDictionary

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Cooperator
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.unit.house import House
from tests.unit.web.html import Document, Form
from web import make_site
from web.routes import Route
from web.site import make_renderer

HOST = "localhost:7420"
ADDRESS = IPv4Address("TCP", "192.0.2.1", 50_000)
USER = "somebody"
TOKEN_COOKIE = "faktory_token"
_MOST_TURNS = 200_000

Fields = Mapping[str, object] | Iterable[tuple[str, object]]
_sites: WeakKeyDictionary[House, Any] = WeakKeyDictionary()
_loaded: dict[Any, Any] = {}  # what is made once for all tests: the renderer, with its templates compiled


class Answer:
    """What came back. ``page`` reads the body as HTML, ``json`` as JSON."""

    def __init__(self, status: int, headers: HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.status} {self.headers.items()} {self.body[:2000]!r}>"

    def json(self) -> Any:
        """The body as JSON, which is what its type must say."""
        assert self.headers["Content-Type"].split(";")[0] == "application/json", self
        return json_library.loads(self.body)

    @cached_property
    def page(self) -> Document:
        """The body as a page, which is what its type must say. Every element that is opened must be closed."""
        assert self.headers["Content-Type"] == "text/html; charset=utf-8", self
        document = Document(self.body.decode())
        assert not document.unclosed, f"{document.unclosed} are open at the end, or closed and were not open"
        return document

    @property
    def location(self) -> str:
        """Where a redirect leads to."""
        assert 300 <= self.status < 400, self
        return str(self.headers["Location"])


class Line(StringTransport):
    """The connection of a browser; it is closed when the server has said so and has nothing more to send."""

    def __init__(self, address: Any = ADDRESS) -> None:
        super().__init__(peerAddress=address)

    @property
    def closed(self) -> bool:
        return bool(self.disconnecting or self.disconnected)

    def abortConnection(self) -> None:  # noqa: N802 - Twisted's name
        self.disconnecting = True


def site_of(house: House, routes: tuple[Route, ...] | None = None) -> Any:
    """The site of a house: one for all requests of a test. ``routes``: these and no others, if it is the first time."""
    if house not in _sites:
        slowly: Any = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=lambda turn: house.reactor.callLater(0, turn)
        )
        site: Any = make_site(house.server, slowly.coiterate, _in_thread, *([routes] if routes else []))
        site.reactor = house.reactor
        _sites[house] = site
    return _sites[house]


def _in_thread(work: Callable[[], Any]) -> Deferred[Any]:
    """Do work at once. What takes long to make, and is the same for every site, is made once for all tests."""
    if work is make_renderer:
        if work not in _loaded:
            _loaded[work] = work()
        return succeed(_loaded[work])
    return maybeDeferred(work)


class Exchange:
    """One connection: ``send`` bytes, and ``answers`` are what came back so far."""

    def __init__(self, house: House, address: Any = ADDRESS) -> None:
        self._house = house
        self._address = address
        self.line = Line(address)
        self.channel: Any = site_of(house).buildProtocol(address)
        self.channel.makeConnection(self.line)
        self.lost = False

    def send(self, data: bytes) -> None:
        """Send bytes; nothing more happens than that they are looked at."""
        self.channel.dataReceived(data)
        while getattr(self.channel, "_stands", False) and not self.lost:
            self._house.reactor.turn()

    def wait(self) -> None:
        """Let the server work until it has nothing more to do."""
        for _ in range(_MOST_TURNS):
            self._house.commit()
            if not self._house.reactor.due():
                return
        raise AssertionError("the server has always something more to do")

    def leave(self) -> None:
        """Close the connection."""
        if not self.lost:
            self.lost = True
            self.line.connected = False
            self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def raw(self) -> bytes:
        """All that came back."""
        return bytes(self.line.value())

    def answers(self, methods: Iterable[str] = ("GET",)) -> list[Answer]:
        """What came back, an Answer for each request; what is not complete is left out."""
        stream, found = BytesIO(self.raw), []
        asked = list(methods)
        while line := stream.readline():
            status = int(line.split()[1])
            headers = parse_headers(stream)
            if status == 100:
                continue
            method = asked.pop(0) if asked else "GET"
            found.append(Answer(status, headers, _body(stream, headers, method, status)))
        return found


def _body(stream: BytesIO, headers: HTTPMessage, method: str, status: int) -> bytes:
    if method == "HEAD" or status in (204, 304):
        return b""
    if headers["Transfer-Encoding"] == "chunked":
        chunks = []
        while size := int(stream.readline(), 16):
            chunks.append(stream.read(size))
            stream.readline()
        stream.readline()
        return b"".join(chunks)
    length = headers["Content-Length"]
    return stream.read() if length is None else stream.read(int(length))


class Browser:
    """Somebody who looks at the pages of a house. ``cookies`` are by name; ``prefix`` is that of a reverse proxy."""

    def __init__(
        self, house: House, password: str | None = None, user: str = USER, prefix: str = "", address: Any = ADDRESS
    ) -> None:
        self.house = house
        self.password = password
        self.user = user
        self.prefix = prefix
        self.address = address
        self.cookies: dict[str, str] = {}

    # -- asking ----------------------------------------------------------------------------------------------------

    def get(self, path: str, **headers: Any) -> Answer:
        """Look at a page."""
        return self.ask(path, **headers)

    def post(self, path: str, form: Fields = (), **headers: Any) -> Answer:
        """Send a form as a page of ours would."""
        return self.ask(path, form=form, **headers)

    def submit(self, form: Form, button: str | None = None, **changed: object) -> Answer:
        """Send a form that was shown, with some fields changed; ``button`` is the text of the one clicked."""
        fields: list[tuple[str, object]] = [field for field in form.fields if field[0] not in changed]
        for name, value in changed.items():
            fields += [(name, each) for each in (value if isinstance(value, list) else [value])]
        if button is not None:
            clicked = [each for each in form.buttons if each[2] == button]
            assert clicked, f"no button {button!r}; there are {form.buttons}"
            fields += [(clicked[0][0], clicked[0][1])] if clicked[0][0] else []
        if form.method == "get":
            return self.get(f"{form.action}?{urlencode([(name, str(value)) for name, value in fields])}")
        return self.ask(form.action, form=fields, token=False)

    def follow(self, answer: Answer) -> Answer:
        """Go where a redirect leads to."""
        assert answer.location.startswith(self.prefix + "/"), answer
        return self.get(answer.location)

    def ask(
        self,
        path: str,
        method: str | None = None,
        form: Fields | None = None,
        json: Any = None,
        body: bytes | None = None,
        token: bool = True,
        **headers: str,
    ) -> Answer:
        """One request. A ``form`` or ``json`` is POSTed unless ``method`` says otherwise; ``token``: with ours.

        Underscores in names of headers are dashes; an empty header is left out.
        """
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        wanted = {"Host": HOST, **self._credentials()}
        if form is not None:
            fields = [(name, str(value)) for name, value in _pairs(form)]
            if token:
                fields.append(("token", self.token()))
            body = urlencode(fields).encode()
            wanted |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{HOST}"}
        elif json is not None:
            body = json_library.dumps(json).encode()
            wanted["Content-Type"] = "application/json"
        if body is not None:
            wanted["Content-Length"] = str(len(body))
        if self.cookies:
            wanted["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if self.prefix:
            wanted["X-Script-Name"] = self.prefix
        wanted |= {"Connection": "close", **given}
        method = method or ("GET" if body is None else "POST")
        head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in wanted.items() if value), "", ""]
        return self._exchange("\r\n".join(head).encode() + (body or b""), method)

    def _exchange(self, request: bytes, method: str) -> Answer:
        exchange = Exchange(self.house, self.address)
        exchange.send(request)
        if not exchange.line.closed:
            exchange.wait()
        answers = exchange.answers([method])
        exchange.leave()
        assert len(answers) == 1, f"{len(answers)} answers: {exchange.raw!r}"
        self._keep_cookies(answers[0])
        return answers[0]

    def _credentials(self) -> dict[str, str]:
        if self.password is None:
            return {}
        return {"Authorization": "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()}

    def _keep_cookies(self, answer: Answer) -> None:
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.split(";")[0].partition("=")
            self.cookies[name] = value

    def token(self) -> str:
        """The token that the forms of our pages have."""
        tokens = site_of(self.house).ui.tokens
        if TOKEN_COOKIE not in self.cookies:
            self.cookies[TOKEN_COOKIE] = tokens.new_cookie()
        password = None if self.password is None else self.password.encode()
        user = "" if self.password is None else self.user
        role = self.house.server.web_role(password or b"")
        return str(tokens.token(self.cookies[TOKEN_COOKIE], user, role))


def _pairs(fields: Fields) -> Iterable[tuple[str, object]]:
    if not isinstance(fields, Mapping):
        return fields
    return [
        (name, each)
        for name, value in fields.items()
        for each in (value if isinstance(value, (list, tuple)) else [value])
    ]


def ask(house: House, path: str, method: str | None = None, password: str | None = None, **others: Any) -> Answer:
    """One request of a browser that has no cookies yet; ``others`` as for `Browser.ask`, headers included."""
    return Browser(house, password).ask(path, method, **others)


def listed(answer: Answer) -> list[str]:
    """The keys of the rows of a list, as they are read from above."""
    return [row["data-key"] for row in answer.page.all("tr") if "data-key" in row]


def turned(house: House, path: str) -> list[str]:
    """The keys of the rows on all pages of a list, each of which leads to the next, and back to the first."""
    answer = ask(house, path)
    seen = listed(answer)
    while further := [link["href"] for link in answer.page.all("a", rel="next")]:
        answer = ask(house, further[0])
        assert "Back to the beginning" in answer.page.text
        seen += listed(answer)
    return seen


def path_of(address: str) -> str:
    """The path of an address, without its query."""
    return urlsplit(address).path
