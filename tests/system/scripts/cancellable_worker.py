"""A worker that can be cancelled: it works in steps, and between two of them looks whether it is to stop.

    python cancellable_worker.py PORT WID

It takes one job, tells its progress, and when it is asked to stop it fails the job. It prints a word for what it does.
"""

import sys

from tests.system.fwp import Client

STEPS = 1_000_000


def main(port: int, wid: str) -> None:
    """Work on one job."""
    with Client(port, wid=wid) as client:
        job = None
        while job is None:
            job = client.fetch("default")
        print("fetched", flush=True)
        for step in range(STEPS):
            client.do("TRACK SET", {"jid": job["jid"], "percent": step * 100 // STEPS})
            reply = client.do("BEAT", {"wid": wid, "cancels": True})
            if reply != "OK" and job["jid"] in reply.get("cancel", []):
                client.fail(job["jid"], "Cancelled", "stopped because it was asked to")
                print("stopped", flush=True)
                return
        client.ack(job["jid"])
        print("done", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
