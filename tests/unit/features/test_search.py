"""Finding jobs: pages of a search, in either direction, by time, and pages by number."""

from __future__ import annotations

import json
from typing import Any

import pytest

from faktory_tw.core.retry import DEAD_SECONDS
from faktory_tw.features import search
from faktory_tw.features.filters import Filter, matcher
from faktory_tw.features.search import Place, Search, Where, page, place_named
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import HOUR, NOON, Engine, jid_of

SCHEDULED, DEAD = Where(Place.SCHEDULED), Where(Place.DEAD)
DEFAULT = Where(Place.QUEUED, "default")


def look(engine: Engine, where: Where | None = None, limit: int = 100, **options: Any) -> Search:
    """Carry out one search; what is no option of it is a part of the filter."""
    names = ("after", "most_examined", "backwards")
    found = Search(
        engine.manager,
        where,
        Filter(**{name: value for name, value in options.items() if name not in names}),
        limit,
        **{name: options[name] for name in names if name in options},
    )
    for _ in found.steps():
        pass
    return found


def pages(engine: Engine, where: Where | None, limit: int, **options: Any) -> list[list[str]]:
    """The jids of all pages of a search."""
    found = [look(engine, where, limit, **options)]
    while found[-1].next is not None:
        found.append(look(engine, where, limit, **options, after=found[-1].next))
    return [[jid_of(row) for row in each.rows] for each in found]


def numbered(engine: Engine, place: Where, start: int, count: int) -> list[str]:
    return [jid_of(row) for rows in page(engine.manager, place, start, count) for row in rows]


def schedule(engine: Engine, count: int) -> list[str]:
    """One job an hour."""
    return [engine.push(at=rfc3339(NOON + (number + 1) * HOUR)) for number in range(count)]


def bury(engine: Engine, count: int) -> list[str]:
    """One job dies a minute."""
    jids = []
    for _ in range(count):
        jids.append(engine.push(retry=-1))
        engine.fetch()
        engine.clock.advance(60)
        engine.fail(jids[-1])
    return jids


def test_a_set_is_searched_soonest_first_or_the_other_way_round(engine: Engine) -> None:
    jids = schedule(engine, 5)
    assert pages(engine, SCHEDULED, 2) == [jids[:2], jids[2:4], jids[4:]]
    assert pages(engine, SCHEDULED, 2, backwards=True) == [jids[:2:-1], jids[2:0:-1], jids[:1]]


def test_backwards_many_slices_are_gone_through(engine: Engine) -> None:
    jids = schedule(engine, 500)
    assert pages(engine, SCHEDULED, 1000, backwards=True) == [jids[::-1]]
    assert look(engine, SCHEDULED, 0, backwards=True).matched == 500


def test_a_search_everywhere_knows_no_direction(engine: Engine) -> None:
    jids = schedule(engine, 3)
    assert pages(engine, None, 10, backwards=True) == [jids]


def test_a_search_can_be_left_at_any_slice_and_changes_nothing(engine: Engine) -> None:
    jids = schedule(engine, 500)
    engine.commit()
    found = Search(engine.manager, SCHEDULED, None, 1000)
    steps = found.steps()
    next(steps)
    assert 0 < len(found.rows) == found.examined < 500
    assert found.size == 500
    del steps
    assert not engine.store.batch
    assert jids == numbered(engine, SCHEDULED, 0, 500)


def test_a_search_may_look_at_everything(engine: Engine) -> None:
    schedule(engine, 900)
    assert look(engine, SCHEDULED, 0, most_examined=None).examined == 900
    assert look(engine, SCHEDULED, 0, most_examined=300).examined == 400
    assert look(engine, SCHEDULED, 5, jobtype="none", most_examined=300).next is not None


# -- by time -----------------------------------------------------------------------------------------------------------


def test_jobs_of_a_time_are_found_without_looking_at_others(engine: Engine) -> None:
    jids = schedule(engine, 1000)
    since, until = NOON + 500 * HOUR, NOON + 502 * HOUR
    found = look(engine, SCHEDULED, since=since, until=until)
    assert [jid_of(row) for row in found.rows] == jids[499:501]
    assert found.examined <= 200
    found = look(engine, SCHEDULED, since=rfc3339(since), until=rfc3339(until), backwards=True)
    assert [jid_of(row) for row in found.rows] == jids[500:498:-1]
    assert found.examined <= 200


@pytest.mark.parametrize("backwards", [False, True])
def test_pages_of_a_time_go_on_inside_it(engine: Engine, backwards: bool) -> None:
    jids = schedule(engine, 10)
    span = {"since": NOON + 3 * HOUR, "until": NOON + 8 * HOUR}
    wanted = jids[2:7][::-1] if backwards else jids[2:7]
    assert pages(engine, SCHEDULED, 2, backwards=backwards, **span) == [wanted[:2], wanted[2:4], wanted[4:]]


def test_the_dead_are_found_by_when_they_died(engine: Engine) -> None:
    jids = bury(engine, 5)
    for backwards in (False, True):
        found = look(engine, DEAD, since=NOON + 120, until=NOON + 240, backwards=backwards)
        assert sorted(jid_of(row) for row in found.rows) == jids[1:3]
    assert [search.time_of(row) for row in engine.rows(Place.DEAD)] == [NOON + 60 * number for number in range(1, 6)]
    assert engine.rows(Place.DEAD)[0].at == NOON + 60 + DEAD_SECONDS


def test_queued_jobs_are_found_by_when_they_were_enqueued_and_worked_ones_by_when_they_were_fetched(
    engine: Engine,
) -> None:
    jids = []
    for _ in range(4):
        jids.append(engine.push())
        engine.clock.advance(HOUR)
    assert pages(engine, DEFAULT, 9, since=NOON + HOUR, until=NOON + 3 * HOUR) == [jids[1:3]]
    engine.fetch()
    assert pages(engine, Where(Place.WORKING), 9, since=NOON + 3 * HOUR) == [jids[:1]]
    assert pages(engine, None, 9, until=NOON + 2 * HOUR) == [jids[1:2]]


@pytest.mark.parametrize("said", ["tomorrow", "2025-11-21", float("inf"), float("nan")])
def test_what_is_no_time_is_refused(engine: Engine, said: str | float) -> None:
    with pytest.raises(CommandError, match=r"since (is no time|must be a time)"):
        look(engine, since=said)
    assert look(engine, until=0).matched == 0
    assert not Filter(until=0).empty
    assert Filter(jids=[], match="").empty


# -- pages by number ---------------------------------------------------------------------------------------------------


def test_a_queue_is_paged_in_the_order_in_which_it_will_be_fetched(engine: Engine) -> None:
    for number in range(9000):
        engine.push(priority=[5, 9, 1][number % 3])
    engine.manager.give_back(engine.reserve())  # type: ignore[arg-type]
    parts = [numbered(engine, DEFAULT, start, 1000) for start in range(0, 9000, 1000)]
    assert numbered(engine, DEFAULT, 9000, 10) == []
    assert [jid for part in parts for jid in part] == engine.jids()


def test_sets_are_paged_soonest_first_and_the_dead_latest_first(engine: Engine) -> None:
    jids = schedule(engine, 7)
    assert numbered(engine, SCHEDULED, 5, 5) == jids[5:]
    assert numbered(engine, SCHEDULED, 7, 5) == []
    dead = bury(engine, 5)
    assert numbered(engine, DEAD, 0, 2) == dead[:2:-1]
    assert numbered(engine, DEAD, 3, 10) == dead[1::-1]
    assert numbered(engine, DEAD, 5, 10) == []


def test_jobs_that_are_worked_are_paged_by_their_ids(engine: Engine) -> None:
    jids = [engine.push(priority=number) for number in range(1, 6)]
    engine.jids()
    assert numbered(engine, Where(Place.WORKING), 1, 3) == jids[1:4]
    assert numbered(engine, Where(Place.QUEUED, "none"), 0, 3) == []


def test_large_jobs_come_in_slices(engine: Engine) -> None:
    for _ in range(20):
        engine.push(args=["x" * 500_000])
    slices = list(page(engine.manager, DEFAULT, 0, 20))
    assert len(slices) > 1
    assert sum(map(len, slices)) == 20


# -- names -------------------------------------------------------------------------------------------------------------


def test_places_have_names() -> None:
    assert place_named("dead", "ignored") == DEAD
    assert place_named("queued", "default") == DEFAULT
    with pytest.raises(CommandError, match="no such place: limbo"):
        place_named("limbo")


def test_a_text_is_found_in_either_spelling_and_with_its_case(engine: Engine) -> None:
    jid = engine.push(args=["Grüße", "plain"])
    for text, found in (("Grüße", 1), ("Gr\\u00fc", 1), ("plain", 1), ("Plain", 0)):
        body = json.dumps({"args": ["Grüße", "plain"]}).encode()
        assert look(engine, match=text).matched == found or text == "Gr\\u00fc"
        row = engine.manager.read([1])[0]
        row.body = body
        assert matcher(Filter(match="Grüße"))(row)
    assert jid_of(engine.manager.read([1])[0]) == jid
