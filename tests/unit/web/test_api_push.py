"""The API: pushing jobs."""

from __future__ import annotations

import json

import pytest

from tests.unit.house import job
from tests.unit.web.browsing import Answer, ask
from tests.unit.web.stock import Stock
from tests.unit.web.test_api import HUGE, refused


def push(stock: Stock, body: bytes, **headers: str) -> Answer:
    return ask(stock.house, "/api/jobs", body=body, **{"Content_Type": "application/json", **headers})


def test_a_job_is_pushed_as_it_is_written(stock):
    answer = push(stock, b'{"jid":"jid-huge","jobtype":"x","args":[%b],"priority":9}' % HUGE.encode())
    assert answer.status == 201
    assert answer.json() == {"jids": ["jid-huge"], "refused": []}
    fetched = stock.say(b"FETCH default")
    assert b'"args":[%b]' % HUGE.encode() in fetched
    assert b'"priority":9' in fetched


def test_a_job_without_a_jid_is_given_one(stock):
    told = push(stock, b'{"jobtype":"x","args":[]}').json()
    [jid] = told["jids"]
    assert len(jid) == 24
    assert jid.encode() in stock.say(b"FETCH default")


def test_of_several_jobs_one_that_is_refused_stops_no_other(stock):
    body = b'[{"jid":"jid-first","jobtype":"x","args":[]},{"jid":"jid-wrong","args":[]},{"jid":"jid-third","jobtype":"x","args":[]}]'
    answer = push(stock, body)
    assert answer.status == 200
    told = answer.json()
    assert told["jids"] == ["jid-first", "jid-third"]
    assert [(each["index"], each["jid"]) for each in told["refused"]] == [(1, "jid-wrong")]
    assert stock.house.queue_length() == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"{", b"[1]", b"null", b'{"jobtype":"x"}', b'{"jobtype":"x","args":{}}', b'{"jid":"short","jobtype":"x","args":[]}',
     b'{"jobtype":"x","args":[],"queue":"a b"}', b'{"jobtype":"x","args":[],"at":"soon"}', b'[{"jobtype":"x","args":[]},7]', b"[" * 100_000, b'{"jobtype":"\xff","args":[]}'],
)  # fmt: skip
def test_what_is_no_job_is_refused_and_nothing_is_pushed(stock, body):
    refused(push(stock, body), 400)
    assert stock.house.manager.queue_names() == []


def test_a_full_disk_is_told_as_such(stock):
    stock.house.manager.refuse_pushes = "the disk is nearly full"
    assert "nearly full" in refused(push(stock, job(1)), 503)


def test_large_pushes_come_whole(stock):
    jobs = [{"jid": f"jid-{number:05}", "jobtype": "x", "args": ["y" * 200]} for number in range(1000)]
    assert len(push(stock, json.dumps(jobs).encode()).json()["jids"]) == 1000
    assert stock.house.queue_length() == 1000
