"""How a command ends when it cannot do what it was asked for."""

from __future__ import annotations


class ConsoleError(Exception):
    """The server, or the data, said no: exit status 1. The text is for the user."""


class UsageError(Exception):
    """The command line cannot be meant so: exit status 2. The text says what to write instead."""
