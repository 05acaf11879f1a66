"""The pages of batches, what the page of a job tells of its batch, and their API."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.web.browsing import Browser, ask, listed, turned
from tests.unit.web.stock import Stock
from tests.unit.web.test_sets import HOSTILE, OVERRIDE


def begin(stock: Stock, description: str = "", parent: str = "", **callbacks: str) -> str:
    """A new batch, with these job types as callbacks; its bid."""
    asked: dict[str, Any] = {
        kind: {"jobtype": jobtype, "args": []} for kind, jobtype in (callbacks or {"success": "Done"}).items()
    }
    if description:
        asked["description"] = description
    if parent:
        asked["parent_bid"] = parent
    return stock.say(b"BATCH NEW " + json.dumps(asked).encode()).split(b"\r\n")[1].decode()


def commit(stock: Stock, bid: str) -> None:
    stock.say(b"BATCH COMMIT " + bid.encode())


def member(stock: Stock, bid: str, **fields: Any) -> list[int]:
    return stock.queued(1, custom={"bid": bid}, **fields)


def done(stock: Stock, jid: str, queue: str = "default") -> None:
    """The next job of a queue, which is this one, is fetched and done."""
    assert jid.encode() in stock.say(b"FETCH " + queue.encode())
    stock.say(b"ACK " + json.dumps({"jid": jid}).encode())


def inside(answer) -> list[str]:
    """The batches in the tree, as it is read from above."""
    return [item["data-key"] for item in answer.page.all("li") if item.get("data-key", "").startswith("b-")]


# -- the list --------------------------------------------------------------------------------------------------------


def test_without_batches_it_says_what_makes_one(stock):
    text = ask(stock.house, "/batches").page.text
    assert "No batches" in text
    assert "BATCH NEW" in text


def test_a_batch_is_listed_with_how_far_it_is(stock):
    bid = begin(stock, "Import of May", success="AllDone", complete="Tried")
    for number in range(4):
        member(stock, bid, jid=f"member-{number}")
    done(stock, "member-0")
    stock.say(b"FETCH default")
    stock.say(b'FAIL {"jid":"member-1"}')
    commit(stock, bid)
    begin(stock, parent=bid)
    page = ask(stock.house, "/batches").page
    row = " ".join(" ".join(page.rows[-1]).split())
    for said in ("Import of May", bid, "Running", "1 of 4 done", "1 failed", "Complete Waiting", "Success Waiting"):
        assert said in row
    assert page.all("rect", class_="part-done")[0]["width"] == "25.0"
    assert page.all("rect", class_="part-failed")[0].items() >= {"x": "25.0", "width": "25.0"}.items()
    assert listed(ask(stock.house, "/batches")) == [bid], "what is inside of another is not listed beside it"
    assert "2 batches" in page.text


def test_a_batch_without_a_description_goes_by_its_bid(stock):
    bid = begin(stock)
    page = ask(stock.house, "/batches").page
    assert page.rows[-1][0].strip() == bid
    assert "Open" in page.rows[-1][1]
    assert "No jobs" in page.rows[-1][2]
    assert f"/batches/{bid}" in page.links


def test_many_batches_are_paged_newest_first_and_none_is_left_out(stock):
    bids = [begin(stock) for _ in range(120)]
    assert turned(stock.house, "/batches") == bids[::-1]


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "9" * 40, "%D9%A3"])
def test_a_cursor_that_is_none_is_refused(stock, after):
    bid = begin(stock)
    for path in ("/batches", f"/batches/{bid}", "/api/batches"):
        assert ask(stock.house, f"{path}?after={after}").status == 400


def test_a_bid_is_looked_for(stock):
    bid = begin(stock)
    browser = Browser(stock.house)
    form = next(form for form in browser.get("/batches").page.forms if form.action == "/batches")
    assert browser.submit(form, bid=f" {bid} ").location == f"/batches/{bid}"
    for unknown in ("b-unknown", "../queues", "<script>"):
        answer = browser.submit(form, bid=unknown)
        assert answer.status == 404
        assert "There is no batch" in answer.page.text


# -- one batch -------------------------------------------------------------------------------------------------------


def test_a_batch_that_is_not_there_says_why(stock):
    answer = ask(stock.house, "/batches/b-gone")
    assert answer.status == 404
    assert "dropped after its time" in answer.page.text


def test_the_callbacks_are_shown_from_waiting_to_done(stock):
    bid = begin(stock, "Import", success="AllDone", complete="Tried", death="Alarm")
    member(stock, bid, jid="member-1")

    def states() -> list[str]:
        page = ask(stock.house, f"/batches/{bid}").page
        return [
            row[1].strip() for row in page.rows if len(row) == 5 and row[0].strip().startswith(("Com", "Suc", "Dea"))
        ]

    assert states() == ["Waiting", "Waiting", "Waiting"]
    assert "still open" in ask(stock.house, f"/batches/{bid}").page.text
    commit(stock, bid)
    assert "still open" not in ask(stock.house, f"/batches/{bid}").page.text
    done(stock, "member-1")
    assert states() == ["Enqueued", "Waiting", "Waiting"]
    callback = stock.house.manager.views.newest()
    page = ask(stock.house, f"/batches/{bid}").page
    assert f"/jobs/{callback}" in page.links
    shown = ask(stock.house, f"/jobs/{callback}").page
    assert "Callback of" in shown.text
    assert f"/batches/{bid}" in shown.links
    jid = json.loads(stock.say(b"FETCH default").split(b"\r\n")[1])["jid"]
    stock.say(b"ACK " + json.dumps({"jid": jid}).encode())
    assert states() == ["Done", "Enqueued", "Waiting"]
    assert f"/jobs/{callback}" not in ask(stock.house, f"/batches/{bid}").page.links


def test_a_callback_whose_job_was_deleted_is_gone(stock):
    bid = begin(stock, success="AllDone")
    commit(stock, bid)
    stock.house.manager.remove_queues(["default"])
    while stock.house.manager.upkeep():
        pass
    assert "Gone" in ask(stock.house, f"/batches/{bid}").page.text


def test_the_jobs_that_failed_are_listed_with_their_errors(stock):
    bid = begin(stock, "Import")
    [failed] = stock.retries(1, {"errtype": "OutOfLuck", "message": "no luck"}, custom={"bid": bid})
    [dead] = stock.dead(1, {"errtype": "Dead", "message": "so dead"}, custom={"bid": bid})
    [fine] = member(stock, bid)
    stock.retries(1, custom={"bid": begin(stock)})
    page = ask(stock.house, f"/batches/{bid}").page
    for said in ("OutOfLuck", "no luck", "so dead"):
        assert said in page.text
    for job_id, there in ((failed, True), (dead, True), (fine, False)):
        assert (f"/jobs/{job_id}" in page.links) == there
    find = next(link for link in page.links if link.startswith("/jobs?match="))
    shown = ask(stock.house, find).page
    for job_id in (failed, dead, fine):
        assert f"/jobs/{job_id}" in shown.links
    assert len([row for row in shown.all("tr") if "data-key" in row]) == 3


def test_what_is_gone_is_counted_among_the_failed(stock):
    bid = begin(stock)
    [job_id] = member(stock, bid)
    answer = ask(stock.house, f"/api/jobs/{job_id}/delete", json={})
    assert answer.status == 200
    page = ask(stock.house, f"/batches/{bid}").page
    assert "1 of them is gone" in page.text


def test_the_search_of_each_page_finds_a_batch(stock):
    browser = Browser(stock.house)
    bid = begin(stock, "Import of May")
    page = browser.follow(browser.get(f"/search?q={bid}")).page
    assert "There is a batch of this ID" in page.text
    assert f"/batches/{bid}" in page.links


def test_many_failed_jobs_are_listed_in_part(stock):
    bid = begin(stock)
    stock.retries(60, custom={"bid": bid})
    assert "The first 50 of 60 are listed." in ask(stock.house, f"/batches/{bid}").page.text


# -- batches inside of batches -----------------------------------------------------------------------------------------


def test_what_is_inside_and_around_is_shown(stock):
    top = begin(stock, "Top")
    middle = begin(stock, "Middle", parent=top)
    low = begin(stock, "Low", parent=middle)
    lowest = begin(stock, "Lowest", parent=low)
    answer = ask(stock.house, f"/batches/{top}")
    assert inside(answer) == [middle, low]
    assert "1 batch inside" in answer.page.text
    answer = ask(stock.house, f"/batches/{low}")
    crumbs = [link for link in answer.page.links if link in (f"/batches/{top}", f"/batches/{middle}")]
    assert crumbs[:2] == [f"/batches/{top}", f"/batches/{middle}"]
    assert inside(answer) == [lowest]
    assert not ask(stock.house, f"/batches/{top}").page.all("nav", class_="crumbs")


def test_many_batches_inside_are_paged_and_none_is_left_out(stock):
    top = begin(stock, "Top")
    bids = [begin(stock, parent=top) for _ in range(60)]
    seen: list[str] = []
    answer = ask(stock.house, f"/batches/{top}")
    while True:
        seen += inside(answer)
        further = [link["href"] for link in answer.page.all("a", rel="next")]
        if not further:
            break
        answer = ask(stock.house, further[0])
    assert seen == bids
    assert "60 batches inside" in answer.page.text


def test_of_many_deeper_ones_the_first_are_shown_and_the_rest_counted(stock):
    top = begin(stock, "Top")
    child = begin(stock, "Child", parent=top)
    deeper = [begin(stock, parent=child) for _ in range(12)]
    answer = ask(stock.house, f"/batches/{top}")
    assert inside(answer) == [child, *deeper[:5]]
    assert "7 more" in answer.page.text


def test_a_chain_that_is_deep_shows_the_nearest_above(stock):
    bid = ""
    for number in range(200):
        bid = begin(stock, f"Number {number}", parent=bid)
    answer = ask(stock.house, f"/batches/{bid}")
    assert answer.status == 200
    assert "…" in answer.page.text
    assert "Number 198" in answer.page.text
    assert "Number 100" not in answer.page.text


# -- the page of a job -------------------------------------------------------------------------------------------------


def test_the_page_of_a_job_tells_its_batch(stock):
    bid = begin(stock, "Import of May")
    [job_id] = member(stock, bid)
    page = ask(stock.house, f"/jobs/{job_id}").page
    assert "Import of May" in page.text
    assert f"/batches/{bid}" in page.links
    assert "Callback of" not in page.text


def test_a_job_that_only_says_that_it_is_a_callback_is_none(stock):
    bid = begin(stock, "Import of May")
    [job_id] = stock.queued(1, custom={"_bid": bid})
    assert "Callback of" not in ask(stock.house, f"/jobs/{job_id}").page.text


# -- who looks, and what is shown ----------------------------------------------------------------------------------------


def test_hostile_texts_are_only_texts(stock):
    bid = begin(stock, (HOSTILE + OVERRIDE) * 3, success=HOSTILE + OVERRIDE)
    child = begin(stock, HOSTILE + OVERRIDE, parent=bid)
    [job_id] = stock.retries(1, {"message": HOSTILE}, custom={"bid": bid}, jobtype=HOSTILE)
    for path in ("/batches", f"/batches/{bid}", f"/batches/{child}", f"/jobs/{job_id}"):
        answer = ask(stock.house, path)
        assert answer.status == 200
        assert "<script>alert" not in answer.page.source
        assert not answer.page.all("img")
        assert not set("\u202e\u2028\u0000") & set(answer.page.source)


def test_who_only_looks_sees_batches(stock):
    bid = begin(stock, "Import")
    stock.house.server.change_passwords("writes", None, "reads")
    for path in ("/batches", f"/batches/{bid}"):
        page = ask(stock.house, path, password="reads").page
        assert "Import" in page.text
        assert not [form for form in page.forms if form.method == "post" and form.action != "/preferences"]


# -- the API ---------------------------------------------------------------------------------------------------------


def test_the_api_lists_batches_page_by_page(stock):
    bids = [begin(stock) for _ in range(5)]
    told = ask(stock.house, "/api/batches?limit=3").json()
    assert [batch["bid"] for batch in told["batches"]] == bids[:1:-1]
    assert told["size"] == 5
    rest = ask(stock.house, f"/api/batches?limit=3&after={told['next']}").json()
    assert [batch["bid"] for batch in rest["batches"]] == bids[1::-1]
    assert rest["next"] is None


def test_the_api_lists_what_is_inside_of_a_batch(stock):
    top = begin(stock)
    bids = [begin(stock, parent=top) for _ in range(5)]
    told = ask(stock.house, f"/api/batches?parent={top}&limit=3").json()
    assert [batch["bid"] for batch in told["batches"]] == bids[:3]
    rest = ask(stock.house, f"/api/batches?parent={top}&limit=3&after={told['next']}").json()
    assert [batch["bid"] for batch in rest["batches"]] == bids[3:]
    assert ask(stock.house, "/api/batches?parent=b-unknown").status == 404


def test_the_api_tells_the_numbers_of_a_batch(stock):
    bid = begin(stock, "Import", complete="Tried")
    [failed] = stock.retries(1, custom={"bid": bid})
    member(stock, bid)
    commit(stock, bid)
    told = ask(stock.house, f"/api/batches/{bid}").json()
    wanted = {"total": 2, "pending": 2, "succeeded": 0, "failed": 1, "gone": 0, "state": "running", "ended_at": None}
    assert {name: told[name] for name in wanted} == wanted
    assert told["failed_jobs"] == [failed]
    assert told["callbacks"] == {"complete": {"jobtype": "Tried", "state": "waiting", "jid": None, "job_id": None}}
