"""A newsletter of the shop: batches inside of batches, jobs that tell how far they are, and jobs that are unique."""

from __future__ import annotations

import json
from typing import Any

from tests.system.fwp import Client, job

QUEUE = "campaign"
SEGMENTS = ("Germany", "Austria", "Switzerland", "Sverige", "الإمارات")
LATER = 3600  # seconds until a failed job is tried again: who looks at it may be slow
FAILURE = ("Net::SMTPServerBusy", "451 4.7.1 Greylisting in action, please come back later")


def batch(client: Client, description: str = "", parent: str = "", **callbacks: str) -> str:
    """Begin a batch, with these job types as callbacks; its bid."""
    asked: dict[str, Any] = {
        kind: job(jobtype, description, queue=QUEUE) for kind, jobtype in (callbacks or {"success": "Report"}).items()
    }
    if description:
        asked["description"] = description
    if parent:
        asked["parent_bid"] = parent
    reply = client.command("BATCH NEW " + json.dumps(asked))
    assert isinstance(reply.value, bytes), reply
    return reply.value.decode()


def commit(client: Client, bid: str) -> None:
    """No more jobs are announced."""
    assert client.command(f"BATCH COMMIT {bid}").type == "simple"


def members(client: Client, bid: str, count: int, done: int = 0, failed: int = 0) -> None:
    """Push so many jobs of a batch, of which some are done and some fail."""
    queue = f"{QUEUE}-now"
    for number in range(count):
        client.push(
            job("SendMail", f"customer-{number}", queue=queue if number < done + failed else QUEUE, custom={"bid": bid})
        )
    for number in range(done + failed):
        fetched = client.fetch(queue)
        while fetched is not None and fetched["custom"]["bid"] != bid:  # one of another batch that is tried again
            _fail(client, fetched["jid"])
            fetched = client.fetch(queue)
        assert fetched is not None
        if number < done:
            client.ack(fetched["jid"])
        else:
            _fail(client, fetched["jid"])


def _fail(client: Client, jid: str) -> None:
    client.fail(jid, *FAILURE, backtrace=["/app/lib/smtp.rb:41:in `deliver'"], retry_after=LATER)


def work_off(client: Client) -> None:
    """Do the callbacks that are enqueued by now."""
    while fetched := client.fetch(QUEUE):
        client.ack(fetched["jid"])


def push(client: Client) -> None:
    """What happened so far."""
    over = batch(client, "Spring sale", success="Report", complete="CloseCampaign")
    members(client, over, 60, done=60)
    commit(client, over)
    work_off(client)
    whole = batch(client, "Summer sale", success="Report", complete="CloseCampaign", death="TellSupport")
    for number, segment in enumerate(SEGMENTS):
        part = batch(client, f"Summer sale, {segment}", parent=whole, success="SegmentReport")
        members(client, part, 40 - 5 * number, done=30 - 6 * number, failed=number * 2)
        if number == 1:
            for city in ("Wien", "Graz", "Linz"):
                commit(client, batch(client, f"Summer sale, {city}", parent=part))
        commit(client, part)
    members(client, whole, 12, done=3, failed=2)
    commit(client, whole)
    members(client, batch(client, complete="Cleanup"), 3)
    for number in range(6):
        client.push(
            job("NightlyImport", f"warehouse-{number}", queue=QUEUE, custom={"unique_for": 3600 * (number + 1)})
        )
    track(client)


def track(client: Client) -> None:
    """Jobs that are tracked, some of which have ended."""
    jids = [client.push(job("VideoEncode", f"clip-{n}.mov", queue="video", custom={"track": 1})) for n in range(9)]
    for number in range(4):
        client.fetch("video")
        client.do("TRACK SET", {"jid": jids[number], "percent": 100 if number else 62, "desc": "Two passes, 1080p"})
        if number == 3:
            client.fail(jids[number], "FFmpeg::Error", "moov atom not found", retry_after=LATER)
        else:
            result = {"url": f"https://cdn.shop.example/clips/{number}.mp4", "seconds": 31.5, "sizes": [480, 720, 1080]}
            client.do("TRACK SET", {"jid": jids[number], "result": result})
            client.ack(jids[number])


def work(client: Client) -> None:
    """A worker begins some of it."""
    for percent, desc in ((35, "Second pass, 1080p"), (80, "Uploading to the CDN")):
        fetched = client.fetch("video")
        assert fetched is not None
        client.do("TRACK SET", {"jid": fetched["jid"], "percent": percent, "desc": desc})
