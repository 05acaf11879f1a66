"""Fixtures of the tests in a browser: one Chromium with scripts and one without for all of them.

A test that uses `browser` or `plain_browser` also asserts that the console stayed empty, that the content security
policy was kept and that nothing was loaded from elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.requirements import require, require_module
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

MakeServer = Callable[..., Server]


def _started(*, scripts: bool) -> Browser:
    require_module("selenium")
    chromium, chromedriver = require("chromium"), require("chromedriver")
    from tests.browser.chromium import Browser as Chromium  # noqa: PLC0415 - Selenium may be missing

    return Chromium(chromium, chromedriver, scripts=scripts)


@pytest.fixture(scope="session")
def _browser() -> Iterator[Browser]:
    browser = _started(scripts=True)
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def _plain_browser() -> Iterator[Browser]:
    browser = _started(scripts=False)
    yield browser
    browser.quit()


@pytest.fixture
def browser(_browser: Browser, server: Server) -> Iterator[Browser]:
    """A browser at the server of this module, without any memory of other tests."""
    _browser.begin(server.web_url, server.password)
    yield _browser
    assert _browser.complaints() == []


@pytest.fixture
def plain_browser(_plain_browser: Browser, server: Server) -> Iterator[Browser]:
    """A browser in which JavaScript is switched off."""
    _plain_browser.begin(server.web_url, server.password)
    yield _plain_browser
    assert _plain_browser.complaints() == []


@pytest.fixture(scope="module")
def make_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeServer]:
    """A function that returns a running server, which lives as long as the tests of the module."""
    servers: list[Server] = []

    def make(directory: Path | None = None, *, start: bool = True, **options: Any) -> Server:
        server = Server(directory if directory is not None else tmp_path_factory.mktemp("server"), **options)
        servers.append(server)
        return server.start() if start else server

    yield make
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    """The server of this module: empty, without a password. Modules have their own where they need another."""
    return make_server()


@pytest.fixture(params=["with scripts", "without scripts"])
def person(request: pytest.FixtureRequest) -> Browser:
    """Somebody with a browser: every action is possible with JavaScript and without."""
    name = "browser" if request.param == "with scripts" else "plain_browser"
    browser: Browser = request.getfixturevalue(name)
    return browser
