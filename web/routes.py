"""What a page declares: an address, who may ask for it, and the function that answers.

Each module of ``pages`` and ``api`` has a tuple ``ROUTES``; :mod:`web.app` gives them to Klein, behind the one gate
through which every request goes. So no page can forget to ask for a password, or to refuse a forged form.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import NamedTuple

from .answers import Answer

Respond = Callable[..., Awaitable[Answer]]


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    NOBODY = 0  # has shown no password
    READER = 1  # sees everything and changes nothing
    OPERATOR = 2


class Route(NamedTuple):
    """``respond(visit, **values of the path)`` returns an Answer; the rest says who may come and how.

    ``methods`` with GET answer HEAD, too. ``large``: what is sent may be as long as a job may be, not only a MiB.
    """

    path: str
    respond: Respond
    methods: tuple[str, ...]
    role: Role
    api: bool = False  # answers in JSON, its refusals included
    large: bool = False
    personal: bool = False  # changes nothing but the cookies of who asks, so that a reader may, too


def page(path: str, respond: Respond) -> Route:
    """A page that people look at."""
    return Route(path, respond, ("GET", "HEAD"), Role.READER)


def form(path: str, respond: Respond, large: bool = False) -> Route:
    """What a form of a page is sent to: a change, for operators only. It has our token, or is refused."""
    return Route(path, respond, ("POST",), Role.OPERATOR, large=large)


def preference(path: str, respond: Respond) -> Route:
    """What a form is sent to that changes only what its sender sees; it has our token, too."""
    return Route(path, respond, ("POST",), Role.READER, personal=True)


def question(path: str, respond: Respond, role: Role = Role.READER) -> Route:
    """What a program asks, to be answered in JSON."""
    return Route(path, respond, ("GET", "HEAD"), role, api=True)


def command(path: str, respond: Respond, method: str = "POST", large: bool = False) -> Route:
    """A change that a program asks for, in JSON."""
    return Route(path, respond, (method,), Role.OPERATOR, api=True, large=large)
