"""The jobs of a shop, as they might be on an afternoon on which not everything goes well.

    with Shop(server).open():        # its three workers are connected until the end
        ...

Nothing is random from one run to the next but jids and times.

For pictures the jobs should not all be of this minute: `grow_old` turns back the times in the database of a stopped
server, and gives it half a year of history.
"""

from __future__ import annotations

import json
import math
import random
import signal
import sqlite3
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.browser import campaign
from tests.system.fwp import Client, Job, job
from tests.system.server import Server

QUEUES = ("critical", "default", "mailers", "images", "webhooks", "reports")
ROLES = {
    "web-1.shop.example": (4211, ["ruby-7.3", "shop"], 181_000),
    "web-2.shop.example": (977, ["ruby-7.3", "shop"], 164_300),
    "images-1.shop.example": (31_002, ["go-1.24", "images"], 48_700),
}
FAILURES = (
    ("Net::ReadTimeout", "Net::ReadTimeout with #<TCPSocket:(closed)>", "WebhookDelivery", "webhooks"),
    ("ActiveRecord::RecordNotFound", "Couldn't find Order with 'id'=48213", "OrderConfirmationMailer", "mailers"),
    ("Stripe::CardError", "Your card has insufficient funds.", "PaymentCapture", "critical"),
    ("MiniMagick::Error", "`convert -resize 1200x` failed: unable to open image", "ImageResize", "images"),
    ("Errno::ENOSPC", "No space left on device @ rb_sysopen - /var/tmp/export.csv", "CustomerExport", "reports"),
)
CRON = """
[[cron]]
name = "nightly-report"
schedule = "30 2 * * MON-FRI"
timezone = "Europe/Berlin"
catch_up = "last"
[cron.job]
type = "SalesReport"
queue = "reports"
args = ["daily", { format = "pdf" }]
custom = { unique_for = 3600 }

[[cron]]
name = "abandoned-carts"
schedule = "*/15 8-20 * * *"
timezone = "America/New_York"
[cron.job]
type = "AbandonedCartReminder"
queue = "mailers"

[[cron]]
name = "clean-sessions"
schedule = "@hourly"
paused = true
[cron.job]
type = "SessionCleanup"
"""
BACKTRACE = (
    "/app/vendor/bundle/ruby/3.3.0/gems/net-protocol-0.2.2/lib/net/protocol.rb:219:in `rbuf_fill'",
    "/app/vendor/bundle/ruby/3.3.0/gems/net-protocol-0.2.2/lib/net/protocol.rb:193:in `readuntil'",
    "/app/lib/shop/http.rb:41:in `post'",
    "/app/app/jobs/webhook_delivery.rb:17:in `perform'",
    "/app/vendor/bundle/ruby/3.3.0/gems/faktory_worker_ruby-2.0.0/lib/faktory/processor.rb:112:in `dispatch'",
)
_HOUR = 3600.0
_DEAD = 3  # a place, as the database calls it


def arguments(jobtype: str, number: int) -> list[Any]:
    """What a job of this type is called with."""
    calls: dict[str, list[Any]] = {
        "OrderConfirmationMailer": [48_000 + number, "ann@example.com", {"locale": "de", "gift": number % 3 == 0}],
        "InvoicePdf": [48_000 + number, {"paper": "A4", "copies": 2}],
        "ImageResize": [f"products/{number % 900}/front.jpg", [1200, 600, 300]],
        "WebhookDelivery": ["https://partner.example/hooks/orders", {"event": "order.paid", "id": 48_000 + number}],
        "PaymentCapture": [f"pi_3PqLk{number:06d}", 12_990 + number, "EUR"],
        "CustomerExport": [{"format": "csv", "since": "2026-01-01", "columns": ["name", "city", "orders"]}],
        "SearchReindex": ["products", number],
        "Newsletter": [7_000 + number, "summer-sale"],
    }
    return calls[jobtype]


def later(seconds: float) -> str:
    """A time so many seconds from now."""
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds)).isoformat()


def worker(server: Server, name: str, **hello: Any) -> Client:
    """Connect as a worker of this name, and give a first sign of life."""
    pid, labels, rss_kb = ROLES.get(name, (1000, ["test"], 20_000))
    client = server.client(
        wid=f"{name.partition('.')[0]}-{pid:x}c0ffee", hello={"hostname": name, "pid": pid, "labels": labels, **hello}
    )
    client.beat(rss_kb=rss_kb)
    return client


class Shop:
    """Fills a server. `size` makes everything larger."""

    def __init__(self, server: Server, size: int = 1) -> None:
        self.server = server
        self.size = size
        self.dice = random.Random(7420)
        self.workers: dict[str, Client] = {}

    def open(self) -> Shop:
        """Make all jobs, and have the workers begin."""
        self.push()
        self.start_workers()
        return self

    def push(self) -> None:
        """Make the jobs: those that failed, those for later, those that wait."""
        with self.server.client(wid="past-1") as client:
            self._fail(client)
            self._schedule(client)
            self._queue(client)
            campaign.push(client)
            self._plan(client)

    def __enter__(self) -> Shop:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        """The workers hang up."""
        for client in self.workers.values():
            client.close()

    def start_workers(self) -> None:
        """Connect the workers, and have them begin some jobs."""
        for name, queues in zip(ROLES, (("critical", "default"), ("mailers", "default"), ("images",)), strict=True):
            client = self.workers[name] = worker(self.server, name)
            for _ in range(self.dice.randint(1, 3)):
                client.fetch(*queues)
        campaign.work(self.workers["web-1.shop.example"])

    def _plan(self, client: Client) -> None:
        """Entries of cron, one of which was run by hand."""
        path = self.server.config_directory / "conf.d" / "cron.toml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(CRON, encoding="utf-8")
        self.server.send_signal(signal.SIGHUP)
        self.server.wait_for_log("SIGHUP: Changed: cron")
        client.command('ADMIN CRON {"action":"run","name":"nightly-report"}')

    def _fail(self, client: Client) -> None:
        """Jobs that failed: some once, some several times, some for good."""
        for number in range(12 * self.size):
            errtype, message, jobtype, queue = FAILURES[number % len(FAILURES)]
            client.push(job(jobtype, *arguments(jobtype, number), queue=queue, retry=25, custom={"shop": "eu"}))
        for times in range(3):
            while failing := client.fetch(*QUEUES) if self._any_queued(client) else None:
                errtype, message = next(f[:2] for f in FAILURES if f[2] == failing["jobtype"])
                client.fail(failing["jid"], errtype, message, backtrace=list(BACKTRACE), retry_after=_HOUR)
            if times < 2:
                client.mutate("requeue", "retries", jobtype=FAILURES[times][2])
        client.mutate("kill", "retries", jobtype="CustomerExport")
        client.mutate("kill", "retries", jobtype="PaymentCapture")

    @staticmethod
    def _any_queued(client: Client) -> bool:
        return bool(client.info()["faktory"]["total_enqueued"])

    def _schedule(self, client: Client) -> None:
        jobs = [
            job("Newsletter", *arguments("Newsletter", n), queue="mailers", at=later(_HOUR + 45 * n))
            for n in range(30 * self.size)
        ]
        jobs += [
            job("SearchReindex", *arguments("SearchReindex", n), queue="default", priority=2, at=later(_HOUR * (n + 6)))
            for n in range(6 * self.size)
        ]
        assert client.pushb(jobs) == {}

    def _queue(self, client: Client) -> None:
        sizes = {"critical": 6, "default": 40, "mailers": 70, "images": 25, "reports": 8, "webhooks": 15}
        types = {
            "critical": "PaymentCapture",
            "default": "InvoicePdf",
            "mailers": "OrderConfirmationMailer",
            "images": "ImageResize",
            "reports": "CustomerExport",
            "webhooks": "WebhookDelivery",
        }
        for queue, count in sizes.items():
            jobs = [self._queued(types[queue], queue, number) for number in range(count * self.size)]
            assert client.pushb(jobs) == {}
        client.queue("PAUSE", "reports")

    def _queued(self, jobtype: str, queue: str, number: int) -> Job:
        made = job(jobtype, *arguments(jobtype, number), queue=queue)
        priority = self.dice.choice((5, 5, 5, 5, 3, 7, 9))
        return made if priority == 5 else {**made, "priority": priority}


# -- time that has passed ----------------------------------------------------------------------------------------------


def grow_old(data_directory: Path, days: int = 190) -> None:
    """Turn back the times in the database of a server that is stopped, and give it a history."""
    dice = random.Random(days)
    (database,) = data_directory.rglob("faktory.db")
    connection = sqlite3.connect(database)
    with connection:
        queued = connection.execute("SELECT id, enqueued_at, body FROM jobs WHERE at IS NULL ORDER BY id").fetchall()
        # What was pushed first waits longest.
        ages = sorted((dice.expovariate(1 / 240) for _ in queued), reverse=True)
        for (identity, enqueued_at, body), ago in zip(queued, ages, strict=True):
            made = json.dumps({**json.loads(body), "created_at": _text(enqueued_at - 30 * _HOUR)})
            connection.execute(
                "UPDATE jobs SET enqueued_at = ?, body = ? WHERE id = ?", (enqueued_at - ago, made, identity)
            )
        failed = connection.execute("SELECT id, place, at, failure FROM places WHERE failure != ''").fetchall()
        for identity, place, at, failure in failed:
            due_at, text = _failed_earlier(json.loads(failure), at, place == _DEAD, dice)
            connection.execute("UPDATE places SET failure = ?, at = ? WHERE id = ?", (text, due_at, identity))
        connection.execute("DELETE FROM days")
        connection.executemany("INSERT INTO days VALUES (?, ?, ?)", _history(days, dice))
    connection.close()


def _failed_earlier(failure: dict[str, Any], at: float, dead: bool, dice: random.Random) -> tuple[float, str]:
    """When it is due or dropped, and the failure: as if it had failed several times already."""
    count = 25 if dead else dice.randint(0, 8)
    ago = dice.uniform(600, 20 * _HOUR) if dead else dice.uniform(0, 0.9) * (count**4 + 15)
    failed_at = time.time() - ago
    next_at = failed_at + count**4 + 15 + dice.randint(0, 30 * (count + 1))
    if not dead:  # those that look at it want to see it, however slow they are
        next_at = max(next_at, time.time() + _HOUR / 2 + dice.uniform(0, _HOUR))
    failure.update(retry_count=count, remaining=25 - count, failed_at=_text(failed_at))
    if dead:
        return at - ago, json.dumps(failure)
    failure["next_at"] = _text(next_at)
    return next_at, json.dumps(failure)


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _history(days: int, dice: random.Random) -> list[tuple[str, int, int]]:
    """A row a day: a shop that grows, with quiet Sundays and one bad day, and the total."""
    today = datetime.fromtimestamp(time.time(), timezone.utc).date()
    rows = []
    for ago in range(days):
        day = today - timedelta(days=ago)
        growth = 1.0 - 0.4 * ago / days
        weekly = 0.55 if day.weekday() == 6 else 1.0 + 0.15 * math.sin(day.weekday())
        processed = int(52_000 * growth * weekly * dice.uniform(0.92, 1.08) * (0.6 if ago == 0 else 1.0))
        failures = int(processed * (0.11 if ago == 17 else dice.uniform(0.004, 0.012)))
        rows.append((day.isoformat(), processed, failures))
    return [*rows, ("total", sum(row[1] for row in rows), sum(row[2] for row in rows))]
