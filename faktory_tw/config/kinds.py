"""What the value of a setting may be: how it is read from a file and from text, and what is said when it is something else."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_HOST_PORT = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]+):(?P<port>\d{1,5})")
_LISTENING = re.compile(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]*):\d{1,5}")


@dataclass(frozen=True)
class Kind:
    """What a value must be.

    ``read`` takes the value of a TOML file and returns that of ``Settings``; ValueError says "must be …, not …".
    ``of_text`` makes the former from the text of an option or an environment variable.
    """

    read: Callable[[Any], Any]
    of_text: Callable[[str], Any] = str


def shown(value: object) -> str:
    """A value in a message: quoted as far as it is text, and not endless."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _must_be(what: str, value: object) -> ValueError:
    return ValueError(f"must be {what}, not {shown(value)}")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _must_be("text in quotes", value)
    return value


def _secret(value: Any) -> str:
    """Text; what it is instead is not told, because it is a secret all the same."""
    if not isinstance(value, str):
        raise ValueError("must be text in quotes")
    if not value.strip():
        raise ValueError("must not be empty; leave it out to go without")
    return value


def _path(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        raise _must_be('a path in quotes that begins with "/" or "~/"', value)
    return Path(value).expanduser()


def _secret_path(value: Any) -> Path:
    """As above; but somebody may have written the password itself here, so it is not repeated."""
    if not isinstance(value, str) or not value.startswith(("/", "~/")):
        raise ValueError('must be a path in quotes that begins with "/" or "~/"')
    return Path(value).expanduser()


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _must_be("true or false", value)
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise _must_be('a list of texts such as ["a", "b"]', value)
    return tuple(value)


def _address(value: Any) -> str | None:
    """One address; None when there is to be none."""
    if not isinstance(value, str):
        raise _must_be("an address in quotes", value)
    return None if value in ("", ":0") else value


def _addresses(value: Any) -> tuple[str, ...]:
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(address, str) for address in listed):
        raise _must_be("an address in quotes or a list of them", value)
    return tuple(listed)


def _tls_address(value: Any) -> str | None:
    """One address for TLS; None when there is to be none. Twisted's descriptions bring a certificate of their own."""
    address = _address(value)
    if address is not None and not _LISTENING.fullmatch(address):
        raise _must_be("host:port, or :port for all interfaces", value)
    return address


def _tls_addresses(value: Any) -> tuple[str, ...]:
    return tuple(address for address in map(_tls_address, _addresses(value)) if address is not None)


def _host_port(value: Any) -> str:
    found = _HOST_PORT.fullmatch(value) if isinstance(value, str) else None
    if found is None or not 0 < int(found["port"]) < 65_536:
        raise _must_be('an address such as "localhost:8125"', value)
    return str(value)


def duration_seconds(value: Any) -> float:
    """The seconds of a Go duration such as "1h30m"; "0" is one, too. ValueError for anything else."""
    text = value.strip() if isinstance(value, str) else ""
    digits = text.lstrip("+-") if len(text) - len(text.lstrip("+-")) < 2 else ""
    parts = _DURATION.findall(digits)
    seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
    if (not parts and digits != "0") or "".join(number + unit for number, unit in parts) not in (digits, ""):
        raise _must_be('a duration such as "1h", "30m" or "1h30m"', value)
    if not math.isfinite(seconds):
        raise _must_be("a duration of less than a lifetime", value)
    return -seconds if text.startswith("-") else seconds


def seconds(least: int, most: int) -> Kind:
    """Whole seconds, as a number or as a duration."""

    def read(value: Any) -> int:
        given = value if isinstance(value, int) and not isinstance(value, bool) else duration_seconds(value)
        if not least <= given <= most or given != int(given):
            raise _must_be(f"{least} to {most} whole seconds", value)
        return int(given)

    return Kind(read)


def whole_number(least: int, most: float = math.inf) -> Kind:
    """A whole number from ``least`` to ``most``."""

    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _must_be("a whole number", value)
        if not least <= value <= most:
            raise _must_be(f"{least} or more" if most == math.inf else f"{least} to {most}", value)
        return value

    def of_text(text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            return text

    return Kind(read, of_text)


def one_of(choices: tuple[str, ...]) -> Kind:
    """One of several words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise _must_be(f"one of {', '.join(choices)}", value)
        return str(value)

    return Kind(read)


TEXT, FLAG, TEXTS = Kind(_text), Kind(_flag), Kind(_texts)
SECRET, PATH, SECRET_PATH = Kind(_secret), Kind(_path), Kind(_secret_path)
TLS_ADDRESS, TLS_ADDRESSES = Kind(_tls_address), Kind(_tls_addresses)
ADDRESS, ADDRESSES, HOST_PORT, DURATION = Kind(_address), Kind(_addresses), Kind(_host_port), Kind(duration_seconds)
