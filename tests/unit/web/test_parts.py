"""The parts that pages are made of, rendered on a page of their own: they escape what they are given."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import Environment

from tests.unit.house import EPOCH, House
from tests.unit.web.browsing import Browser, ask
from tests.unit.web.html import Document
from web.look.languages import load
from web.look.rendering import Renderer

HOSTILE = """</p><script>alert(1)</script><img src=x onerror='alert(2)'>"&{{ 7*7 }}\u202e"""
IMPORTS = "".join(
    f'{{% import "parts/{name}.html" as {name} %}}'
    for name in ("actions", "fields", "filters", "forms", "page", "paging", "tables", "times")
)

CALLS = [
    "{{ page.heading(x, x) }}",
    "{% call page.heading(x) %}{{ x }}{% endcall %}",
    "{% call page.section(x, 'id') %}{{ x }}{% endcall %}",
    "{{ page.empty(x, x) }}",
    "{{ page.badge(x, 'warn') }}",
    "{{ page.priority(9) }}{{ x }}",
    "{% call page.tiles() %}{{ page.tile(x, x, x, '/') }}{% endcall %}",
    "{{ page.banner(x, 'danger', x) }}",
    "{% call page.definitions() %}{{ page.definition(x, x) }}{% endcall %}",
    "{{ page.progress(3, 0, x) }}",
    "{{ page.code(x, x) }}",
    "{{ page.backtrace([x, x], x) }}",
    "{{ page.key(x) }}",
    "{{ actions.link('/', x, 'main', True) }}",
    "{{ actions.button(x, x, x, 'danger', True, x, True, '/') }}",
    "{{ actions.post(visit, '/', x, {x: x}, confirm=x) }}",
    "{{ fields.text(x, x, x, x, x) }}",
    "{{ fields.area(x, x, x, x, x) }}",
    "{{ fields.choice(x, x, x, [(x, x)], x, x) }}",
    "{% call filters.form(visit, '/', '/', True) %}{{ filters.field(x, x, x, x, x, list=[x]) }}{% endcall %}",
    "{{ filters.choice(x, x, x, [(x, x)]) }}",
    "{% call tables.table(visit, 'i', x, [(x, 'main'), (x, '', '/', 'ascending')], x) %}<tr>{{ tables.select(visit, x, x, x) }}<td>{{ x }}</td></tr>{% endcall %}",
    "{% call tables.bulk(visit) %}{{ x }}{% endcall %}",
    "{{ paging.cursor(visit, x, '/a', '/b') }}",
]


class Parts:
    """Renders pieces of templates as the pages do."""

    def __init__(self) -> None:
        renderer = Renderer()
        self.language = load("en")
        renderer._language = self.language
        self.environment: Environment = renderer._environment
        self.visit: Any = SimpleNamespace(
            may_change=True,
            token="t0ken",
            language=self.language,
            server=SimpleNamespace(clock=SimpleNamespace(time=lambda: EPOCH)),
            url=lambda path, **query: path + "?" + "&".join(f"{name}={value}" for name, value in query.items()),
        )

    def render(self, source: str, **values: Any) -> Document:
        template = self.environment.from_string(IMPORTS + source)
        return Document(template.render(visit=self.visit, **values))


@pytest.fixture(scope="module")
def parts() -> Parts:
    return Parts()


@pytest.mark.parametrize("call", CALLS)
def test_what_a_part_is_given_stays_text(parts: Parts, call: str) -> None:
    page = parts.render(call, x=HOSTILE)
    assert not page.unclosed
    assert not page.all("script")
    assert not page.all("img")
    assert all(not name.startswith("on") and name != "style" for _, attributes in page.elements for name in attributes)
    assert "49" not in page.source
    assert "alert(1)" in page.source


def test_a_reader_sees_no_buttons_and_no_boxes(parts: Parts) -> None:
    parts.visit.may_change = False
    try:
        page = parts.render(
            "{{ actions.post(visit, '/', 'Delete') }}{{ tables.select(visit, 1, 'one') }}"
            "{% call tables.bulk(visit) %}x{% endcall %}"
            "{% call tables.table(visit, 'i', 'c', [('a', '')], 'all') %}{% endcall %}"
        )
    finally:
        parts.visit.may_change = True
    assert not page.forms
    assert not page.all("input")
    assert "x" not in page.texts


def test_a_posted_form_has_the_token_and_its_fields(parts: Parts) -> None:
    page = parts.render("{{ actions.post(visit, '/x', 'Do it', {'queue': 'a'}) }}")
    form = page.form("/x")
    assert form.method == "post"
    assert dict(form.fields) == {"token": "t0ken", "queue": "a"}
    assert form.buttons == [("", "", "Do it")]


@pytest.mark.parametrize(
    ("number", "pages", "shown"),
    [
        (1, 1, []),
        (1, 3, ["1", "2", "3"]),
        (1, 9, ["1", "2", "…", "9"]),
        (2, 9, ["1", "2", "3", "…", "9"]),
        (5, 9, ["1", "…", "4", "5", "6", "…", "9"]),
        (9, 9, ["1", "…", "8", "9"]),
        (20_000, 40_000, ["1", "…", "19,999", "20,000", "20,001", "…", "40,000"]),
    ],
)
def test_paging_by_number_shows_the_ends_and_the_neighbours(
    parts: Parts, number: int, pages: int, shown: list[str]
) -> None:
    page = parts.render("{{ paging.numbered(visit, '/x', n, p, 99, 1, 25, size=25) }}", n=number, p=pages)
    assert [text for text in page.texts[1:] if text not in "«‹›»"] == shown
    assert all("size=25" in link for link in page.links)
    if pages > 1:
        assert (f"/x?page={number + 1}&size=25" in page.links) == (number < pages)
        assert [page.text for _ in page.all("span", aria_current="page")]


def test_times_are_relative_with_the_exact_one_beside(parts: Parts) -> None:
    page = parts.render("{{ times.ago(visit, at) }}{{ times.ago(visit, none) }}", at=EPOCH - 200)
    time = page.all("time")[0]
    assert time["datetime"] == "2026-09-21T14:10:00.000000Z"
    assert time["title"] == "21 Sept 2026, 14:10:00 UTC"
    assert "data-relative" in time
    assert page.texts == ["3 minutes ago", "–"]


def test_how_long_something_lasts_and_when_it_was(parts: Parts) -> None:
    page = parts.render(
        "{{ times.lasting(visit, at) }}|{{ times.when(visit, at) }}|{{ times.duration(visit, 61) }}", at=EPOCH - 200
    )
    assert page.text.replace("\xa0", " ") == "3 mins 20 secs | 21 Sept 2026, 14:10:00 UTC | 1 min 1 sec"


def test_a_field_says_what_is_wrong_with_it(parts: Parts) -> None:
    page = parts.render("{{ fields.text('queue', 'Queue', 'a b', 'No spaces.', 'A name.') }}")
    field = page.all("input")[0]
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"].split() == ["queue-error", "queue-hint"]
    assert {"queue-error", "queue-hint"} <= {attributes.get("id") for _, attributes in page.elements}


def test_text_areas_keep_every_character(parts: Parts) -> None:
    text = '\n[1,\n "</textarea>"]\n'
    page = parts.render("<form action='/'>{{ fields.area('args', 'Arguments', text) }}</form>", text=text)
    assert page.forms[0].value("args") == text


# -- the frame of pages -----------------------------------------------------------------------------------------------


def test_a_page_marks_its_tab_and_no_other(stored_house: House) -> None:
    page = ask(stored_house, "/").page
    marked = [
        attributes["data-tab"]
        for _, attributes in page.elements
        if "aria-current" in attributes and "data-tab" in attributes
    ]
    assert marked == ["dashboard"]


def test_a_page_has_what_keyboards_and_screen_readers_need(stored_house: House) -> None:
    page = ask(stored_house, "/").page
    assert len(page.all("main")) == 1
    assert "#content" in page.links
    assert len(page.all("h1")) == 1
    labelled = {attributes.get("for") for attributes in page.all("label")}
    for field in page.all("input"):
        assert field.get("type") == "hidden" or field["id"] in labelled
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_an_unknown_page_says_so_and_leads_back(stored_house: House) -> None:
    answer = ask(stored_house, "/nothing", Accept="text/html")
    assert answer.status == 404
    assert "Error 404" in answer.page.text
    assert "/" in answer.page.links


def test_the_name_of_the_server_is_text(stored_house: House) -> None:
    stored_house.server.description = HOSTILE
    page = ask(stored_house, "/").page
    assert not page.all("img")
    assert HOSTILE in page.title


def test_a_right_to_left_language_turns_the_page_around(stored_house: House) -> None:
    browser = Browser(stored_house)
    browser.cookies["faktory_locale"] = "ar"
    assert browser.get("/").page.all("html")[0]["dir"] == "rtl"
