"""The bytes of replies, and the kinds of refusal.

Every reply is built here, whole, so that the transport can send it with one write: some clients read a reply with a
single ``read``. The module knows nothing of commands, jobs or sockets.
"""

from __future__ import annotations


class Held(bytes):
    """A reply that acknowledges a change: it may leave only after the batch that carries the change is on disk.

    Any other ``bytes`` may go out at once, unless an earlier reply of the same connection is still held.
    """

    __slots__ = ()


OK = b"+OK\r\n"
ACKNOWLEDGED = Held(OK)
NULL = b"$-1\r\n"

LONGEST_ERROR = 4096  # characters: a refusal quotes what it refuses, and that may have any length

_ONE_LINE = str.maketrans({"\r": " ", "\n": " "})


class CommandError(Exception):
    """A command that is refused; the connection goes on.

    ``str(error)`` is the text for the client; ``code`` is the word before it on the wire. Worker libraries know
    ``ERR`` and ``NOTUNIQUE``; some crash on any other. ``held``: the reason may be a change that is not on disk yet, and
    whoever reads the reply relies on it.
    """

    def __init__(self, message: str, code: str = "ERR", held: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.held = held


class FatalCommandError(CommandError):
    """A refusal after which the connection is closed. An empty message closes it without a reply."""


class WrongPassword(FatalCommandError):
    """A password that is wrong; the refusal is to be sent after ``delay_seconds``."""

    def __init__(self, delay_seconds: float) -> None:
        super().__init__("Invalid password")
        self.delay_seconds = delay_seconds


def bulk(body: bytes) -> bytes:
    """A bulk string: its length counts bytes, not characters."""
    return b"$%d\r\n%b\r\n" % (len(body), body)


def error(refusal: CommandError) -> bytes:
    """An error reply on one line that is not endless, whatever the message quotes from the client."""
    text = f"-{refusal.code} {refusal}"
    if len(text) > LONGEST_ERROR:
        text = f"{text[: LONGEST_ERROR - 1]}…"
    text = text.translate(_ONE_LINE)
    reply = text.encode("utf-8", "replace") + b"\r\n"
    return Held(reply) if refusal.held else reply
