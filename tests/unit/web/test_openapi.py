"""openapi.json is held against the routes, and real answers against its schemas."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.requirements import require_module
from tests.unit.features.crontab import SETTINGS
from tests.unit.features.crontab import entry as cron_entry
from tests.unit.web.browsing import Answer, ask
from tests.unit.web.stock import Stock
from tests.unit.web.test_throttles import THROTTLES, limit
from web import api
from web.api import description, messages

_CONVERTER = re.compile(r"<(?:(\w+):)?(\w+)>")
_BODIES = {
    "Bulk": messages.Bulk,
    "Criteria": messages.Criteria,
    "Priority": messages.Priority,
    "QueueNames": messages.QueueNames,
    "WorkerIds": messages.WorkerIds,
    "Nothing": messages.Nothing,
}


def routed() -> set[tuple[str, str]]:
    """(method, path) of every route, as OpenAPI writes them."""
    return {(route.methods[0], _CONVERTER.sub(r"{\2}", route.path)) for route in api.ROUTES if route.path != "/api/"}


def described() -> dict[tuple[str, str], dict[str, Any]]:
    """The operations by (method, path)."""
    return {(each["method"], each["path"]): each for each in description.operations()}


def test_it_is_an_openapi_description():
    require_module("openapi_spec_validator")
    importlib.import_module("openapi_spec_validator").validate(description.document())


def test_each_route_is_described_and_each_operation_is_a_route():
    assert described().keys() == routed()


def test_each_operation_has_the_parameters_of_its_path():
    for (_, path), operation in described().items():
        named = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
        assert sorted(named) == sorted(re.findall(r"{(\w+)}", path)), path


def test_each_change_says_what_is_sent_and_each_question_sends_nothing():
    for (method, path), operation in described().items():
        assert ("requestBody" in operation) == (method == "POST"), path
        assert {"400", "401"} <= operation["responses"].keys()
        if method != "GET":
            assert {"403", "413", "415"} <= operation["responses"].keys(), path


def test_operations_have_names_of_their_own():
    names = [each["operationId"] for each in described().values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", _BODIES)
def test_what_is_sent_has_the_members_that_are_described(name):
    described_members = set(description.document()["components"]["schemas"][name].get("properties", {}))
    known = set(_BODIES[name].__struct_fields__)
    assert described_members == known - ({"priority"} if name == "Bulk" else set())


def test_questions_know_the_fields_that_are_described(stock):
    for (method, path), operation in described().items():
        if method != "GET" or path == "/api/openapi.json" or re.search("{(wid|job_id|jid|bid)}", path):
            continue
        stock.queued(1)
        address = path.replace("{name}", "default")
        for field in (each for each in operation["parameters"] if each["in"] == "query"):
            answer = ask(stock.house, f"{address}?{field['name']}=")
            assert b"Unknown field" not in answer.body, (path, field)
        if "/{name}" not in path or path.endswith("/jobs"):
            assert b"Unknown field" in ask(stock.house, f"{address}?surprise=1").body or path == "/api/backups", path


def test_the_description_names_the_prefix_of_a_reverse_proxy(stock):
    told = ask(stock.house, "/api/openapi.json", X_Script_Name="/jobs").json()
    assert told["servers"] == [{"url": "/jobs"}]


def test_people_read_it_as_a_page(stock):
    page = ask(stock.house, "/api/").page
    for operation in described().values():
        assert operation["path"] in page.text
        assert operation["summary"] in page.text
    assert "/api/openapi.json" in page.links


def test_the_page_is_in_the_language_of_who_reads_it(stock):
    answer = ask(stock.house, "/api/", Cookie="faktory_locale=ar")
    assert answer.page.all("html")[0]["dir"] == "rtl"


# -- real answers ------------------------------------------------------------------------------------------------------


class Checked:
    """Asks, and holds what comes back against the schema of its status."""

    def __init__(self, stock: Stock) -> None:
        require_module("jsonschema")
        self.stock = stock
        self.asked: set[tuple[str, str]] = set()

    def ask(self, method: str, path: str, status: int = 200, body: Any = None, **values: Any) -> Any:
        """One operation; ``values`` are those of its path."""
        address = path.format(**values)
        given: dict[str, Any] = {} if method == "GET" else {"json": body or {}}
        answer = ask(self.stock.house, address, method, **given)
        assert answer.status == status, answer
        self.asked.add((method, path.partition("?")[0]))
        self.check(method, path.partition("?")[0], answer)
        return answer.json()

    def check(self, method: str, path: str, answer: Answer) -> None:
        jsonschema: Any = importlib.import_module("jsonschema")
        document = description.document()
        response = described()[method, path]["responses"][str(answer.status)]
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        schema = response["content"]["application/json"]["schema"]
        validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        validator.validate(json.loads(answer.body))


def test_answers_are_as_described(stock):
    checked = Checked(stock)
    _look(checked)
    _change_jobs(checked)
    _change_others(checked)
    _ask_of_locks(checked)
    _ask_of_tracks(checked)
    _ask_of_batches(checked)
    assert checked.asked == described().keys()


def _look(checked: Checked) -> None:
    stock = checked.stock
    stock.house.server.backups = _Backups()
    limit(stock.house, *THROTTLES)
    stock.working(1, queue="bulk", jobtype="Charge", args=[{"tenant_id": 1}])
    assert checked.ask("GET", "/api/throttles")["throttles"][-1]["lanes"]
    stock.queued(3, custom={"a": 1}, priority=9, reserve_for=60, backtrace=5)
    [failed] = stock.retries(1)
    stock.scheduled(1)
    stock.dead(1)
    stock.working(1)
    stock.house.connect(b'HELLO {"v":2,"wid":"w1","hostname":"host","pid":4,"labels":["x"]}')
    for path in ("/api/summary", "/api/history", "/api/openapi.json", "/api/backups", "/api/queues", "/api/jobs"):
        checked.ask("GET", path)
    for path in ("/api/scheduled", "/api/retries", "/api/dead", "/api/working", "/api/workers"):
        told = checked.ask("GET", path)
        assert told.get("jobs") or told.get("workers")
    checked.ask("GET", "/api/queues/{name}", name="default")
    checked.ask("GET", "/api/queues/{name}", 404, name="gone")
    checked.ask("GET", "/api/queues/{name}/jobs", name="default")
    checked.ask("GET", "/api/jobs/{job_id}", job_id=failed)
    checked.ask("GET", "/api/jobs?limit=x", 400)
    checked.ask("GET", "/api/workers/{wid}", wid="w1")


def _change_jobs(checked: Checked) -> None:
    stock = checked.stock
    new = {"jobtype": "x", "args": []}
    checked.ask("POST", "/api/jobs", 201, new)
    checked.ask("POST", "/api/jobs", 200, [new, {"jobtype": "", "args": []}])
    checked.ask("POST", "/api/jobs", 400, {"jobtype": "x"})
    for action, place in (("retry", "dead"), ("delete", "scheduled"), ("kill", "retries")):
        [job_id] = getattr(stock, place)(1)
        checked.ask("POST", f"/api/jobs/{{job_id}}/{action}", job_id=job_id)
        checked.ask("POST", f"/api/jobs/{{job_id}}/{action}", 404, job_id=10**9)
    [job_id] = stock.queued(1)
    checked.ask("POST", "/api/jobs/{job_id}/priority", 200, {"priority": 1}, job_id=job_id)
    [held] = stock.working(1, queue="held")
    checked.ask("POST", "/api/jobs/{job_id}/delete", 409, job_id=held)
    for path in sorted(path for method, path in routed() if method == "POST" and len(path.split("/")) == 4):
        if path.split("/")[2] in ("scheduled", "retries", "dead"):
            checked.ask("POST", path, 200, {"all": True, "dry_run": True})
            checked.ask("POST", path, 400, {"filter": {}})
    for action in ("delete", "kill"):
        checked.ask("POST", f"/api/queues/{{name}}/jobs/{action}", 200, {"filter": {"jid": "none"}}, name="default")
    body = {"all": True, "priority": 3}
    checked.ask("POST", "/api/queues/{name}/jobs/priority", 200, body, name="default")


def _change_others(checked: Checked) -> None:
    entry = cron_entry("beat", job={"custom": {"unique_for": 60}})
    checked.stock.house.manager.facts.configure(replace(SETTINGS, cron=(entry,)))
    for action in ("pause", "resume", "run"):
        checked.ask("POST", f"/api/cron/{{name}}/{action}", name="beat")
        checked.ask("POST", f"/api/cron/{{name}}/{action}", 404, name="gone")
    checked.ask("POST", "/api/cron/{name}/run", 409, name="beat")
    assert checked.ask("GET", "/api/cron")["entries"][0]["runs"]
    checked.ask("GET", "/api/cron/{name}", name="beat")
    checked.ask("GET", "/api/cron/{name}", 404, name="gone")
    for action in ("quiet", "terminate"):
        checked.ask("POST", f"/api/workers/{{wid}}/{action}", wid="w1")
        checked.ask("POST", f"/api/workers/{action}", 200, {"all": True})
    for action in ("pause", "resume", "clear", "remove"):
        checked.ask("POST", f"/api/queues/{{name}}/{action}", name="default")
        checked.ask("POST", f"/api/queues/{action}", 200, {"all": True})
        checked.ask("POST", f"/api/queues/{action}", 404, {"queues": ["gone"]})
    checked.ask("POST", "/api/backups", 202)


def _ask_of_locks(checked: Checked) -> None:
    [job_id] = checked.stock.queued(1, custom={"unique_for": 60})
    assert checked.ask("GET", "/api/locks")["locks"]
    checked.ask("GET", "/api/locks/{job_id}", job_id=job_id)
    checked.ask("DELETE", "/api/locks/{job_id}", job_id=job_id)
    checked.ask("DELETE", "/api/locks/{job_id}", 404, job_id=job_id)


def _ask_of_batches(checked: Checked) -> None:
    stock = checked.stock
    new = b'BATCH NEW {"description":"d","success":{"jobtype":"Done","args":[]},"complete":{"jobtype":"C","args":[]}}'
    bid = stock.say(new).split(b"\r\n")[1].decode()
    [job_id] = stock.retries(1, custom={"bid": bid})
    stock.say(b"BATCH COMMIT " + bid.encode())
    assert checked.ask("GET", "/api/batches")["batches"]
    told = checked.ask("GET", "/api/batches/{bid}", bid=bid)
    assert told["failed_jobs"] == [job_id]
    assert told["callbacks"]["complete"]["job_id"]
    checked.ask("GET", "/api/batches/{bid}", 404, bid="b-unknown")


def _ask_of_tracks(checked: Checked) -> None:
    stock = checked.stock
    [job_id] = stock.working(1, jid="tracked-jid", queue="tracked", custom={"track": 1})
    stock.say(b'TRACK SET {"jid":"tracked-jid","percent":40,"desc":"half","result":{"a":[1]}}')
    assert checked.ask("GET", "/api/tracking")["tracks"]
    assert checked.ask("GET", "/api/tracking/{jid}", jid="tracked-jid")["result"] == {"a": [1]}
    checked.ask("GET", "/api/tracking/{jid}", 404, jid="unknown")
    checked.ask("POST", "/api/jobs/{job_id}/cancel", job_id=job_id)
    checked.ask("POST", "/api/jobs/{job_id}/cancel", 404, job_id=10**9)
    [job_id] = stock.queued(1)
    checked.ask("POST", "/api/jobs/{job_id}/cancel", 409, job_id=job_id)


class _Backups:
    """Backups as a server has them, one of which was taken."""

    def __init__(self) -> None:
        told = {"name": "x.db", "taken_at": "2026-09-21T14:13:20Z", "size_bytes": 1, "jobs": -1, "verified": True}
        self.last = SimpleNamespace(told=lambda: told, taken_at=0.0, size_bytes=1, jobs=-1)
        self.running, self.count, self.last_error = False, 1, ""

    def list_soon(self, done: Any) -> None:
        done([self.last], "")

    def begin(self) -> None:
        self.running = True
