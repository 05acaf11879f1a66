"""Do jobs with the client library `faktory` until SIGTERM; FAKTORY_URL names the server. See jobs.py for the jobs."""

import logging
import sys

from faktory import Worker
from jobs import JOBS

logging.basicConfig(stream=sys.stderr, level=logging.INFO)
worker = Worker(queues=["default", "other"], concurrency=2, use_threads=True, labels=["library:faktory"])
for jobtype, function in JOBS.items():
    worker.register(jobtype, function)
worker.run()
