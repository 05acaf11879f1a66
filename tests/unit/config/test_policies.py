"""The tables [queues.NAME]: what they may say, and that every complaint names file, line and remedy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faktory_tw.config import ConfigError, Loaded, Settings, check
from faktory_tw.config.policies import POLICY_SETTINGS, QueuePolicy
from faktory_tw.core.job import check_queue_name
from faktory_tw.reload import reload
from faktory_tw.wire import CommandError

Write = Callable[..., Path]
Load = Callable[..., Loaded]

ALL = """\
[queues]
max_size = 1000

[queues.bulk]
max_size = 5
retry = 3
reserve_for = 600
priority = 2
aging = "10m"

[queues."mail.eu"]
reserve_for = "2h"
"""


def policies(loaded: Load) -> dict[str, QueuePolicy]:
    return dict(loaded().settings.queue_policies)


def refusal(loaded: Load) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        loaded()
    return refused.value.problems


def test_without_a_table_no_queue_is_special(write: Write, loaded: Load) -> None:
    assert policies(loaded) == {}
    write("[queues]\nmax_size = 5")
    assert policies(loaded) == {}


def test_a_table_says_what_is_different_in_its_queue(write: Write, loaded: Load) -> None:
    write(ALL)
    assert policies(loaded) == {
        "bulk": QueuePolicy(max_size=5, retry=3, reserve_for=600, priority=2, aging=600),
        "mail.eu": QueuePolicy(reserve_for=7200),
    }
    assert loaded().settings.max_queue_size == 1000
    assert loaded().warnings == ()


@pytest.mark.parametrize("text", ["queues.mail.retry = 1", "[queues]\nmail = { retry = 1 }", "[queues.mail]\nretry=1"])
def test_a_table_may_be_written_in_any_of_the_ways_of_toml(write: Write, loaded: Load, text: str) -> None:
    write(text)
    assert policies(loaded) == {"mail": QueuePolicy(retry=1)}


def test_a_table_that_says_nothing_is_none(write: Write, loaded: Load) -> None:
    write('[queues.mail]\n[queues.other]\naging = "0"')
    assert policies(loaded) == {}


@pytest.mark.parametrize(
    ("line", "policy"),
    [
        ("max_size = 0", QueuePolicy(max_size=0)),
        ("retry = -1", QueuePolicy(retry=-1)),
        ("retry = 0", QueuePolicy(retry=0)),
        ("retry = 1000000", QueuePolicy(retry=1_000_000)),
        ("reserve_for = 60", QueuePolicy(reserve_for=60)),
        ('reserve_for = "24h"', QueuePolicy(reserve_for=86_400)),
        ("priority = 1", QueuePolicy(priority=1)),
        ("priority = 9", QueuePolicy(priority=9)),
        ("aging = 1", QueuePolicy(aging=1)),
        ('aging = "8760h"', QueuePolicy(aging=365 * 86_400)),
    ],
)
def test_the_ends_of_what_can_be_said_can_be_said(write: Write, loaded: Load, line: str, policy: QueuePolicy) -> None:
    write(f"[queues.mail]\n{line}")
    assert policies(loaded) == {"mail": policy}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_size = -1", "queues.mail.max_size must be 0 or more, not -1"),
        ('max_size = "5"', "queues.mail.max_size must be a whole number, not '5'"),
        ("retry = -2", "queues.mail.retry must be -1 to 1000000, not -2"),
        ("retry = 1000001", "queues.mail.retry must be -1 to 1000000, not 1000001"),
        ("retry = true", "queues.mail.retry must be a whole number, not true"),
        ("reserve_for = 59", "queues.mail.reserve_for must be 60 to 86400 whole seconds, not 59"),
        ("reserve_for = 86401", "queues.mail.reserve_for must be 60 to 86400 whole seconds, not 86401"),
        ('reserve_for = "90.5s"', "queues.mail.reserve_for must be 60 to 86400 whole seconds, not '90.5s'"),
        ("reserve_for = 90.0", 'queues.mail.reserve_for must be a duration such as "1h", "30m" or "1h30m", not 90.0'),
        ("priority = 0", "queues.mail.priority must be 1 to 9, not 0"),
        ("priority = 10", "queues.mail.priority must be 1 to 9, not 10"),
        ("aging = nan", 'queues.mail.aging must be a duration such as "1h", "30m" or "1h30m", not nan'),
        ("aging = -1", "queues.mail.aging must be 0 to 31536000 whole seconds, not -1"),
        ('aging = "-1m"', "queues.mail.aging must be 0 to 31536000 whole seconds, not '-1m'"),
        ("aging = true", 'queues.mail.aging must be a duration such as "1h", "30m" or "1h30m", not true'),
        ("aging = [1]", 'queues.mail.aging must be a duration such as "1h", "30m" or "1h30m", not [1]'),
        ("maxsize = 1", "unknown key maxsize in [queues.mail]; did you mean max_size?"),
        ("Retry = 1", "unknown key Retry in [queues.mail]; did you mean retry?"),
        (
            "paused = true",
            "unknown key paused in [queues.mail]; its keys are max_size, retry, reserve_for, priority, aging",
        ),
        (
            "eu = { retry = 1 }",
            '[queues.mail.eu] has too many dots: the name of a queue with dots is written [queues."mail.eu"]',
        ),
    ],
)
def test_what_is_wrong_in_a_table_is_told_with_file_and_line(write: Write, loaded: Load, text: str, said: str) -> None:
    path = write(f"[queues.mail]\n\n{text}")
    assert refusal(loaded) == (f"{path}:3: {said}",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[queues.max_size]\nretry = 1",
            "1: queues.max_size is the setting for all queues: write max_size = … below [queues]; ",
        ),
        (
            "[queues]\nmail = 5",
            "2: unknown key mail in [queues]; its keys are max_size, and tables such as [queues.mail]",
        ),
        ("[[queues.mail]]\nretry = 1", "1: unknown key mail in [queues]; its keys are max_size, and tables such as"),
        ('[queues."a b"]\nretry = 1', '1: [queues."a b"]: a queue is named with letters, digits, dot, underscore and '),
        ('[queues.""]\nretry = 1', '1: [queues.""]: a queue is named with letters, digits'),
        (f"[queues.{'x' * 1025}]\nretry = 1", f'1: [queues.{"x" * 57}…"]: '.replace("queues.", 'queues."')),
    ],
)
def test_a_table_that_cannot_be_that_of_a_queue_is_told_so(write: Write, loaded: Load, text: str, said: str) -> None:
    path = write(text)
    (problem,) = refusal(loaded)
    assert problem.startswith(f"{path}:{said}")


@pytest.mark.parametrize(
    "name", ["a", "a.b", "-", "..", "_A-9.z", "x" * 1024, "", " ", "ä", "a b", "a:1", "a/b", "x" * 1025, "a\n"]
)
def test_a_queue_can_have_a_table_when_a_job_can_be_pushed_to_it(write: Write, loaded: Load, name: str) -> None:
    try:
        check_queue_name(name)
    except CommandError:
        admitted = False
    else:
        admitted = True
    quoted = name.replace("\n", "\\n")
    write(f'[queues."{quoted}"]\nretry = 1')
    if admitted:
        assert list(policies(loaded)) == [name]
    else:
        assert len(refusal(loaded)) == 1


def test_a_table_that_is_in_two_files_is_told_so(write: Write, loaded: Load) -> None:
    write("[queues.mail]\nretry = 1")
    write("[queues.mail]\npriority = 1", "conf.d/b.toml")
    assert "too; write it once" in refusal(loaded)[0]


def test_a_check_tells_what_is_in_effect_and_where_it_is_written(tmp_path: Path, write: Write) -> None:
    path = write(ALL)
    told = {row.key: row[1:] for row in check(str(tmp_path), {}).rows if row.key.startswith("queues.")}
    assert told == {
        "queues.max_size": ("1000", f"{path}:2"),
        "queues.bulk.max_size": ("5", f"{path}:5"),
        "queues.bulk.retry": ("3", f"{path}:6"),
        "queues.bulk.reserve_for": ("600s", f"{path}:7"),
        "queues.bulk.priority": ("2", f"{path}:8"),
        "queues.bulk.aging": ("600s", f"{path}:9"),
        'queues."mail.eu".reserve_for': ("7200s", f"{path}:12"),
    }


def test_a_wrong_value_leaves_the_rest_of_a_check_as_it_is(tmp_path: Path, write: Write) -> None:
    write('[queues.mail]\nretry = "x"\npriority = 3')
    checked = check(str(tmp_path), {})
    assert len(checked.problems) == 1
    assert {row.key: row.value for row in checked.rows if "mail" in row.key} == {"queues.mail.priority": "3"}


def test_every_policy_changes_with_sighup_and_the_queue_is_named() -> None:
    assert all(setting.reloads for setting in POLICY_SETTINGS)
    old = {"a": QueuePolicy(retry=1), "b": QueuePolicy(retry=1), "c": QueuePolicy(retry=1)}
    new = {"b": QueuePolicy(retry=2), "c": QueuePolicy(retry=1), "d": QueuePolicy(aging=1)}
    current = Settings("development", Path(), Path(), None, queue_policies=old)
    came = reload(current, lambda: replace(current, queue_policies=new, max_queue_size=3))
    assert came.settings.queue_policies == new
    assert came.sentences() == ["Changed: queues.max_size, queues.a, queues.b, queues.d"]
