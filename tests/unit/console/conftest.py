"""Fixtures of the tests of the console: a server that is none, and a command line."""

from __future__ import annotations

import io

import pytest

from faktory_tw import cli
from faktory_tw.console import options
from tests.unit.console.fake import Fake, Run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    """The server."""
    fake = Fake()
    monkeypatch.setattr(options, "connect", lambda _options: fake)
    return fake


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """A function that runs a command line and returns its status, and what it prints to stdout and stderr."""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = cli.main(list(arguments))
        except SystemExit as ended:
            status = int(ended.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run
