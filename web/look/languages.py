"""Which languages the pages speak, and which of them a visitor is served.

The choice is that of the cookie ``faktory_locale``, else the first of ``Accept-Language`` that there is, else English.
What programs ask for is answered by :class:`Language` itself, plain English that needs no library. What people look at is
in a :class:`web.localized.LocalizedLanguage`: its texts and Babel's data cost some ten milliseconds and a MiB for each
language, so one is loaded in a thread, when it is first asked for, and kept.

A module that keeps sentences in a table marks them with :func:`gettext_noop`, so that they are found for translation.
"""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import NamedTuple

COOKIE = "faktory_locale"
DEFAULT = "en"

# Each language under its own name: who looks for it need not understand the one that is set.
NAMES = {
    "ar": "العربية",
    "cs": "Čeština",
    "da": "Dansk",
    "de": "Deutsch",
    "el": "Ελληνικά",
    "en": "English",
    "es": "Español",
    "fa": "فارسی",
    "fr": "Français",
    "he": "עברית",
    "hi": "हिन्दी",
    "it": "Italiano",
    "ja": "日本語",
    "ko": "한국어",
    "nb": "Norsk bokmål",
    "nl": "Nederlands",
    "pl": "Polski",
    "pt-br": "Português (Brasil)",
    "pt": "Português",
    "ru": "Русский",
    "sv": "Svenska",
    "ta": "தமிழ்",
    "uk": "Українська",
    "ur": "اردو",
    "vi": "Tiếng Việt",
    "zh-cn": "简体中文",
    "zh-tw": "繁體中文",
}

# What browsers call some of them besides.
_ALIASES = {"no": "nb", "nn": "nb", "iw": "he", "zh": "zh-cn", "zh-hant": "zh-tw", "zh-hk": "zh-tw", "zh-mo": "zh-tw"}
_REGIONS = {"en": "en-GB", "pt": "pt-PT"}  # whose dates we mean: 22:05, and the day before the month
_RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")
_MOST_CHARACTERS = 1000  # of Accept-Language; a browser sends some sixty
_SIZES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


class Choice(NamedTuple):
    """A language, and how it came to be served: by "cookie", "browser" or "default"."""

    code: str
    source: str


def choose(cookie: str | None, accepted: str | None) -> Choice:
    """The language for who sends this cookie and this ``Accept-Language``; nonsense in either is passed over."""
    if cookie is not None and cookie.lower() in NAMES:
        return Choice(cookie.lower(), "cookie")
    for wanted in _ranges((accepted or "")[:_MOST_CHARACTERS]):
        code = DEFAULT if wanted == "*" else _find(wanted)
        if code is not None:
            return Choice(code, "browser")
    return Choice(DEFAULT, "default")


def _ranges(accepted: str) -> list[str]:
    """The language ranges of ``Accept-Language``, the dearest first."""
    weighted: list[tuple[float, str]] = []
    for item in accepted.lower().split(","):
        wanted, _, parameter = item.partition(";")
        name, _, text = parameter.partition("=")
        try:
            weight = float(text) if name.strip() == "q" else 1.0
        except ValueError:
            continue
        if 0 < weight <= 1 and wanted.strip():
            weighted.append((weight, wanted.strip().replace("_", "-")))
    return [wanted for _, wanted in sorted(weighted, key=lambda pair: -pair[0])]


def _find(wanted: str) -> str | None:
    """The language for a tag as it is, or with ever fewer of its parts: ``de-AT`` is served German."""
    while wanted:
        if wanted in NAMES:
            return wanted
        if wanted in _ALIASES:
            return _ALIASES[wanted]
        wanted = wanted.rpartition("-")[0]
    return None


def gettext_noop(text: str) -> str:
    """The text itself, which is marked so for translation and translated where it is shown."""
    return text


class Language:
    """How a language says things. This one is English, without a library.

    ``tag`` is for the page's ``lang``, ``intl`` for a browser's ``Intl``, where it gives the digits that we use, too.
    """

    def __init__(self, code: str = DEFAULT) -> None:
        language, _, territory = code.partition("-")
        self.code = code
        self.tag = f"{language}-{territory.upper()}" if territory else language
        self.intl = _REGIONS.get(code, self.tag)
        self.name = NAMES[code]
        self.direction = "rtl" if code in _RIGHT_TO_LEFT else "ltr"

    def gettext(self, text: str) -> str:
        """The text in this language, or in English when nobody has translated it."""
        return text

    def ngettext(self, one: str, many: str, number: int) -> str:
        """The text for so many things."""
        return one if number == 1 else many

    def pgettext(self, context: str, text: str) -> str:  # noqa: ARG002 - other languages need it
        """A text that means several things, each of which another language may say in another way."""
        return text

    def number(self, value: float) -> str:
        """A number with its separators, and with no more than three digits after the point."""
        return f"{int(value) if value == int(value) else round(value, 3):,}"

    def percent(self, ratio: float) -> str:
        """A ratio, where 1 is all, in hundredths with at most two digits after the point."""
        return f"{round(ratio * 100, 2):g}%"

    def size(self, octets: float) -> str:
        """An amount of memory, in bytes or in the unit in which it is one or more."""
        for unit, octets_of_unit in _SIZES:
            if abs(octets) >= octets_of_unit:
                return self._sized(round(octets / octets_of_unit, 1), unit)
        return self._sized(round(octets), "B")

    def _sized(self, value: float, unit: str) -> str:
        return f"{self.number(value)} {unit}"

    def ago(self, seconds: float) -> str:
        """How long ago something was, or, for a negative number, in how much time it will be."""
        return f"{self.duration(seconds)} ago" if seconds >= 0 else f"in {self.duration(-seconds)}"

    def duration(self, seconds: float) -> str:
        """A length of time."""
        return f"{self.number(seconds)} s"

    def when(self, at: float) -> str:
        """A moment, in UTC."""
        return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"

    def day(self, day: date) -> str:
        """A day of the calendar."""
        return day.isoformat()


PLAIN_ENGLISH = Language()


def load(code: str) -> Language:
    """A language with its texts and formats. To be called in a thread: it reads files and imports libraries."""
    from .localized import LocalizedLanguage  # noqa: PLC0415 - see above

    return LocalizedLanguage(code)
