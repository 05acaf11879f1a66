"""What must hold of each answer, whatever was asked.

``broken(request, answer, secrets)`` says in words what does not hold; an empty list is a good answer.
"""

from __future__ import annotations

import importlib
import json
import re
from functools import cache
from html.parser import HTMLParser
from http import HTTPStatus
from typing import Any, NamedTuple

from tests.fuzz.http.requests import Request
from tests.fuzz.http.values import INJECTED
from web.api import description
from web.gate.connections import bare_answer
from web.gate.security import HEADERS

STATUSES = {200, 201, 202, 303, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 429, 431, 501, 503}
_HEADER = re.compile(rb"[A-Za-z][A-Za-z-]*: [^\x00-\x08\x0a-\x1f\x7f]*")
_CONVERTER = re.compile(r"<(?:\w+:)?(\w+)>")
_BARE = bare_answer(400, b"").partition(b"\r\n\r\n")[0].split(b"\r\n")[1:-2]
_OF_THE_GATE = {400, 401, 403, 404, 405, 408, 413, 414, 415, 429, 431, 501, 503}  # whatever the route


class Answer(NamedTuple):
    """What came back: the lines of the head as they were, and the body."""

    status: int
    head: list[bytes]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        start = name.lower().encode() + b":"
        found = next((line for line in self.head if line.lower().startswith(start)), None)
        return None if found is None else found[len(start) :].strip().decode("latin-1")

    @property
    def kind(self) -> str:
        """The media type."""
        return (self.header("Content-Type") or "").partition(";")[0]


def answer_of(head: bytes, body: bytes) -> Answer:
    """An answer, from its head without the empty line, and its body."""
    first, *lines = head.split(b"\r\n")
    return Answer(int(first.split(b" ", 2)[1]), lines, body)


def broken(request: Request, answer: Answer, secrets: tuple[str, ...]) -> list[str]:
    """What does not hold."""
    found = [*_wrong_head(answer)]
    if answer.status not in STATUSES:
        found.append(f"status {answer.status}")
    told = b"\r\n".join([*answer.head, answer.body])
    found += [f"it tells {secret!r}" for secret in secrets if secret.encode() in told]
    if b"Traceback (most recent" in told:
        found.append("it has a traceback")
    if request.method == "HEAD":
        return found
    found += _wrong_refusal(request, answer) if answer.status >= 400 else []
    if answer.kind == "text/html":
        found += _wrong_page(answer)
    elif answer.kind == "application/json":
        try:
            value = json.loads(answer.body)
        except ValueError:
            found.append("it is no JSON")
        else:
            found += _undescribed(request, answer, value)
    return found


def _wrong_head(answer: Answer) -> list[str]:
    found = [f"header line {line[:80]!r}" for line in answer.head if _HEADER.fullmatch(line) is None]
    names = [line.partition(b":")[0].lower() for line in answer.head]
    found += [f"no header {name}" for name in HEADERS if name.lower().encode() not in names]
    found += [f"{name.decode()} twice" for name in set(names) if names.count(name) > 1 and name != b"set-cookie"]
    if INJECTED.lower().encode() in names:
        found.append("a header was injected")
    location = answer.header("Location")
    if location is not None and not re.fullmatch(r"/(?!/)[!-\[\]-~]*", location):
        found.append(f"Location {location[:80]!r}")
    return found


def _wrong_refusal(request: Request, answer: Answer) -> list[str]:
    """A refusal says what is wrong, in the form that the route promises."""
    if answer.kind == "text/plain":  # of what is no request in HTTP, or too long for one
        lines = {line for line in answer.head if not line.startswith(b"Content-Length")}
        return [] if answer.body.strip() and set(_BARE) <= lines else ["a bare answer without sentence or headers"]
    if answer.kind == "application/json":
        try:
            value = json.loads(answer.body)
        except ValueError:
            return ["its refusal is no JSON"]
        if isinstance(value, dict) and (value.keys() == {"ready", "reasons"} or str(value.get("error") or "").strip()):
            return []
        return [f"its refusal has no error: {answer.body[:80]!r}"]
    if answer.kind != "text/html":
        return [f"a refusal of type {answer.kind}"]
    if not request.is_html and answer.status not in _OF_THE_GATE:
        return ["a page, where JSON was promised"]
    phrase = HTTPStatus(answer.status).phrase.encode()
    text = re.sub(rb"<[^>]*>|\s+", b" ", answer.body).replace(phrase, b"").strip()
    return [] if len(text) > 20 else ["a page that says nothing"]


class _Page(HTMLParser):
    """Looks for what was sent and has become a part of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if "fuzz" in tag:
            self.found.append(f"what was sent is an element: {tag}")
        for name, value in attrs:
            if "fuzz" in name:
                self.found.append(f"what was sent is an attribute: {name}")
            if name in ("href", "src", "action", "formaction") and re.match(
                r"\s*(javascript|data|vbscript):", value or ""
            ):
                self.found.append(f"what was sent is an address: {value}")


def _wrong_page(answer: Answer) -> list[str]:
    try:
        text = answer.body.decode()
    except UnicodeDecodeError:
        return ["the page is no UTF-8"]
    if "fuzz" not in text and "javascript" not in text:
        return []
    page = _Page()
    page.feed(text)
    return page.found


# -- the description of the API --------------------------------------------------------------------------------------------


def _undescribed(request: Request, answer: Answer, value: Any) -> list[str]:
    """What openapi.json does not say of an answer; nothing where the request was for no route of it."""
    method, _, path = request.route.partition(" ")
    if (
        not path.startswith("/api/")
        or request.method != method
        or b"/".join(request.path).count(b"/") != path.count("/")
    ):
        return []
    if answer.status == 404 and "no such page" in str(value):
        return []
    validator = _validator(method, _CONVERTER.sub(r"{\1}", path), answer.status)
    if validator is None:
        return [] if answer.status in _OF_THE_GATE else [f"status {answer.status} is not described"]
    return [f"not as described: {error.message[:200]}" for error in list(validator.iter_errors(value))[:3]]


@cache
def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {(each["method"], each["path"]): each for each in description.operations()}


@cache
def _validator(method: str, path: str, status: int) -> Any:
    jsonschema: Any = importlib.import_module("jsonschema")
    document = description.document()
    response = _operations().get((method, path), {"responses": {}})["responses"].get(str(status))
    if response is None:
        return None
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    content = response.get("content", {}).get("application/json")
    if content is None:
        return None
    return jsonschema.Draft202012Validator({**content["schema"], "components": document["components"]})
