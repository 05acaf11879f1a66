"""What the torture knows of tracks, throttles, cron and operators, on histories that are known to be good or bad."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import msgspec
import pytest

from tests.system.ledger import Account, Fetch, Found, Ledger, Verdict
from tests.system.traits.cron import Cron
from tests.system.traits.orders import GATED, Cancelled, Gate, Group, Orders, Patience
from tests.system.traits.policies import QUEUE as CROWDED
from tests.system.traits.policies import Crowded
from tests.system.traits.throttles import KEYED, MINE, ONE, QUEUES, RATED, THREE, Throttles
from tests.system.traits.tracking import Told, Tracked
from tests.system.traits.trait import Trait


def account(ledger: Ledger, jid: str = "job", queue: str = "default", **fields: Any) -> Account:
    """One whose push was acknowledged."""
    made = Account(jid, jid, 0, queue, 5, 25, False, "acknowledged")
    for name, value in fields.items():
        setattr(made, name, value)
    ledger.accounts[jid] = made
    return made


def held(of: Account, begins: float, ends: float, outcome: str = "ACK", incarnation: int = 1, **fields: Any) -> Fetch:
    """A delivery to a worker that said what became of it."""
    fetch = Fetch(of.jid, incarnation, begins, outcome, 1, "OK", incarnation, ends + 0.01, ends)
    for name, value in fields.items():
        setattr(fetch, name, value)
    of.fetches.append(fetch)
    return fetch


def wrong(ledger: Ledger, *rows: Found) -> list[str]:
    """What the traits find."""
    ledger.rows = {row.jid: row for row in rows}
    for trait in ledger.traits:
        trait.judge(ledger)
    return [kind.partition(": ")[2] for kind in ledger.verdict.wrong]


def row(jid: str = "job", place: str = "queued", failures: int = 0, queue: str = "default") -> Found:
    return Found(jid, place, queue, 5, failures)


# -- tracks ------------------------------------------------------------------------------------------------------------


def track(end: dict[str, Any], *seen: tuple[int, int, dict[str, Any]], **fields: Any) -> tuple[Ledger, Account]:
    trait = Tracked()
    ledger = Ledger([trait])
    trait.tracks["job"] = Told(9, 9, list(seen), end)
    return ledger, account(ledger, **fields)


def test_a_track_that_is_older_than_what_was_acknowledged_or_was_never_said_is_noticed() -> None:
    def seen(**told: Any) -> list[str]:
        return wrong(track({"state": "enqueued"}, (3, 5, {"state": "working", **told}))[0], row())

    assert seen(desc="3", percent=3) == seen(desc="5", percent=5) == []
    assert seen(desc="2", percent=2) == ["older than acknowledged"]
    assert seen() == ["older than acknowledged"]
    assert seen(state="unknown", desc="4", percent=4) == ["older than acknowledged"]
    assert seen(desc="6", percent=6) == ["made up"]
    assert seen(desc="4", percent=3) == ["made up"]


@pytest.mark.parametrize(
    ("place", "state"),
    [
        ("queued", "enqueued"),
        ("scheduled", "enqueued"),
        ("working", "working"),
        ("retries", "failed"),
        ("dead", "dead"),
    ],
)
def test_a_track_has_to_say_where_the_job_is(place: str, state: str) -> None:
    assert wrong(track({"state": state})[0], row(place=place)) == []
    assert wrong(track({"state": "success"})[0], row(place=place)) == ["another state than the job's"]


def test_a_result_that_is_lost_is_noticed() -> None:
    for told, expected in (
        ({"state": "success", "result": [1]}, []),
        ({"state": "success"}, ["result lost"]),
        ({"state": "success", "result": [2]}, ["result lost"]),
        ({"state": "working", "result": [1]}, ["another state than the job's"]),
    ):
        ledger, done = track(told)
        held(done, 5.0, 6.0, fields={"result": [1]})
        assert wrong(ledger) == expected


@pytest.mark.parametrize(
    ("tracks", "results", "found"),
    [
        ([["job", 1, "working", None, None, 0.0, b"", True, True]], ["job"], []),
        ([["job", 1, "working", None, None, 0.0, b"", True, True]], [], ["a result is lost, or nobody's"]),
        ([["job", 1, "enqueued", None, None, 0.0, b"", True, False]], [], ["another state than the row's"]),
        ([["job", 2, "success", None, None, 0.0, b"", True, False]], [], ["kept for a job that is gone", "lost"]),
        ([], [], ["lost"]),
    ],
)
def test_tracks_and_jobs_in_the_database_have_to_fit(tracks: list[Any], results: list[str], found: list[str]) -> None:
    entries = [("track", told[0].encode(), msgspec.msgpack.encode(told)) for told in tracks]
    entries += [("result", jid.encode(), b"1") for jid in results]
    assert rows_wrong(Tracked(), {"jid": "job", "custom": {"track": 1}}, 4, entries) == found


def rows_wrong(trait: Trait, body: dict[str, Any], place: int, entries: list[Any]) -> list[str]:
    """What is found in a database with one job, number 1."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT)")
    connection.execute("CREATE TABLE places (id INTEGER PRIMARY KEY, place INTEGER)")
    connection.execute("CREATE TABLE entries (kind TEXT, key BLOB, value BLOB)")
    connection.execute("INSERT INTO jobs VALUES (1, ?)", (json.dumps(body),))
    connection.execute("INSERT INTO places VALUES (1, ?)", (place,))
    connection.executemany("INSERT INTO entries VALUES (?, ?, ?)", entries)
    verdict = Verdict()
    trait.check_rows(connection, verdict)
    connection.close()
    return [kind.partition(": ")[2] for kind in verdict.wrong]


# -- throttles ---------------------------------------------------------------------------------------------------------


class Limited:
    """What workers held, of limits that were the same all the time; the last process drains."""

    def __init__(self) -> None:
        self.trait = Throttles()
        self.trait.limits = [(0.0, dict.fromkeys(QUEUES, 2) | {ONE: 1, THREE: 3})]
        self.ledger = Ledger([self.trait])
        self.hold("default", 900.0, 901.0, incarnation=9)

    def hold(self, queue: str, begins: float, ends: float, args: list[Any] | None = None, **fields: Any) -> Account:
        job = account(self.ledger, f"job-{len(self.ledger.accounts)}", queue, args=args)
        held(job, begins, ends, **fields)
        return job

    def wrong(self) -> list[str]:
        return wrong(self.ledger)


def test_one_more_than_the_limit_is_noticed_and_one_after_another_is_right() -> None:
    limited = Limited()
    for begins in (10.0, 10.1, 10.2):
        limited.hold(THREE, begins, begins + 1.0)
    limited.hold(THREE, 11.05, 12.0)
    assert limited.wrong() == []
    limited.hold(THREE, 10.5, 10.6)
    assert limited.wrong() == ["more at once than allowed"]


def test_what_was_held_over_a_kill_still_counts_and_what_was_lost_with_the_process_does_not() -> None:
    limited = Limited()
    limited.ledger.killed_at[1] = 20.0
    limited.hold(ONE, 19.9, 25.0)
    limited.hold(ONE, 21.0, 22.0, incarnation=2)
    assert limited.wrong() == []
    limited = Limited()
    limited.ledger.killed_at[1] = 20.0
    limited.hold(ONE, 18.9, 25.0)
    limited.hold(ONE, 21.0, 22.0, incarnation=2)
    assert limited.wrong() == ["more at once than allowed"]


def test_a_slot_comes_back_after_its_timeout() -> None:
    limited = Limited()
    limited.hold(ONE, 10.0, 25.0)
    limited.hold(ONE, 14.1, 15.0)
    assert limited.wrong() == []


def test_limits_of_keys_and_of_workers_are_looked_at_by_themselves() -> None:
    limited = Limited()
    for tenant, wid in (("a", "1"), ("a", "1"), ("b", "2"), ("b", "2")):
        limited.hold(KEYED, 10.0, 11.0, args=[tenant])
        limited.hold(MINE, 10.0, 11.0, wid=wid)
    assert limited.wrong() == []
    limited.hold(KEYED, 10.5, 11.0, args=["a"])
    assert limited.wrong() == ["more at once than allowed"]
    limited = Limited()
    for _ in range(3):
        limited.hold(MINE, 10.0, 11.0, wid="1")
    assert limited.wrong() == ["more at once than allowed"]


def test_a_bucket_that_is_full_again_after_each_start_is_noticed() -> None:
    limited = Limited()
    for number in range(60):
        limited.hold(RATED, 10.0 + number * 2.0, 300.0)
    assert limited.wrong() == []
    for number in range(60):
        limited.hold(RATED, 10.1 + number * 2.0, 300.0)
    assert limited.wrong() == ["faster than the rate"]


def test_slots_that_a_start_forgets_are_noticed() -> None:
    for taken, expected in ((2, []), (1, ["slots forgotten"])):
        limited = Limited()
        limited.hold(THREE, 10.0, 20.0)
        limited.hold(THREE, 11.0, 21.0)
        limited.hold(THREE, 15.1, 21.0)
        limited.trait.seen = [(15.0, 15.2, {THREE: taken}), (22.0, 22.1, {})]
        assert limited.wrong() == expected


def test_a_slot_that_an_earlier_worker_frees_late_is_nobodys() -> None:
    limited = Limited()
    limited.ledger.killed_at[1] = 20.0
    job = limited.hold(ONE, 19.9, 22.0, answered_in=2)
    held(job, 21.0, 23.0, incarnation=2)
    limited.hold(ONE, 22.1, 22.5, incarnation=2)
    limited.trait.seen = [(22.6, 22.7, {})]
    assert limited.wrong() == []


def test_slots_that_are_lost_or_taken_by_nobody_are_noticed() -> None:
    for taken, expected in (
        (1, []),
        (0, ["slots and reservations disagree"]),
        (2, ["slots and reservations disagree"]),
    ):
        limited = Limited()
        limited.trait._told = {THREE: {"taken": taken}}
        assert wrong(limited.ledger, row(place="working", queue=THREE)) == expected


# -- cron --------------------------------------------------------------------------------------------------------------

TICKS = [f"2026-11-22T08:0{minute}:00Z" for minute in range(4)]
FIRST = 1795334400.0


def cron(runs: int = 4, settled: float = FIRST + 180.0) -> tuple[Cron, Ledger]:
    """An entry that makes up for all, four ticks, a job for each."""
    trait = Cron()
    ledger = Ledger([trait])
    for number, tick in enumerate(TICKS):
        jid = f"cron-{number}"
        trait.seen["all"][tick].add(jid)
        account(ledger, jid, "cron", custom={"cron": "all"}, push="owed")
        held(ledger.accounts[jid], 5.0, 6.0)
    trait.runs, trait.settled = {"all": runs}, {"all": settled}
    return trait, ledger


def test_a_tick_that_fires_twice_is_noticed_unless_the_first_job_was_never_on_disk() -> None:
    trait, ledger = cron()
    assert wrong(ledger) == []
    ledger.killed_at[1] = 70.0
    again = account(ledger, "again", "cron", custom={"cron": "all"}, push="owed")
    held(again, 69.9, 75.0, answered_in=2)
    trait.seen["all"][TICKS[1]].add("again")
    assert wrong(ledger) == []
    again.fetches[0].received_at = 60.0
    assert wrong(ledger) == ["a tick fired twice", "jobs and runs disagree"]


def test_a_tick_that_is_lost_or_skipped_is_noticed() -> None:
    assert wrong(cron(runs=5)[1]) == ["jobs and runs disagree", "ticks lost or made up"]
    assert wrong(cron(settled=FIRST + 240.0)[1]) == ["ticks lost or made up"]
    _, ledger = cron()
    del ledger.accounts["cron-2"]
    assert wrong(ledger) == ["jobs and runs disagree"]


def test_an_entry_that_does_not_go_by_its_catch_up_is_noticed() -> None:
    class Told:
        def __init__(self, catch_up: str, at: str, jid: str) -> None:
            self.entry = {"name": catch_up, "catch_up": catch_up, "runs": [{"tick": TICKS[0], "at": at, "jid": jid}]}

        def do(self, *_: Any) -> Any:
            return {"entries": [self.entry]}

    soon, late = "2026-11-22T08:00:10Z", "2026-11-22T08:02:00Z"
    for catch_up, at, jid, right in (
        ("skip", soon, "a", True),
        ("skip", late, "a", False),
        ("skip", late, "", True),
        ("skip", soon, "", False),
        ("last", late, "a", True),
        ("all", late, "", False),
    ):
        trait = Cron()
        trait._look(Told(catch_up, at, jid))  # type: ignore[arg-type]
        assert (trait.strange == []) == right


def test_the_runs_that_are_kept_have_to_fit_their_number() -> None:
    def found(runs: int, *ticks: float) -> list[str]:
        entries = [("cron", b"all", json.dumps([0.0, ["* * * * *", "UTC"], False, False, runs]).encode())]
        entries += [
            ("cron", b"all\0%c" % slot, json.dumps([tick, tick, "jid"]).encode()) for slot, tick in enumerate(ticks)
        ]
        return rows_wrong(Cron(), {"jid": "job"}, 0, entries)

    assert found(2, 60.0, 120.0) == []
    assert found(3, 60.0, 120.0) == found(2, 60.0, 60.0) == ["runs lost or doubled"]


# -- policies ----------------------------------------------------------------------------------------------------------


def test_a_queue_that_is_longer_than_it_may_be_and_one_that_refuses_too_soon_are_noticed() -> None:
    ledger = Ledger([Crowded()])
    rows = [row(account(ledger, f"job-{number}", CROWDED).jid) for number in range(30)]
    refused = account(ledger, "refused", CROWDED, push=f"ERR {CROWDED} is too large, currently 30, max size is 30")
    assert wrong(ledger, *rows) == []
    refused.push = f"ERR {CROWDED} is too large, currently 29, max size is 30"
    rows.append(row(account(ledger, "job-30", CROWDED).jid))
    assert wrong(ledger, *rows) == ["longer than its max_size", "refused though there is room"]


# -- operators ---------------------------------------------------------------------------------------------------------


def test_an_order_that_was_answered_and_not_carried_out_is_noticed() -> None:
    def ordered(*orders: str, at: Found | None = None, fetched: int = 0) -> list[str]:
        trait = Orders()
        ledger = Ledger([trait])
        job = account(ledger, scheduled=True)
        trait.groups.append(Group(0, [job], orders=list(orders)))
        held(account(ledger, "drained"), 90.0, 91.0, incarnation=9)
        if fetched:
            held(job, 50.0, 51.0, incarnation=fetched)
        return wrong(ledger, *([at] if at else []))

    bad = ["not carried out"]
    assert ordered("kill", at=row(place="dead"), fetched=9) == ordered("retry", at=row()) == ordered("delete") == []
    assert ordered("kill", at=row(place="scheduled")) == ordered("kill", at=row(place="dead"), fetched=3) == bad
    assert ordered("kill", "delete", fetched=9) == ordered("retry", at=row(place="scheduled")) == bad
    assert ordered(at=row(place="dead")) == bad


def test_a_job_that_was_deleted_and_is_there_is_noticed() -> None:
    ledger = Ledger()
    account(ledger, deleting_at=3.0, deleted_at=4.0)
    ledger.judge_rows([])
    assert not ledger.verdict.wrong
    ledger.judge_rows([row()])
    assert list(ledger.verdict.wrong) == ["finished and still there"]


def test_a_job_from_a_paused_queue_is_noticed() -> None:
    for moment, expected in ((11.5, []), (13.0, ["delivered though paused"]), (20.5, [])):
        trait = Gate()
        trait.paused = [(10.0, 20.0)]
        ledger = Ledger([trait])
        held(account(ledger, queue=GATED), moment, moment + 1)
        assert wrong(ledger) == expected


def test_a_job_that_was_asked_to_stop_and_is_tried_again_is_noticed() -> None:
    for place, expected in (("dead", []), ("retries", ["to stop, and tried again"])):
        trait = Cancelled()
        ledger = Ledger([trait])
        held(account(ledger), 5.0, 9.0, "FAIL")
        trait.asked["job"] = (6.0, 7.0)
        assert wrong(ledger, row(place=place, failures=1)) == expected


def test_a_retry_that_comes_earlier_than_it_was_asked_for_is_noticed() -> None:
    for wait, moment, expected in ((2.0, 11.1, []), (2.0, 10.5, ["tried again too early"]), (0.0, 9.1, [])):
        ledger = Ledger([Patience()])
        job = account(ledger)
        held(job, 5.0, 9.0, "FAIL", fields={"retry_after": wait})
        held(job, moment, 12.0)
        held(account(ledger, "drained"), 90.0, 91.0, incarnation=9)
        assert wrong(ledger) == expected


def test_a_copy_of_the_database_has_to_hold_what_was_acknowledged_before_it_was_asked_for() -> None:
    ledger = Ledger()
    job = account(ledger, sent_at=1.0, answered_at=2.0)
    assert [what.partition(":")[0] for what in ledger.wrong_at(3.0, 4.0, [])] == ["acknowledged before and not there"]
    assert ledger.wrong_at(1.5, 4.0, []) == ledger.wrong_at(3.0, 4.0, [row()]) == []
    assert [what.partition(":")[0] for what in ledger.wrong_at(0.1, 0.5, [row()])] == ["pushed later and there"]
    held(job, 2.5, 2.8)
    assert ledger.wrong_at(3.0, 4.0, []) == ledger.wrong_at(2.7, 2.9, []) == ledger.wrong_at(2.7, 2.9, [row()]) == []
    assert [what.partition(":")[0] for what in ledger.wrong_at(3.0, 4.0, [row()])] == ["finished before and there"]
    assert [what.partition(":")[0] for what in ledger.wrong_at(2.3, 2.6, [])] == ["acknowledged before and not there"]
