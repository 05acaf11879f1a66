"""The recorded conversations with Faktory 1.9.4, played to the real server over sockets.

Each begins with FLUSH, so two cannot share a server. What takes time is waiting (a FETCH of nothing blocks for two
seconds), so several servers run side by side, each with a share of the conversations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.recordings import Closed, Conversation, Differs, conversations, play
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, ConnectionEnded, Reply
from tests.system.server import Server

SERVERS = 4


class Wire:
    """A connection of `fwp.Client` as a `recordings.Transport`: nothing is said that the recording does not say."""

    def __init__(self, port: int) -> None:
        self.client = Client(port, greet=False, timeout=8.0)

    def send(self, data: bytes) -> None:
        """Send; what the server no longer wants to hear is not an error here."""
        try:
            self.client.send_bytes(data)
        except OSError:
            pass

    def receive(self) -> Reply:
        """Return the next reply, or raise Closed."""
        try:
            return self.client.receive()
        except (ConnectionEnded, ConnectionResetError, BrokenPipeError):
            raise Closed from None

    def close(self) -> None:
        """Hang up."""
        self.client.close()


def test_every_recorded_conversation_is_answered_alike(make_server: MakeServer) -> None:
    """The norm for replies is what the real server said, word for word."""
    cases = [case for case in conversations() if case.password is None]
    assert len(cases) == 237
    refuse_differences(play_all(make_server, cases))


def test_every_recorded_conversation_with_a_password_is_answered_alike(make_server: MakeServer) -> None:
    """With a password: the greeting carries a salt, and a HELLO with a wrong answer ends the connection."""
    cases = [case for case in conversations() if case.password is not None]
    assert len(cases) == 8
    assert len({case.password for case in cases}) == 1
    refuse_differences(play_all(make_server, cases, servers=1))


def test_a_conversation_that_differs_is_noticed(server: Server) -> None:
    """A comparison that agrees with everything would prove nothing: a recording with one changed reply must fail."""
    case = next(case for case in conversations() if case.name == "push-ok-minimal")
    last = case.steps[-1]
    changed = case._replace(steps=[*case.steps[:-1], last._replace(replies=[Reply("simple", "NO")])])
    with pytest.raises(Differs, match="'NO'"):
        play(changed, connector(server), time.sleep)


def refuse_differences(differences: list[str]) -> None:
    """Fail with every difference, not only the first."""
    assert not differences, f"{len(differences)} conversations differ:\n" + "\n".join(differences)


def play_all(make_server: MakeServer, cases: Sequence[Conversation], servers: int = SERVERS) -> list[str]:
    """Play `cases` to `servers` servers at a time; return the differences."""
    running = [make_server(password=cases[0].password) for _ in range(servers)]
    with ThreadPoolExecutor(servers) as pool:
        found = pool.map(play_share, running, shares(cases, servers))
        return [difference for share in found for difference in share]


def shares(cases: Sequence[Conversation], count: int) -> list[list[Conversation]]:
    """Divide `cases` so that all shares take about equally long: the longest first, each to the least burdened."""
    result: list[list[Conversation]] = [[] for _ in range(count)]
    burden = [0.0] * count
    for case in sorted(cases, key=Conversation.waiting_seconds, reverse=True):
        least = burden.index(min(burden))
        result[least].append(case)
        burden[least] += 0.05 + case.waiting_seconds()
    return result


def play_share(server: Server, cases: Sequence[Conversation]) -> list[str]:
    """Play `cases` one after the other to one server, each after a FLUSH; return the differences."""
    found = []
    for case in cases:
        with server.client() as client:
            client.flush()
        try:
            play(case, connector(server), time.sleep)
        except Differs as why:
            found.append(str(why))
    return found


def connector(server: Server) -> Callable[[], Wire]:
    """Return a function that connects to `server`."""
    return lambda: Wire(server.port)
