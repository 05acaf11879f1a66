"""The wall clock of a real server jumps. See clock_steps.py, and wall.py for how."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from tests.system.clock_episodes import told
from tests.system.clock_steps import clock_steps
from tests.system.conftest import MakeServer
from tests.system.fwp import Client, Job, ServerError, job
from tests.system.server import Server, eventually
from tests.system.torture import table
from tests.system.wall import DAY, Wall

DATES = (
    "1970-01-01T00:00:05Z",
    "2038-01-19T03:14:06Z",  # 2**31 s
    "2106-02-07T06:28:14Z",  # 2**32 s
    "2261-12-31T23:59:58Z",  # Python knows the time until April 2262
)
DST = """
[[cron]]
name = "left-out"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
job = { type = "Tick", queue = "left-out" }

[[cron]]
name = "by-the-clock"
schedule = "*/30 * * * *"
timezone = "Europe/Berlin"
job = { type = "Tick", queue = "by-the-clock" }
"""


def seconds(date: str) -> float:
    """Since the epoch."""
    return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()


@pytest.fixture
def wall(tmp_path: Path) -> Wall:
    """A clock that can be set."""
    return Wall.build(tmp_path)


@pytest.fixture
def dated(wall: Wall, make_server: MakeServer) -> Server:
    """A server with that clock, not yet started."""
    return make_server(start=False, environment=wall.environment)


def test_no_job_is_lost_doubled_or_starved_when_the_clock_is_set(wall: Wall, make_server: MakeServer) -> None:
    verdict = clock_steps(
        make_server(start=False),
        wall,
        rounds=1,
        seed=3,
        episodes=("scheduled", "batches", "cron"),
        wanders=0,
        producers=1,
        workers=2,
        pause_seconds=0.5,
        late_starts=(-3600.0, 30 * DAY),
    )
    print(table(verdict, 0))  # noqa: T201 - shown by pytest when the test fails, and with -s
    assert not verdict.wrong, verdict.text()
    assert verdict.figures["restarts with a step"] >= 3
    assert verdict.figures["minutes of cron with a job"] > 3


def fetch(client: Client, queue: str) -> Job:
    """A job that is due soon."""
    fetched = eventually(lambda: client.fetch(queue), "the job is due")
    assert fetched is not None
    return fetched


def test_a_server_works_at_any_date(wall: Wall, dated: Server) -> None:
    for date in DATES:
        wall.set(seconds(date))
        dated.start()
        with dated.client(wid="worker-1") as client:
            soon = client.push(job("Soon", queue=date[:4], at=told(wall.time() + 1)))
            client.push(job("Later", at=told(wall.time() + 86_400)))
            fetched = fetch(client, date[:4])
            assert fetched["jid"] == soon
            client.fail(soon)
            info = client.info()
            assert info["faktory"]["sets"]["scheduled"] >= 1
            assert info["faktory"]["sets"]["retries"] >= 1
            assert info["now"][:4] in (date[:4], str(int(date[:4]) + 1))
        assert dated.stop() == 0


def test_dates_far_from_now_are_taken_for_what_they_are_and_those_that_are_none_are_refused(server: Server) -> None:
    with server.client() as client:
        for date in (
            "0001-01-01T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "1969-12-31T23:59:59.5Z",
            "1970-01-01T00:00:00Z",
        ):
            client.push(job("Past", at=date))
        for date in (
            "2038-01-19T03:14:08Z",
            "2106-02-07T06:28:16Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-23:59",
        ):
            client.push(job("Future", at=date))
        for date in ("2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2025-02-29T00:00:00Z"):
            with pytest.raises(ServerError, match="invalid timestamp for 'at'"):
                client.push(job("Never", at=date))
        faktory = client.info()["faktory"]
        assert (faktory["queues"]["default"], faktory["sets"]["scheduled"]) == (4, 4)


def test_an_hour_that_daylight_saving_leaves_out_is_made_up_for(wall: Wall, dated: Server) -> None:
    settings = dated.config_directory / "conf.d" / "cron.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(DST)
    wall.set(seconds("2026-03-29T00:40:00Z"))  # 01:40 in Berlin; in twenty minutes it is 03:00
    dated.start()
    wall.set(seconds("2026-03-29T00:59:58Z"))
    with dated.client() as client:

        def queues() -> dict[str, int]:
            sizes: dict[str, int] = client.info()["faktory"]["queues"]
            return sizes

        eventually(lambda: queues() == {"left-out": 1, "by-the-clock": 1}, "half past two came at three")
        wall.step(1795)
        eventually(lambda: queues() == {"left-out": 1, "by-the-clock": 2}, "half past three")
