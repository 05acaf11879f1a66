"""BATCH as clients send it: what is answered, what is refused, and that a refusal loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from faktory_tw.features.batches import new_bid
from faktory_tw.features.batches.requests import MAXIMUM_CALLBACK_BYTES, MAXIMUM_DESCRIPTION
from faktory_tw.wire import CommandError, Held
from tests.unit.doubles import DAY, HOUR
from tests.unit.features.batch_town import CALLBACKS, Town, callback
from tests.unit.house import House, Talk


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


@pytest.fixture
def talk() -> Iterator[Talk]:
    house = House()
    yield house.talk()
    house.close()


def test_a_bid_is_new_and_safe_in_addresses() -> None:
    bids = {new_bid() for _ in range(1000)}
    assert len(bids) == 1000
    assert all(
        bid.startswith("b-") and len(bid) == 18 and bid.replace("-", "").replace("_", "").isalnum() for bid in bids
    )


def test_a_bid_that_is_taken_is_not_given_twice(town: Town) -> None:
    given = iter(["b-x", "b-x", "b-y"])
    town.batches._make_bid = lambda: next(given)
    assert [town.new("success"), town.new("success")] == ["b-x", "b-y"]


def test_changes_are_acknowledged_when_they_are_on_disk(town: Town) -> None:
    for command in ('NEW {"success":{"jobtype":"X"}}', "OPEN b-1", "COMMIT b-1", "commit b-1"):
        assert isinstance(town.ask(command), Held)
    assert not isinstance(town.ask("STATUS b-1"), Held)


def test_status_has_the_keys_that_clients_know(town: Town) -> None:
    parent = town.new("complete")
    child = town.new("success", parent=parent, description="import 1")
    keys = ["bid", "created_at", "total", "pending", "failed", "complete_st", "success_st"]
    assert list(town.status(parent)) == keys
    assert list(town.status(child)) == ["bid", "parent_bid", "description", *keys[1:]]
    assert town.status(child)["created_at"] == "2025-11-21T12:00:00.000000Z"
    assert list(town.status(town.new("death"))) == [*keys, "death_st"]
    assert b" " not in town.ask(f"STATUS {parent}")


def test_what_the_go_client_sends_is_a_new_batch(town: Town) -> None:
    asked = {"bid": "", "parent_bid": "", "description": "", "success": callback("success"), "complete": None}
    bid = town.ask("NEW " + json.dumps(asked)).split(b"\r\n")[1].decode()
    assert sorted(town.view(bid).callbacks) == ["success"]
    assert "description" not in town.status(bid)


@pytest.mark.parametrize("command", ["STATUS", "OPEN", "COMMIT"])
@pytest.mark.parametrize("bid", ["b-none", "", "b-1 b-1", "b-\xff"])
def test_a_bid_that_is_unknown_is_refused(town: Town, command: str, bid: str) -> None:
    town.new("success")
    with pytest.raises(CommandError) as refusal:
        town.ask(f"{command} {bid}")
    assert str(refusal.value) == f"No such batch {bid}"


def test_an_endless_bid_is_not_quoted_whole(town: Town) -> None:
    with pytest.raises(CommandError, match=r"^No such batch x{100}$"):
        town.ask("STATUS " + "x" * 1_000_000)


def test_a_parent_that_is_unknown_is_refused(town: Town) -> None:
    with pytest.raises(CommandError, match=r"^No such batch b-77$"):
        town.new("success", parent="b-77")
    assert len(town.batches) == 0


@pytest.mark.parametrize("bid", ["b-none", ""])
def test_a_job_of_a_batch_that_is_unknown_is_refused(town: Town, bid: str) -> None:
    with pytest.raises(CommandError) as refusal:
        town.engine.push(custom={"bid": bid})
    assert str(refusal.value) == f"No such batch {bid}"
    assert not town.engine.store.batch


DEEP = "[" * 600 + "]" * 600


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "invalid JSON: "),
        ("null", "a batch needs a callback: "),
        ("{}", "a batch needs a callback: "),
        ('{"success":null}', "a batch needs a callback: "),
        ("[]", "invalid JSON: "),
        ("{", "invalid JSON: "),
        ('{"description":1,"success":{"jobtype":"X"}}', "invalid JSON: "),
        ('{"success":1}', "the success callback: invalid JSON: "),
        ('{"success":{}}', "the success callback: jobs must have a jobtype parameter"),
        ('{"death":{"jobtype":"X","jid":"short"}}', "the death callback: jobs must have a reasonable jid parameter"),
        ('{"complete":{"jobtype":"X","args":{}}}', "the complete callback: invalid JSON: args must be an array"),
        ('{"success":{"jobtype":"X","queue":"a b"}}', 'the success callback: cannot get "a b" queue: '),
        ('{"success":{"jobtype":"X","at":"soon"}}', "the success callback: invalid timestamp for 'at'"),
        ('{"success":{"jobtype":"X","retry":1e400}}', "the success callback: invalid JSON: "),
        ('{"success":{"jobtype":"X","priority":-1}}', "the success callback: invalid JSON: priority"),
        ('{"success":{"jobtype":"X","reserve_for":99999999}}', "the success callback: jobs cannot be reserved"),
        ('{"success":{"jobtype":"X","custom":[]}}', "the success callback: invalid JSON: custom must be an object"),
        ('{"success":{"jobtype":"X","failure":3}}', "the success callback: invalid JSON: failure: "),
        ('{"success":{"jobtype":"X","custom":{"expires_at":"x"}}}', "the success callback: custom.expires_at must be"),
        ('{"success":{"jobtype":"X","custom":{"unique_for":-1}}}', "the success callback: custom.unique_for must be"),
        ('{"success":{"jobtype":"X","args":' + DEEP + "}}", "the success callback: invalid JSON: nested more"),
        ('{"success":{"jobtype":"X","args":["' + "x" * 70_000 + '"]}}', "the success callback: a callback must not be"),
        ('{"success":{"jobtype":"X"},"description":"' + "x" * 1001 + '"}', "the description of a batch must not be"),
    ],
)
def test_what_could_not_be_fired_is_refused_at_once(town: Town, argument: str, said: str) -> None:
    with pytest.raises(CommandError) as refusal:
        town.ask(f"NEW {argument}")
    assert str(refusal.value).startswith(said)
    assert len(town.batches) == 0
    assert not town.engine.store.batch


def test_the_largest_description_and_callback_fit(town: Town) -> None:
    job = callback("success", args=[""])
    room = MAXIMUM_CALLBACK_BYTES - len(json.dumps(job, separators=(",", ":")))
    bid = town.new(success=callback("success", args=["x" * (room - 10)]), description="é" * MAXIMUM_DESCRIPTION)
    town.commit(bid)
    assert len(town.take(CALLBACKS)["args"][0]) == room - 10
    assert town.status(bid)["description"] == "é" * MAXIMUM_DESCRIPTION


@pytest.mark.parametrize("argument", [b"", b"CLOSE b-1", b"\xff\xfe", b"x" * 1_000_000])
def test_an_unknown_subcommand_is_refused_with_those_there_are(town: Town, argument: bytes) -> None:
    with pytest.raises(CommandError, match=r"^no such BATCH subcommand: there are NEW \{…\}, OPEN bid, COMMIT bid and"):
        town.batches.execute(argument)


def test_a_batch_over_the_wire(talk: Talk) -> None:
    reply = talk.say(b'BATCH NEW {"success":{"jobtype":"Done","queue":"done"}}')
    assert reply is not None
    bid = reply.split(b"\r\n")[1]
    member = b'{"jid":"member-%d","jobtype":"Part","args":[],"custom":{"bid":"%b"}}'
    talk.say(b"PUSH " + member % (1, bid))
    refused = b'{"jid":"member-3","jobtype":"Part","args":[],"custom":{"bid":"b-none"}}'
    reply = talk.say(b"PUSHB [" + member % (2, bid) + b"," + refused + b"]")
    assert reply is not None
    assert json.loads(reply.split(b"\r\n")[1]) == {"member-3": "No such batch b-none"}
    assert talk.say(b"BATCH COMMIT " + bid) == b"+OK\r\n"
    for number in (1, 2):
        talk.say(b"FETCH default")
        talk.say(b'ACK {"jid":"member-%d"}' % number)
    reply = talk.say(b"FETCH done")
    assert reply is not None
    assert b'"custom":{"_bid":"%b","_cb":"success"}' % bid in reply
    status = talk.say(b"BATCH STATUS " + bid)
    assert status is not None
    assert b'"total":2,"pending":0,"failed":0,"complete_st":"","success_st":"1"}' in status


def test_bare_batch_says_what_it_needs(talk: Talk) -> None:
    assert talk.say(b"BATCH").startswith(b"-ERR BATCH needs a subcommand: ")  # type: ignore[union-attr]


@pytest.mark.parametrize("custom", [None, {}, {"bid": "b-9"}, {"_bid": 1, "_pbid": [], "_cb": None}])
def test_a_callback_that_says_nothing_of_its_own_survives_a_restart(town: Town, custom: object) -> None:
    given = json.dumps({"jobtype": "success", "queue": CALLBACKS, "custom": custom})
    town.ask(f'NEW {{"success":{given}}}')
    assert town.status("b-1")["total"] == 0
    town.engine.restart()
    town.commit("b-1")
    town.finish("success b-1")


# -- the clock -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [30 * DAY, -30 * DAY])
@pytest.mark.parametrize("how", ["", "restart", "crash"])
def test_how_long_a_batch_may_be_open_is_no_matter_of_dates(town: Town, step: float, how: str) -> None:
    bid = town.new("complete")
    town.push(bid)
    town.clock.step_wall(step)
    town.again(how)
    town.engine.pass_time(HOUR / 2 - 1)
    assert town.numbers(bid) == (1, 1, 0)
    town.push(bid)
    town.engine.pass_time(HOUR / 2 - 1)
    assert town.numbers(bid) == (2, 2, 0)
    town.engine.pass_time(1)
    with pytest.raises(CommandError, match="No such batch"):
        town.ask(f"STATUS {bid}")
