"""Somebody looks at the throttles while jobs are worked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import MakeServer
from tests.system.fwp import job
from tests.system.server import Server

if TYPE_CHECKING:
    from tests.browser.chromium import Browser

LIMITS = """
[throttles]
bulk = { concurrency = 2 }
tenants = { queue = "api", key = "0.tenant_id", concurrency = 1 }
"""


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> Server:
    """A server with two throttles."""
    server = make_server(start=False)
    (server.config_directory / "conf.d").mkdir()
    (server.config_directory / "conf.d" / "throttles.toml").write_text(LIMITS)
    return server.start()


def test_the_page_shows_what_is_taken_and_what_waits_and_goes_on_by_itself(browser: Browser, server: Server) -> None:
    browser.open("/")
    browser.follow("Throttles")
    browser.until_text("2 throttles", "main")
    with server.client(wid="w1") as client:
        client.pushb([job("Work", number, queue="bulk") for number in range(5)])
        client.pushb([job("Work", {"tenant_id": "acme"}, queue="api") for _ in range(3)])
        for queue in ("bulk", "bulk", "api", "api"):
            client.fetch(queue)
        browser.until(
            lambda: "2 concurrent 3 2 0 0 2" in " ".join(browser.rows("#throttles tbody tr")[0].split()), "slots"
        )
        browser.until_text("acme", "main")
