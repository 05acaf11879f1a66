"""The page of tracked jobs, what the page of a job tells of its track, and their API."""

from __future__ import annotations

import json

import pytest

from tests.unit.web.browsing import Browser, ask, turned
from tests.unit.web.stock import Stock
from tests.unit.web.test_sets import HOSTILE, OVERRIDE

TRACK = {"track": 1}


def tracked(stock: Stock, count: int = 1, **fields: object) -> list[int]:
    """Jobs that are tracked, each updated a second after the one before."""
    ids = []
    for _ in range(count):
        stock.house.reactor.advance(1)
        ids += stock.queued(1, custom=TRACK, **fields)
    return ids


def tell(stock: Stock, jid: str, **said: object) -> None:
    """What a worker tells of its job."""
    stock.say(b"TRACK SET " + json.dumps({"jid": jid, **said}).encode())


def finish(stock: Stock, jid: str, **said: object) -> None:
    """The next job is fetched, and done."""
    stock.say(b"FETCH default")
    stock.say(b"ACK " + json.dumps({"jid": jid, **said}).encode())


def test_without_tracks_it_says_what_makes_one(stock):
    text = ask(stock.house, "/tracking").page.text
    assert "No tracked jobs" in text
    assert '"track": 1' in text


def test_a_track_is_listed_with_what_its_worker_told(stock):
    [job_id] = tracked(stock)
    stock.say(b"FETCH default")
    tell(stock, "jid-00001", percent=37, desc="Resizing", result={"a": 1})
    page = ask(stock.house, "/tracking").page
    for said in ("jid-00001", "Working", "37%", "Resizing", "Result", "now", "1 tracked job"):
        assert said in page.text
    assert page.all("progress", value="37", max="100")
    assert f"/jobs/{job_id}?jid=jid-00001" in page.links


@pytest.mark.parametrize(
    ("said", "badge"),
    [((), "Enqueued"), (("FETCH",), "Working"), (("FETCH", "FAIL"), "Failed"), (("FETCH", "ACK"), "Success")],
)
def test_the_state_follows_the_job(stock, said, badge):
    tracked(stock)
    for verb in said:
        stock.say(b"FETCH default" if verb == "FETCH" else f'{verb} {{"jid":"jid-00001"}}'.encode())
    rows = ask(stock.house, "/tracking").page.rows
    assert badge in " ".join(rows[-1])


def test_many_tracks_are_paged_newest_first_and_none_is_left_out(stock):
    ids = tracked(stock, 120)
    jids = [f"jid-{number:05}" for number in range(1, len(ids) + 1)]
    assert turned(stock.house, "/tracking") == jids[::-1]


@pytest.mark.parametrize("after", ["x", "nan_a", "1_", "_a", "1"])
def test_a_cursor_that_is_none_is_refused(stock, after):
    assert ask(stock.house, f"/tracking?after={after}").status == 400
    assert ask(stock.house, f"/api/tracking?after={after}").status == 400


def test_a_jid_is_looked_for(stock):
    [job_id] = tracked(stock)
    browser = Browser(stock.house)
    form = next(form for form in browser.get("/tracking").page.forms if form.action == "/tracking")
    answer = browser.submit(form, jid="  jid-00001 ")
    assert answer.location == f"/jobs/{job_id}?jid=jid-00001"
    answer = browser.submit(form, jid="unknown")
    assert answer.status == 404
    assert "There is no track of unknown" in answer.page.text


def test_the_page_of_a_job_tells_its_track(stock):
    [job_id] = tracked(stock)
    tell(stock, "jid-00001", percent=5, desc="warming up")
    page = ask(stock.house, f"/jobs/{job_id}?jid=jid-00001").page
    assert "Tracking" in page.headings
    for said in ("5%", "warming up", "Updated"):
        assert said in page.text
    [plain] = stock.queued(1)
    assert "Tracking" not in ask(stock.house, f"/jobs/{plain}").page.headings


def test_what_is_left_of_a_job_that_has_ended_is_its_track(stock):
    browser = Browser(stock.house)
    [job_id] = tracked(stock)
    finish(stock, "jid-00001", result={"rows": [2.25, "ü"]})
    stock.queued(3, custom=TRACK)
    for path in (f"/jobs/{job_id}?jid=jid-00001", "/tracking?jid=jid-00001"):
        page = browser.get(path).page
        for said in ("jid-00001", "This job has ended", "Success", "2.25", "ü"):
            assert said in page.text
        assert not [form for form in page.forms if form.action in ("/jobs/change", "/busy/stop")]
    assert "/tracking?jid=jid-00001" in browser.get("/tracking").page.links
    assert browser.get(f"/jobs/{job_id}?jid=unknown").status == 404
    assert browser.get(f"/jobs/{job_id}").status == 404


def test_the_page_of_a_tracked_job_stays_with_its_jid_when_another_job_gets_its_id(stock):
    browser = Browser(stock.house)
    [job_id] = tracked(stock)
    answer = browser.get(f"/jobs/{job_id}")
    assert answer.location == f"/jobs/{job_id}?jid=jid-00001"
    finish(stock, "jid-00001")
    [other] = stock.queued(1, jobtype="Other")
    page = browser.get(f"/jobs/{other}?jid=jid-00001").page
    assert "This job has ended" in page.text
    assert "Other" not in page.text
    assert "Other" in browser.get(f"/jobs/{other}").page.text


def test_a_notice_for_the_page_of_a_tracked_job_is_shown(stock):
    browser = Browser(stock.house)
    [job_id] = stock.scheduled(1, custom=TRACK)
    page = browser.follow(browser.get(f"/jobs/{job_id}")).page
    answer = browser.submit(next(form for form in page.forms if form.value("action") == "retry"))
    assert answer.location.startswith(f"/jobs/{job_id}?notice=")
    assert browser.follow(browser.follow(answer)).page.all("div", id="notice")


def test_the_track_of_another_job_with_the_same_jid_is_not_shown(stock):
    old, new = stock.queued(1, jid="same-same", custom=TRACK) + stock.queued(1, jid="same-same", custom=TRACK)
    tell(stock, "same-same", desc="of the newer one")
    assert "of the newer one" not in ask(stock.house, f"/jobs/{old}").page.text
    assert "of the newer one" in ask(stock.house, f"/jobs/{new}?jid=same-same").page.text


def test_a_long_result_is_cut(stock):
    tracked(stock)
    tell(stock, "jid-00001", result=["x" * 100] * 200)
    answer = ask(stock.house, "/tracking?jid=jid-00001")
    assert answer.location
    assert len(ask(stock.house, answer.location).body) < 200_000


def test_hostile_texts_are_only_texts(stock):
    jid = "12345678" + HOSTILE + OVERRIDE
    [job_id] = stock.queued(1, jid=jid, custom=TRACK)
    tell(stock, jid, desc=HOSTILE + OVERRIDE, result=[HOSTILE, OVERRIDE])
    browser = Browser(stock.house)
    answers = [browser.get("/tracking"), browser.follow(browser.get(f"/jobs/{job_id}"))]
    finish(stock, jid)
    answers.append(
        Browser(stock.house).get(next(each for each in ask(stock.house, "/tracking").page.links if "jid=" in each))
    )
    for answer in answers:
        assert answer.status == 200
        assert "<script>alert" not in answer.page.source
        assert not set("\u202e\u2028\u0000") & set(answer.page.source)


# -- the API ---------------------------------------------------------------------------------------------------------


def test_the_api_lists_tracks_page_by_page(stock):
    ids = tracked(stock, 5)
    told = ask(stock.house, "/api/tracking?limit=3").json()
    assert [track["job_id"] for track in told["tracks"]] == ids[:1:-1]
    assert told["size"] == 5
    rest = ask(stock.house, f"/api/tracking?limit=3&after={told['next']}").json()
    assert [track["job_id"] for track in rest["tracks"]] == ids[1::-1]
    assert rest["next"] is None


def test_the_api_tells_one_track_with_its_result(stock):
    stock.queued(1, jid="../a b/..", custom=TRACK)
    tell(stock, "../a b/..", percent=1, result=1.10)
    for path in ("/api/tracking?jid=../a%20b/..", "/api/tracking/..%2Fa%20b%2F.."):
        answer = ask(stock.house, path)
        assert answer.status == 200, path
        assert b'"result":1.1' in answer.body
    assert b'"result"' not in ask(stock.house, "/api/tracking").body
    assert ask(stock.house, "/api/tracking/unknown").status == 404


def test_the_search_of_each_page_finds_the_track_of_an_ended_job(stock):
    browser = Browser(stock.house)
    tracked(stock)
    finish(stock, "jid-00001")
    page = browser.follow(browser.get("/search?q=jid-00001")).page
    assert "There is a tracked job of this ID" in page.text
    assert "/tracking?jid=jid-00001" in page.links
    assert "tracked job of this ID" not in browser.follow(browser.get("/search?q=jid-0000")).page.text
