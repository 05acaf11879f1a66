"""Whether the replies of a connection answer its lines: each once, in order, and in the form that its verb has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from faktory_tw.session import COMMANDS
from faktory_tw.wire import LONGEST_ERROR

_OK, _NULL = b"+OK\r\n", b"$-1\r\n"
# What a verb is answered with if it is not refused: + is OK, $ a bulk string, 0 the null one.
_FORMS = {
    b"PUSH": "+",
    b"PUSHB": "$",
    b"FETCH": "$0",
    b"ACK": "+",
    b"FAIL": "+",
    b"BEAT": "+$",
    b"INFO": "$",
    b"FLUSH": "+",
    b"MUTATE": "+",
    b"QUEUE": "+$",
    b"TRACK": "+$",
    b"BATCH": "+$",
    b"ADMIN": "$",
}
_MOST_QUOTED = 1000


class BadReply(AssertionError):
    """A reply is not well-formed, or answers another line than the one whose turn it is."""


def split(data: bytes) -> Iterator[bytes]:
    """Cut what a server sent into replies. Raises BadReply."""
    place = 0
    while place < len(data):
        end = data.find(b"\r\n", place)
        if end < 0:
            raise BadReply(f"a reply without an end: {data[place : place + 100]!r}")
        head = data[place:end]
        end += 2
        if head[:1] == b"$" and head != b"$-1":
            size = int(head[1:])
            if head != b"$%d" % size or data[end + size : end + size + 2] != b"\r\n":
                raise BadReply(f"a bulk string that is not as long as it says: {data[place : place + 100]!r}")
            end += size + 2
        elif head[:1] not in (b"+", b"-") and head != b"$-1":
            raise BadReply(f"no reply begins so: {head[:100]!r}")
        elif b"\n" in head or b"\r" in head or len(head) > 3 * LONGEST_ERROR:
            raise BadReply(f"not one line, or a very long one: {head[:100]!r}")
        yield data[place:end]
        place = end


def _check_text(reply: bytes) -> None:
    """Everything that is said is UTF-8."""
    try:
        reply.decode()
    except UnicodeDecodeError as error:
        raise BadReply(f"not UTF-8: {reply[:100]!r}") from error


def check_answer(line: bytes, reply: bytes) -> None:
    """Fail unless this may be the reply to this line. ``line`` is without its end."""
    _check_text(reply)
    verb = line.partition(b" ")[0]
    if b"internal error" in reply and b"internal error" not in line:
        raise BadReply(f"{line[:200]!r} is answered with an internal error")
    if verb not in COMMANDS:
        text = verb[:_MOST_QUOTED].decode("utf-8", "replace").replace("\r", " ")
        if reply != f"-ERR Unknown command {text}\r\n".encode("utf-8", "replace"):
            raise BadReply(f"{line[:100]!r} is answered with {reply[:100]!r}")
        return
    if reply.startswith(b"-"):
        if not reply.startswith((b"-ERR ", b"-NOTUNIQUE ")) or len(reply) < 7:
            raise BadReply(f"{line[:100]!r} is refused with {reply[:100]!r}")
        return
    form = "0" if reply == _NULL else "+" if reply == _OK else reply[:1].decode()
    if form not in _FORMS.get(verb, ""):
        raise BadReply(f"{line[:100]!r} is answered with {reply[:100]!r}")
    if form == "$" and verb != b"BATCH":
        body = reply[reply.index(b"\n") + 1 : -2]
        try:
            told = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadReply(f"{line[:100]!r} is answered with what is no JSON: {body[:200]!r}") from error
        if not isinstance(told, dict):
            raise BadReply(f"{line[:100]!r} is answered with {body[:100]!r}")


def check_conversation(lines: Sequence[bytes], replies: Sequence[bytes], closed: bool, owes: int) -> None:
    """Fail unless the replies after the greeting answer these lines.

    ``owes``: so many at the end have no reply yet, for a FETCH waits or the client does not read. ``closed``: the server
    has ended the connection.
    """
    if len(replies) > len(lines):
        raise BadReply(f"{len(replies)} replies to {len(lines)} lines")
    for number, (line, reply) in enumerate(zip(lines, replies, strict=False)):
        if number == 0:
            _check_text(reply)
            if reply != _OK and not (closed and len(replies) == 1 and reply.startswith(b"-ERR ")):
                raise BadReply(f"{line[:100]!r} is answered with {reply[:100]!r}")
        elif not reply.startswith(b"-ERR line longer than "):
            check_answer(line, reply)
        elif not closed or number != len(replies) - 1:
            raise BadReply(f"it goes on behind a line that is too long: {line[:100]!r}")
    rest = lines[len(replies) :]
    if not closed and len(rest) > owes:
        raise BadReply(f"{len(rest)} lines are not answered: {list(rest[:3])!r}"[:500])
    if closed and replies and replies[-1][:1] != b"-" and not _may_end(rest):
        raise BadReply(f"closed at {list(rest[:2])!r}"[:500])


def _may_end(rest: Sequence[bytes]) -> bool:
    """Whether the server may end a connection when these are the next lines: at END, also when a FETCH waits."""
    words = [line.partition(b" ")[0] for line in rest[:2]]
    return words[:1] == [b"END"] or words == [b"FETCH", b"END"]
