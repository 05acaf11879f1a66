"""ADMIN: what is listed, found, changed and told, page after page, while jobs come and go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw.core import views
from faktory_tw.core.job import parse_job
from faktory_tw.core.queues import Fifo
from faktory_tw.features import admin, search
from faktory_tw.features.admin import Task
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError, Held
from tests.unit.doubles import NOON, Engine, jid_of

LATER = rfc3339(NOON + 1000)


def carry_out(engine: Engine, subcommand: str, **request: Any) -> dict[str, Any]:
    """The reply to one request."""
    task = Task(f"{subcommand} {json.dumps(request)}".encode(), engine.manager, None)
    for _ in task.steps():
        pass
    return body(task.reply())


def body(reply: bytes | None) -> dict[str, Any]:
    """The JSON of a bulk reply."""
    assert reply is not None
    assert reply.startswith(b"$"), reply
    found = json.loads(reply.split(b"\r\n", 1)[1])
    assert isinstance(found, dict)
    return found


def listed(engine: Engine, **request: Any) -> list[str]:
    """The jids of all pages."""
    jids: list[str] = []
    cursor = None
    while True:
        page = carry_out(engine, "LIST", **request, after=cursor)
        jids += [each["job"]["jid"] for each in page["jobs"]]
        cursor = page["next"]
        if cursor is None:
            return jids


def filled(engine: Engine) -> None:
    """A job in each place: two queues, scheduled, retries, dead, working."""
    engine.push("dead-0001", queue="a", retry=-1)
    engine.push("retry-001", queue="a", jobtype="Mailer", args=["ä", 'say "hi"'])
    engine.push("work-0001", queue="a")
    for _ in range(3):
        engine.fetch("a")
    engine.fail("dead-0001", errtype="Net::Timeout", message="took too long")
    engine.fail("retry-001", errtype="KeyError", message="no ß")
    engine.push("later-001", at=LATER, queue="b", custom={"locale": "de"})
    engine.push("queue-001", queue="a")
    engine.push("queue-002", queue="b", args=[2**70, 1.0])
    engine.commit()


# -- looking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "jid", "told"),
    [
        ("working", "work-0001", {"wid", "reserved_at", "expires_at"}),
        ("scheduled", "later-001", {"at"}),
        ("retries", "retry-001", {"at"}),
        ("dead", "dead-0001", {"at"}),
    ],
)
def test_a_set_is_listed_with_what_is_known_of_its_jobs(engine: Engine, place: str, jid: str, told: set[str]) -> None:
    filled(engine)
    page = carry_out(engine, "LIST", place=place)
    [view] = page["jobs"]
    assert (view["place"], view["job"]["jid"]) == (place, jid)
    assert set(view) == {"place", "job"} | told
    assert (page["size"], page["matched"], page["examined"], page["next"]) == (1, 1, 1, None)


def test_a_job_is_told_as_its_worker_gets_it(engine: Engine) -> None:
    filled(engine)
    [view] = carry_out(engine, "LIST", place="queued", queue="b")["jobs"]
    assert view == {"place": "queued", "job": engine.fetch("b")}
    assert view["job"]["args"] == [2**70, 1.0]
    [view] = carry_out(engine, "LIST", place="retries")["jobs"]
    assert view["job"]["failure"]["errtype"] == "KeyError"
    assert view["at"] == view["job"]["failure"]["next_at"]


def test_without_a_place_everything_is_listed_in_one_order(engine: Engine) -> None:
    filled(engine)
    everything = ["work-0001", "queue-001", "queue-002", "later-001", "retry-001", "dead-0001"]
    assert listed(engine) == listed(engine, limit=1) == everything
    assert carry_out(engine, "LIST")["size"] == 6


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_pages_have_each_job_once_and_in_its_order(engine: Engine, limit: int) -> None:
    for number in range(30):
        engine.push(priority=number % 3 + 4, at=LATER if number % 5 == 0 else None)
    engine.upkeep()
    expected = [
        f"job-{number + 1:04}" for last in (2, 1, 0) for number in range(30) if number % 3 == last and number % 5
    ]
    assert listed(engine, place="queued", queue="default", limit=limit) == expected
    assert len(listed(engine, limit=limit)) == 30
    assert engine.jids() == expected
    assert sorted(listed(engine, place="working", limit=limit)) == sorted(expected)


def test_a_cursor_outlives_the_jobs_it_was_made_from(engine: Engine) -> None:
    for _ in range(40):
        engine.push()
    page = carry_out(engine, "LIST", place="queued", queue="default", limit=10)
    assert [engine.fetch() is not None for _ in range(15)] == [True] * 15
    engine.push("new-00001", priority=9)
    again = carry_out(engine, "LIST", place="queued", queue="default", after=page["next"])
    assert [each["job"]["jid"] for each in again["jobs"]] == [f"job-{number:04}" for number in range(16, 41)]


def test_a_long_queue_with_returned_and_requeued_jobs_is_gone_through_once(engine: Engine) -> None:
    """More than one chunk of ids, a head that was given back, and positions that are not ids."""
    engine.push("first-001", at=rfc3339(NOON + 1))
    now = engine.clock.time()
    for number in range(9000):
        engine.manager.push(parse_job(b'{"jid":"long-%05d","jobtype":"Work","args":[]}' % number), now)
    engine.commit()
    engine.pass_time(2)
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    expected = [f"long-{number:05}" for number in range(9000)] + ["first-001"]
    assert listed(engine, place="queued", queue="default", limit=1000) == expected
    engine.restart()
    assert listed(engine, place="queued", queue="default", limit=999) == expected


def test_jobs_that_leave_between_two_slices_hide_no_other(engine: Engine) -> None:
    for _ in range(500):
        engine.push()
    engine.commit()
    task = Task(b'LIST {"place":"queued","queue":"default","limit":1000}', engine.manager, None)
    steps = task.steps()
    next(steps)
    engine.jids()
    for number in range(3):
        engine.push(f"fresh-{number:03}")
    for _ in steps:
        pass
    jids = [each["job"]["jid"] for each in body(task.reply())["jobs"]]
    assert jids == [f"job-{number:04}" for number in range(1, 201)] + ["fresh-000", "fresh-001", "fresh-002"]


def test_a_working_job_that_ends_between_two_slices_is_not_told(engine: Engine) -> None:
    for _ in range(300):
        engine.push()
    assert len(engine.jids()) == 300
    task = Task(b'LIST {"place":"working","limit":1000}', engine.manager, None)
    steps = task.steps()
    next(steps)
    for number in range(250, 301):
        engine.fail(f"job-{number:04}")
    for _ in steps:
        pass
    assert len(body(task.reply())["jobs"]) == 249


def test_large_working_jobs_are_all_told(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer of them than are asked for fit into a slice."""
    monkeypatch.setattr(search, "MOST_BYTES", 2**30)
    for _ in range(12):
        engine.push(args=["x" * 700_000])
    engine.commit()
    jids = engine.jids()
    assert listed(engine, place="working", limit=1000) == jids


def test_a_page_ends_early_where_jobs_are_large(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MOST_BYTES", 5000)
    for _ in range(10):
        engine.push(args=["x" * 2000])
    page = carry_out(engine, "LIST", place="queued", queue="default")
    assert len(page["jobs"]) == 3
    assert len(listed(engine, place="queued", queue="default")) == 10


@pytest.mark.parametrize("place", ["queued", "scheduled"])
def test_one_request_looks_at_so_many_jobs_and_no_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(admin, "MOST_EXAMINED", 400)
    for number in range(1100):
        engine.push(at=LATER if place == "scheduled" else None, jobtype="Rare" if number == 1050 else "Work")
    request = {"place": place, "queue": "default", "filter": {"jobtype": "Rare"}}
    pages = [carry_out(engine, "LIST", **request)]
    while pages[-1]["next"] is not None:
        pages.append(carry_out(engine, "LIST", **request, after=pages[-1]["next"]))
    assert [page["examined"] for page in pages] == [400, 400, 300]
    assert [page["matched"] for page in pages] == [0, 0, 1]
    assert [len(page["jobs"]) for page in pages] == [0, 0, 1]


@pytest.mark.parametrize("subcommand", ["LIST", "SHOW"])
def test_empty_queues_are_passed_over_in_slices(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, subcommand: str
) -> None:
    monkeypatch.setattr(views, "_NAMES", 50)
    for number in range(1000):
        engine.push("the-job-1" if number == 700 else "", queue=f"q{number}")
    assert len(engine.jids(*(f"q{number}" for number in range(1000) if number != 700))) == 999
    walked: list[tuple[Place, str]] = []
    original = engine.manager.views.walk

    def walk(place: Place, queue: str, after: views.Mark | None) -> views.Walk:
        walked.append((place, queue))
        return original(place, queue, after)

    monkeypatch.setattr(engine.manager.views, "walk", walk)
    task = Task(subcommand.encode() + b' {"jid":"the-job-1","filter":{"queue":"q700"}}', engine.manager, None)
    assert len(list(task.steps())) >= 1000 // 50
    page = body(task.reply())
    assert [view["job"]["jid"] for view in page["jobs"] if view["place"] == "queued"] == ["the-job-1"]
    assert page["size"] == 1000
    assert [queue for place, queue in walked if place is Place.QUEUED] == ["q700"]


def test_queues_that_are_emptied_meanwhile_are_passed_over_in_slices(engine: Engine) -> None:
    names = [f"q{number}" for number in range(1000)]
    for name in names:
        engine.push(queue=name)
    engine.commit()
    task = Task(b'LIST {"limit":1000}', engine.manager, None)
    steps = task.steps()
    next(steps)
    engine.manager.remove_queues(names)
    assert len(list(steps)) == 10, "one for each hundred queues"
    assert body(task.reply())["jobs"] == []


def test_working_jobs_that_end_meanwhile_are_passed_over_in_slices(engine: Engine) -> None:
    for _ in range(1000):
        engine.push(retry=-1)
    assert len(engine.jids()) == 1000
    task = Task(b'LIST {"place":"working","limit":1000}', engine.manager, None)
    steps = task.steps()
    next(steps)
    for number in range(1, 1001):
        engine.fail(f"job-{number:04}")
    assert len(list(steps)) == 4
    assert len(body(task.reply())["jobs"]) == 200


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_everything_is_listed_in_order_by_pages_over_many_queues(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(views, "_NAMES", 7)
    for number in range(60):
        engine.push(queue=f"q{number}")
        engine.push(f"later-{number:03}", queue=f"q{number}", at=LATER)
    assert len(engine.jids(*(f"q{number}" for number in range(0, 60, 4)))) == 15
    queued = sorted((f"q{number}", f"job-{number + 1:04}") for number in range(60) if number % 4)
    jids = listed(engine, limit=limit)
    assert jids[15:60] == [jid for _, jid in queued]
    assert jids[60:] == [f"later-{number:03}" for number in range(60)]
    assert len(set(jids[:15])) == 15


def test_a_limit_of_nothing_only_counts(engine: Engine) -> None:
    filled(engine)
    page = carry_out(engine, "LIST", limit=0, filter={"queue": "a"})
    assert (page["jobs"], page["matched"], page["examined"]) == ([], 4, 6)


def test_looking_goes_in_slices_and_changes_nothing(engine: Engine) -> None:
    for _ in range(1000):
        engine.push()
    engine.commit()
    task = Task(b'LIST {"place":"queued","queue":"default","filter":{"match":"nothing"}}', engine.manager, None)
    assert len(list(task.steps())) == 5
    assert type(task.reply()) is bytes, "nothing has to reach the disk before it"
    assert not engine.store.batch


def test_show_finds_a_job_wherever_it_is_and_all_that_share_a_jid(engine: Engine) -> None:
    filled(engine)
    engine.push("later-001", queue="a")
    found = carry_out(engine, "SHOW", jid="later-001")
    assert [(view["place"], view["job"]["queue"]) for view in found["jobs"]] == [("queued", "a"), ("scheduled", "b")]
    assert found["next"] is None
    assert carry_out(engine, "SHOW", jid="later-00")["jobs"] == []


# -- filters -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "work-0001 queue-001 queue-002 later-001 retry-001 dead-0001"),
        ({"jids": []}, "work-0001 queue-001 queue-002 later-001 retry-001 dead-0001"),
        ({"jids": ["dead-0001", "queue-002"]}, "queue-002 dead-0001"),
        ({"jids": [f"other-{number}" for number in range(40)] + ["dead-0001"]}, "dead-0001"),
        ({"jids": ["dead-000"]}, ""),
        ({"jobtype": "Mail*"}, "retry-001"),
        ({"jobtype": "Mail"}, ""),
        ({"queue": "b"}, "queue-002 later-001"),
        ({"queue": "?", "jobtype": "Work"}, "work-0001 queue-001 queue-002 later-001 dead-0001"),
        ({"error": "Net::*"}, "dead-0001"),
        ({"error": "*"}, "retry-001 dead-0001"),
        ({"error": "KeyError", "queue": "b"}, ""),
        ({"match": "took too long"}, "dead-0001"),
        ({"match": "ä"}, "retry-001"),
        ({"match": "no ß"}, "retry-001"),
        ({"match": 'say "hi"'}, "retry-001"),
        ({"match": '"locale":"de"'}, "later-001"),
        ({"match": "later-0"}, "later-001"),
        ({"match": "later-0", "jids": ["dead-0001"]}, ""),
    ],
)
def test_a_filter_finds(engine: Engine, wanted: dict[str, Any], found: str) -> None:
    filled(engine)
    assert " ".join(listed(engine, filter=wanted)) == found


@pytest.mark.parametrize("name", ["jobtype", "queue", "error", "match"])
def test_a_filter_of_more_than_a_kibibyte_is_refused(engine: Engine, name: str) -> None:
    carry_out(engine, "LIST", filter={name: "x" * 1024})
    with pytest.raises(CommandError, match=f"^{name} is too long, max size is 1024 bytes$"):
        carry_out(engine, "LIST", filter={name: "x" * 1025})


# -- changing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subcommand", ["DELETE", "RETRY", "KILL"])
@pytest.mark.parametrize("place", ["scheduled", "retries", "dead"])
def test_the_jobs_a_filter_finds_are_changed_and_no_others(engine: Engine, subcommand: str, place: str) -> None:
    if (subcommand, place) == ("KILL", "dead"):
        return
    for letter in "abcd":
        jid = engine.push(letter * 8, queue="q", retry=-1, at=LATER if place == "scheduled" else None)
        if place != "scheduled":
            engine.fetch("q")
            reservation = engine.manager.working.take(jid, "")
            assert reservation is not None
            failure = b'{"errtype":"E-%b"}' % letter.encode()
            engine.manager.put_into_set(reservation.job.id, Place[place.upper()], NOON + 500, NOON, failure)
    wanted = {"match": "bbbbbbbb"} if place == "scheduled" else {"error": "E-b"}
    reply = carry_out(engine, subcommand, place=place, filter=wanted)
    assert (reply["matched"], reply["examined"], reply["next"]) == (1, 4, None)
    engine.restart()
    left = [jid_of(row)[0] for row in engine.rows(Place[place.upper()])]
    assert left == ["a", "c", "d"]
    assert [jid_of(row)[0] for row in engine.rows(Place.DEAD)] == {
        "KILL": ["b"],
        "DELETE": left if place == "dead" else [],
        "RETRY": left if place == "dead" else [],
    }[subcommand]
    assert engine.jids("q") == (["bbbbbbbb"] if subcommand == "RETRY" else [])


def test_a_long_change_is_made_in_requests_and_slices(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "MOST_EXAMINED", 400)
    for number in range(900):
        engine.push(at=LATER, jobtype="Odd" if number % 2 else "Even")
    request: dict[str, Any] = {"place": "scheduled", "filter": {"jobtype": "Odd"}}
    task = Task(f"DELETE {json.dumps(request)}".encode(), engine.manager, None)
    sizes = [engine.sizes()["scheduled"] for _ in task.steps()]
    assert sizes == [800]
    reply = body(task.reply())
    assert (reply["matched"], reply["examined"]) == (200, 400)
    assert type(task.reply()) is Held, "the reply waits for the disk"
    while reply["next"] is not None:
        reply = carry_out(engine, "DELETE", **request, after=reply["next"])
    assert engine.sizes()["scheduled"] == 450


# -- parts of a queue --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 4095, 4096, 4097, 8191, 8192, 20_000])
def test_a_part_of_a_queue_is_what_its_order_says(length: int) -> None:
    fifo = Fifo()
    fifo.extend(range(length // 2))
    for number in range(length // 2, length):
        fifo.append(number)
    everything = list(fifo)
    for start in (0, 1, 4094, 4095, 4096, 8190, length - 1, length, length + 5):
        for count in (0, 1, 3, 5000):
            assert fifo.part(max(start, 0), count) == everything[max(start, 0) : max(start, 0) + count]
