"""Track a job over a connection of the client library `pyfaktory`, which has no calls for it but reads the replies.

Prints what TRACK GET said before the job was fetched, while it was worked, and after it was done, as one JSON array.
"""

import json

from pyfaktory import Client, Job, Producer
from pyfaktory.util import helper

told: list[dict] = []


def track_get(client: Client, jid: str) -> None:
    """Ask, and note the answer."""
    told.append(json.loads(helper.RESP.parse_bulk_string(client._send_and_receive(f"TRACK GET {jid}\r\n"))[1]))


with Client(role="both") as client:
    job = Job(jobtype="record", args=[1], custom={"track": 1})
    Producer(client).push(job)
    track_get(client, job.jid)
    fetched = client._fetch(["default"])
    assert fetched is not None
    said = json.dumps({"jid": job.jid, "percent": 30, "desc": "ein Drittel, fast: ⅓"})
    assert client._send_and_receive(f"TRACK SET {said}\r\n") == "+OK"
    track_get(client, job.jid)
    client._ack(job.jid)
    track_get(client, job.jid)
    track_get(client, "no-such-job")
    print(json.dumps(told))
