"""Push jobs with the client library `faktory`.

The server is named by FAKTORY_URL. Standard input holds `{"jobs": [{"jobtype", "args", "queue"?, "at"?, …}]}`; the jids
are printed as one JSON array. An error of the library ends the program with a traceback and status 1.
"""

import json
import sys

import faktory

jids = []
with faktory.connection() as client:
    for job in json.load(sys.stdin)["jobs"]:
        jid = client.random_job_id()
        assert client.queue(job.pop("jobtype"), jid=jid, **job), "the library says the job was not accepted"
        jids.append(jid)
print(json.dumps(jids))
