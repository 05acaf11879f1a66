"""Fixtures of the tests that run the real server. They kill what they started, also when a test fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.server import Server

MakeServer = Callable[..., Server]


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """A function that returns a running server: `make_server(password="secret", arguments=["-e", "production"])`.

    It takes what `Server` takes; `directory` defaults to a new one under the test's own, `start=False` leaves the
    starting to the test.
    """
    servers: list[Server] = []

    def make(directory: Path | None = None, *, start: bool = True, **options: Any) -> Server:
        server = Server(directory if directory is not None else tmp_path / f"server{len(servers)}", **options)
        servers.append(server)
        return server.start() if start else server

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    """A running server without a password, on free ports and an empty directory."""
    return make_server()
