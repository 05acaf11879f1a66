"""What a page can answer: a page, another address, a value in JSON, a file, or a refusal."""

from __future__ import annotations

import json
from typing import Any


class Answer:
    """A status, headers and a body. The headers that every answer has are set in :mod:`web.app`."""

    status = 200
    content_type = "text/html; charset=utf-8"

    def __init__(self, body: bytes = b"", status: int = 200, content_type: str = "", **headers: str) -> None:
        self.body = body
        self.status = status
        self.content_type = content_type or self.content_type
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Page(Answer):
    """A page made from a template of ``templates/`` and what it shows."""

    def __init__(self, template: str, status: int = 200, **values: Any) -> None:
        super().__init__(status=status)
        self.template = template
        self.values = values


class Redirect(Answer):
    """Look there now, as after each form that was carried out. ``path`` is one of ours, without the proxy's prefix.

    ``notice`` is shown, once, on the page that follows.
    """

    def __init__(self, path: str, notice: str = "", failed: bool = False) -> None:
        super().__init__(status=303)
        self.path = path
        self.notice = notice
        self.failed = failed


class Json(Answer):
    """A value, for programs."""

    content_type = "application/json"

    def __init__(self, value: object, status: int = 200) -> None:
        super().__init__(json.dumps(value, separators=(",", ":")).encode(), status)


class Refusal(Exception):
    """The request is not carried out. ``sentence`` says why and what to do, to a person or a program."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class NotThere(Refusal):
    """There is no such page, queue or job."""

    def __init__(self, sentence: str) -> None:
        super().__init__(404, sentence)
