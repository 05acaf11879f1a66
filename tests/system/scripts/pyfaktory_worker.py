"""Do jobs with the client library `pyfaktory` until SIGTERM; FAKTORY_URL names the server. See jobs.py for the jobs.

The library runs jobs in processes of its own. Its thread for heartbeats sleeps for a whole period before it sees that
the worker has ended, hence the short one.
"""

import logging
import sys

from jobs import JOBS
from pyfaktory import Client, Consumer

if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    with Client(role="consumer", beat_period=1, labels=["library:pyfaktory"]) as client:
        consumer = Consumer(client, queues=["default", "other"], concurrency=2, grace_period=10)
        for jobtype, function in JOBS.items():
            consumer.register(jobtype, function)
        consumer.run()
