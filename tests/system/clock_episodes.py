"""What is done with dates and durations while the clock is set: an episode for each feature. See clock_steps.py.

An episode sets the clock as it needs it, from wherever it stands, and looks at what comes of it. What is promised is told
where it is checked: dates follow the clock on the wall of that moment, durations do not see it.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

from tests.system.clock_town import BACKUPS_KEPT, CRON, QUIET_SECONDS, Town, directory_of
from tests.system.fwp import Client, ServerError, job
from tests.system.test_web import ask, cookie_of
from tests.system.traits.batches import new_batch
from tests.system.wall import DAY

HOUR = 3600.0
RATE, BURST = 2, 2  # of the queue "rated"
FROZEN_JOBS = 30


def told(moment: float) -> str:
    """A date as a client sends it."""
    return (datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=moment)).isoformat()


def scheduled(town: Town, client: Client) -> None:
    """A job is due when the clock shows its date: a step forward makes it due, a step back puts it off."""
    queue = "ep-scheduled"
    jid = client.push(job("At", queue=queue, at=told(town.wall.time() + HOUR)))
    town.step(HOUR + 1)
    finish(client, town.delivered(client, queue, jid, "the clock was set past its date"))
    jid = client.push(job("At", queue=queue, at=told(town.wall.time() + 600)))
    town.step(-2 * HOUR)
    town.stays_empty(client, queue, "the clock was set back before its date")
    town.step(2 * HOUR)
    town.stays_empty(client, queue, "its date has not come")
    town.step(601)
    finish(client, town.delivered(client, queue, jid, "the clock shows its date again"))
    soon = client.push(job("At", queue=queue, at=told(town.wall.time() + 60)))
    town.restart(61)
    with town.client() as later:
        finish(later, town.delivered(later, queue, soon, "its date came while the server was down"))
        town.stays_empty(later, queue, "all were delivered once")


def retries(town: Town, client: Client) -> None:
    """A retry has a date, too. One that was given while the clock was wrong waits for it, and an operator can have it."""
    queue = "ep-retry"
    jid = client.push(job("Fail", queue=queue, retry=5))
    client.fetch(queue)
    client.fail(jid, retry_after=300)
    town.step(-HOUR)
    town.stays_empty(client, queue, "its retry is in an hour and five minutes")
    town.step(HOUR + 301)
    town.delivered(client, queue, jid, "the clock shows the date of the retry")
    town.step(2 * DAY)
    client.fail(jid, retry_after=300)
    town.step(-2 * DAY)
    town.stays_empty(client, queue, "its date is in two days")
    client.mutate("requeue", "retries", jids=[jid])
    finish(client, town.delivered(client, queue, jid, "an operator wanted it at once"))


def unique(town: Town, client: Client) -> None:
    """A lock ends at its date at the latest, and with its job."""
    queue, custom = "ep-unique", {"unique_for": 600}

    def push() -> str | None:
        try:
            return client.push(job("Only", 1, queue=queue, custom=custom))
        except ServerError:
            return None

    first = push()
    town.check(first is not None and push() is None, "a lock", "one of two equal jobs is accepted")
    town.step(-3 * HOUR)
    town.check(push() is None, "a lock", "it goes on when the clock is set back")
    town.step(3 * HOUR + 601)
    second = push()
    town.check(second is not None, "a lock", "its date has come")
    for jid in (first, second):
        finish(client, town.delivered(client, queue, jid, "both are delivered"))
    town.step(-HOUR)
    third = push()
    town.check(third is not None, "a lock", "the jobs were done, whatever the clock shows")
    finish(client, town.delivered(client, queue, third, "it was accepted"))


def expiry(town: Town, client: Client) -> None:
    """A job expires at its date."""
    queue, custom = "ep-expiry", {"expires_in": 600}
    jid = client.push(job("Soon", queue=queue, custom=custom))
    town.step(-5 * HOUR)
    time.sleep(0.1)
    finish(client, town.delivered(client, queue, jid, "its date has not come"))
    client.push(job("Soon", queue=queue, custom=custom))
    town.step(601)
    town.soon(lambda: not town.queued(client, queue), "not expired", "the clock shows its date")


def batches(town: Town, client: Client) -> None:
    """That a batch is open for too long is a duration; and its callback comes whatever the clock does."""
    queue = "ep-batch"
    bid = new_batch(client, {"complete": {"jobtype": "Callback", "queue": queue}})
    member = client.push(job("Part", queue=queue, custom={"bid": bid}))
    for seconds in (2 * HOUR, -DAY, 2 * DAY):
        town.step(seconds)
        time.sleep(QUIET_SECONDS)
        try:
            client.do(f"BATCH STATUS {bid}")
        except ServerError as error:
            town.find("a batch was given up", f"{seconds:+.0f} s: {error}")
            finish(client, client.fetch(queue))
            return
    client.do(f"BATCH COMMIT {bid}")
    town.step(-HOUR)
    finish(client, town.delivered(client, queue, member, "the member"))
    finish(client, town.delivered(client, queue, None, "the callback"))


def tracks(town: Town, client: Client) -> None:
    """A track shows the dates of the clock, and follows its job over steps."""
    queue = "ep-track"
    jid = client.push(job("Far", queue=queue, custom={"track": 1}))
    for seconds, state in ((-DAY, "enqueued"), (DAY, "enqueued")):
        town.step(seconds)
        town.check(client.do(f"TRACK GET {jid}")["state"] == state, "a track", state)
    client.fetch(queue)
    town.step(-HOUR)
    client.do("TRACK SET", {"jid": jid, "percent": 50, "reserve_until": told(town.wall.time() + 2 * HOUR)})
    town.step(DAY)
    town.check(client.do(f"TRACK GET {jid}").get("percent") == 50, "a track", "percent")
    client.ack(jid)
    town.check(client.do(f"TRACK GET {jid}")["state"] == "success", "a track", "the end of its job")
    town.step(-DAY)


def throttles(town: Town, client: Client) -> None:
    """Tokens come by the monotonic clock: a step back stops none, a step forward brings none."""
    queue = "rated"
    client.pushb([job("Rated", queue=queue) for _ in range(60)])
    for seconds in (0.0, -3 * HOUR, 2 * DAY, -2 * DAY):
        town.set_clock(seconds)
        began, given = time.monotonic(), 0
        while given < BURST + RATE and time.monotonic() - began < 10:
            fetched = client.fetch(queue)
            if fetched is not None:
                client.ack(fetched["jid"])
                given += 1
        took = time.monotonic() - began
        town.check(given == BURST + RATE, "starved", f"{given} tokens in {took:.1f} s after {seconds:+.0f} s")
        town.check(given <= BURST + RATE * (took + 0.1) + 1, "too many tokens", f"{given} in {took:.2f} s")
    client.queue("REMOVE", queue)
    town.look()


def cron(town: Town, client: Client) -> None:
    """Each minute once: not again after a step back, and none is left out because the clock was wrong for a while."""
    town.step(town.walls[1] - town.wall.time() + HOUR)  # where it has never been
    tick_comes(town, client, "a minute begins")
    to_minute(town, 0.5, back=60.0)
    town.stays_empty(client, "cron-skip", "this minute had its job")
    tick_comes(town, client, "the next minute begins")
    town.step(HOUR / 2)
    tick_comes(town, client, "a minute half an hour later")
    town.step(-HOUR / 3)
    tick_comes(town, client, "a minute over which the clock had been set")
    town.step(5 * HOUR)
    for name, most in (("last", 2), ("all", 4)):  # with one whose date may come just now
        queue = f"cron-{name}"
        town.soon(partial(town.queued, client, queue), "starved", f"{name} after five hours")
        count = town.queued(client, queue)
        town.check(count <= most, "a storm", f"{count} jobs of {name} after five hours")
    clear(client)


def backups(town: Town, client: Client) -> None:
    """One at the turn of an hour; a step back neither stops them nor has the newest deleted."""

    def names() -> list[str]:
        return [each["name"] for each in town.api("/api/backups")["backups"]]

    def another(why: str) -> None:
        count = town.api("/api/backups")["count"]
        town.step(HOUR)
        town.soon(lambda: town.api("/api/backups")["count"] > count, "no backup", why)
        town.soon(lambda: len(names()) <= BACKUPS_KEPT, "backups are not deleted", f"{names()}")

    town.step(town.walls[1] - town.wall.time() + 8 * HOUR)  # hours that had none
    another("an hour began")
    newest = names()[:1]
    town.step(-6 * HOUR)
    another("an hour began, after six hours back")
    found = names()
    town.check(found[:1] != newest, "the newest backup", f"{found}, and before {newest}")
    town.check(
        newest[0] in found or len(found) == BACKUPS_KEPT, "the newest backup was deleted", f"{newest} of {found}"
    )
    on_disk = {path.name for path in directory_of(town).glob("faktory-*.db")}
    town.check(set(found) <= on_disk, "a backup is gone", f"{found}, on disk {on_disk}")
    town.check(
        client.info()["faktory"]["tasks"]["backup"]["last_error"] == "", "a backup failed", town.server.log()[-500:]
    )


def web(town: Town, client: Client) -> None:
    """A form that was shown before a step is taken after it; pages show no nonsense."""
    for seconds in (-3 * DAY, 4 * DAY, -DAY):
        shown = ask(town.server.web_port, "/", None)
        town.step(seconds)
        [form] = [form for form in shown.page.forms if form.action == "/preferences"][:1]
        fields: dict[str, Any] = {**dict(form.fields), "theme": "dark"}
        answer = ask(town.server.web_port, form.action, None, fields, Cookie=cookie_of(shown))
        town.check(answer.status == 303, "a form was refused", f"{answer.status} after {seconds:+.0f} s")
        for path in ("/", "/busy", "/queues", "/scheduled", "/retries", "/dead", "/cron", "/backups", "/debug"):
            status = ask(town.server.web_port, path, None).status
            town.check(status == 200, "a page fails", f"{path}: {status}")
    days = {day["date"]: day for day in town.api("/api/history?days=90")["days"]}
    counted = client.info()["faktory"]["total_processed"]
    first, last = (told(wall)[:10] for wall in town.walls)
    strange = [date for date, day in days.items() if day["processed"] and not first <= date <= last]
    town.check(not strange, "the history has strange days", f"{strange}, not {first} to {last}")
    town.check(sum(day["processed"] for day in days.values()) <= counted, "the history has too much", str(counted))


def frozen(town: Town, client: Client, seconds: float = 1.5) -> None:
    """The machine sleeps, or the process is stopped: what came meanwhile is heard before anything is taken back."""
    queue = "ep-frozen"
    jids = [client.push(job("Frozen", queue=queue, reserve_for=60, retry=0)) for _ in range(FROZEN_JOBS)]
    for jid in jids:
        town.delivered(client, queue, jid, "it was pushed")
    failures = client.info()["faktory"]["total_failures"]
    assert town.server.process is not None
    town.silence()
    town.server.process.send_signal(signal.SIGSTOP)
    for jid in jids:
        client.send(f'ACK {{"jid":"{jid}"}}')
    time.sleep(seconds)
    town.set_clock(3 * HOUR)
    town.server.process.send_signal(signal.SIGCONT)
    answers = [client.receive().value for _ in jids]
    town.check(set(answers) == {"OK"}, "an ACK was refused", str(answers))
    info = client.info()["faktory"]
    town.check(info["tasks"]["Busy"]["reaped"] == 0, "taken back wrongly", f"after {seconds} s without the processor")
    town.check(info["total_failures"] >= failures, "failures", str(info))
    town.step(-3 * HOUR)


def finish(client: Client, fetched: dict[str, Any] | None) -> None:
    """Acknowledge what was fetched, if it was."""
    if fetched is not None:
        client.ack(fetched["jid"])


def to_minute(town: Town, before: float, back: float = 0.0) -> None:
    """Set the clock to so much before the next full minute, less ``back``."""
    now = town.wall.time()
    town.step((60 - now % 60) % 60 - before - back)


def tick_comes(town: Town, client: Client, why: str) -> None:
    """The next minute has a job, and only one."""
    to_minute(town, QUIET_SECONDS + 1.0)
    time.sleep(QUIET_SECONDS)  # what came of that step itself
    clear(client)
    finish(client, town.delivered(client, "cron-skip", None, why))
    town.look()
    town.stays_empty(client, "cron-skip", f"there was one already: {why}")


def clear(client: Client) -> None:
    """Forget the jobs of cron."""
    client.queue("REMOVE", *(f"cron-{name}" for name in CRON))


EPISODES: dict[str, Callable[[Town, Client], None]] = {
    each.__name__: each
    for each in (scheduled, retries, unique, expiry, batches, tracks, throttles, cron, backups, web, frozen)
}
