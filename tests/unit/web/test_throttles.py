"""The page of the throttles, and what the API tells of them."""

from __future__ import annotations

from pathlib import Path

from faktory_tw.config import Settings
from faktory_tw.config.throttles import Rate, Throttle
from tests.unit.house import House
from tests.unit.web.browsing import ask
from tests.unit.web.stock import Stock

THROTTLES = (
    Throttle("bulk", queue="bulk", concurrency=3, timeout=60.0),
    Throttle("email", queue="email", worker=2),
    Throttle("api", queue="api", rate=Rate(100.0, 60.0, 20)),
    Throttle("tenants", jobtype="Charge", key=("0", "tenant_id"), concurrency=1),
)


def limit(house: House, *throttles: Throttle) -> None:
    path = Path("/nowhere")
    house.manager.facts.configure(Settings("development", path, path, None, throttles=throttles))
    while house.manager.upkeep():
        pass


def test_without_throttles_the_page_says_how_to_write_one(stock: Stock) -> None:
    page = ask(stock.house, "/throttles").page
    assert "No throttles" in page.text
    assert "bulk = { concurrency = 10, timeout = 60 }" in page.text
    assert not page.rows


def test_each_throttle_is_told_with_its_limits_and_what_happens(stock: Stock) -> None:
    limit(stock.house, *THROTTLES)
    stock.queued(5, queue="bulk")
    for _ in range(4):
        stock.house.manager.fetch(["bulk"], None)
    page = ask(stock.house, "/throttles").page
    text = page.text.replace("\xa0", " ")
    for said in ("4 throttles", "3 concurrent", "2 per worker", "100 per 1 min", "0.tenant_id", "Charge", "all queues"):
        assert said in text
    assert "/queues/bulk" in page.links
    (row,) = [row for row in page.rows if row[:1] == ["bulk"]]
    assert row[3:8] == ["2", "3", "0", "0", "3"]
    assert row[9:] == ["1", "0"]


def test_the_busiest_keys_are_listed(stock: Stock) -> None:
    limit(stock.house, *THROTTLES)
    stock.queued(3, queue="x", jobtype="Charge", args=[{"tenant_id": "acme <b>"}])
    stock.house.manager.fetch(["x"], None)
    stock.house.manager.fetch(["x"], None)
    page = ask(stock.house, "/throttles").page
    assert "Keys of tenants" in page.text
    assert [row for row in page.rows if row[:1] == ["acme <b>"]] == [["acme <b>", "1", "2", "–"]]


def test_many_throttles_are_told_page_by_page(stock: Stock) -> None:
    limit(stock.house, *(Throttle(f"t{number:03}", queue=f"q{number}", concurrency=1) for number in range(450)))
    assert len(ask(stock.house, "/throttles?page=3").page.rows) == 51
    told = ask(stock.house, "/api/throttles?start=400&limit=20").json()
    assert [each["name"] for each in told["throttles"]] == [f"t{number}" for number in range(400, 420)]
    assert told["count"] == 450


def test_programs_are_told_the_same(stock: Stock) -> None:
    limit(stock.house, *THROTTLES)
    stock.queued(2, queue="bulk")
    stock.house.manager.fetch(["bulk"], None)
    told = ask(stock.house, "/api/throttles").json()
    assert told["count"] == 4
    assert {**told["throttles"][0], "held_seconds": 0} == {
        "name": "bulk",
        "queue": "bulk",
        "jobtype": None,
        "key": None,
        "limits": "3 concurrent",
        "concurrency": 3,
        "worker": None,
        "timeout": 60.0,
        "rate": None,
        "size": 1,
        "taken": 1,
        "free": 2,
        "waiting": 0,
        "held_count": 1,
        "held_seconds": 0,
        "overage": 0,
        "reclaimed": 0,
        "lane_count": 1,
        "lanes": [],
    }
    assert ask(stock.house, "/api/throttles?surprise=1").status == 400
