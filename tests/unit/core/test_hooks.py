"""What an observer of the manager is told, and when."""

from __future__ import annotations

import json

import pytest

from faktory_tw.core.hooks import Observer, joined, without
from faktory_tw.core.reservations import Reservation
from tests.unit.doubles import Client, Engine


class Notes(Observer):
    """Writes down what it is told, and how many jobs are being worked at that moment."""

    def __init__(self, engine: Engine) -> None:
        self.told: list[tuple[str, str, int]] = []
        self.bodies: list[bytes] = []
        self._manager = engine.manager
        engine.manager.observe(self)

    def _note(self, fact: str, reservation: Reservation) -> None:
        self.told.append((fact, reservation.job.jid, len(self._manager.working)))

    def fetched(self, reservation: Reservation) -> None:
        self._note("fetched", reservation)
        self.bodies.append(reservation.job.body)

    def acked(self, reservation: Reservation) -> None:
        self._note("acked", reservation)

    def failed(self, reservation: Reservation) -> None:
        self._note("failed", reservation)

    def taken_back(self, reservation: Reservation) -> None:
        self._note("taken back", reservation)

    def given_back(self, reservation: Reservation) -> None:
        self._note("given back", reservation)

    def flushed(self) -> None:
        self.told.append(("flushed", "", len(self._manager.working)))


def test_a_job_is_fetched_and_acknowledged_when_the_manager_has_done_so(engine: Engine) -> None:
    notes = Notes(engine)
    jid = engine.push()
    engine.fetch()
    engine.manager.ack(jid, "")
    assert notes.told == [("fetched", jid, 1), ("acked", jid, 0)]


def test_the_body_of_a_fetched_job_is_there(engine: Engine) -> None:
    engine.push(jobtype="FromDisk")
    engine.restart()
    notes = Notes(engine)
    engine.fetch()
    engine.push(jobtype="FromMemory")
    engine.fetch()
    waiting = Client(engine, "default")
    engine.push(jobtype="Awaited")
    assert waiting.jobs[0] is not None
    assert [json.loads(body)["jobtype"] for body in notes.bodies] == ["FromDisk", "FromMemory", "Awaited"]


def test_an_ack_of_an_unknown_job_is_no_fact(engine: Engine) -> None:
    notes = Notes(engine)
    engine.manager.ack("nobody-knows", "")
    assert notes.told == []


@pytest.mark.parametrize("retry", [0, 1])
def test_a_failed_job_is_told_once_whatever_becomes_of_it(engine: Engine, retry: int) -> None:
    notes = Notes(engine)
    jid = engine.push(retry=retry)
    engine.fetch()
    engine.fail(jid)
    assert notes.told[1:] == [("failed", jid, 0)]


def test_a_reservation_that_is_over_is_taken_back(engine: Engine) -> None:
    notes = Notes(engine)
    jid = engine.push()
    engine.fetch()
    engine.pass_time(1900)
    assert notes.told[1:] == [("taken back", jid, 0)]


def test_a_job_whose_client_left_is_given_back(engine: Engine) -> None:
    notes = Notes(engine)
    jid = engine.push()
    reservation = engine.reserve()
    assert reservation is not None
    engine.manager.give_back(reservation)
    engine.manager.give_back(reservation)
    assert notes.told == [("fetched", jid, 1), ("given back", jid, 0)]


def test_a_job_that_reached_nobody_who_waits_is_given_back(engine: Engine) -> None:
    notes = Notes(engine)
    Client(engine, "default", there=False)
    jid = engine.push()
    assert notes.told == [("fetched", jid, 1), ("given back", jid, 0)]


def test_a_flush_is_told_when_nothing_is_left(engine: Engine) -> None:
    notes = Notes(engine)
    engine.push()
    engine.fetch()
    engine.manager.flush()
    assert notes.told[1:] == [("flushed", "", 0)]


def test_several_observers_are_told_in_their_order_and_one_that_left_is_not(engine: Engine) -> None:
    first, second, third = Notes(engine), Notes(engine), Notes(engine)
    engine.manager.observe(second)  # a second time
    second.told = third.told = first.told
    jid = engine.push(retry=0)
    engine.fetch()
    assert first.told == [("fetched", jid, 1)] * 3
    engine.manager.ignore(second)
    engine.manager.ignore(second)
    engine.fail(jid)
    assert first.told[3:] == [("failed", jid, 0)] * 2
    engine.manager.ignore(first)
    engine.manager.ignore(third)
    engine.manager.flush()
    assert len(first.told) == 5


def test_all_facts_reach_several_observers(engine: Engine) -> None:
    one, other = Notes(engine), Notes(engine)
    for end in ("ack", "give back", "take back", "flush"):
        jid = engine.push()
        reservation = engine.reserve()
        assert reservation is not None
        if end == "ack":
            engine.manager.ack(jid, "")
        elif end == "give back":
            engine.manager.give_back(reservation)
            engine.manager.remove_queues(["default"])
        elif end == "take back":
            engine.pass_time(1900)
        else:
            engine.manager.flush()
    assert [fact for fact, _, _ in one.told] == [
        *["fetched", "acked", "fetched", "given back", "fetched", "taken back", "fetched", "flushed"]
    ]
    assert other.told == one.told


def test_an_observer_that_overrides_nothing_is_no_burden(engine: Engine) -> None:
    engine.manager.observe(Observer())
    jid = engine.push()
    engine.fetch()
    assert engine.manager.ack(jid, "")
    engine.manager.flush()


def test_one_observer_is_called_directly() -> None:
    one, other = Observer(), Observer()
    assert joined(None, one) is one
    assert without(joined(one, other), other) is one
    assert without(one, one) is None
    assert without(None, one) is None
