"""Which language a visitor is served, and how numbers, sizes and times are written in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import date

import pytest
from babel import Locale

from tests.unit.house import EPOCH
from web.look.languages import NAMES, PLAIN_ENGLISH, Choice, Language, choose, load
from web.look.localized import directory
from web.look.rendering import Renderer

LANGUAGES = {code: load(code) for code in NAMES}
NO_BREAK = "\u00a0"


def plain(text: str) -> str:
    """The text with spaces for whatever kind of space it has."""
    return " ".join(text.split())


# -- choosing --------------------------------------------------------------------------------------------------------


def test_there_are_the_27_languages() -> None:
    assert len(NAMES) == 27


@pytest.mark.parametrize("code", NAMES)
def test_a_cookie_chooses_each_language(code: str) -> None:
    assert choose(code, "sv") == Choice(code, "cookie")
    assert choose(code.upper(), None) == Choice(code, "cookie")


@pytest.mark.parametrize(
    "cookie", ["", "xx", "../../etc/passwd", "de\r\nX: y", "e" * 5000, "de-AT", "\x00", "__class__"]
)
def test_a_cookie_that_is_no_language_is_passed_over(cookie: str) -> None:
    assert choose(cookie, "fr") == Choice("fr", "browser")
    assert choose(cookie, None) == Choice("en", "default")


@pytest.mark.parametrize(
    ("accepted", "code"),
    [
        ("de", "de"),
        ("DE-at", "de"),
        ("de-DE-1996", "de"),
        ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ("en;q=0.1, ja;q=0.9", "ja"),
        ("ja;q=0.5, ko;q=0.5", "ja"),
        ("xx, yy;q=0.9, sv;q=0.1", "sv"),
        ("sv;q=0, uk;q=0.1", "uk"),
        ("pt", "pt"),
        ("pt-PT", "pt"),
        ("pt-BR", "pt-br"),
        ("pt-AO", "pt"),
        ("zh", "zh-cn"),
        ("zh-CN", "zh-cn"),
        ("zh-SG", "zh-cn"),
        ("zh-Hans", "zh-cn"),
        ("zh-Hans-TW", "zh-cn"),
        ("zh-TW", "zh-tw"),
        ("zh-HK", "zh-tw"),
        ("zh-MO", "zh-tw"),
        ("zh-Hant", "zh-tw"),
        ("zh-Hant-HK", "zh-tw"),
        ("no", "nb"),
        ("nn-NO", "nb"),
        ("iw", "he"),
        ("he_IL", "he"),
        (" ar ; q=0.4 ", "ar"),
        ("*", "en"),
        ("*;q=0.1, ta;q=0.05", "en"),
    ],
)
def test_a_browser_chooses_by_what_it_likes_best(accepted: str, code: str) -> None:
    assert choose(None, accepted) == Choice(code, "browser")


@pytest.mark.parametrize(
    "accepted",
    ["", ",,,;;;", "de;q=x", "de;q=nan", "de;q=-1", "de;q=2", "de;q=inf", "tlh", "-", "x" * 100_000, "de;q=0"],
)
def test_what_no_browser_sends_is_answered_in_english(accepted: str) -> None:
    assert choose(None, accepted) == Choice("en", "default")


def test_a_very_long_list_is_read_no_further_than_a_thousand_characters() -> None:
    assert choose(None, "xx," * 400 + "de") == Choice("en", "default")


@pytest.mark.parametrize("code", NAMES)
def test_direction_and_tag_are_what_unicode_says(code: str) -> None:
    locale = Locale.parse(directory(code))
    language = LANGUAGES[code]
    assert language.direction == ("rtl" if locale.text_direction == "rtl" else "ltr")
    assert language.tag.lower() == code
    assert language.name == NAMES[code]


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "number", "ratio", "size"),
    [
        ("en", "1,234,567.891", "99.97%", "11.8 MiB"),
        ("de", "1.234.567,891", "99,97 %", "11,8 MiB"),
        ("fr", "1 234 567,891", "99,97 %", "11,8 Mio"),
        ("ta", "12,34,567.891", "99.97%", "11.8 MiB"),
        ("ar", "1,234,567.891", "99.97%", "11.8 MiB"),
        ("fa", "1,234,567.891", "99.97%", "11.8 MiB"),
    ],
)
def test_numbers_are_written_as_in_the_language(code: str, number: str, ratio: str, size: str) -> None:
    language = LANGUAGES[code]
    assert [plain(language.number(1_234_567.8912)), plain(language.percent(0.99971))] == [number, ratio]
    assert plain(language.size(12_345_678)) == size


@pytest.mark.parametrize(
    ("octets", "told"),
    [(0, "0 B"), (1023, "1,023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 20, "1 MiB"), (5 << 30, "5 GiB"), (1 << 42, "4 TiB")],
)  # fmt: skip
def test_sizes_have_the_unit_in_which_they_are_one_or_more(octets: int, told: str) -> None:
    assert plain(LANGUAGES["en"].size(octets)) == told
    assert PLAIN_ENGLISH.size(octets) == told


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "now"),
        (0.9, "now"),
        (-0.9, "now"),
        (1, "1 second ago"),
        (59.9, "59 seconds ago"),
        (60, "1 minute ago"),
        (119, "1 minute ago"),
        (-120, "in 2 minutes"),
        (3599, "59 minutes ago"),
        (86_399, "23 hours ago"),
        (13 * 86_400, "13 days ago"),
        (-29 * 86_400, "in 29 days"),
        (30 * 86_400, "1 month ago"),
        (364 * 86_400, "12 months ago"),
        (800 * 86_400, "2 years ago"),
    ],
)
def test_how_long_ago_is_told_in_the_largest_unit_and_cut_off(seconds: float, told: str) -> None:
    assert LANGUAGES["en"].ago(seconds) == told


@pytest.mark.parametrize(
    ("code", "past", "future"),
    [
        ("de", "vor 3 Minuten", "in 3 Minuten"),
        ("ar", "قبل 3 دقائق", "خلال 3 دقائق"),
        ("pl", "3 minuty temu", "za 3 minuty"),
        ("ja", "3 分前", "3 分後"),
    ],
)
def test_how_long_ago_is_told_in_the_language(code: str, past: str, future: str) -> None:
    assert plain(LANGUAGES[code].ago(200)) == past
    assert plain(LANGUAGES[code].ago(-200)) == future


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 ms"),
        (0.000_312, "0.312 ms"),
        (0.25, "250 ms"),
        (7.9, "7 secs"),
        (200, "3 mins 20 secs"),
        (3600, "1 hr"),
        (3605, "1 hr"),
        (86_400 + 7200 + 59, "1 day 2 hrs"),
        (86_400 * 1000, "1,000 days"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(seconds: float, told: str) -> None:
    assert plain(LANGUAGES["en"].duration(seconds)) == told


def test_the_parts_of_a_length_of_time_are_not_torn_from_their_units() -> None:
    assert LANGUAGES["de"].duration(200) == f"3{NO_BREAK}Min. 20{NO_BREAK}Sek."


def test_moments_are_in_utc_and_say_so() -> None:
    assert plain(LANGUAGES["en"].when(EPOCH)).endswith(" UTC")
    assert plain(LANGUAGES["de"].when(1_700_000_000)) == "14.11.2023, 22:13:20 UTC"
    assert PLAIN_ENGLISH.when(1_700_000_000) == "2023-11-14 22:13:20 UTC"


@pytest.mark.parametrize("code", NAMES)
def test_each_language_can_write_everything_and_with_latin_digits(code: str) -> None:
    language = LANGUAGES[code]
    for told in everything(language):
        assert told
        assert all(character in "0123456789" for character in told if character.isdigit()), told


def everything(language: Language) -> list[str]:
    """One of everything that the language writes."""
    moments = [language.when(1_700_000_000), language.day(date(2023, 11, 14))]
    numbers = [language.number(1_234_567), language.percent(0.5), language.size(1 << 31)]
    times = [0, 1, 2, 5, 100, 5000, 100_000, 5_000_000, 100_000_000]
    return moments + numbers + [told(s) for s in times for told in (language.ago, language.duration)]


def test_a_text_that_nobody_translated_is_shown_in_english() -> None:
    assert LANGUAGES["ja"].gettext("No such text.") == "No such text."
    assert LANGUAGES["ja"].ngettext("one", "many", 1) == "one"
    assert LANGUAGES["ja"].ngettext("one", "many", 2) == "many"


# -- in templates ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def speak() -> Callable[..., str]:
    """A template's text, rendered in a language with some values."""
    renderer = Renderer()

    def rendered(code: str, template: str, **values: object) -> str:
        renderer._language = LANGUAGES[code]
        return str(renderer._environment.from_string(template).render(values))

    return rendered


def test_counts_in_templates_are_written_with_separators(speak: Callable[..., str]) -> None:
    template = '{{ ngettext("%(num)s thing", "%(num)s things", n) }}'
    assert speak("en", template, n=1) == "1 thing"
    assert speak("en", template, n=31_204) == "31,204 things"
    assert speak("de", template, n=31_204) == "31.204 things"


def test_values_in_translated_texts_are_escaped(speak: Callable[..., str]) -> None:
    assert speak("en", '{{ _("Queue %(name)s", name=name) }}', name="<b>") == "Queue &lt;b&gt;"
    counted = '{{ ngettext("%(num)s in %(name)s", "%(num)s in %(name)s", 5, name=name) }}'
    assert speak("en", counted, name="<script>") == "5 in &lt;script&gt;"


def test_the_filters_write_in_the_language_of_the_page(speak: Callable[..., str]) -> None:
    template = "{{ 12345|number }} {{ 0.5|percent }} {{ 2048|size }} {{ 200|ago }} {{ 7|duration }} {{ 1.7e9|when }}"
    assert plain(speak("en", template)) == "12,345 50% 2 KiB 3 minutes ago 7 secs 14 Nov 2023, 22:13:20 UTC"
    assert plain(speak("de", template)) == "12.345 50 % 2 KiB vor 3 Minuten 7 Sek. 14.11.2023, 22:13:20 UTC"


def test_a_server_that_only_programs_ask_loads_no_library_for_languages() -> None:
    seen = "import sys, web; from web.look.languages import PLAIN_ENGLISH as p; p.when(0); p.ago(5); print('babel' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True, timeout=60)
    assert told.stdout.strip() == "False"
