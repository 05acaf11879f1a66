"""A request for each route that is answered well: what all others are made of, by making something wrong in it.

``SAMPLES`` has an entry for each route of the site, and tests/unit/web/test_fuzz.py fails where one is missing, where its
answer is not a good one, or where a route asks for a field, a member of JSON or a header that is not here. Names in braces
are what the server has: see :mod:`tests.fuzz.http.contents`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Fields = dict[str, str]


class Sample(NamedTuple):
    """``path``: values of the path other than the usual ones."""

    query: Fields
    form: Fields
    json: Any
    path: Fields


def _get(query: Fields | None = None, **path: str) -> Sample:
    return Sample(query or {}, {}, None, path)


def _form(form: Fields, **path: str) -> Sample:
    return Sample({}, form, None, path)


def _json(json: Any = None, query: Fields | None = None, **path: str) -> Sample:
    return Sample(query or {}, {}, {} if json is None else json, path)


# What stands in a path where a sample does not say otherwise.
PATH = {
    "name": "{queue}",
    "job_id": "{queued}",
    "bid": "{batch}",
    "wid": "{worker}",
    "jid": "{tracked}",
    "version": "1",
}

_LOOKED_FOR = {
    "jobtype": "*",
    "queue": "*",
    "error": "",
    "match": "",
    "jid": "",
    "since": "2001-01-01T00:00:00Z",
    "until": "2101-01-01T00:00:00Z",
}
_LIST = {**_LOOKED_FOR, "per": "50", "page": "1", "after": "", "looked": "1", "found": "1"}
_API_LIST = {**_LOOKED_FOR, "limit": "5", "after": ""}
_PAGE = {"limit": "5", "after": ""}
_FILTER = {**_LOOKED_FOR, "queue": "nowhere", "jids": ["jid-of-none"]}
_BULK = {"filter": _FILTER, "all": False, "dry_run": False, "newest": 999_999_999, "priority": None}
_QUEUE_NAMES = {"queues": ["{queue}"], "all": False}
_WIDS = {"wids": ["{worker}"], "all": False}
_BACK = {"from": "job", "per": "25", "page": "1"}
_CHECKED = {"place": "dead", "queue_name": "", "action": "retry", "id": "{dead}", "priority": "5", "confirmed": "1"}
_JOB = {
    "jobtype": "fuzz",
    "queue": "{queue}",
    "priority": "5",
    "args": '[1,"<fuzz>"]',
    "at": "2h",
    "retry": "3",
    "reserve_for": "60",
    "custom": '{"a":1}',
    "jid": "",
}

SAMPLES: dict[str, Sample] = {
    "GET /health": _get(),
    "GET /ready": _get(),
    "GET /stats": _get(),
    "GET /metrics": _get(),
    "GET /": _get({"days": "30", "notice": "x"}),
    "GET /backups": _get(),
    "POST /backups": _form({}),
    "GET /batches": _get({"bid": "", "after": "5"}),
    "GET /batches/<bid>": _get({"after": "5"}),
    "POST /bulk": _form({"place": "dead", "queue_name": "", "action": "retry", "priority": "5", **_LOOKED_FOR}),
    "GET /bulk/<name>": _get(name="{operation}"),
    "POST /bulk/<name>/confirm": _form({"action": "retry"}, name="{operation}"),
    "POST /bulk/<name>/stop": _form({}, name="{operation}"),
    "GET /busy": _get({"worker": "", "page": "1"}),
    "GET /busy/jobs": _get({"wid": "", "queue": "", "jobtype": "", "page": "1"}),
    "POST /busy": _form(
        {"only": "", "action": "quiet", "wid": "{worker}", "all": "", "worker": "", "page": "1", "confirmed": "1"}
    ),
    "GET /cron": _get({"page": "1"}),
    "POST /cron": _form({"name": "{cron}", "action": "run", "page": "1", "from": "entry", "confirmed": "1"}),
    "GET /cron/<name>": _get(name="{cron}"),
    "GET /debug": _get(),
    "GET /debug.txt": _get(),
    "GET /jobs/<job_id>": _get({"jid": "", "notice": "x"}),
    "GET /jobs/<job_id>/args.json": _get(),
    "GET /jobs/<job_id>/job.json": _get(),
    "GET /locks": _get({"after": ""}),
    "POST /locks/release": _form({"id": "{locked}", "from": "job", "confirmed": "1"}),
    "POST /preferences": _form({"theme": "dark", "zone": "utc", "language": "de", "back": "/queues?page=1"}),
    "GET /push": _get({"queue": "{queue}", "jobtype": "fuzz", "job": "{queued}"}),
    "POST /push": _form(_JOB),
    "GET /queues/<name>": _get(_LIST),
    "GET /queue": _get({"name": "{queue}", **_LIST}),
    "GET /queues": _get({"order": "", "match": "", "page": "1"}),
    "POST /queues": _form(
        {
            "only": "",
            "action": "clear",
            "queue": "{queue}",
            "all": "",
            "newest": "999999999",
            "confirmed": "1",
            "order": "",
            "match": "",
            "page": "1",
            "from": "queue",
        }
    ),
    "GET /search": _get({"q": "work"}),
    "GET /jobs": _get(_LIST),
    "POST /jobs/change": _form({**_CHECKED, **_LOOKED_FOR, **_BACK}),
    "GET /scheduled": _get(_LIST),
    "GET /retries": _get(_LIST),
    "GET /dead": _get(_LIST),
    "GET /morgue": _get(_LIST),
    "GET /static/<version>/<path:name>": _get(name="app.js"),
    "GET /favicon.ico": _get(),
    "POST /busy/stop": _form(
        {
            "id": "{working}",
            "since": "{since}",
            "from": "working",
            "wid": "",
            "queue": "",
            "jobtype": "",
            "page": "1",
            "confirmed": "1",
        }
    ),
    "GET /tracking": _get({"jid": "", "after": ""}),
    "GET /throttles": _get({"page": "1"}),
    "GET /api/": _get(),
    "GET /api/openapi.json": _get(),
    "GET /api/summary": _get(),
    "GET /api/history": _get({"days": "30"}),
    "GET /api/backups": _get(),
    "POST /api/backups": _json(),
    "GET /api/queues": _get({"name": "", "match": "", **_PAGE}),
    "GET /api/queues/<name>": _get(),
    "POST /api/queues/pause": _json(_QUEUE_NAMES),
    "POST /api/queues/resume": _json(_QUEUE_NAMES),
    "POST /api/queues/clear": _json({**_QUEUE_NAMES, "newest": 999_999_999}),
    "POST /api/queues/remove": _json(_QUEUE_NAMES),
    "POST /api/queues/<name>/pause": _json(),
    "POST /api/queues/<name>/resume": _json(),
    "POST /api/queues/<name>/clear": _json({"newest": 999_999_999}),
    "POST /api/queues/<name>/remove": _json(),
    "GET /api/jobs": _get({"place": "queued", **_API_LIST, "queue": "{queue}"}),
    "POST /api/jobs": _json({"jobtype": "fuzz", "args": [1], "queue": "{queue}", "priority": 3, "custom": {"a": 1}}),
    "GET /api/jobs/<int:job_id>": _get(),
    "GET /api/queues/<name>/jobs": _get(_API_LIST),
    "GET /api/scheduled": _get(_API_LIST),
    "GET /api/retries": _get(_API_LIST),
    "GET /api/dead": _get(_API_LIST),
    "GET /api/working": _get(_API_LIST),
    "POST /api/jobs/<int:job_id>/cancel": _json(job_id="{working}"),
    "POST /api/jobs/<int:job_id>/retry": _json(job_id="{dead}"),
    "POST /api/jobs/<int:job_id>/delete": _json(job_id="{dead}"),
    "POST /api/jobs/<int:job_id>/kill": _json(job_id="{retry}"),
    "POST /api/jobs/<int:job_id>/priority": _json({"priority": 3}),
    **{
        f"POST /api/{place}/{action}": _json(_BULK)
        for place, actions in {
            "scheduled": ("retry", "delete", "kill"),
            "retries": ("retry", "delete", "kill"),
            "dead": ("retry", "delete"),
        }.items()
        for action in actions
    },
    "POST /api/queues/<name>/jobs/delete": _json(_BULK),
    "POST /api/queues/<name>/jobs/kill": _json(_BULK),
    "POST /api/queues/<name>/jobs/priority": _json({**_BULK, "priority": 4}),
    "GET /api/workers": _get(_PAGE),
    "GET /api/workers/<path:wid>": _get(),
    "POST /api/workers/quiet": _json(_WIDS),
    "POST /api/workers/terminate": _json(_WIDS),
    "POST /api/workers/<path:wid>/quiet": _json(),
    "POST /api/workers/<path:wid>/terminate": _json(),
    "GET /api/locks": _get(_PAGE),
    "GET /api/locks/<int:job_id>": _get(job_id="{locked}"),
    "DELETE /api/locks/<int:job_id>": _get(job_id="{locked}"),
    "GET /api/tracking": _get({"jid": "", **_PAGE}),
    "GET /api/tracking/<path:jid>": _get(),
    "GET /api/batches": _get({"parent": "", **_PAGE}),
    "GET /api/batches/<bid>": _get(),
    "GET /api/cron": _get(_PAGE),
    "GET /api/cron/<name>": _get(name="{cron}"),
    "POST /api/cron/<name>/pause": _json(name="{cron}"),
    "POST /api/cron/<name>/resume": _json(name="{cron}"),
    "POST /api/cron/<name>/run": _json(name="{cron}"),
    "GET /api/throttles": _get({"start": "0", "limit": "5"}),
}

# Headers that are read, with a value that means something; Content-Type and Content-Length are those of the body.
HEADERS = {
    "Accept": "application/json",
    "Accept-Language": "de;q=0.5, ar",
    "Authorization": "Basic Zjpm",
    "Connection": "keep-alive",
    "Content-Encoding": "gzip",
    "Content-Length": "1",
    "Content-Type": "application/json",
    "Cookie": "faktory_token=x; faktory_theme=dark",
    "Expect": "100-continue",
    "Host": "localhost:7420",
    "If-Modified-Since": "Sat, 21 Nov 2026 18:17:40 GMT",
    "If-None-Match": '"x"',
    "Origin": "http://localhost:7420",
    "Range": "bytes=0-1",
    "Referer": "http://localhost:7420/",
    "Sec-Fetch-Site": "same-origin",
    "Sec-WebSocket-Key": "x",
    "Transfer-Encoding": "chunked",
    "Upgrade": "h2c",
    "User-Agent": "fuzz",
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Host": "localhost:7420",
    "X-Forwarded-Proto": "https",
    "X-Script-Name": "/jobs",
}
