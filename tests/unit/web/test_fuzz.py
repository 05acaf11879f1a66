"""Every route with something wrong in each part of the request: the same rules hold for every answer, see tests/fuzz.

Small, and the same each time. ``python -m tests.fuzz.http`` does it against a process, with as many as you like.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel, globalLogPublisher
from twisted.web.http_headers import Headers

from faktory_tw.metrics import Metrics
from faktory_tw.storage.sqlite import SQLiteStore
from tests.fuzz.http import contents
from tests.fuzz.http.requests import FORGED, Request, basic, made, spoilt
from tests.fuzz.http.rules import Answer, answer_of, broken
from tests.fuzz.http.samples import HEADERS, SAMPLES
from tests.requirements import require_module
from tests.unit.features.crontab import SETTINGS
from tests.unit.features.crontab import entry as cron_entry
from tests.unit.house import House
from tests.unit.web.browsing import Exchange, site_of
from tests.unit.web.test_backups import Backups
from tests.unit.web.test_backups import made as made_backup
from tests.unit.web.test_throttles import THROTTLES
from web.app import ROUTES
from web.content import stopping
from web.routes import Role
from web.visit import Visit

PASSWORD = "correct-horse"
READ_ONLY = "battery-staple"
SECRETS = (PASSWORD, READ_ONLY)
OPERATOR = basic(PASSWORD)
ROUTE_NAMES = tuple(f"{route.methods[0]} {route.path}" for route in ROUTES)
FOR_ANYBODY = {f"{route.methods[0]} {route.path}" for route in ROUTES if route.role == Role.NOBODY}
LATE_SECONDS = 20
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OURS = {"token", "notice"}  # fields of all pages
OF_ANSWERS = {
    "Set-Cookie",
    "Content-Language",
    "Vary",
    "Location",
    "Cache-Control",
    "Etag",
    "Last-Modified",
    "Date",
    "Server",
}


class Town:
    """A server with something in each place, and what went wrong in it."""

    def __init__(self, directory: Path) -> None:
        self.errors: list[str] = []
        self.house = House(SQLiteStore(directory / "data", "second"))
        self.house.connect(b"HELLO " + json.dumps(contents.HELLO).encode())
        self._client = self.house.connect()
        self.house.server.change_passwords(PASSWORD, None, READ_ONLY)
        cron = (cron_entry(contents.CRON, "7 3 * * *"),)
        self.house.manager.facts.configure(replace(SETTINGS, cron=cron, throttles=THROTTLES))
        while self.house.manager.upkeep():
            pass
        self.backups = self.house.server.backups = Backups(made_backup(1))
        self.house.server.metrics = Metrics(self.house.server, directory, SimpleNamespace(free=1, least=0))
        self._fills = 0
        self._things: dict[str, str] | None = None
        self.tokens: Any = site_of(self.house).ui.tokens
        self.cookie = self.tokens.new_cookie()
        note: Any = self._note
        self._observer = note
        globalLogPublisher.addObserver(self._observer)

    def close(self) -> None:
        globalLogPublisher.removeObserver(self._observer)
        self.house.close()
        self.house.store.close()

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical) or event.get("isError"):
            self.errors.append(str(event.get("log_failure") or event.get("log_format")))

    def fill(self) -> dict[str, str]:
        """Put something into each place, and return what it is called."""
        self._fills += 1
        self.backups.running = False
        contents.fill(self._say, self._fills)
        things = contents.names(self._ask)
        things["since"] = stopping.since(self.house.manager, int(things["working"]))
        things["cookie"] = self.cookie
        things["token"] = self.tokens.token(self.cookie, "fuzz", "operator")
        begun = self.ask(made("POST /bulk", things, OPERATOR))
        assert begun is not None
        things["operation"] = str(begun.header("Location")).rpartition("/")[2]
        return things

    def things(self, anew: bool = False) -> dict[str, str]:
        """What is there is called so; something is put into each place where that was not done, or where it may be gone."""
        if anew or self._things is None:
            self._things = self.fill()
        return self._things

    def _say(self, line: bytes) -> bytes:
        self._client.say(line)
        self.house.commit()
        reply = self._client.heard()
        assert reply[:1] in (b"+", b"$"), (line, reply)
        return reply.split(b"\r\n")[1] if reply.startswith(b"$") else reply

    def _ask(self, method: str, path: str, value: Any) -> Any:
        request = Request("", method, path.encode().split(b"/"), json=value, headers=[(b"Authorization", OPERATOR)])
        answer = self.ask(request)
        assert answer is not None
        return json.loads(answer.body)

    def ask(self, request: Request) -> Answer | None:
        """The answer; None when the server waits for more of the request."""
        exchange = Exchange(self.house)
        exchange.send(bytes(request))
        exchange.wait()
        if not exchange.raw.removeprefix(CONTINUE):  # a wrong password is answered late
            self.house.reactor.advance(LATE_SECONDS)
            exchange.wait()
        raw = exchange.raw.removeprefix(CONTINUE)
        waits = not exchange.line.closed
        exchange.leave()
        if not raw:
            assert waits, "closed without an answer"
            return None
        head, _, body = raw.partition(b"\r\n\r\n")
        answer = answer_of(head, body)
        return answer._replace(body=body[: int(answer.header("Content-Length") or len(body))])

    def state(self) -> tuple[Any, ...]:
        """What must be the same when nothing was changed."""
        manager, store = self.house.manager, self.house.store
        self.house.commit()
        queues = {name: (len(queue), queue.paused) for name, queue in manager.queues().items()}
        workers = [(each.wid, each.state) for each in manager.workers]
        numbers = (manager.history.processed, manager.history.failures, manager.views.newest())
        return store.batch.number, bool(store.batch), queues, manager.set_sizes(), workers, numbers

    def check(self, request: Request) -> Answer | None:
        """Ask, and see that all rules hold."""
        before = self.state()
        answer = self.ask(request)
        assert not self.errors, (request.wrong, self.errors)
        if answer is None:
            assert request.lies, f"no answer to {bytes(request)[:500]!r}"
            return None
        found = broken(request, answer, SECRETS)
        if request.method in ("GET", "HEAD") or answer.status >= 400:
            after = self.state()
            found += [f"it changed something: {before} is {after}"] if before != after else []
        assert not found, (found, request.wrong, bytes(request)[:500], answer.head, answer.body[:500])
        return answer


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    require_module("jsonschema")
    town = Town(tmp_path)
    yield town
    town.close()


@pytest.fixture(scope="module")
def shared_town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """For tests that leave something in each place."""
    require_module("jsonschema")
    town = Town(tmp_path_factory.mktemp("town"))
    yield town
    town.close()


# -- what is known ---------------------------------------------------------------------------------------------------------


def test_each_route_has_a_sample() -> None:
    assert SAMPLES.keys() == set(ROUTE_NAMES), "say in tests/fuzz/http/samples.py how it is asked well"


class Heard:
    """Which fields, members of JSON and headers the site asks for while this is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fields: set[str] = set()
        self.members: set[str] = set()
        self.headers: set[str] = set()
        heard = self

        class Listening(dict[str, list[str]]):
            def get(self, name: str, *default: Any) -> Any:
                heard.fields.add(name)
                return super().get(name, *default)

            def __contains__(self, name: object) -> bool:
                heard.fields.add(str(name))
                return super().__contains__(name)

            def __getitem__(self, name: str) -> list[str]:
                heard.fields.add(name)
                return super().__getitem__(name)

        parsed, decode = Visit._parsed, Visit.decode
        monkeypatch.setattr(Visit, "_parsed", lambda visit, text: Listening(parsed(visit, text)))

        def decoded(visit: Visit, kind: Any) -> Any:
            heard.members |= set(getattr(kind, "__struct_fields__", ()))
            return decode(visit, kind)

        monkeypatch.setattr(Visit, "decode", decoded)
        for method in ("getRawHeaders", "hasHeader", "getAllRawHeaders"):
            self._listen(monkeypatch, method)

    def _listen(self, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
        asked = getattr(Headers, method)

        def listening(headers: Headers, *arguments: Any) -> Any:
            if arguments:
                name = arguments[0]
                self.headers.add((name if isinstance(name, str) else name.decode()).title())
            return asked(headers, *arguments)

        monkeypatch.setattr(Headers, method, listening)


def names_of(value: Any) -> set[str]:
    """The names of all members of a JSON value."""
    if isinstance(value, dict):
        return set(value) | {name for each in value.values() for name in names_of(each)}
    return {name for each in value for name in names_of(each)} if isinstance(value, list) else set()


def test_each_sample_is_answered_well_and_knows_what_is_asked_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing that is read of a request is left out by what is made of the samples."""
    wrong: list[tuple[Any, ...]] = []
    things = town.fill()
    for route in ROUTE_NAMES:
        with monkeypatch.context() as patch:
            heard = Heard(patch)
            answer = town.check(made(route, things, OPERATOR))
        if answer is None or answer.status >= 400:
            wrong.append((route, answer))
        if not route.startswith("GET "):
            things = town.fill()
        sample = SAMPLES[route]
        wrong += [(route, "field", name) for name in heard.fields - sample.query.keys() - sample.form.keys() - OURS]
        wrong += [(route, "member", name) for name in heard.members - names_of(sample.json)]
        wrong += [(route, "header", name) for name in heard.headers - {name.title() for name in HEADERS} - OF_ANSWERS]
    assert not wrong


# -- what is wrong ---------------------------------------------------------------------------------------------------------

EXAMPLES = 10
REQUESTS = 12  # of one example
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a seed does not get simpler by getting smaller
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@FUZZ
@given(st.integers(min_value=0, max_value=2**32))
def test_whatever_is_sent_is_answered_well_and_harms_nothing(shared_town: Town, seed: int) -> None:
    rng = Random(seed)
    things = shared_town.things()
    for _ in range(REQUESTS):
        request = made(rng.choice(ROUTE_NAMES), things, OPERATOR)
        answer = shared_town.check(spoilt(rng, request))
        if answer is not None and answer.status < 400 and request.method != "GET":
            things = shared_town.things(anew=True)


@FUZZ
@given(st.integers(min_value=0, max_value=2**32), st.sampled_from([b"", basic("wrong"), basic(READ_ONLY)]))
def test_without_the_password_nothing_is_changed_by_any_request(
    shared_town: Town, seed: int, credentials: bytes
) -> None:
    rng = Random(seed)
    before = None
    for _ in range(REQUESTS):
        things = shared_town.things()
        before = before or shared_town.state()
        request = made(rng.choice(ROUTE_NAMES), things, credentials)
        if request.form is not None:
            token = shared_town.tokens.token(shared_town.cookie, "fuzz", "reader")
            request.form[-1] = (b"token", token.encode())
        answer = shared_town.check(spoilt(rng, request))
        assert shared_town.state() == before, (request.wrong, bytes(request)[:500])
        if answer is not None and credentials != basic(READ_ONLY) and answer.status < 400:
            assert request.route in FOR_ANYBODY


@FUZZ
@given(
    st.sampled_from([name for name in ROUTE_NAMES if name.startswith("POST ")]),
    st.integers(min_value=0, max_value=2**32),
)
def test_a_forged_form_changes_nothing(shared_town: Town, route: str, seed: int) -> None:
    rng = Random(seed)
    request = made(route, shared_town.things(), OPERATOR)
    before = shared_town.state()
    forged = spoilt(rng, request, FORGED)
    answer = shared_town.check(forged)
    assert answer is not None
    if request.form is not None or any("another site" in told for told in forged.wrong):
        assert answer.status in (400, 403), forged.wrong
        assert shared_town.state() == before


FORMS = tuple(route for route, sample in SAMPLES.items() if sample.form)


def test_a_form_with_one_field_that_is_too_long_is_carried_out_or_changes_nothing(shared_town: Town) -> None:
    """The fields that say where to go back to, too: nobody is told that something failed when it was done."""
    text = b"x" * 9000
    for route in FORMS:
        things = shared_town.things(anew=True)
        for name in SAMPLES[route].form:
            request = made(route, things, OPERATOR)
            assert request.form is not None
            request.form = [(each, text if each == name.encode() else value) for each, value in request.form]
            answer = shared_town.check(request)
            if answer is not None and answer.status < 400:
                things = shared_town.things(anew=True)


# -- what it costs ---------------------------------------------------------------------------------------------------------

LENGTHS = (1000, 2000)


def calls_of(town: Town, request: Request) -> int:
    """How many functions are called to answer, of Python and of C."""
    count = 0

    def note(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        answer = town.ask(request)
    finally:
        sys.setprofile(None)
    assert answer is not None
    return count


def test_twice_as_long_a_text_costs_at_most_twice_as_much(shared_town: Town) -> None:
    """In every field of every route that has some, all at once."""
    things = shared_town.things()
    for route, sample in SAMPLES.items():
        if not (sample.query or sample.form):
            continue
        costs = []
        for length in LENGTHS:
            request = made(route, things, OPERATOR)
            value = b"a*[" * (length // len(request.query or "1") // 3)
            request.query = [(name, value) for name, _ in request.query]
            if request.form is not None:
                request.form = [(name, old if name == b"token" else value) for name, old in request.form]
            costs.append(calls_of(shared_town, request))
        assert costs[1] <= 2.2 * costs[0], (route, costs)
