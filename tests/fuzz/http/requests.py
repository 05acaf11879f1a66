"""Requests as they are sent, and what can be wrong in them.

``made(route, things)`` is the request of a route's sample; ``spoilt(rng, request)`` is the same with something wrong in it.
``rng`` is a :class:`random.Random`, or what hypothesis gives for one. ``bytes(request)`` is what is sent.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

from tests.fuzz.http.samples import HEADERS, PATH, SAMPLES
from tests.fuzz.http.values import (
    ESCAPES,
    HEADER_VALUES,
    JSON_TEXTS,
    MARK,
    METHODS,
    TEXTS,
    members,
    text_bytes,
)

_PARAMETER = re.compile(r"<(?:(\w+):)?(\w+)>")
_NAME = re.compile(r"{(\w+)}")
_MOST_SPOILT = 3  # places in one request
_ANSWERED_WITH_JSON = re.compile(r"/(api/|health|ready|stats|metrics|static/|favicon)")

Things = Mapping[str, str]
Pairs = list[tuple[bytes, bytes]]


class Raw(bytes):
    """What stands in an address or a body as it is."""


@dataclass
class Request:
    """One request. ``path``: its segments; ``body``: bytes that stand for the form or the JSON."""

    route: str  # the name of its sample
    method: str
    path: list[bytes]
    query: Pairs = field(default_factory=list)
    form: Pairs | None = None
    json: Any = None
    headers: Pairs = field(default_factory=list)
    body: bytes | None = None
    chunked: bool = False
    lies: bool = False  # about its length: there may be no answer
    wrong: list[str] = field(default_factory=list)  # what was spoilt, in words

    @property
    def target(self) -> bytes:
        path = b"/".join(_quoted(segment, b"") for segment in self.path)
        return path + (b"?" + _pairs(self.query) if self.query else b"")

    @property
    def content(self) -> bytes | None:
        if self.body is not None:
            return self.body
        if self.form is not None:
            return _pairs(self.form)
        return None if self.json is None else json.dumps(self.json).encode()

    def __bytes__(self) -> bytes:
        given = {name.lower() for name, _ in self.headers}
        headers = [(b"Host", b"localhost:7420")] * (b"host" not in given) + self.headers
        content = self.content
        if content is not None:
            kind = b"application/x-www-form-urlencoded" if self.form is not None else b"application/json"
            headers += [(b"Content-Type", kind)] * (b"content-type" not in given)
            if self.chunked:
                headers += [(b"Transfer-Encoding", b"chunked")]
                content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if content else b"0\r\n\r\n"
            elif b"content-length" not in given and b"transfer-encoding" not in given:
                headers += [(b"Content-Length", b"%d" % len(content))]
        head = [self.method.encode() + b" " + self.target + b" HTTP/1.1", *(b": ".join(each) for each in headers)]
        return b"\r\n".join([*head, b"", content or b""])

    def header(self, name: bytes, value: bytes) -> None:
        """Have this header, and no other of that name."""
        self.headers = [each for each in self.headers if each[0].lower() != name.lower()] + [(name, value)]

    def has(self, name: bytes) -> bytes | None:
        """The value of a header."""
        return next((value for given, value in self.headers if given.lower() == name.lower()), None)

    @property
    def is_html(self) -> bool:
        """Whether its refusals are pages."""
        return _ANSWERED_WITH_JSON.match(self.route.partition(" ")[2]) is None or self.route == "GET /api/"


def _quoted(part: bytes, safe: bytes) -> bytes:
    return part if isinstance(part, Raw) else quote_from_bytes(part, safe).encode()


def _pairs(pairs: Pairs) -> bytes:
    return b"&".join(
        _quoted(name, b"") + (b"" if isinstance(name, Raw) else b"=") + _quoted(value, b"") for name, value in pairs
    )


def made(route: str, things: Things, credentials: bytes = b"") -> Request:
    """The request of a route's sample, for a server that has these things."""
    sample = SAMPLES[route]
    method, _, path = route.partition(" ")

    def filled(text: str) -> str:
        return _NAME.sub(lambda name: things.get(name[1], name[0]), text)

    def parameter(found: re.Match[str]) -> str:
        return filled(sample.path.get(found[2], PATH[found[2]]))

    request = Request(route, method, [_PARAMETER.sub(parameter, part).encode() for part in path.split("/")])
    if credentials:
        request.headers.append((b"Authorization", credentials))
    request.query = [(name.encode(), filled(value).encode()) for name, value in sample.query.items()]
    if sample.json is not None:
        request.json = json.loads(re.sub(_NAME, lambda name: things.get(name[1], name[0]), json.dumps(sample.json)))
    elif method == "POST":
        request.form = [(name.encode(), filled(value).encode()) for name, value in sample.form.items()]
        request.form.append((b"token", things["token"].encode()))
        request.headers.append((b"Cookie", b"faktory_token=" + things["cookie"].encode()))
    return request


def basic(password: str, user: str = "fuzz") -> bytes:
    """The value of Authorization."""
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


# -- what can be wrong ---------------------------------------------------------------------------------------------------


def spoilt(rng: Random, request: Request, ways: tuple[Callable[[Random, Request], str], ...] = ()) -> Request:
    """The request with up to three things wrong in it."""
    wrong = replace(
        request,
        path=list(request.path),
        query=list(request.query),
        form=None if request.form is None else list(request.form),
        headers=list(request.headers),
        wrong=[],
    )
    for _ in range(rng.randint(1, _MOST_SPOILT)):
        way = rng.choice(ways or WAYS)
        told = way(rng, wrong)
        if told:
            wrong.wrong.append(f"{way.__name__[1:]} {told}")
    return wrong


def _text(rng: Random) -> bytes:
    """A text that is hard to take, raw or to be encoded."""
    if rng.random() < 0.15:
        return Raw(rng.choice(ESCAPES))
    if rng.random() < 0.1:
        return bytes(rng.randint(0, 255) for _ in range(rng.randint(1, 12)))
    return text_bytes(rng.choice(TEXTS))


def _fields(rng: Random, request: Request) -> Pairs:
    if request.form is not None and (not request.query or rng.random() < 0.8):
        return request.form
    return request.query


def _value(rng: Random, request: Request) -> str:
    fields = _fields(rng, request)
    if not fields:
        return ""
    index = rng.randrange(len(fields))
    text = _text(rng)
    fields[index] = (fields[index][0], text)
    return f"{fields[index][0]!r} = {text[:60]!r}"


def _marked(rng: Random, request: Request) -> str:
    """Every field has what must come back as text only."""
    for fields in (request.query, request.form or []):
        fields[:] = [(name, value if name == b"token" else MARK.encode()) for name, value in fields]
    return "everywhere"


def _missing(rng: Random, request: Request) -> str:
    fields = _fields(rng, request)
    return repr(fields.pop(rng.randrange(len(fields)))[0]) if fields else ""


def _doubled(rng: Random, request: Request) -> str:
    fields = _fields(rng, request)
    if not fields:
        return ""
    name = rng.choice(fields)[0]
    fields.insert(rng.randrange(len(fields) + 1), (name, _text(rng)))
    return repr(name)


def _unknown(rng: Random, request: Request) -> str:
    name = _text(rng)
    _fields(rng, request).append((name, _text(rng)))
    return repr(name[:60])


def _many(rng: Random, request: Request) -> str:
    fields, count = _fields(rng, request), rng.choice((100, 1999, 2001))
    name = rng.choice(fields)[0] if fields else b"a"
    if fields is request.query:
        count = 100
    fields += [(name, b"1")] * count
    return f"{count} {name!r}"


def _segment(rng: Random, request: Request) -> str:
    if len(request.path) < 2:
        return ""
    text = _text(rng)
    request.path[rng.randrange(1, len(request.path))] = text
    return repr(text[:60])


def _more_segments(rng: Random, request: Request) -> str:
    request.path.append(_text(rng))
    return repr(request.path[-1][:60])


def _member(rng: Random, request: Request) -> str:
    """A member of the JSON becomes another value, or is there twice, or has another name."""
    if request.json is None:
        return ""
    path = rng.choice(members(request.json))
    text = rng.choice(JSON_TEXTS)
    body = json.dumps(_replaced(request.json, path, "@")).encode().replace(b'"@"', text)
    if path and rng.random() < 0.3 and isinstance(path[-1], str):
        twice = b'"%b":%b,' % (path[-1].encode(), text)
        body = json.dumps(request.json).encode().replace(b"{", b"{" + twice, 1)
    request.body = body
    return f"{path} = {text[:40]!r}"


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    first, *rest = path
    if isinstance(value, dict):
        return {**value, first: _replaced(value[first], tuple(rest), new)}
    return [_replaced(each, tuple(rest), new) if index == first else each for index, each in enumerate(value)]


def _unknown_member(rng: Random, request: Request) -> str:
    if not isinstance(request.json, dict):
        return ""
    request.body = json.dumps({**request.json, "<fuzz>": 1}).encode()
    return "<fuzz>"


def _body(rng: Random, request: Request) -> str:
    request.body = rng.choice(
        (
            b"",
            b"\0",
            b"\xff\xfe",
            rng.choice(JSON_TEXTS),
            text_bytes(rng.choice(TEXTS)),
            b"&" * 5000,
            b"a=" + b"%41" * 400_000,
            b"x" * 1_100_000,
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x--",
        )
    )
    return repr(request.body[:30])


def _header(rng: Random, request: Request) -> str:
    name = rng.choice(sorted(HEADERS.keys() - {"Content-Length", "Transfer-Encoding", "Host"}))
    value = HEADERS[name].encode() if rng.random() < 0.3 else rng.choice(HEADER_VALUES)
    if rng.random() < 0.3:
        request.headers.append((name.encode(), value))
    else:
        request.header(name.encode(), value)
    return f"{name}: {value[:60]!r}"


def _host(rng: Random, request: Request) -> str:
    values = (
        b"localhost",
        b"evil.example",
        b"[::1]:7420",
        b"a b",
        b"\xff",
        b"",
        b"x" * 3000,
        b"localhost:99999",
        b"@",
        b"[",
    )
    request.header(b"Host", rng.choice(values))
    if rng.random() < 0.2:
        request.headers.append((b"Host", b"second"))
    return repr(request.has(b"Host"))


def _type(rng: Random, request: Request) -> str:
    kinds = (
        b"text/plain",
        b"multipart/form-data; boundary=x",
        b"application/json",
        b"",
        b"application/x-www-form-urlencoded",
    )
    request.header(b"Content-Type", rng.choice(kinds))
    return repr(request.has(b"Content-Type"))


def _method(rng: Random, request: Request) -> str:
    request.method = rng.choice(METHODS)
    return request.method


def _token(rng: Random, request: Request) -> str:
    if request.form is None:
        return ""
    token = rng.choice((b"", b"x", b"0" * 64, b"\xff", "\u00e9".encode() * 32, None))
    request.form = [each for each in request.form if each[0] != b"token"]
    if token is not None:
        request.form.append((b"token", token))
    return repr(token)


def _other_session(rng: Random, request: Request) -> str:
    """The token is right, but for another cookie."""
    if request.form is None:
        return ""
    request.header(b"Cookie", b"faktory_token=" + rng.choice((b"A" * 32, b"", b"x", b"A" * 31 + b"\xff")))
    return repr(request.has(b"Cookie"))


def _elsewhere(rng: Random, request: Request) -> str:
    request.header(
        *rng.choice(((b"Origin", b"http://evil.example"), (b"Sec-Fetch-Site", b"cross-site"), (b"Origin", b"null")))
    )
    return "a page of another site"


def _chunked(rng: Random, request: Request) -> str:
    request.chunked = True
    return "body"


def _length(rng: Random, request: Request) -> str:
    """A length that is not that of the body."""
    length = len(request.content or b"")
    wrong = rng.choice((length + 5, max(length - 1, 0), 0, 10**7, 10**9, 10**30))
    request.headers.append((b"Content-Length", b"%d" % wrong))
    request.lies = True
    return str(wrong)[:40]


_FIELDS = (_value, _value, _value, _value, _marked, _missing, _doubled, _unknown, _many, _segment, _more_segments)
_REST = (_member, _member, _member, _unknown_member, _body, _header, _header, _host, _type, _method, _chunked)
FORGED = (_token, _other_session, _elsewhere)
WAYS = (*_FIELDS, *_REST, *FORGED, _length)
