"""The catalogs in the tree: they are what the pages need, and harm nothing that they are put into."""

from __future__ import annotations

import gettext
import re
from collections import Counter
from io import BytesIO

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.plurals import get_plural

from tests import catalogs
from tests.catalogs import TRANSLATED, forms, translated
from web.look.languages import DEFAULT, NAMES
from web.look.localized import TRANSLATIONS, directory

ENOUGH = 0.95  # of the texts, so that a page can be changed before it is translated; shown in English until then
UPDATE = "run `python -m tests.catalogs`"

PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")
CATALOGS = {code: catalogs.read(code) for code in TRANSLATED}
# Order of reading can be turned by characters that nobody sees.
INVISIBLE = re.compile("[\u0000-\u001f\u007f-\u009f\u200b\u202a-\u202e\u2060-\u2069\ufeff]")


@pytest.fixture(scope="module")
def found() -> Catalog:
    """The texts of the pages as they are now."""
    return catalogs.extract()


def texts(catalog: Catalog) -> list[Message]:
    """The messages without the header."""
    return [message for message in catalog if message.id]


def ids(catalog: Catalog) -> set[object]:
    return {(message.context, message.id) for message in texts(catalog)}


def english(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def entries(compiled: gettext.GNUTranslations) -> dict[object, str]:
    """The texts of a compiled catalog; its header says when it was made and by what."""
    return {text: told for text, told in vars(compiled)["_catalog"].items() if text}


def placeholders(text: str) -> Counter[str]:
    """The values that a text has room for, and its literal percent signs under ``%``."""
    return Counter(match[1] or "%" for match in PLACEHOLDER.finditer(text))


def ends(text: str) -> str:
    """The white space around a text."""
    return re.sub(r"\S(.*\S)?", "·", text, flags=re.DOTALL)


# -- texts -----------------------------------------------------------------------------------------------------------


def test_the_template_of_the_catalogs_has_the_texts_of_the_pages(found: Catalog) -> None:
    written = ids(catalogs.read_template())
    assert not ids(found) - written, f"new texts: {UPDATE}"
    assert not written - ids(found), f"texts that are no longer used: {UPDATE}"


def test_every_text_is_one_that_can_be_filled_in(found: Catalog) -> None:
    for message in texts(found):
        for text in english(message):
            assert "%" not in PLACEHOLDER.sub("", text), f"a % in {text!r}: write %% or %(name)s"
            assert "<" not in text, f"HTML in {text!r}"
            assert text == text.strip(), f"white space around {text!r}"


def test_texts_differ_by_more_than_their_capitals(found: Catalog) -> None:
    spellings = Counter(text.lower() for text in {text for message in texts(found) for text in english(message)[:1]})
    assert [text for text, times in spellings.items() if times > 1] == []


# -- translations ----------------------------------------------------------------------------------------------------


def test_there_is_a_catalog_for_every_language_but_english() -> None:
    there = {folder.name for folder in TRANSLATIONS.iterdir() if folder.is_dir()}
    assert there == {directory(code) for code in NAMES if code != DEFAULT}


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalog_has_the_texts_of_the_template(code: str) -> None:
    assert ids(CATALOGS[code]) == ids(catalogs.read_template()), UPDATE


@pytest.mark.parametrize("code", TRANSLATED)
def test_the_texts_are_translated(code: str) -> None:
    messages = texts(CATALOGS[code])
    lacking = [message.id for message in messages if not translated(message)]
    assert len(lacking) <= (1 - ENOUGH) * len(messages), lacking


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_translation_waits_for_review(code: str) -> None:
    assert [message.id for message in texts(CATALOGS[code]) if message.fuzzy] == []


@pytest.mark.parametrize("code", TRANSLATED)
def test_placeholders_are_those_of_the_english_text(code: str) -> None:
    for message in texts(CATALOGS[code]):
        allowed = [placeholders(text) for text in english(message)]
        for form in filter(None, forms(message)):
            assert "%" not in PLACEHOLDER.sub("", form), form
            # The form for one or two things need not tell the number.
            without_number = [Counter({name: n for name, n in each.items() if name != "num"}) for each in allowed[1:]]
            assert placeholders(form) in allowed + without_number, (message.id, form)


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_form_for_many_tells_how_many(code: str) -> None:
    for message in texts(CATALOGS[code]):
        if not isinstance(message.id, str) and "%(num)s" in message.id[1] and translated(message):
            spoken = CATALOGS[code]
            rule = gettext.c2py(spoken.plural_expr)
            for number in (5, 11, 21, 100, 1000):
                assert "%(num)s" in forms(message)[rule(number)], (number, message.id)


@pytest.mark.parametrize("code", TRANSLATED)
def test_there_is_a_form_for_each_plural_of_the_language(code: str) -> None:
    catalog = CATALOGS[code]
    assert catalog.num_plurals == get_plural(directory(code))[0]
    for message in texts(catalog):
        assert len(forms(message)) == (1 if isinstance(message.id, str) else catalog.num_plurals), message.id


@pytest.mark.parametrize("code", TRANSLATED)
def test_translations_are_plain_text(code: str) -> None:
    for message in texts(CATALOGS[code]):
        for form in forms(message):
            assert "<" not in form, f"HTML in {form!r}"
            assert "&" not in form or "&" in "".join(english(message)), f"an entity in {form!r}"
            assert not INVISIBLE.search(form), f"an invisible character in {form!r}"
            assert not form or ends(form) == "·", f"white space around {form!r}"


@pytest.mark.parametrize("code", TRANSLATED)
def test_what_the_server_reads_is_what_translators_wrote(code: str) -> None:
    compiled = BytesIO()
    write_mo(compiled, CATALOGS[code])
    compiled.seek(0)
    with catalogs.path(code, "mo").open("rb") as file:
        read = gettext.GNUTranslations(file)
    assert entries(read) == entries(gettext.GNUTranslations(compiled)), UPDATE
    whole = [message for message in texts(CATALOGS[code]) if not message.context and translated(message)]
    told = [message for message in whole if isinstance(message.id, str)]
    assert [read.gettext(str(message.id)) for message in told] == [message.string for message in told]
