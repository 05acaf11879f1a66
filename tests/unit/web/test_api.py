"""The API: what programs ask for and do, in JSON. That it is what openapi.json says is seen in test_openapi.py."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest

from faktory_tw.core.job import parse_job
from tests.unit.house import House, job
from tests.unit.web.browsing import Answer, ask
from tests.unit.web.stock import Stock

HUGE = "123456789012345678901234567890"


def get(stock: Stock, path: str) -> Any:
    """What a question is answered with, which must be well."""
    answer = ask(stock.house, path)
    assert answer.status == 200, answer
    return answer.json()


def post(stock: Stock, path: str, **body: Any) -> Any:
    """What a command is answered with, which must be well."""
    answer = ask(stock.house, path, json=body)
    assert answer.status in (200, 201, 202), answer
    return answer.json()


def refused(answer: Answer, status: int) -> str:
    """The sentence of a refusal."""
    assert answer.status == status, answer
    told = answer.json()
    assert told.keys() == {"error"}
    return str(told["error"])


def ids(told: Any) -> list[int]:
    return [each["id"] for each in told["jobs"]]


# -- looking ---------------------------------------------------------------------------------------------------------


def test_the_summary_has_the_numbers_above_each_page(stock):
    stock.queued(3)
    stock.scheduled(2)
    stock.retries(1)
    stock.dead(1)
    stock.working(1)
    told = get(stock, "/api/summary")
    wanted = {"queued": 2 + 1, "scheduled": 2, "retries": 1, "dead": 1, "working": 1, "failed": 2, "queues": 2}
    assert {name: told[name] for name in wanted} == wanted
    assert told["now"].startswith("2026-09-21T14:")
    assert told["obstacles"] == []


def test_the_history_has_every_day_the_last_one_first(stock):
    stock.retries(2)
    told = get(stock, "/api/history?days=3")["days"]
    assert told[0] == {"date": "2026-09-21", "processed": 2, "failed": 2}
    assert [day["date"] for day in told] == ["2026-09-21", "2026-09-20", "2026-09-19"]


def test_queues_are_listed_by_name_and_found_by_a_part_of_it(stock):
    for name in ("b", "a", "Mail"):
        stock.queued(1, queue=name)
    assert [queue["name"] for queue in get(stock, "/api/queues")["queues"]] == ["Mail", "a", "b"]
    assert [queue["name"] for queue in get(stock, "/api/queues?match=mai")["queues"]] == ["Mail"]
    assert get(stock, "/api/queues/a") == {
        "name": "a", "size": 1, "paused": False, "latency": 0.0, "priorities": {"5": 1},
    }  # fmt: skip


def test_queues_come_in_pages_that_follow_each_other(stock):
    names = [f"q{number}" for number in range(5)]
    for name in names:
        stock.queued(1, queue=name)
    found, after = [], ""
    while after is not None:
        told = get(stock, f"/api/queues?limit=2&after={after}")
        found += [queue["name"] for queue in told["queues"]]
        after = told["next"]
    assert found == names


def test_a_queue_whose_name_no_address_can_hold_is_found_and_changed(stock):
    stock.queued(2, queue="..")
    assert [queue["name"] for queue in get(stock, "/api/queues?name=..")["queues"]] == [".."]
    assert len(get(stock, "/api/jobs?place=queued&queue=..")["jobs"]) == 2
    assert post(stock, "/api/queues/clear", queues=[".."])["jobs"] == 2
    assert post(stock, "/api/queues/remove", queues=[".."])["queues"] == 1


@pytest.mark.parametrize("place", ["scheduled", "retries", "dead", "working"])
def test_the_jobs_of_a_place_come_in_pages(stock, place):
    wanted = getattr(stock, place)(5)
    found, after, pages = [], "", 0
    while after is not None:
        told = get(stock, f"/api/{place}?limit=2&after={after}")
        found += ids(told)
        after, pages = told["next"], pages + 1
        assert {each["place"] for each in told["jobs"]} <= {place}
    assert found == wanted
    assert pages >= 3


def test_the_jobs_of_a_queue_are_in_the_order_in_which_they_are_fetched(stock):
    low, high = stock.queued(2, priority=1), stock.queued(2, priority=9)
    assert ids(get(stock, "/api/queues/default/jobs")) == high + low


def test_jobs_are_found_everywhere_by_what_they_are(stock):
    [queued] = stock.queued(1, jobtype="Mail", args=["needle"])
    [dead] = stock.dead(1, jobtype="Report", failure={"errtype": "Net::Timeout"})
    stock.scheduled(3)
    assert ids(get(stock, "/api/jobs?match=needle")) == [queued]
    assert ids(get(stock, "/api/jobs?jobtype=Rep*")) == [dead]
    assert ids(get(stock, "/api/jobs?error=Net*&place=dead")) == [dead]
    assert ids(get(stock, "/api/jobs?jid=jid-00001&jid=jid-00002")) == [queued, dead]
    assert ids(get(stock, "/api/scheduled?since=2096-10-02T07:06:43Z")) == ids(get(stock, "/api/scheduled"))[1:]
    assert get(stock, "/api/jobs?limit=0")["matched"] == 5


def test_a_job_is_told_as_it_was_written(stock):
    text = b'{"jid":"jid-huge","jobtype":"x","args":[%b,1.50,"\\u00e9"],"custom":{"z":1e400,"a":-0.0}}' % HUGE.encode()
    stock.say(b"PUSH " + text)
    [job_id] = ids(get(stock, "/api/jobs"))
    body = ask(stock.house, f"/api/jobs/{job_id}").body
    assert b'"args":[%b,1.50,"\\u00e9"]' % HUGE.encode() in body
    assert b'"custom":{"z":1e400,"a":-0.0}' in body


def test_a_worked_job_is_told_with_its_worker_and_a_failed_one_with_its_failure(stock):
    stock.working(1)
    [failed] = stock.retries(1)
    [held] = get(stock, "/api/working")["jobs"]
    assert held["expires_at"] > held["reserved_at"]
    assert get(stock, f"/api/jobs/{failed}")["job"]["failure"]["errtype"] == "Boom"


def test_workers_are_listed_in_pages_and_found_by_any_id(house):
    for wid in ("b", "a/b", ".."):
        house.manager.connect_worker(wid, "host", 1, ["x"])
    assert [worker["wid"] for worker in ask(house, "/api/workers").json()["workers"]] == ["..", "a/b", "b"]
    first = ask(house, "/api/workers?limit=2").json()
    assert first["next"] == "a/b"
    assert [worker["wid"] for worker in ask(house, "/api/workers?limit=2&after=a/b").json()["workers"]] == ["b"]
    assert ask(house, "/api/workers/a%2Fb").json()["wid"] == "a/b"


# -- refusals of questions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/jobs?limit=-1",
        "/api/jobs?limit=1001",
        "/api/jobs?limit=1e3",
        "/api/jobs?place=attic",
        "/api/jobs?place=queued",
        "/api/jobs?after=nonsense",
        "/api/jobs?jobtipe=typo",
        "/api/jobs?since=yesterday",
        f"/api/jobs?match={'x' * 1025}",
        "/api/retries?after=dead//0/0",
        "/api/history?days=0",
        f"/api/history?days={'9' * 40}",
        "/api/summary?x=1",
        "/api/queues?limit=0",
        "/api/queues/default/jobs?queues=typo",
    ],
)
def test_a_question_that_makes_no_sense_is_refused_with_a_sentence(stock, path):
    stock.queued(1)
    assert len(refused(ask(stock.house, path), 400)) > 10


@pytest.mark.parametrize(
    "path",
    [
        "/api/queues/gone",
        "/api/queues/gone/jobs",
        "/api/jobs/4711",
        f"/api/jobs/{2**70}",
        "/api/workers/gone",
        "/api/backups",
        "/api/nowhere",
        "/api/jobs/-1",
        "/api/jobs/x",
    ],
)
def test_what_is_not_there_is_not_found(stock, path):
    refused(ask(stock.house, path), 404)


@pytest.mark.parametrize("path", ["/api/summary", "/api/jobs", "/api/openapi.json"])
def test_who_shows_no_password_is_told_nothing(guarded_house, path):
    assert ask(guarded_house, path).status == 401
    assert ask(guarded_house, path, password="wrong").status == 401
    assert ask(guarded_house, path, password="only lööking").status == 200


# -- changing one job ------------------------------------------------------------------------------------------------


def test_a_dead_job_is_retried_and_is_in_its_queue(stock):
    [dead] = stock.dead(1)
    told = post(stock, f"/api/jobs/{dead}/retry")
    assert (told["action"], told["job"]["place"], told["job"]["id"]) == ("retry", "queued", dead)
    assert stock.house.queue_length("failing") == 1


def test_a_job_is_deleted_or_killed(stock):
    first, second = stock.scheduled(2)
    assert post(stock, f"/api/jobs/{first}/delete")["job"]["id"] == first
    assert post(stock, f"/api/jobs/{second}/kill")["job"]["place"] == "dead"
    assert stock.sizes() == {"dead": 1, "retries": 0, "scheduled": 0, "working": 0}
    refused(ask(stock.house, f"/api/jobs/{first}/delete", json={}), 404)


def test_a_queued_job_gets_another_priority_and_another_id(stock):
    first, second = stock.queued(2)
    told = post(stock, f"/api/jobs/{second}/priority", priority=9)
    moved = told["job"]["id"]
    assert moved > second
    assert ids(get(stock, "/api/queues/default/jobs")) == [moved, first]
    for wrong in ({}, {"priority": 0}, {"priority": 10}, {"priority": "9"}, {"priority": 9, "x": 1}):
        refused(ask(stock.house, f"/api/jobs/{first}/priority", json=wrong), 400)


def test_what_is_not_possible_where_the_job_is_is_refused(stock):
    [held], [dead] = stock.working(1), stock.dead(1)
    assert "being worked" in refused(ask(stock.house, f"/api/jobs/{held}/delete", json={}), 409)
    assert "dead already" in refused(ask(stock.house, f"/api/jobs/{dead}/kill", json={}), 409)
    refused(ask(stock.house, f"/api/jobs/{dead}/explode", json={}), 404)


# -- changing many ---------------------------------------------------------------------------------------------------


def test_the_jobs_that_a_filter_finds_are_changed_and_no_others(stock):
    stock.dead(2, jobtype="Mail")
    stock.dead(3, jobtype="Report")
    told = post(stock, "/api/dead/delete", filter={"jobtype": "Rep*"})
    assert (told["matched"], told["examined"], told["dry_run"]) == (3, 5, False)
    assert stock.sizes()["dead"] == 2
    assert post(stock, "/api/dead/retry", filter={"jids": ["jid-00001"]})["matched"] == 1
    assert stock.sizes()["dead"] == 1


def test_a_dry_run_only_counts_and_what_comes_later_is_left_alone(stock):
    stock.retries(3)
    seen = post(stock, "/api/retries/delete", all=True, dry_run=True)
    assert (seen["matched"], seen["dry_run"]) == (3, True)
    stock.retries(2)
    assert stock.sizes()["retries"] == 5
    assert post(stock, "/api/retries/delete", all=True, newest=seen["newest"])["matched"] == 3
    assert stock.sizes()["retries"] == 2


def test_jobs_that_failed_or_became_due_after_a_dry_run_are_left_alone(stock):
    stock.scheduled(4)
    stock.queued(3, queue="failing")
    stock.retries(2)
    seen = post(stock, "/api/queues/failing/jobs/delete", all=True, dry_run=True)
    assert seen["matched"] == 3
    seen = post(stock, "/api/retries/delete", all=True, dry_run=True)
    for _ in range(3):
        jid = json.loads(stock.say(b"FETCH failing").split(b"\r\n", 1)[1])["jid"]
        stock.say(b'FAIL {"jid":"%b"}' % jid.encode())
    assert stock.sizes()["retries"] == 5
    assert post(stock, "/api/retries/delete", all=True, newest=seen["newest"])["matched"] == 2
    assert stock.sizes()["retries"] == 3
    stock.queued(1)
    seen = post(stock, "/api/queues/default/jobs/delete", all=True, dry_run=True)
    stock.say(b'MUTATE {"cmd":"requeue","target":"scheduled"}')
    assert post(stock, "/api/queues/default/jobs/delete", all=True, newest=seen["newest"])["matched"] == 1
    assert stock.house.queue_length() == 4


def test_the_log_tells_of_which_jobs_a_change_was(stock, log_events):
    stock.dead(5, jobtype="Mail")
    stock.queued(1)
    post(stock, "/api/dead/retry", filter={"jids": [f"jid-0000{n}" for n in range(5)], "queue": "fail*"})
    post(stock, "/api/queues/default/jobs/priority", filter={"jobtype": "work", "queue": "def*"}, priority=3)
    post(stock, "/api/dead/delete", all=True, newest=9000)
    post(stock, f"/api/jobs/{stock.house.manager.views.newest()}/kill")
    told = {event["what"]: event["told"] for event in log_events if event.get("what")}
    assert told["retry jobs"] == (
        ", place 'dead', jids 'jid-00000, jid-00001, jid-00002, … (5)', queue 'fail*', done '4 jobs'"
    )
    assert told["priority jobs"] == ", place 'queued', priority 3, jobtype 'work', queue 'default', done '1 jobs'"
    assert told["delete jobs"] == ", place 'dead', newest 9000, done '1 jobs'"
    assert re.fullmatch(r", job \d+, jid 'jid-00006', queue 'default'", told["kill job"])


def test_jobs_of_a_queue_are_killed_deleted_and_put_first(stock):
    stock.queued(4, jobtype="a")
    stock.queued(2, jobtype="b")
    base = "/api/queues/default/jobs"
    assert post(stock, f"{base}/priority", filter={"jobtype": "b"}, priority=9)["matched"] == 2
    assert get(stock, "/api/queues/default")["priorities"] == {"9": 2, "5": 4}
    assert post(stock, f"{base}/kill", filter={"jobtype": "b"})["matched"] == 2
    assert post(stock, f"{base}/delete", all=True)["matched"] == 4
    assert stock.sizes()["dead"] == 2


@pytest.mark.parametrize(
    "path", ["/api/dead/delete", "/api/scheduled/kill", "/api/retries/retry", "/api/queues/default/jobs/delete"]
)
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": {"jobtype": ""}},
        {"all": False},
        {"all": True, "filter": {"jobtype": "x"}},
        {"all": True, "priority": 9},
        {"filter": {"jobtipe": "x"}},
        {"filter": {"since": "soon"}},
        {"filter": {"match": "é" * 1024}},
        {"filter": "x"},
        {"all": True, "newest": -1},
        [],
        {"all": True, "newest": 10**30},
    ],
)
def test_a_change_that_does_not_say_clearly_which_jobs_is_refused_and_changes_nothing(stock, path, body):
    stock.dead(1)
    stock.scheduled(1)
    stock.retries(1)
    stock.queued(1)
    before = stock.sizes()
    refused(ask(stock.house, path, body=json.dumps(body).encode(), Content_Type="application/json"), 400)
    assert stock.sizes() == before
    assert stock.house.queue_length() == 1


# -- queues, workers, backups ------------------------------------------------------------------------------------------


def test_queues_are_paused_resumed_cleared_and_removed(stock):
    stock.queued(3)
    assert post(stock, "/api/queues/default/pause") == {"action": "pause", "queues": 1, "jobs": 0}
    assert get(stock, "/api/queues/default")["paused"] is True
    post(stock, "/api/queues/resume", all=True)
    assert get(stock, "/api/queues/default")["paused"] is False
    assert post(stock, "/api/queues/default/clear") == {"action": "clear", "queues": 1, "jobs": 3}
    assert get(stock, "/api/queues/default")["size"] == 0
    assert post(stock, "/api/queues/default/remove")["queues"] == 1
    refused(ask(stock.house, "/api/queues/default/pause", json={}), 404)


def test_clearing_up_to_what_was_seen_leaves_jobs_that_came_later(stock):
    stock.queued(3)
    stock.queued(2, queue="other")
    newest = post(stock, "/api/queues/default/jobs/delete", all=True, dry_run=True)["newest"]
    stock.queued(4)
    assert post(stock, "/api/queues/default/clear", newest=newest) == {"action": "clear", "queues": 1, "jobs": 3}
    assert post(stock, "/api/queues/clear", all=True, newest=newest) == {"action": "clear", "queues": 2, "jobs": 2}
    assert stock.house.queue_length() == 4
    for path, body in (("default/clear", {"newest": -1}), ("default/remove", {"newest": 1}), ("clear", {"newest": 1})):
        refused(ask(stock.house, f"/api/queues/{path}", json=body), 400)
    refused(ask(stock.house, "/api/queues/remove", json={"all": True, "newest": 1}), 400)
    assert post(stock, "/api/queues/default/clear")["jobs"] == 4


@pytest.mark.parametrize("body", [{}, {"queues": []}, {"queues": ["default"], "all": True}, {"queues": "default"}])
def test_several_queues_must_be_named(stock, body):
    stock.queued(1)
    refused(ask(stock.house, "/api/queues/remove", json=body), 400)
    assert stock.house.queue_length() == 1


def test_a_star_is_no_queue_and_no_worker(stock):
    stock.queued(1)
    stock.house.manager.connect_worker("w1", "host", 1, [])
    refused(ask(stock.house, "/api/queues/remove", json={"queues": ["*"]}), 404)
    refused(ask(stock.house, "/api/queues/*/remove", json={}), 404)
    refused(ask(stock.house, "/api/workers/terminate", json={"wids": ["*"]}), 404)
    refused(ask(stock.house, "/api/workers/*/terminate", json={}), 404)
    assert stock.house.queue_length() == 1
    assert ask(stock.house, "/api/workers/w1").json()["state"] == "running"


def test_workers_are_told_to_be_quiet_and_to_end(house):
    for wid in ("w1", "a/b", "w3"):
        house.manager.connect_worker(wid, "host", 1, [])

    def states() -> list[str]:
        return [worker["state"] for worker in ask(house, "/api/workers").json()["workers"]]

    assert ask(house, "/api/workers/a%2Fb/quiet", json={}).json() == {"action": "quiet", "workers": 1}
    assert states() == ["quiet", "running", "running"]
    assert ask(house, "/api/workers/terminate", json={"wids": ["w1", "w3"]}).json()["workers"] == 2
    assert states() == ["quiet", "terminate", "terminate"]
    assert ask(house, "/api/workers/terminate", json={"all": True}).json()["workers"] == 3
    refused(ask(house, "/api/workers/gone/quiet", json={}), 404)


def test_a_backup_is_begun_and_listed(house):
    begun: list[bool] = []
    listed: Any = lambda done: done([SimpleNamespace(told=lambda: {"name": "one"})], "")  # noqa: E731
    house.server.backups = SimpleNamespace(
        running=False, count=2, last=None, last_error="", begin=lambda: begun.append(True), list_soon=listed
    )
    answer = ask(house, "/api/backups", json={})
    assert (answer.status, answer.json(), begun) == (202, {"running": True}, [True])
    assert ask(house, "/api/backups").json() == {
        "backups": [{"name": "one"}],
        "running": False,
        "count": 2,
        "last_error": "",
    }
    house.server.backups.running = True
    refused(ask(house, "/api/backups", json={}), 409)


# -- who may ---------------------------------------------------------------------------------------------------------


def test_a_reader_may_ask_and_change_nothing(guarded_house):
    guarded_house.manager.push(parse_job(job(1)))
    answer = ask(guarded_house, "/api/queues/default/clear", password="only lööking", json={})
    assert answer.status == 403
    assert guarded_house.queue_length() == 1


def test_a_change_is_answered_when_it_is_on_disk_and_told_in_the_log(house: House, log_events):
    house.manager.push(parse_job(job(1)))
    ask(house, "/api/queues/default/pause", json={})
    assert any(batch.queues.get("default") and batch.queues["default"].paused for batch in house.store.writes)
    [line] = [event for event in log_events if event.get("what") == "pause queues"]
    assert "'default'" in line["told"]


def test_a_form_is_no_json(stock):
    stock.queued(1)
    answer = ask(
        stock.house, "/api/queues/default/clear", body=b"x=1", Content_Type="application/x-www-form-urlencoded"
    )
    assert answer.status == 415
    assert stock.house.queue_length() == 1
