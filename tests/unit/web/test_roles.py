"""Passwords and roles: strangers see nothing, readers change nothing, on every route that there is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import Browser, ask, site_of
from tests.unit.web.conftest import PASSWORD, READ_ONLY_PASSWORD
from web.answers import Answer, Json
from web.app import ROUTES
from web.routes import Role, Route, form, page, question
from web.visit import Visit

FOR_ANYBODY = {"/health", "/ready", "/favicon.ico", "/static/<version>/<path:name>"}
FOR_READERS = {"/preferences"}


def address(route: Route) -> str:
    """An address that the route answers."""
    return re.sub(r"<(?:[^:>]*:)?[^>]*>", "1", route.path)


def named(routes: list[Route]) -> Any:
    return pytest.mark.parametrize("route", routes, ids=[f"{route.methods[0]} {route.path}" for route in routes])


LOOKING = [route for route in ROUTES if "GET" in route.methods]
CHANGING = [route for route in ROUTES if "GET" not in route.methods]


def test_every_route_either_looks_or_changes() -> None:
    assert len({(route.path, method) for route in ROUTES for method in route.methods}) == sum(
        len(route.methods) for route in ROUTES
    ), "a route is there twice"
    assert all(set(route.methods) == {"GET", "HEAD"} for route in LOOKING)
    assert {route.path for route in ROUTES if route.role == Role.NOBODY} == FOR_ANYBODY
    assert {route.path for route in CHANGING if route.role < Role.OPERATOR} <= FOR_READERS
    assert {route.path for route in ROUTES if route.personal} <= FOR_READERS


@named(LOOKING)
@pytest.mark.parametrize("password", [None, "wrong", ""])
def test_strangers_see_nothing(guarded_house: House, route: Route, password: str | None) -> None:
    answer = ask(guarded_house, address(route), password=password)
    if route.path in FOR_ANYBODY:
        assert answer.status in (200, 404)
    else:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Faktory", charset="UTF-8"'


@named(CHANGING)
@pytest.mark.parametrize("password", [None, "wrong"])
def test_strangers_change_nothing(guarded_house: House, route: Route, password: str | None) -> None:
    body: dict[str, Any] = {"json": {}} if route.api else {"form": {}}
    assert ask(guarded_house, address(route), route.methods[0], password, **body).status == 401


@named(CHANGING)
def test_readers_change_nothing(guarded_house: House, route: Route) -> None:
    body: dict[str, Any] = {"json": {}} if route.api else {"form": {}}
    answer = ask(guarded_house, address(route), route.methods[0], READ_ONLY_PASSWORD, **body)
    if route.path in FOR_READERS:
        assert answer.status in (303, 400)
        return
    assert answer.status == 403
    assert b"This password is for reading only. Nothing was changed." in answer.body
    assert not guarded_house.store.batch
    assert not guarded_house.store.writes


def test_what_was_asked_for_without_a_password_is_told_from_what_was_with_a_wrong_one(guarded_house: House) -> None:
    assert "A password is needed" in ask(guarded_house, "/").page.text
    assert "The password is wrong" in ask(guarded_house, "/", password="wrong").page.text
    assert ask(guarded_house, "/stats").json() == {"error": "A password is needed. Any user name will do."}


def test_strangers_cannot_tell_which_pages_there_are(guarded_house: House) -> None:
    there, nowhere = ask(guarded_house, "/queues"), ask(guarded_house, "/nowhere")
    assert (there.status, there.body) == (nowhere.status, nowhere.body)
    assert "Processed" not in there.page.text


@pytest.mark.parametrize("user", ["", "admin", "ünïcode", "x" * 1000])
def test_any_user_name_will_do(guarded_house: House, user: str) -> None:
    assert Browser(guarded_house, PASSWORD, user).get("/stats").status == 200


def test_a_password_may_have_a_colon(house: House) -> None:
    house.server.web_password = "a:b:c"
    assert ask(house, "/stats", password="a:b:c").status == 200
    assert ask(house, "/stats", password="a").status == 401


def test_readers_see_what_operators_see(guarded_house: House) -> None:
    assert ask(guarded_house, "/stats", password=READ_ONLY_PASSWORD).status == 200
    assert ask(guarded_house, "/stats", password=PASSWORD).status == 200


def test_the_read_only_password_is_none_of_clients(guarded_house: House) -> None:
    assert guarded_house.server.password == PASSWORD
    assert guarded_house.server.web_role(READ_ONLY_PASSWORD.encode()) == "reader"
    assert guarded_house.server.web_role(PASSWORD.encode()) == "operator"
    assert guarded_house.server.web_role(b"") is None
    assert guarded_house.server.web_role((PASSWORD + READ_ONLY_PASSWORD).encode()) is None


def test_a_password_that_has_changed_ends_what_could_be_done_with_it(guarded_house: House) -> None:
    guarded_house.server.change_passwords("other", None, None)
    assert ask(guarded_house, "/stats", password=PASSWORD).status == 401
    assert ask(guarded_house, "/stats", password=READ_ONLY_PASSWORD).status == 401
    assert ask(guarded_house, "/stats", password="other").status == 200


def test_without_a_password_everybody_is_an_operator(house: House) -> None:
    seen: list[Role] = []

    async def look(visit: Visit) -> Answer:
        seen.append(visit.role)
        return Json({})

    site_of(house, (question("/look", look),))
    ask(house, "/look")
    ask(house, "/look", password="whatever")
    assert seen == [Role.OPERATOR, Role.OPERATOR]


def test_a_question_for_operators_is_refused_to_readers(guarded_house: House) -> None:
    async def tell(visit: Visit) -> Answer:
        return Json("secret")

    site_of(guarded_house, (question("/secret", tell, Role.OPERATOR),))
    assert ask(guarded_house, "/secret", password=READ_ONLY_PASSWORD).status == 403
    assert ask(guarded_house, "/secret", password=PASSWORD).status == 200


def test_a_page_that_only_looks_cannot_change_anything_by_mistake(guarded_house: House) -> None:
    async def careless(visit: Visit) -> Answer:
        await visit.changed("flush")
        return Json({})

    async def careless_steps(visit: Visit) -> Answer:
        await visit.change(iter(()), "flush")
        return Json({})

    site_of(guarded_house, (question("/one", careless), question("/two", careless_steps)))
    for path in ("/one", "/two"):
        assert ask(guarded_house, path, password=PASSWORD).status == 403
        assert ask(guarded_house, path, password=READ_ONLY_PASSWORD).status == 403


def test_head_may_look_and_not_change(guarded_house: House) -> None:
    changed: list[str] = []

    async def change(visit: Visit) -> Answer:
        changed.append(visit.method)
        return Json({})

    async def look(visit: Visit) -> Answer:
        return Json({})

    site_of(guarded_house, (form("/change", change), page("/look", look)))
    assert ask(guarded_house, "/look", "HEAD", PASSWORD).status == 200
    assert ask(guarded_house, "/change", "HEAD", PASSWORD).status == 405
    assert ask(guarded_house, "/change", "GET", PASSWORD).status == 405
    assert not changed


@pytest.mark.parametrize("api", [True, False])
@pytest.mark.parametrize("role", [Role.NOBODY, Role.READER])
def test_a_change_is_for_operators_whatever_its_route_says(guarded_house: House, role: Role, api: bool) -> None:
    async def change(visit: Visit) -> Answer:
        return Json({})

    site_of(guarded_house, (Route("/change", change, ("POST",), role, api=api),))
    body: dict[str, Any] = {"json": {}} if api else {"form": {}}
    assert ask(guarded_house, "/change", **body).status == (403 if role == Role.NOBODY else 401)
    assert ask(guarded_house, "/change", password=READ_ONLY_PASSWORD, **body).status == 403
    assert ask(guarded_house, "/change", password=PASSWORD, **body).status == 200
