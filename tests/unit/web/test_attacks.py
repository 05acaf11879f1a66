"""Requests that are too large, too slow, too many, or nonsense: they are refused with a sentence, and nothing breaks."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import HOST, Answer, Browser, Exchange, ask, site_of
from tests.unit.web.conftest import PASSWORD
from web.answers import Answer as PageAnswer
from web.answers import Json
from web.gate.fields import FORM_BYTES, MOST_FIELDS
from web.routes import Role, command, form, page, question
from web.visit import Visit

JSON = {"Accept": "application/json"}


class Ear:
    """Pages that take what they are given, and keep it."""

    def __init__(self, house: House) -> None:
        self.heard: list[Any] = []
        routes = (
            page("/page", self.look),
            question("/told/<name>", self.told),
            question("/open", self.look, Role.NOBODY),
            form("/form", self.take_form),
            form("/large", self.take_form, large=True),
            command("/api/take", self.take_json),
            command("/api/large", self.take_json, large=True),
        )
        site_of(house, routes)

    async def look(self, visit: Visit) -> PageAnswer:
        self.heard.append(visit.query)
        return Json(visit.query)

    async def told(self, visit: Visit, name: str) -> PageAnswer:
        self.heard.append(name)
        return Json({"name": name, "number": visit.number("number", 1, 1, 100), "text": visit.text("text")})

    async def take_form(self, visit: Visit) -> PageAnswer:
        self.heard.append(visit.form)
        return Json(len(visit.form))

    async def take_json(self, visit: Visit) -> PageAnswer:
        self.heard.append(visit.json)
        return Json(None)


@pytest.fixture
def ear(house: House) -> Ear:
    return Ear(house)


def raw(house: House, *pieces: bytes, methods: tuple[str, ...] = ("GET",)) -> tuple[list[Answer], Exchange]:
    """What the server answers to bytes, and the connection, which is left at the end."""
    exchange = Exchange(house)
    for piece in pieces:
        exchange.send(piece)
    exchange.wait()
    answers = exchange.answers(methods)
    exchange.leave()
    return answers, exchange


def post(path: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


# -- sizes -----------------------------------------------------------------------------------------------------------


def test_a_form_that_is_too_long_is_refused_and_its_sender_hears_why(house: House, ear: Ear) -> None:
    answer = ask(house, "/form", form={"a": "x" * FORM_BYTES}, **JSON)
    assert answer.status == 413
    assert answer.json() == {"error": "This is longer than 1,048,576 bytes."}
    assert ear.heard == []
    assert ask(house, "/form", form={"a": "x" * (FORM_BYTES - 500)}).status == 200


def test_what_may_hold_a_job_may_be_as_long_as_a_job(house: House, ear: Ear) -> None:
    answer = ask(house, "/large", form={"a": "x" * (4 * FORM_BYTES)})
    assert answer.status == 200
    assert ear.heard == [{"a": ["x" * (4 * FORM_BYTES)]}]
    assert ask(house, "/api/large", json=["y" * (4 * FORM_BYTES)]).status == 200
    assert ask(house, "/api/take", json=["y" * (4 * FORM_BYTES)]).status == 413


def test_strangers_send_no_jobs(guarded_house: House) -> None:
    Ear(guarded_house)
    exchange = Exchange(guarded_house)
    exchange.send(post("/api/large", f"Content-Length: {60 * FORM_BYTES}", "Content-Type: application/json"))
    assert exchange.line.closed
    assert exchange.raw.startswith(b"HTTP/1.1 413 ")
    exchange.leave()
    assert ask(guarded_house, "/api/large", json=["y" * 2 * FORM_BYTES]).status == 401
    assert ask(guarded_house, "/api/large", json=["y" * 2 * FORM_BYTES], password=PASSWORD).status == 200


def test_a_body_without_end_is_cut(house: House, ear: Ear) -> None:
    exchange = Exchange(house)
    exchange.send(post("/form", "Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"))
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    house.server.web_password = "secret"  # who sends it has none
    exchange.leave()
    exchange = Exchange(house)
    exchange.send(post("/form", "Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"))
    sent = 0
    while not exchange.line.closed:
        exchange.send(chunk)
        sent += 1
        assert sent < 20
    assert exchange.raw.startswith(b"HTTP/1.1 413 ")
    exchange.send(chunk)
    exchange.leave()
    assert ear.heard == []


def test_a_body_that_waits_for_a_word_is_refused_at_once(house: House, ear: Ear) -> None:
    house.server.web_password = "secret"
    answers, exchange = raw(house, post("/form", f"Content-Length: {FORM_BYTES + 1}", "Expect: 100-continue"))
    assert [answer.status for answer in answers] == [413]
    assert b"100 Continue" not in exchange.raw
    assert exchange.line.closed


def test_an_address_that_is_too_long_is_refused(house: House, ear: Ear) -> None:
    answer = ask(house, "/page?" + "x" * 9000, **JSON)
    assert answer.status == 414
    answers, exchange = raw(house, b"GET /page?" + b"x" * 20_000)
    assert [answer.status for answer in answers] == [414]
    assert exchange.line.closed
    assert ear.heard == []


@pytest.mark.parametrize(
    "headers",
    [b"X-Long: " + b"x" * 20_000, b"X-Long: x\r\n" * 600, b"X-Long: " + b"x" * 9000 + b"\r\nX-More: " + b"x" * 9000],
    ids=["line", "count", "total"],
)
def test_headers_that_are_too_long_are_refused(house: House, ear: Ear, headers: bytes) -> None:
    answers, exchange = raw(house, b"GET /page HTTP/1.1\r\n" + headers + b"\r\n\r\n")
    assert [answer.status for answer in answers] == [431]
    assert exchange.line.closed
    assert ear.heard == []


def test_ten_thousand_fields_are_too_many(house: House, ear: Ear) -> None:
    answer = ask(house, "/form", form=[("a", "")] * 10_000, **JSON)
    assert answer.status == 400
    assert answer.json() == {"error": f"There are more than {MOST_FIELDS} fields."}
    assert ask(house, "/page?" + "&" * 5000, **JSON).status == 400
    assert ask(house, "/form", form=[("a", "")] * (MOST_FIELDS - 1)).status == 200


@pytest.mark.parametrize("depth", [10_000, 500_000])
def test_json_that_is_nested_too_deeply_is_refused(house: House, ear: Ear, depth: int) -> None:
    answer = ask(house, "/api/take", body=b"[" * depth + b"]" * depth, Content_Type="application/json")
    assert answer.status == 400
    assert answer.json() == {"error": "This JSON is nested too deeply."}


@pytest.mark.parametrize("body", [b"{", b"[1,]", b"\xff", b'"\xff"', b"NaN", b"{}{}", b"\0"])
def test_what_is_no_json_is_refused(house: House, ear: Ear, body: bytes) -> None:
    answer = ask(house, "/api/take", body=body, Content_Type="application/json")
    assert answer.status == 400
    assert answer.json()["error"].startswith("This is not the JSON that is expected here: ")


def test_no_json_is_an_empty_object(house: House, ear: Ear) -> None:
    assert ask(house, "/api/take", body=b"", Content_Type="application/json").status == 200
    assert ear.heard == [{}]


# -- texts and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "number", ["-1", "0", "101", "9" * 30, "-" * 30, "1e3", "0x1", "1.0", "%EF%BC%91", "NaN", "1_0", "1 1"]
)
def test_a_number_out_of_bounds_is_refused(house: House, ear: Ear, number: str) -> None:
    answer = ask(house, f"/told/x?number={number.replace(' ', '+')}")
    assert answer.status == 400
    assert answer.json() == {"error": "number must be a whole number from 1 to 100."}


def test_a_field_that_is_too_long_is_refused(house: House, ear: Ear) -> None:
    assert ask(house, "/told/x?text=" + "x" * 8100).status == 200
    assert ask(house, "/told/x?text=" + "%78" * 2000).json()["text"] == "x" * 2000


@pytest.mark.parametrize("query", ["%ff", "a=%ff", "%c3", "a=%ed%a0%80", "a=%f8%88%80%80%80", "a=%c0%80"])
def test_what_is_not_utf_8_is_refused(house: House, ear: Ear, query: str) -> None:
    answer = ask(house, f"/page?{query}", **JSON)
    assert answer.status == 400
    assert answer.json() == {"error": "What was sent is not UTF-8 text."}
    body = f"token={Browser(house).token()}&{query}".encode()
    answer = ask(house, "/form", body=body, Content_Type="application/x-www-form-urlencoded", **JSON)
    assert answer.status == 400


@pytest.mark.parametrize("path", ["/told/%ff", "/%c3", "/told/%ed%a0%80"])
def test_a_path_that_is_not_utf_8_is_refused(house: House, ear: Ear, path: str, failures: list[str]) -> None:
    answer = ask(house, path, **JSON)
    assert answer.status == 400
    assert answer.json() == {"error": "The address is not UTF-8 text."}


@pytest.mark.parametrize("name", [b"\xff\xfe", b"x" * 64, b"a..b", b".", b"x" * 3000, b".a:7420"])
def test_a_host_that_is_no_name_is_refused(house: House, ear: Ear, name: bytes) -> None:
    head = b"GET /page HTTP/1.1\r\nConnection: close\r\nAccept: application/json\r\nHost: "
    answers, _ = raw(house, head + name + b"\r\n\r\n")
    assert [answer.status for answer in answers] == [400]
    assert answers[0].json()["error"].startswith("The header Host must have the name ")


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Accept-Language",
        "Cookie",
        "Authorization",
        "Content-Type",
        "Origin",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Script-Name",
        "Sec-Fetch-Site",
        "Content-Encoding",
        "User-Agent",
        "Expect",
    ],
)
@pytest.mark.parametrize("value", [b"\xff\xfe", b"", b",;=\"'\\", b"x" * 8000, b"\xe2\x80\xae%s{}"])
@pytest.mark.parametrize("method", [b"GET /page", b"POST /api/take", b"POST /form", b"GET /nowhere"])
def test_any_bytes_may_be_in_a_header(house: House, ear: Ear, name: str, value: bytes, method: bytes) -> None:
    head = method + b" HTTP/1.1\r\nHost: localhost:7420\r\nConnection: close\r\n"
    answers, _ = raw(house, head + name.encode() + b": " + value + b"\r\n\r\n")
    assert len(answers) == 1
    assert answers[0].status in (200, 400, 403, 404, 415)


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n"])
def test_there_must_be_one_host(house: House, ear: Ear, hosts: bytes) -> None:
    answers, _ = raw(house, b"GET /page HTTP/1.1\r\nConnection: close\r\n" + hosts + b"\r\n")
    assert [answer.status for answer in answers] == [400]
    assert ear.heard == []


@pytest.mark.parametrize("name", ["%00", "%0a", "%0d%0aSet-Cookie:x=y", "%1b[2J", "%3Cscript%3E", "..%5c", "%e2%80%ae"])
def test_control_characters_in_a_path_or_field_are_only_text(house: House, ear: Ear, name: str) -> None:
    answer = ask(house, f"/told/{name}?text=a{name}b")
    assert answer.status == 200
    told = answer.json()
    assert told["name"] == ear.heard[0]
    assert told["text"] == f"a{told['name']}b"
    assert answer.headers["Set-Cookie"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/static/../web/app.py",
        "/static/%2e%2e/%2e%2e/setup.py",
        "/static/..%2f..%2fsetup.py",
        "/static/x/..%2f..%2fapp.py",
        "/static/x//etc/passwd",
        "/static/x/%2fetc%2fpasswd",
        "/static/x/..\\..\\app.py",
        "/static/x/style.css%00.html",
        "/static/",
        "/static",
        "//health",
        "/%2fhealth",
        "//",
        "//evil.example/",
        "///",
        "/./health",
        "/health/",
        "/health;x",
        "/HEALTH",
        "/%",
        "/%zz",
        "/*",
    ],
)
def test_a_path_that_plays_tricks_is_not_found(house: House, path: str) -> None:
    answer = ask(house, path, **JSON)
    assert answer.status == 404
    assert answer.headers["Location"] is None
    assert b"import" not in answer.body


@pytest.mark.parametrize("target", ["*", "http://localhost:7420/page", "page", "evil.example:80"])
def test_what_is_no_path_is_refused(house: House, ear: Ear, target: str) -> None:
    answer = ask(house, target, **JSON)
    assert answer.status in (400, 404)
    assert ear.heard == []


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get", "\xc3\xa9", "X" * 100])
def test_a_method_that_there_is_not_is_refused(house: House, ear: Ear, method: str) -> None:
    answer = Browser(house).ask("/page", method)
    assert answer.status in (400, 501)
    assert ear.heard == []


def test_a_method_that_a_page_does_not_know_is_told_which_ones_it_knows(house: House, ear: Ear) -> None:
    answer = ask(house, "/page", "DELETE", **JSON)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert ask(house, "/form", **JSON).headers["Allow"] == "POST"


# -- requests in one another -----------------------------------------------------------------------------------------

SMUGGLED = b"GET /open?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Transfer-Encoding: chunked", "Transfer-Encoding: identity, chunked"),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: \x0bchunked",),
        ("Content-Length: +5",),
        ("Content-Length: -5",),
        ("Content-Length: 0x5",),
        ("Content-Length: 5, 5",),
        ("Content-Length: ",),
        ("Content-Length : 5",),
        (" Content-Length: 5",),
        ("No colon",),
        ("X: a\0b",),
    ],
    ids=str,
)
def test_a_request_is_not_hidden_in_another(house: House, ear: Ear, headers: tuple[str, ...]) -> None:
    answers, exchange = raw(house, post("/open", *headers, body=b"0\r\n\r\n" + SMUGGLED), methods=("POST", "GET"))
    assert all(heard != {"smuggled": [""]} for heard in ear.heard)
    assert all(answer.status >= 400 for answer in answers)
    assert exchange.line.closed


def test_what_twisted_refuses_has_the_headers_that_all_answers_have(house: House, ear: Ear) -> None:
    for data in (b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"GET /page?" + b"x" * 20_000):
        answers, exchange = raw(house, data)
        assert len(answers) == 1
        assert answers[0].headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in answers[0].headers["Content-Security-Policy"]
        assert answers[0].headers["Connection"] == "close"
        assert exchange.line.closed
        assert b"Twisted" not in exchange.raw


@pytest.mark.parametrize("size", [b"-1", b"0x5", b"zz", b"f" * 2000, b""])
def test_chunks_that_make_no_sense_are_refused(house: House, ear: Ear, size: bytes) -> None:
    answers, exchange = raw(house, post("/form", "Transfer-Encoding: chunked", body=size + b"\r\nhello\r\n0\r\n\r\n"))
    assert [answer.status for answer in answers] == [400]
    assert exchange.line.closed


def test_a_form_in_chunks_is_a_form(house: House, ear: Ear) -> None:
    browser = Browser(house)
    token = browser.token()
    body = f"a=1&token={token}".encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (1, body[i : i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
    given = ["Transfer-Encoding: chunked", "Content-Type: application/x-www-form-urlencoded"]
    given.append(f"Cookie: faktory_token={browser.cookies['faktory_token']}")
    answers, _ = raw(house, post("/form", *given, body=chunks))
    assert [answer.status for answer in answers] == [200]
    assert ear.heard == [{"a": ["1"]}]


def test_two_requests_in_one_piece_are_answered_one_after_the_other(house: House, ear: Ear) -> None:
    one = b"GET /page?one HTTP/1.1\r\nHost: x\r\n\r\n"
    answers, _ = raw(house, one + one.replace(b"one", b"two"), methods=("GET", "GET"))
    assert [answer.json() for answer in answers] == [{"one": [""]}, {"two": [""]}]


def test_a_compressed_body_is_not_unpacked(house: House, ear: Ear) -> None:
    bomb = gzip.compress(json.dumps(["x" * 1_000_000]).encode())
    answer = ask(house, "/api/take", body=bomb, Content_Type="application/json", Content_Encoding="gzip")
    assert answer.status == 415
    assert ear.heard == []


def test_a_multipart_form_is_not_read(house: House, ear: Ear) -> None:
    part = b'--x\r\nContent-Disposition: form-data; name="a"; filename="../../b"\r\n\r\n1\r\n'
    answer = ask(house, "/form", body=part * 10_000 + b"--x--", Content_Type="multipart/form-data; boundary=x", **JSON)
    assert answer.status == 415


# -- time and number -------------------------------------------------------------------------------------------------


def test_headers_that_take_too_long_end_the_connection(house: House, ear: Ear) -> None:
    exchange = Exchange(house)
    exchange.send(b"GET /page HTTP/1.1\r\n")
    for _ in range(29):
        house.reactor.advance(1)
        exchange.send(b"X: y\r\n")
        assert not exchange.line.closed
    house.reactor.advance(2)
    assert exchange.line.closed
    assert exchange.raw.startswith(b"HTTP/1.1 408 ")
    exchange.send(b"\r\n")
    exchange.leave()
    assert ear.heard == []


def test_a_body_that_trickles_ends_the_connection(guarded_house: House) -> None:
    ear = Ear(guarded_house)
    exchange = Exchange(guarded_house)
    exchange.send(post("/form", "Content-Length: 1000000"))
    seconds = 0
    while not exchange.line.closed:
        guarded_house.reactor.advance(20)
        exchange.send(b"x")
        seconds += 20
        assert seconds < 300
    assert seconds >= 60
    exchange.leave()
    assert ear.heard == []


def test_a_connection_that_is_idle_is_closed(house: House, ear: Ear) -> None:
    exchange = Exchange(house)
    exchange.send(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
    exchange.wait()
    house.reactor.advance(59)
    assert not exchange.line.closed
    house.reactor.advance(2)
    assert exchange.line.closed
    assert len(exchange.answers()) == 1
    exchange.leave()
    assert not house.reactor.getDelayedCalls() or all(
        call.func.__name__ != "_too_late" for call in house.reactor.getDelayedCalls()
    )


def test_a_request_that_came_in_time_is_answered_however_long_that_takes(house: House, ear: Ear) -> None:
    exchange = Exchange(house)
    exchange.send(b"GET /page HTTP/1.1\r\n")
    house.reactor.advance(29)
    exchange.send(b"Host: x\r\n\r\n")
    house.reactor.advance(29)
    exchange.wait()
    assert [answer.status for answer in exchange.answers()] == [200]
    house.reactor.advance(29)
    exchange.send(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n")
    exchange.wait()
    assert len(exchange.answers()) == 2
    exchange.leave()
