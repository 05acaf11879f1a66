"""The page of the workers, and that of the jobs they hold."""

from __future__ import annotations

import json

import pytest

from tests.unit.house import Client, House, job
from tests.unit.web.browsing import Browser, ask
from tests.unit.web.stock import Stock

HOSTILE = "<script>alert(1)</script>\"'>{{ 7*7 }}\u202e"


class Crew:
    """Workers of a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self._jobs = 0
        self.clients: dict[str, Client] = {}

    def join(self, wid: str, hostname: str = "host", pid: int = 1, labels: list[str] | None = None) -> None:
        """A worker says hello."""
        hello = {"v": 2, "wid": wid, "hostname": hostname, "pid": pid, "labels": labels or []}
        self.clients[wid] = self.house.connect(b"HELLO " + json.dumps(hello).encode())

    def beat(self, wid: str, **fields: object) -> bytes:
        """A worker sends a heartbeat; returns what it is told."""
        self.clients[wid].say(b"BEAT " + json.dumps({"wid": wid, **fields}).encode())
        self.house.commit()
        return self.clients[wid].heard()

    def work(self, wid: str, **fields: str) -> None:
        """A worker fetches a job."""
        self._jobs += 1
        queue = fields.get("queue", '"default"').strip('"')
        self.clients[wid].say(b"PUSH " + job(self._jobs, **fields))
        self.clients[wid].say(b"FETCH " + queue.encode())
        self.house.commit()
        assert b"jid" in self.clients[wid].heard()

    def state(self, wid: str) -> str:
        worker = self.house.manager.workers.connected(wid)
        assert worker is not None
        return worker.state.name.lower()


@pytest.fixture
def crew(stock: Stock) -> Crew:
    return Crew(stock.house)


def wids(answer) -> list[str]:
    """The workers in the list."""
    return [row["data-key"] for row in answer.page.all("tr") if "data-key" in row]


def test_without_workers_it_says_what_to_do_first(stock):
    text = ask(stock.house, "/busy").page.text
    assert "No workers are connected" in text
    assert "FAKTORY_URL" in text
    assert "No job is being worked" in text


def test_a_worker_is_listed_with_what_it_said_of_itself(crew):
    crew.join("w1", "web-3.example.com", 4711, ["ruby", "mail"])
    crew.house.reactor.advance(30)
    crew.beat("w1", rss_kb=51_200)
    crew.house.reactor.advance(5)
    crew.work("w1")
    text = ask(crew.house, "/busy").page.text
    for said in (
        "web-3.example.com:4711",
        "ruby",
        "mail",
        "w1",
        "Running",
        "50 MiB",
        "35 seconds ago",
        "5 seconds ago",
    ):
        assert said in text.replace("\xa0", " ")


def test_a_held_job_is_listed_with_its_worker_and_when_its_reservation_ends(crew):
    crew.join("w1")
    crew.work("w1", queue='"mail"', reserve_for="600")
    page = ask(crew.house, "/busy").page
    assert "jid-00001" in page.text
    assert "in 10 minutes" in page.text
    [row] = crew.house.manager.reservations()
    assert f"/jobs/{row.job.id}" in page.links
    assert "/queues/mail" in page.links


def test_one_worker_is_made_quiet_by_the_button_of_its_row(crew):
    crew.join("w1")
    crew.join("w2")
    browser = Browser(crew.house)
    done = browser.post("/busy", {"only": "quiet/w1"})
    assert "1 worker is told" in browser.follow(done).page.text
    assert (crew.state("w1"), crew.state("w2")) == ("quiet", "running")
    assert b"quiet" in crew.beat("w1")


def test_stopping_asks_first_and_says_how_many_jobs_it_concerns(crew):
    crew.join("w1")
    crew.work("w1")
    crew.work("w1")
    browser = Browser(crew.house)
    question = browser.post("/busy", {"only": "terminate/w1"})
    assert "Stop the worker w1? It holds 2 jobs." in question.page.text
    assert crew.state("w1") == "running"
    browser.submit(question.page.form("/busy"))
    assert crew.state("w1") == "terminate"
    assert b"terminate" in crew.beat("w1")


def test_all_workers_are_told_or_only_the_checked(crew):
    for number in range(4):
        crew.join(f"w{number}")
    browser = Browser(crew.house)
    browser.post("/busy", {"action": "quiet", "wid": ["w0", "w2"]})
    assert [crew.state(f"w{number}") for number in range(4)] == ["quiet", "running", "quiet", "running"]
    browser.post("/busy", {"action": "quiet", "all": "1"})
    assert {crew.state(f"w{number}") for number in range(4)} == {"quiet"}
    question = browser.post("/busy", {"action": "terminate", "all": "1"})
    assert "Stop all workers? They hold 0 jobs." in question.page.text
    browser.submit(question.page.form("/busy"))
    assert {crew.state(f"w{number}") for number in range(4)} == {"terminate"}


def test_a_worker_that_is_called_star_is_one_worker(crew):
    crew.join("*")
    crew.join("w1")
    Browser(crew.house).post("/busy", {"only": "quiet/*"})
    assert (crew.state("*"), crew.state("w1")) == ("quiet", "running")


@pytest.mark.parametrize("wid", ["a/b", "..", " spaced ", 'quo"te', HOSTILE[:200]])
def test_a_worker_with_an_unusual_id_is_told(crew, wid):
    crew.join(wid)
    browser = Browser(crew.house)
    page = browser.get("/busy").page
    [form] = [form for form in page.forms if "wid" in form.inputs]
    button = next(value for name, value, text in form.buttons if name == "only" and text == "Quiet")
    browser.post("/busy", {"only": button})
    assert crew.state(wid) == "quiet"


def test_a_worker_that_is_gone_is_told_and_no_other_is_stopped(crew):
    crew.join("w1")
    answer = Browser(crew.house).post("/busy", {"action": "terminate", "wid": ["w1", "gone<b>"], "confirmed": "1"})
    assert answer.status == 404
    assert "The worker gone<b> is not connected any more." in answer.page.text
    assert crew.state("w1") == "running"


@pytest.mark.parametrize("fields", [{}, {"action": "quiet"}, {"action": "kill", "wid": "w1"}, {"only": "w1"}])
def test_a_form_that_says_nothing_useful_changes_nothing(crew, fields):
    crew.join("w1")
    assert Browser(crew.house).post("/busy", fields).status == 400
    assert crew.state("w1") == "running"


def test_what_a_worker_says_of_itself_is_only_text(crew):
    crew.join(HOSTILE, HOSTILE, 1, [HOSTILE] * 30)
    crew.work(HOSTILE)
    for path in ("/busy", "/busy/jobs"):
        answer = ask(crew.house, path)
        assert answer.status == 200
        assert b"<script>alert" not in answer.body
        assert b"49" not in answer.page.text.encode().split(b"alert")[-1][:40]
        assert "\u202e" not in "".join(answer.page.texts)
    assert "and 20 more" in ask(crew.house, "/busy").page.text


def test_workers_are_found_by_id_host_or_label(crew):
    crew.join("alpha", "one")
    crew.join("beta", "TWO")
    crew.join("gamma", "three", labels=["mail"])
    assert wids(ask(crew.house, "/busy?worker=alp")) == ["alpha"]
    assert wids(ask(crew.house, "/busy?worker=two")) == ["beta"]
    assert wids(ask(crew.house, "/busy?worker=MAIL")) == ["gamma"]
    assert "No worker has that" in ask(crew.house, "/busy?worker=nobody").page.text


def test_many_workers_come_in_pages(crew):
    for number in range(70):
        crew.join(f"w{number:02}")
    assert wids(ask(crew.house, "/busy?page=2")) == [f"w{number}" for number in range(50, 70)]
    assert wids(ask(crew.house, "/busy?page=99")) == [f"w{number}" for number in range(50, 70)]


def test_held_jobs_are_found_by_worker_queue_and_type(crew):
    crew.join("w1")
    crew.join("w2")
    crew.work("w1")
    crew.work("w2", queue='"mail"')
    crew.work("w2", jobtype='"Report"')
    ids = [held.job.id for held in sorted(crew.house.manager.reservations(), key=lambda held: held.job.id)]

    def found(query: str) -> list[str]:
        return wids(ask(crew.house, f"/busy/jobs?{query}"))

    assert found("") == [str(job_id) for job_id in ids]
    assert found("wid=w2") == [str(ids[1]), str(ids[2])]
    assert found("queue=mail") == [str(ids[1])]
    assert found("jobtype=Rep*") == [str(ids[2])]
    assert found("wid=w1&jobtype=Rep*") == []
    assert "No such job is being worked" in ask(crew.house, "/busy/jobs?wid=w9").page.text


@pytest.mark.parametrize("query", ["", "queue=default", "jobtype=work"])
def test_many_held_jobs_come_in_pages(stock, query):
    ids = stock.working(60)
    assert wids(ask(stock.house, f"/busy/jobs?{query}")) == [str(job_id) for job_id in ids[:50]]
    assert wids(ask(stock.house, f"/busy/jobs?{query}&page=2")) == [str(job_id) for job_id in ids[50:]]
    assert wids(ask(stock.house, f"/busy/jobs?{query}&page=7")) == [str(job_id) for job_id in ids[50:]]
    assert "Show all 60 jobs" in ask(stock.house, "/busy").page.text


def test_a_type_that_is_too_long_is_refused(stock):
    assert ask(stock.house, f"/busy/jobs?jobtype={'é' * 600}").status == 400


def test_a_reader_sees_the_workers_and_no_buttons(guarded_house):
    guarded_house.manager.connect_worker("w1", "host", 1, [])
    page = ask(guarded_house, "/busy", password="only lööking").page
    assert "host:1" in page.text
    assert not [form for form in page.forms if form.action == "/busy" and form.method == "post"]
