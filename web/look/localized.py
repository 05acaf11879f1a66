"""A language of the pages: its texts by gettext; its numbers, dates and lengths of time as people write them, by Babel.

Digits are Latin in every language, as Babel writes them: what workers and logs say has them, too, and a page on which
some numbers are Persian and others are not cannot be compared with either. ``intl`` tells a browser, which counts times
on, the same.
"""

from __future__ import annotations

import gettext
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from babel import Locale
from babel.dates import format_date, format_datetime, format_timedelta
from babel.numbers import format_decimal, format_percent
from babel.units import format_unit

from .languages import Language, gettext_noop

TRANSLATIONS = Path(__file__).parent.parent / "translations"
DOMAIN = "messages"

# Where Babel's data goes by another name, or where that of a variant is what we mean: 14:05 and day before month in
# English, and Portuguese as it is written in Portugal.
_LOCALES = {"en": "en_GB", "pt": "pt_PT"}
_NO_BREAK = "\u00a0"

# The units of a time that has passed, the same that web/static's scripts count on with, and cut off, not rounded, alike.
_UNITS = (("year", 31_536_000), ("month", 2_592_000), ("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
_NEVER = 1e9  # as the threshold of format_timedelta: leave the unit to us

_SIZES = {
    "B": gettext_noop("%(number)s B"),
    "KiB": gettext_noop("%(number)s KiB"),
    "MiB": gettext_noop("%(number)s MiB"),
    "GiB": gettext_noop("%(number)s GiB"),
    "TiB": gettext_noop("%(number)s TiB"),
}


def directory(code: str) -> str:
    """The folder of a language under ``translations``, by gettext's rules: ``pt_BR`` for ``pt-br``."""
    language, _, territory = code.partition("-")
    return f"{language}_{territory.upper()}" if territory else language


class LocalizedLanguage(Language):
    """One language."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self._locale = Locale.parse(_LOCALES.get(code, directory(code)))
        self.intl += "-u-nu-latn"
        self._texts = gettext.translation(DOMAIN, TRANSLATIONS, [directory(code)], fallback=True)

    def gettext(self, text: str) -> str:
        """The text in this language, or in English when nobody has translated it."""
        return self._texts.gettext(text)

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The text for so many things."""
        return self._texts.ngettext(one, many, number)

    def pgettext(self, context: str, text: str) -> str:
        """A text that means several things, each of which another language may say in another way."""
        return self._texts.pgettext(context, text)

    def number(self, value: float) -> str:
        """A number with its separators, and with no more than three digits after the point."""
        return format_decimal(value, locale=self._locale)

    def percent(self, ratio: float) -> str:
        """A ratio, where 1 is all, in hundredths with at most two digits after the point."""
        return format_percent(round(ratio, 4), locale=self._locale, decimal_quantization=False)

    def _sized(self, value: float, unit: str) -> str:
        return (self.gettext(_SIZES[unit]) % {"number": self.number(value)}).replace(" ", _NO_BREAK)

    def ago(self, seconds: float) -> str:
        """How long ago something was, or, for a negative number, in how much time it will be."""
        past = abs(int(seconds))
        if not past:
            return self.gettext("now")
        unit, length = next((unit, length) for unit, length in _UNITS if past >= length)
        whole = timedelta(seconds=past // length * length)
        return format_timedelta(
            -whole if seconds > 0 else whole,
            granularity=unit,  # type: ignore[arg-type] # one of its words
            threshold=_NEVER,
            add_direction=True,
            locale=self._locale,
        )

    def duration(self, seconds: float) -> str:
        """A length of time in its two largest units, as "3 min 20 sec"; what is shorter than a second in milliseconds."""
        if abs(seconds) < 1:
            return self._unit(float(f"{seconds * 1000:.3g}"), "millisecond")
        left = int(abs(seconds))
        units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
        first = next(index for index, (_, length) in enumerate(units) if left >= length)
        told = []
        for unit, length in units[first : first + 2]:
            count, left = divmod(left, length)
            if count:
                told.append(self._unit(count, unit))
        return " ".join(told)

    def _unit(self, value: float, unit: str) -> str:
        told = format_unit(value, f"duration-{unit}", "short", locale=self._locale)
        return told.replace(" ", _NO_BREAK)

    def when(self, at: float) -> str:
        """A moment, in UTC."""
        moment = datetime.fromtimestamp(at, timezone.utc)
        return f"{format_datetime(moment, 'medium', locale=self._locale)} UTC"

    def day(self, day: date) -> str:
        """A day of the calendar."""
        return format_date(day, "medium", locale=self._locale)
