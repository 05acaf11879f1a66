"""Searches take turns with each other, and nothing else waits for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.web.browsing import Exchange, site_of
from tests.unit.web.stock import Stock
from web.app import make_site

SEARCH = b"GET /retries?match=nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
PAGE = b"GET /retries HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Halted:
    """Goes through what it is given when it is told to, and not before."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Iterator[Any], Deferred[Any]]] = []

    def __call__(self, steps: Iterator[Any]) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((steps, done))
        return done

    def go_on(self) -> None:
        """Do all of it."""
        for steps, done in self.waiting:
            for _ in steps:
                pass
            done.callback(None)
        self.waiting.clear()


def test_a_page_does_not_wait_for_a_search(stock: Stock) -> None:
    stock.retries(3)
    halted = site_of(stock.house).ui.search = Halted()
    search, page = Exchange(stock.house), Exchange(stock.house)
    search.send(SEARCH)
    page.send(PAGE)
    search.wait()
    page.wait()
    assert [answer.status for answer in page.answers()] == [200]
    assert search.answers() == []
    assert len(halted.waiting) == 1
    halted.go_on()
    search.wait()
    assert [answer.status for answer in search.answers()] == [200]


def test_searches_have_a_cooperator_of_their_own(stock: Stock) -> None:
    """One Cooperator gives a step to one of its tasks in a turn: with a hundred searches pages would wait for all."""
    ui = make_site(stock.house.server).ui
    pages, searches = ui.coiterate.__self__, ui.search.__self__  # type: ignore[attr-defined]
    assert pages is not searches
    other = make_site(stock.house.server).ui
    assert other.search.__self__ is searches  # type: ignore[attr-defined]
