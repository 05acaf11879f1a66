"""The texts of the pages and their translations: ``python -m tests.catalogs`` brings the catalogs up to date.

It looks for the texts in the templates and modules of ``web``, writes them to ``web/translations/messages.pot``, merges
them into the ``messages.po`` of each language, and compiles those to the ``messages.mo`` that the server reads. Babel does
the work. All three are kept in the tree, so that installing needs no such step. To translate, edit a ``.po`` (any
editor for them will do), and run the program again: it says how many texts each language lacks, which are shown in
English until then.

The catalogs name files but no lines: else each of them would change with every line that is added to a page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import TemplateSyntaxError

from web.look.languages import DEFAULT, NAMES
from web.look.localized import DOMAIN, TRANSLATIONS, directory

WEB = TRANSLATIONS.parent
TEMPLATE = TRANSLATIONS / f"{DOMAIN}.pot"
TRANSLATED = tuple(code for code in NAMES if code != DEFAULT)

_PROJECT = "faktory_tw"
_COMMENT = "# Texts of the pages of faktory_tw. See tests/catalogs.py."
_NO_DATE = datetime(2000, 1, 1, tzinfo=timezone.utc)  # the same texts give the same bytes
# Lines of the header that say when and by which program it was written, and those that nobody has filled in.
_WITHOUT_MEANING = re.compile(
    rb'^"(Project-Id-Version|Report-Msgid-Bugs-To|[-A-Z]+-Date|Last-Translator|Language-Team|Generated-By): .*\n',
    re.MULTILINE | re.IGNORECASE,
)
_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"**/templates/**.html": {"extensions": "jinja2.ext.do", "silent": "false", "trimmed": "true"}}
_KEYWORDS: dict[str, Any] = {
    "_": None,
    "gettext": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "pgettext": ((1, "c"), 2),
}


def extract() -> Catalog:
    """Every text that there is to translate."""
    found = Catalog(project=_PROJECT, charset="utf-8")
    reading = [""]
    texts = extract_from_dir(WEB, _METHODS, _OPTIONS, _KEYWORDS, callback=lambda file, *_: reading.append(file))
    try:
        for file, line, text, comments, context in texts:
            found.add(text, None, [(f"web/{file}", line)], auto_comments=comments, context=context)
    except TemplateSyntaxError as error:
        raise ValueError(f"web/{reading[-1]}, line {error.lineno}: {error.message}") from None
    return found


def path(code: str, suffix: str = "po") -> Path:
    """The file with the texts of a language."""
    return TRANSLATIONS / directory(code) / "LC_MESSAGES" / f"{DOMAIN}.{suffix}"


def read(code: str) -> Catalog:
    """The translations to a language, as they are in the tree."""
    if not path(code).exists():
        return Catalog(locale=directory(code), project=_PROJECT, charset="utf-8")
    with path(code).open("rb") as file:
        return read_po(file, locale=directory(code), abort_invalid=True)


def read_template() -> Catalog:
    """The texts, as they are in the tree."""
    with TEMPLATE.open("rb") as file:
        return read_po(file, abort_invalid=True)


def write(file: Path, catalog: Catalog) -> None:
    """Write a catalog so that the same texts give the same bytes; an unchanged one is not touched."""
    for message in catalog:
        message.locations = sorted({(name, 0) for name, _ in message.locations})
    catalog.fuzzy = False
    catalog.header_comment = _COMMENT
    written = BytesIO()
    write_po(written, catalog, width=120, include_lineno=False, sort_by_file=True, ignore_obsolete=True)
    _replace(file, _WITHOUT_MEANING.sub(b"", written.getvalue()))


def compile_to_mo(code: str) -> None:
    """Compile the translations to a language to what the server reads."""
    catalog = read(code)
    catalog.creation_date = _NO_DATE
    written = BytesIO()
    write_mo(written, catalog)
    _replace(path(code, "mo"), written.getvalue())


def _replace(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)


def update() -> Iterator[str]:
    """Bring all catalogs up to date; yields what is to be said of each."""
    found = extract()
    write(TEMPLATE, found)
    yield f"{len(found)} texts"
    for code in TRANSLATED:
        catalog = read(code)
        catalog.update(found, no_fuzzy_matching=True, update_header_comment=False, update_creation_date=False)
        write(path(code), catalog)
        compile_to_mo(code)
        lacking = sum(1 for message in catalog if message.id and not translated(message))
        yield f"{code}: {f'{lacking} texts are not translated' if lacking else 'complete'}"


def translated(message: Message) -> bool:
    """Whether a text has a translation, in each of its plural forms."""
    return all(forms(message))


def forms(message: Message) -> tuple[str, ...]:
    """The translation of a text, or one for each plural form."""
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))


if __name__ == "__main__":
    for told in update():
        sys.stdout.write(told + "\n")
