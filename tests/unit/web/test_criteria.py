"""What somebody looks for, from an address to a filter and back."""

from __future__ import annotations

import pytest

from web.content.criteria import Criteria, parse_moment

NOW = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-09-21T14:13:20Z", NOW),
        ("2026-09-21 14:13:20", NOW),
        ("2026-09-21T14:13", NOW - 20),
        ("2026-09-21 16:13+02:00", NOW - 20),
        ("2026-09-21 16:13 +02:00", NOW - 20),
        ("2026-09-21", NOW - 14 * 3600 - 13 * 60 - 20),
        ("2h", NOW - 20 - 7200),
        ("30 m", NOW - 20 - 1800),
        ("1w", NOW - 20 - 7 * 86400),
    ],
)
def test_a_time_is_written_in_many_ways(text, moment):
    assert parse_moment(text, NOW) == moment


def test_a_length_of_time_may_lie_ahead():
    assert parse_moment("90s", NOW, ahead=True) == NOW + 90


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2h ago",
        "-2h",
        "9999999h",
        "2026-13-01",
        "2026-02-30",
        "2026-09-21 25:00",
        "٢h",
        "2026-09-21T14:13X",
    ],
)
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match=r"time|range"):
        parse_moment(text, NOW)


def test_the_fields_of_an_address_are_those_that_a_browser_fills_in_again():
    criteria = Criteria(jobtype="a*", match="x y", since=NOW - 20, until=NOW)
    assert criteria.fields() == {
        "jobtype": "a*",
        "match": "x y",
        "since": "2026-09-21T14:13",
        "until": "2026-09-21T14:13:20",
    }


def test_nothing_looked_for_is_no_filter():
    assert not Criteria()
    assert Criteria().filter() is None
    wanted = Criteria(jid="jid-00001").filter()
    assert wanted is not None
    assert wanted.jids == ["jid-00001"]
