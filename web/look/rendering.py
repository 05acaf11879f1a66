"""From a template and values to the bytes of a page.

Jinja2 and Babel cost eight MiB and a tenth of a second: they are loaded in a thread, when the first page is asked for, so
that a server whose pages nobody looks at has neither. A page is rendered in one go in the reactor's thread, which takes a
few milliseconds for a hundred jobs; the language, in which the filters write numbers and times, is that of the page
being rendered.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faktory_tw import __version__
from faktory_tw.times import rfc3339

from .languages import NAMES

if TYPE_CHECKING:
    from .languages import Language

TEMPLATES = Path(__file__).parent.parent / "templates"


class Renderer:
    """Renders the templates. To be made in a thread: it compiles them all."""

    def __init__(self) -> None:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context  # noqa: PLC0415 - see above

        self._language: Language | None = None
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters.update(
            number=lambda value: self._speak().number(value),
            percent=lambda ratio: self._speak().percent(ratio),
            size=lambda octets: self._speak().size(octets),
            ago=lambda seconds: self._speak().ago(seconds),
            duration=lambda seconds: self._speak().duration(seconds),
            when=lambda at: self._speak().when(at),
            day=lambda day: self._speak().day(day),
            rfc3339=rfc3339,
            json=json.dumps,
        )
        self._environment.globals.update(languages=NAMES, version=__version__)
        self._install_texts(pass_context)
        for name in self._environment.list_templates(["html"]):
            self._environment.get_template(name)

    def _install_texts(self, pass_context: Callable[[Any], Any]) -> None:
        """Give the templates ``_`` and ``ngettext``; Jinja's own, but that ``num`` is written with separators."""
        i18n: Any = self._environment
        i18n.install_gettext_callables(
            lambda text: self._speak().gettext(text),
            lambda one, many, number: self._speak().ngettext(one, many, number),
            newstyle=True,
            pgettext=lambda context, text: self._speak().pgettext(context, text),
        )
        counted = i18n.globals["ngettext"]

        @pass_context
        def ngettext(context: Any, one: str, many: str, number: int, **values: Any) -> Any:
            return counted(context, one, many, number, **{"num": self._speak().number(number), **values})

        i18n.globals["ngettext"] = ngettext

    def _speak(self) -> Language:
        assert self._language is not None
        return self._language

    def render(self, template: str, language: Language, values: dict[str, Any]) -> bytes:
        """The page, in that language."""
        self._language = language
        return self._environment.get_template(template).render(values).encode()
