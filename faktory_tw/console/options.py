"""Options that commands share, and what their texts mean."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from faktory_tw.console.address import Address, AddressError, from_environment, parse
from faktory_tw.console.connection import Connection
from faktory_tw.console.errors import UsageError

Run = Callable[[argparse.Namespace], int]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DELAY = re.compile(r"\+((?:\d+[smhd])+)", re.ASCII)
_QUEUE_NAME = re.compile(r"[a-zA-Z0-9._-]+", re.ASCII)


def command(
    commands: Any, name: str, run: Run, summary: str, *, description: str = "", server: bool = True, **more: Any
) -> argparse.ArgumentParser:
    """A parser for one command, with ``--json`` and, if it speaks to a server, ``--url`` and ``--ca-file``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description or f"{summary[0].upper()}{summary[1:]}.", **more
    )
    parser.set_defaults(run=run, refuse=parser.error)
    if server:
        add_server(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    return parser


def group(commands: Any, name: str, summary: str) -> Any:
    """A command that has commands of its own."""
    parser = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    return parser.add_subparsers(dest="subcommand", required=True, metavar="COMMAND")


def add_server(parser: argparse.ArgumentParser) -> None:
    """``--url`` and ``--ca-file``."""
    parser.add_argument(
        "--url",
        type=_address,
        help="tcp://:password@host:port, or tcp+tls://… [default: FAKTORY_URL, or the variable that FAKTORY_PROVIDER "
        "names, else tcp://localhost:7419]. Other users of this machine see the command line: a password is safer in "
        "the variable",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="PEM file of an authority to trust beside the system's")


def address_of(options: argparse.Namespace) -> Address:
    """The server that is meant. Raises UsageError."""
    if options.url is not None:
        address: Address = options.url
        return address
    try:
        return from_environment(os.environ)
    except AddressError as error:
        raise UsageError(str(error)) from None


def connect(options: argparse.Namespace) -> Connection:
    """A connection to the server that is meant."""
    return Connection(address_of(options), options.ca_file)


def _address(url: str) -> Address:
    try:
        return parse(url)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    return _whole_number(text, 1)


def natural(text: str) -> int:
    """A whole number of 0 or more."""
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"must be a whole number of {least} or more, not {text!r}")
    return number


def delay(text: str) -> int | None:
    """Seconds of ``+90s``, ``+10m`` or ``+1h30m``; None when it is no such text."""
    match = _DELAY.fullmatch(text)
    if match is None:
        return None
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", match[1]))


def check_queues(names: Sequence[str]) -> None:
    """Refuse what cannot be the name of a queue: the names travel on one line. ``*`` alone is all of them."""
    for name in names:
        if not _QUEUE_NAME.fullmatch(name) and list(names) != ["*"]:
            raise UsageError(f"{name!r} is no name of a queue: letters, digits, dot, underscore and hyphen")
