"""Unique jobs: what is equal, how long a lock lasts, and every way in which it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.features.changes import change_one
from faktory_tw.features.unique import MAXIMUM_ARGS_BYTES, Unique, unique_key
from faktory_tw.storage.store import Place
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, Client, Engine, FakeClock
from tests.unit.house import House, Talk

FOR = 600.0


class Town:
    """An engine whose unique jobs can be pushed and counted."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.engine = Engine(directory, self.clock, features=self._features)

    def _features(self) -> tuple[Unique]:
        self.unique = Unique()
        return (self.unique,)

    def push(self, until: str | None = None, **fields: object) -> str:
        """A unique job, the same every time unless told otherwise; its jid, or "" when it is refused."""
        custom = {"unique_for": FOR} if until is None else {"unique_for": FOR, "unique_until": until}
        fields.setdefault("custom", custom)
        try:
            return self.engine.push(**fields)
        except CommandError as refusal:
            if (refusal.code, str(refusal)) == ("NOTUNIQUE", "Job not unique"):
                return ""
            raise

    def is_locked(self) -> bool:
        """Whether an equal job is refused; if not, it is pushed."""
        return not self.push()

    def locks(self) -> int:
        """How many locks there are, in memory and, after a commit, on disk."""
        self.engine.commit()
        assert self.engine.rows_on_disk("entries") == len(self.unique)
        assert len(self.unique._by_job) == len(self.unique._ends) == len(self.unique)
        return len(self.unique)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    town = Town(tmp_path / "data")
    yield town
    town.engine.stop()


# -- what is equal -------------------------------------------------------------------------------------------------


def key(args: str, jobtype: str = "Work", queue: str = "default") -> bytes:
    return unique_key(jobtype, queue, args.encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('[{"a":1,"b":{"c":[],"d":2}}]', '[{"b":{"d":2,"c":[]},"a":1}]'),
        ('["\\u00e9\\/\\u0041"]', '["é/A"]'),
        ('["\\ud83d\\ude00"]', '["😀"]'),
        ("[1]", "[1.0]"),
        ("[1]", "[10e-1]"),
        ("[0]", "[-0.0]"),
        ("[0.1]", "[1E-1]"),
        ("[100000000000000000000000]", "[1e23]"),
        ("[1.5]", "[1.50]"),
    ],
)
def test_args_of_equal_values_have_one_key(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("[]", "[[]]"),
        ("[1]", '["1"]'),
        ("[1]", "[true]"),
        ("[0]", "[false]"),
        ("[null]", '["null"]'),
        ("[1,2]", "[2,1]"),
        ('["a","b"]', '["a,b"]'),
        ('[{"a":1}]', '[{"a":2}]'),
        ("[9007199254740993]", "[9007199254740992]"),
        ("[123456789012345678901234567890]", "[123456789012345678901234567891]"),
        ("[0.1]", "[0.10000000000000002]"),
        ('["\\ud800"]', '["\\ud801"]'),
    ],
)
def test_args_of_other_values_have_another_key(one: str, other: str) -> None:
    assert key(one) != key(other)


def test_jobtype_and_queue_are_part_of_the_key() -> None:
    keys = {key("[]"), key("[]", "Work default", ""), key("[]", "Work", "other"), key("[]", "W", "orkdefault")}
    assert len(keys) == 4
    assert {len(one) for one in keys} == {16}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def plainly(jobtype: str, queue: str, args: str) -> bytes:
    """The key of args as it was defined when the first lock of it was written: whole numbers as their digits."""

    def number(text: str) -> float:
        value, exact = float(text), Decimal(text)
        if value.is_integer() and (abs(value) <= 2**53 or exact == exact.to_integral_value()):
            return int(exact)
        return value

    text = json.dumps(json.loads(args, parse_float=number), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return sha256(f"{len(jobtype)} {jobtype} {queue} {text}".encode()).digest()[:16]


@given(
    st.lists(
        st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True).filter(
            lambda text: abs(float(text)) < float("inf")
        )
    )
)
def test_the_keys_of_numbers_stay_what_they_were(numbers: list[str]) -> None:
    """Locks are on disk by them."""
    args = f'[{",".join(numbers)},{{"b":[1e300,"1e300"],"a":1e18}}]' if numbers else "[]"
    assert unique_key("Work", "default", args.encode()) == plainly("Work", "default", args)


@given(st.lists(values, max_size=3), st.booleans())
def test_the_spelling_makes_no_difference(args: list[object], escaped: bool) -> None:
    def reversed_keys(value: object) -> object:
        if isinstance(value, dict):
            return {name: reversed_keys(value[name]) for name in reversed(value)}
        return [reversed_keys(item) for item in value] if isinstance(value, list) else value

    one = json.dumps(args, separators=(",", ":"), ensure_ascii=False)
    other = json.dumps(reversed_keys(args), separators=(",", ":"), ensure_ascii=escaped)
    assert key(one) == key(other)


def test_args_that_are_too_long_to_be_compared_are_refused_with_what_to_do(town: Town) -> None:
    fits = "x" * (MAXIMUM_ARGS_BYTES - 4)
    assert town.push(args=[fits])
    said = r"^the args of a unique job must not be longer than 65536 bytes; push a name of the data, or do without"
    with pytest.raises(CommandError, match=said):
        town.push(args=[fits + "x"])
    assert town.engine.push(args=[fits + "x"])


def test_a_number_of_thousands_of_digits_is_compared_or_refused() -> None:
    """Newer Pythons do not turn so many digits into a number."""
    if not hasattr(sys, "get_int_max_str_digits"):
        assert key("[" + "1" * 5000 + "]") != key("[" + "1" * 5001 + "]")
        return
    with pytest.raises(CommandError, match=r"^the args of a unique job cannot be compared: "):
        key("[" + "1" * 5000 + "]")


def test_the_jobs_of_a_pushb_are_cut_into_slices_by_the_bytes_that_are_compared(talk: Talk) -> None:
    jobs = ",".join(LARGE % (number, number, "x" * 60_000) for number in range(7))
    assert talk.say(f"PUSHB [{jobs}]".encode()) is None


# -- how long a lock lasts -----------------------------------------------------------------------------------------


def test_an_equal_job_is_refused_and_leaves_nothing(town: Town) -> None:
    assert town.push()
    town.engine.commit()
    assert not town.push()
    assert not town.engine.store.batch
    assert town.engine.sizes()["queued"] == 1


def test_another_job_and_one_that_does_not_ask_to_be_unique_are_not_refused(town: Town) -> None:
    town.push()
    assert town.push(args=[1])
    assert town.push(jobtype="Other")
    assert town.push(queue="other")
    assert town.push(custom=None)
    assert town.push(custom={"unique_until": "start"})


@pytest.mark.parametrize("restart", [False, True])
def test_a_lock_ends_to_the_second(town: Town, restart: bool) -> None:
    town.push()
    town.clock.advance(FOR - 0.5)
    if restart:
        town.engine.restart()
    assert town.is_locked()
    town.clock.advance(0.5)
    assert not town.is_locked()
    assert town.is_locked()


def test_the_lock_of_a_scheduled_job_lasts_its_delay_longer(town: Town) -> None:
    town.push(at="2025-11-21T12:01:40Z")
    town.clock.advance(100 + FOR - 1)
    assert town.is_locked()
    town.clock.advance(1)
    assert not town.is_locked()


def test_a_time_that_is_over_delays_nothing(town: Town) -> None:
    town.push(at="2025-11-21T11:00:00Z")
    town.clock.advance(FOR)
    assert not town.is_locked()


def test_locks_follow_the_wall_clock(town: Town) -> None:
    town.push()
    town.clock.step_wall(-100)
    town.clock.advance(FOR + 99)
    assert town.is_locked()
    town.clock.step_wall(1)
    assert not town.is_locked()


def test_locks_whose_time_is_over_take_no_room(town: Town) -> None:
    for number in range(1200):
        town.push(args=[number], custom={"unique_for": 60 if number % 2 else 120})
    assert town.locks() == 1200
    town.clock.advance(60)
    assert town.engine.upkeep() == 2
    assert town.locks() == 600
    town.clock.advance(60)
    town.engine.upkeep()
    assert town.locks() == 0


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_locks_survive(town: Town, how: str) -> None:
    town.push()
    town.engine.commit()
    getattr(town.engine, how)()
    assert town.is_locked()
    assert town.locks() == 1


def test_a_lock_is_on_disk_when_its_job_is_and_not_before(town: Town) -> None:
    town.push()
    town.engine.crash()
    assert not town.is_locked()


# -- how it ends ---------------------------------------------------------------------------------------------------


def ack(town: Town, jid: str) -> None:
    town.engine.fetch()
    town.engine.manager.ack(jid, "")


def die(town: Town, jid: str) -> None:
    town.engine.fetch()
    town.engine.fail(jid)


def delete(town: Town, _jid: str) -> None:
    change_one(town.engine.manager, "delete", 1)


def kill(town: Town, _jid: str) -> None:
    change_one(town.engine.manager, "kill", 1)


def clear(town: Town, _jid: str) -> None:
    town.engine.manager.edits.clear_queue("default")


def remove(town: Town, _jid: str) -> None:
    town.engine.manager.remove_queues(["*"])


def flush(town: Town, _jid: str) -> None:
    town.engine.manager.flush()


def prioritize_and_delete(town: Town, _jid: str) -> None:
    row = change_one(town.engine.manager, "priority", 1, 9)
    assert town.is_locked()
    change_one(town.engine.manager, "delete", row.id)


@pytest.mark.parametrize("again", ["", "restart", "crash"])
@pytest.mark.parametrize("until", ["success", "start"])
@pytest.mark.parametrize("retry", [0, -1])
@pytest.mark.parametrize("end", [ack, die, delete, kill, clear, remove, flush, prioritize_and_delete])
def test_the_lock_ends_with_its_job(
    town: Town, end: Callable[[Town, str], None], retry: int, until: str, again: str
) -> None:
    jid = town.push(until, retry=retry)
    town.engine.commit()
    if again:
        getattr(town.engine, again)()
    end(town, jid)
    town.engine.commit()
    if again:
        getattr(town.engine, again)()
    assert not town.is_locked()
    town.engine.upkeep()
    assert town.locks() == 1


def test_a_job_that_is_tried_again_keeps_its_lock_until_its_time_is_over(town: Town) -> None:
    jid = town.push()
    town.engine.fetch()
    town.engine.fail(jid)
    assert town.is_locked()
    town.engine.pass_time(60)
    assert town.engine.fetch() is not None
    assert town.is_locked()
    town.engine.fail(jid)
    town.clock.advance(FOR - 60)
    assert not town.is_locked()


def test_a_lock_until_start_ends_when_a_worker_gets_the_job(town: Town) -> None:
    jid = town.push("start")
    assert town.is_locked()
    town.engine.fetch()
    assert town.locks() == 0
    town.engine.fail(jid)
    assert not town.is_locked()
    town.engine.pass_time(60)
    assert town.engine.fetch() is not None
    assert town.is_locked()
    town.engine.manager.ack(jid, "")
    assert town.is_locked()


@pytest.mark.parametrize("until", ["success", "start"])
def test_a_job_that_is_given_back_has_its_lock(town: Town, until: str) -> None:
    town.push(until)
    reservation = town.engine.reserve()
    assert reservation is not None
    town.engine.manager.give_back(reservation)
    assert town.is_locked()
    assert town.locks() == 1
    assert town.unique._lent == {}


def test_a_job_that_is_given_back_takes_the_lock_from_nobody(town: Town) -> None:
    first = town.push("start")
    reservation = town.engine.reserve()
    assert reservation is not None
    assert town.push("start")
    town.engine.manager.give_back(reservation)
    assert town.locks() == 1
    ack(town, first)
    assert town.is_locked()


def test_a_job_that_a_gone_client_did_not_take_has_its_lock(town: Town) -> None:
    Client(town.engine, "default", there=False)
    town.push("start")
    assert town.is_locked()
    Client(town.engine, "other")
    town.push("start", queue="other")
    assert town.push("start", queue="other")


def test_a_job_that_lost_its_lock_to_the_clock_takes_nothing_from_the_next(town: Town) -> None:
    first = town.push()
    town.clock.advance(FOR)
    assert town.push()
    ack(town, first)
    assert town.is_locked()


def test_a_job_that_comes_out_of_a_set_is_not_checked_again(town: Town) -> None:
    town.push(at="2025-11-21T12:01:40Z")
    town.engine.pass_time(101)
    assert town.engine.sizes()["queued"] == 1
    kill(town, "")
    assert town.push()
    town.engine.mutate("requeue", "dead")
    assert town.engine.sizes()["queued"] == 2
    assert town.locks() == 1


def test_the_jobs_of_a_removed_queue_hold_no_lock_though_they_are_not_swept(town: Town) -> None:
    town.push()
    town.push(at="2025-11-21T12:01:40Z", queue="other")
    remove(town, "")
    assert town.push()
    assert not town.push(queue="other")
    town.engine.upkeep()
    assert town.is_locked()
    assert town.locks() == 2
    assert town.engine.manager.set_sizes()["scheduled"] == 1
    assert town.engine.manager.timed(Place.SCHEDULED)


def test_the_memory_of_flushed_locks_is_freed_in_slices(town: Town) -> None:
    for number in range(1100):
        town.push(args=[number])
    flush(town, "")
    assert town.engine.upkeep() > 6
    assert town.locks() == 0


def test_a_million_years_do_not_fit(town: Town) -> None:
    with pytest.raises(CommandError, match=r"^custom.unique_for must be a number of seconds above 0, and 100 years"):
        town.push(custom={"unique_for": DAY * 365 * 1_000_000})


# -- on the wire ---------------------------------------------------------------------------------------------------


@pytest.fixture
def talk() -> Iterator[Talk]:
    house = House()
    yield house.talk()
    house.close()


LARGE = '{"jid":"job-%04d","jobtype":"Work","args":[%d,"%s"],"custom":{"unique_for":60}}'
UNIQUE = '{"jid":"job-%04d","jobtype":"Work","args":[%d],"custom":{"unique_for":60}}'


def test_a_refused_push_is_answered_with_notunique(talk: Talk) -> None:
    talk.say(b"PUSH " + (UNIQUE % (1, 1)).encode())
    assert talk.say(b"PUSH " + (UNIQUE % (2, 1)).encode()) == b"-NOTUNIQUE Job not unique\r\n"


def test_a_refusal_leaves_when_the_job_that_is_its_reason_is_on_disk() -> None:
    house = House()
    first, second = house.connect(), house.connect()
    assert first.ask(b"PUSH " + (UNIQUE % (1, 1)).encode()) == b""
    assert second.ask(b"PUSH " + (UNIQUE % (2, 1)).encode()) == b""
    house.commit()
    assert first.heard() == b"+OK\r\n"
    assert second.heard() == b"-NOTUNIQUE Job not unique\r\n"
    house.close()


def test_of_two_equal_jobs_in_one_pushb_the_second_is_refused(talk: Talk) -> None:
    jobs = ",".join(UNIQUE % (number, number % 3) for number in range(1, 5))
    reply = talk.say(f"PUSHB [{jobs}]".encode())
    assert reply is not None
    assert json.loads(reply.split(b"\r\n")[1]) == {"job-0004": "NOTUNIQUE Job not unique"}
