"""Push jobs with the client library `pyfaktory`: as faktory_producer.py, and with `"bulk": true` as one PUSHB."""

import json
import sys

from pyfaktory import Client, Job, Producer

request = json.load(sys.stdin)
jobs = [Job(**job) for job in request["jobs"]]
with Client(role="producer") as client:
    producer = Producer(client)
    if request.get("bulk"):
        refused = producer.push_bulk(jobs)
        assert refused == {}, refused
    else:
        for job in jobs:
            producer.push(job)
print(json.dumps([job.jid for job in jobs]))
