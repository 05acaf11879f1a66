"""What the operator says of single queues, where people and programs see it."""

from __future__ import annotations

from pathlib import Path

import pytest

from faktory_tw.config import Settings
from faktory_tw.config.policies import QueuePolicy
from faktory_tw.core.manager import Limits
from tests.unit.web.browsing import ask

BULK = QueuePolicy(max_size=10_000, retry=3, reserve_for=600, priority=2, aging=3600)
SAID = (
    "At most 10,000 jobs",
    "3 retries",
    "Reserved for 10 min",
    "Default priority 2",
    "One priority higher every 1 hr",
)


def text(stock, path: str) -> str:
    return str(ask(stock.house, path).page.text).replace("\xa0", " ")


@pytest.fixture
def policed(stock):
    """A server with two queues, one of which has a policy."""
    stock.house.manager.limit(Limits(policies={"bulk": BULK}))
    stock.queued(1, queue="bulk")
    stock.queued(1, queue="plain")
    return stock


def test_the_page_of_a_queue_says_which_policy_applies(policed):
    said = text(policed, "/queues/bulk")
    assert [each for each in SAID if each not in said] == []
    other = text(policed, "/queues/plain")
    assert [each for each in SAID if each in other] == []


def test_the_list_says_it_beside_the_name_of_the_queue(policed):
    said = text(policed, "/queues")
    assert [said.count(each) for each in SAID] == [1] * len(SAID)


def test_the_limit_of_all_queues_is_on_the_page_of_each_and_not_in_every_row_of_the_list(policed):
    policed.house.manager.limit(Limits(max_queue_size=77))
    assert "At most 77 jobs" in text(policed, "/queues/plain")
    assert "At most 77 jobs" not in text(policed, "/queues")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (QueuePolicy(max_size=1), "At most 1 job"),
        (QueuePolicy(max_size=0), "No limit to its length"),
        (QueuePolicy(retry=1), "1 retry"),
        (QueuePolicy(retry=0), "Failed jobs are dropped"),
        (QueuePolicy(retry=-1), "Failed jobs are dead at once"),
    ],
)
def test_the_special_values_are_said_in_words(policed, policy, said):
    policed.house.manager.limit(Limits(max_queue_size=77, policies={"bulk": policy}))
    assert said in text(policed, "/queues/bulk")
    assert said in text(policed, "/queues")


def test_programs_get_what_is_said_and_nothing_else(policed):
    assert ask(policed.house, "/api/queues/bulk").json()["policy"] == {
        "max_size": 10_000,
        "retry": 3,
        "reserve_for": 600,
        "priority": 2,
        "aging": 3600,
    }
    assert "policy" not in ask(policed.house, "/api/queues/plain").json()
    policed.house.manager.limit(Limits(max_queue_size=77, policies={"bulk": QueuePolicy(max_size=0, retry=0)}))
    queues = ask(policed.house, "/api/queues").json()["queues"]
    assert [queue["policy"] for queue in queues] == [{"max_size": 0, "retry": 0}, {"max_size": 77}]


def test_the_report_of_a_defect_has_the_policies(policed, tmp_path: Path):
    policies = {"bulk": BULK, "mail.eu": QueuePolicy(retry=1)}
    policed.house.server.settings = Settings("staging", tmp_path, tmp_path, None, queue_policies=policies)
    said = ask(policed.house, "/debug.txt").body.decode()
    assert "max_size = 10000, retry = 3, reserve_for = 600s, priority = 2, aging = 3600s" in said
    assert 'queues."mail.eu"' in said
    assert "queues.bulk" in text(policed, "/debug")
