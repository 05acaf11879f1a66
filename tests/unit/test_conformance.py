"""The recorded conversations with Faktory 1.9.4, played in memory: protocol, session, job manager and SQLite, no socket.

A FETCH of nothing takes two seconds of the test's clock and none of ours, so all of them take a few seconds.

One recording, `hello-pipelined`, sends HELLO and INFO in one piece. A comparison that takes the first verb of what was
sent for the verb of every reply would hold its INFO to the letter, and here INFO has more members (`default_size`,
`server.implementation` …). `recordings.play` goes by the verb of each line, so that INFO is compared as INFO wherever it
stands, and no exception is made for it here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faktory_tw.storage import database
from faktory_tw.storage.sqlite import SQLiteStore
from tests.recordings import Closed, Conversation, Differs, conversations, parse, play
from tests.system.fwp import Reply
from tests.unit.house import House

RECORDED_AT = 1_795_285_200.0  # 2026-11-21T18:20:00Z: recordings hold times that were then past or to come
PATIENCE_SECONDS = 8.0
CONVERSATIONS = conversations()


class Transport:
    """A connection of `house` as `recordings.play` wants it."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._client = house.connect(hello=None)
        self._replies: list[Reply] = list(parse(self._client.greeting))

    def send(self, data: bytes) -> None:
        """Hand over bytes; a closed connection takes none."""
        self._client.feed(data)

    def receive(self) -> Reply:
        """Return the next reply; time passes until there is one. Every write of the server holds whole replies."""
        waited = 0.0
        while not self._replies:
            self._house.commit()
            self._replies += parse(self._client.heard())
            if self._replies:
                break
            if self._client.wire.closed:
                raise Closed
            if waited > PATIENCE_SECONDS:
                raise TimeoutError
            self._house.pass_time(0.5)
            waited += 0.5
        return self._replies.pop(0)

    def close(self) -> None:
        """Hang up."""
        self._client.hang_up()


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str | None, House]]:
    """A server for each password in the recordings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "RESERVE_BYTES", 65_536)
        houses = {
            password: House(SQLiteStore(tmp_path_factory.mktemp("data"), "second"), password, epoch=RECORDED_AT)
            for password in {case.password for case in CONVERSATIONS}
        }
        yield houses
        for house in houses.values():
            house.close()
            house.store.close()


def test_all_recordings_are_there() -> None:
    assert len(CONVERSATIONS) == 245


@pytest.mark.parametrize("case", CONVERSATIONS, ids=[case.name for case in CONVERSATIONS])
def test_a_recorded_conversation_is_answered_alike(houses: dict[str | None, House], case: Conversation) -> None:
    house = houses[case.password]
    house.server.flush()
    house.commit()
    play(case, lambda: Transport(house), house.pass_time)
    assert house.failures == []
    assert house.server.connections == 0


def test_a_conversation_that_differs_is_noticed(houses: dict[str | None, House]) -> None:
    house = houses[None]
    house.server.flush()
    case = next(case for case in CONVERSATIONS if case.name == "push-ok-minimal")
    *others, last = case.steps
    changed = case._replace(steps=[*others, last._replace(replies=[Reply("simple", "NO")])])
    with pytest.raises(Differs, match="'NO'"):
        play(changed, lambda: Transport(house), house.pass_time)
