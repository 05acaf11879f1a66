"""The entries [[cron]] of the files: what they mean, and that one with a mistake harms no other."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faktory_tw.config import ConfigError, check, load
from faktory_tw.config.cron import LONGEST_JOB, CronEntry
from faktory_tw.features.cron import check_job

Write = Callable[..., Path]
GOOD = '[[cron]]\nname = "good"\nschedule = "@daily"\n[cron.job]\ntype = "Good"\n'


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a file into conf.d."""

    def write(text: str, name: str = "a.toml") -> Path:
        path = tmp_path / "conf.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def entries(directory: Path) -> tuple[CronEntry, ...]:
    """All of them, none of which may be left out."""
    loaded = load({"config": str(directory)}, {}, check_job=check_job)
    assert loaded.warnings == ()
    return loaded.settings.cron


def left_out(directory: Path) -> list[str]:
    """What is said of the entries with a mistake; that they are left out is said of each."""
    end = "; this [[cron]] is left out"
    loaded = load({"config": str(directory)}, {}, check_job=check_job)
    assert all(warning.endswith(end) for warning in loaded.warnings)
    checked = check(str(directory), {}, check_job=check_job)
    assert (checked.left_out, checked.problems, checked.warnings) == (loaded.warnings, (), ())
    return [warning.removesuffix(end) for warning in loaded.warnings]


def test_an_entry_says_what_is_pushed_and_when(tmp_path: Path, write: Write) -> None:
    path = write(
        """
        [[cron]]
        name = "report"
        schedule = "30 2 * * MON-FRI"
        timezone = "Europe/Berlin"
        catch_up = "all"
        catch_up_limit = 7
        paused = true
        [cron.job]
        type = "Report"
        queue = "low"
        retry = 3
        args = ["ä", 9223372036854775807, 1.5, true, { deep = [[]] }]
        reserve_for = 600
        priority = 9
        backtrace = 5
        [cron.job.custom]
        unique_for = 60
        locale = "de"
        """
    )
    (entry,) = entries(tmp_path)
    assert (entry.name, entry.schedule.text, entry.schedule.timezone) == ("report", "30 2 * * MON-FRI", "Europe/Berlin")
    assert (entry.catch_up, entry.catch_up_limit, entry.paused, entry.place) == ("all", 7, True, f"{path}:2")
    assert (entry.jobtype, entry.queue, json.loads(entry.custom)) == (
        "Report",
        "low",
        {"unique_for": 60, "locale": "de"},
    )
    assert json.loads(entry.job) == {
        "jobtype": "Report",
        "queue": "low",
        "retry": 3,
        "args": ["ä", 9223372036854775807, 1.5, True, {"deep": [[]]}],
        "reserve_for": 600,
        "priority": 9,
        "backtrace": 5,
        "custom": {"unique_for": 60, "locale": "de"},
    }


def test_an_entry_needs_a_schedule_and_a_type_only(tmp_path: Path, write: Write) -> None:
    write('[[cron]]\nschedule = "*/5 * * * *"\n[cron.job]\ntype = "Beat"')
    (entry,) = entries(tmp_path)
    assert json.loads(entry.job) == {"jobtype": "Beat", "args": []}
    assert (entry.queue, entry.custom, entry.schedule.timezone) == ("default", b"", "UTC")
    assert (entry.catch_up, entry.catch_up_limit, entry.paused) == ("skip", 100, False)


def test_entries_of_several_files_add_up(tmp_path: Path, write: Write) -> None:
    write(GOOD)
    write(GOOD.replace("good", "better") + GOOD.replace("good", "best"), "b.toml")
    assert [entry.name for entry in entries(tmp_path)] == ["good", "better", "best"]


# -- names ---------------------------------------------------------------------------------------------------------


def _made(directory: Path, write: Write, text: str) -> str:
    write(f"[[cron]]\n{text}")
    (entry,) = entries(directory)
    return entry.name


BEAT = 'schedule = "0 * * * *"\n[cron.job]\ntype = "My::Beat"\nargs = [{a = 1, b = 2}]'


def test_an_entry_without_a_name_gets_one_that_stays(tmp_path: Path, write: Write) -> None:
    name = _made(tmp_path, write, BEAT)
    assert name.startswith("My-Beat-")
    assert len(name) == len("My-Beat-") + 10
    for same in (
        "\n\n" + BEAT,
        "paused = true\n" + BEAT,
        'catch_up = "last"\n' + BEAT,
        'timezone = "UTC"\n' + BEAT,
        BEAT.replace("{a = 1, b = 2}", "{b = 2, a = 1}"),
        BEAT.replace("0 * * * *", " 0  * * * *"),
    ):
        assert _made(tmp_path, write, same) == name
    for other in (
        BEAT.replace("0 *", "1 *"),
        'timezone = "Europe/Berlin"\n' + BEAT,
        BEAT.replace("a = 1", "a = 3"),
        BEAT + "\nretry = 0",
        BEAT.replace("My::Beat", "My-Beat"),
    ):
        assert _made(tmp_path, write, other) != name


@pytest.mark.parametrize(
    ("jobtype", "begin"), [("ü", "job-"), ("x" * 500, "x" * 60 + "-"), ("a/b c", "a-b-c-"), ("..x", "x-")]
)
def test_a_name_is_made_of_any_jobtype(tmp_path: Path, write: Write, jobtype: str, begin: str) -> None:
    name = _made(tmp_path, write, f'name = "x"\n{BEAT}'.replace('name = "x"\n', "").replace("My::Beat", jobtype))
    assert name.startswith(begin)
    assert name.isascii()
    assert len(name) <= 71


def test_of_two_entries_with_one_name_the_first_is_used(tmp_path: Path, write: Write) -> None:
    a, b = write(GOOD), write("\n" + GOOD.replace("Good", "Other"), "b.toml")
    assert left_out(tmp_path) == [f"{b}:3: the name good is in {a}:1, too; choose another one"]
    (entry,) = load({"config": str(tmp_path)}, {}).settings.cron
    assert entry.jobtype == "Good"


def test_of_two_entries_that_are_alike_the_first_is_used(tmp_path: Path, write: Write) -> None:
    path = write(f"[[cron]]\n{BEAT}\n[[cron]]\n{BEAT}")
    assert left_out(tmp_path) == [
        f"{path}:6: the same schedule and job are in {path}:1, too; give them names to have both"
    ]


# -- mistakes ------------------------------------------------------------------------------------------------------


JOB = '[cron.job]\ntype = "X"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (JOB, '1: it needs a schedule, such as schedule = "*/5 * * * *"'),
        ("schedule = 5\n" + JOB, "2: schedule must be text in quotes, not 5"),
        ('schedule = "* * *"\n' + JOB, "2: schedule '* * *': must have five fields, minute, hour, day of the month, "),
        ('schedule = "* 25 * * *"\n' + JOB, "2: schedule '* 25 * * *': '25' cannot be the hour"),
        ('schedule = "0 0 30 2 *"\n' + JOB, "2: schedule '0 0 30 2 *': never comes: no such month has such a day"),
        ('timezone = "Berlin"\nschedule = "@daily"\n' + JOB, "2: timezone: 'Berlin' is no name of a time zone"),
        ('timezone = 1\nschedule = "@daily"\n' + JOB, "2: timezone must be text in quotes, not 1"),
        ('schedule = "@daily"\ncatch_up = "some"\n' + JOB, "3: catch_up must be one of skip, last, all, not 'some'"),
        ('schedule = "@daily"\ncatch_up_limit = 0\n' + JOB, "3: catch_up_limit must be from 1 to 1000, not 0"),
        ('schedule = "@daily"\ncatch_up_limit = 1001\n' + JOB, "3: catch_up_limit must be from 1 to 1000"),
        ('schedule = "@daily"\ncatch_up_limit = true\n' + JOB, "3: catch_up_limit must be a whole number, not true"),
        ('schedule = "@daily"\npaused = 1\n' + JOB, "3: paused must be true or false, not 1"),
        ('schedule = "@daily"\nname = "a b"\n' + JOB, "3: name must have letters, digits, underscore, dot and hyphen"),
        ('schedule = "@daily"\nname = ".."\n' + JOB, "3: name must have letters"),
        ('schedule = "@daily"\nname = "-x"\n' + JOB, "3: name must have letters"),
        ('schedule = "@daily"\nname = ""\n' + JOB, "3: name must have letters"),
        (f'schedule = "@daily"\nname = "{"x" * 101}"\n' + JOB, "3: name must have letters"),
        ('shedule = "@daily"\n' + JOB, "2: unknown key shedule in [[cron]]; did you mean schedule?"),
        ('schedule = "@daily"\nqueue = "x"\n' + JOB, "3: unknown key queue in [[cron]]; it belongs below [cron.job]"),
        ('schedule = "@daily"\nxyz = 1\n' + JOB, "3: unknown key xyz in [[cron]]; its keys are name, schedule, "),
        ('schedule = "@daily"', "1: it needs a job: write [cron.job] below it"),
        ('schedule = "@daily"\njob = "X"', "3: it needs a job: write [cron.job] below it"),
        ('schedule = "@daily"\n[cron.job]\nargs = []', "3: its job needs a type"),
        ('schedule = "@daily"\n[cron.job]\ntype = ""', "3: its job needs a type"),
        ('schedule = "@daily"\n[cron.job]\ntype = 1', "4: job.type must be text in quotes, not 1"),
        ('schedule = "@daily"\n' + JOB + "args = {}", "5: job.args must be a list, not {}"),
        ('schedule = "@daily"\n' + JOB + "retry = 1.5", "5: job.retry must be a whole number, not 1.5"),
        ('schedule = "@daily"\n' + JOB + "retry = -2", "5: job.retry must be from -1 to 2147483648, not -2"),
        ('schedule = "@daily"\n' + JOB + "priority = 0", "5: job.priority must be from 1 to 9, not 0"),
        ('schedule = "@daily"\n' + JOB + "priority = 10", "5: job.priority must be from 1 to 9, not 10"),
        ('schedule = "@daily"\n' + JOB + "reserve_for = 86401", "5: job.reserve_for must be from 0 to 86400"),
        ('schedule = "@daily"\n' + JOB + 'custom = "x"', "5: job.custom must be a table, not 'x'"),
        ('schedule = "@daily"\n' + JOB + "jobtype = 1", "5: unknown key jobtype in [cron.job]; did you mean type?"),
        ('schedule = "@daily"\n' + JOB + 'jid = "12345678"', "5: unknown key jid in [cron.job]; its keys are type, "),
        ('schedule = "@daily"\n' + JOB + "args = [2025-11-21]", "5: job.args must have text, numbers, true or false"),
        ('schedule = "@daily"\n' + JOB + "args = [nan]", "5: job.args must have text, numbers"),
        ('schedule = "@daily"\n' + JOB + "custom = { x = [-inf] }", "5: job.custom must have text, numbers"),
        ('schedule = "@daily"\n' + JOB + 'queue = "a b"', '3: its job cannot be pushed: cannot get "a b" queue: '),
        ('schedule = "@daily"\n' + JOB + "custom = { unique_for = -1 }", "3: its job cannot be pushed: custom.unique_f"),
        ('schedule = "@daily"\n' + JOB + 'custom = { expires_at = "x" }', "3: its job cannot be pushed: custom.expires_at is not a time"),
        ('schedule = "@daily"\n' + JOB + f'args = ["{"x" * LONGEST_JOB}"]', "3: its job must not be longer than 1048576"),
        (
            'schedule = "@daily"\n' + JOB + f'custom = {{ unique_for = 1 }}\nargs = ["{"x" * 70_000}"]',
            "3: its job cannot be pushed: the args of a unique job must not be longer",
        ),
    ],
)  # fmt: skip
def test_an_entry_with_a_mistake_is_left_out_and_named_with_its_line(
    tmp_path: Path, write: Write, text: str, said: str
) -> None:
    path = write(f"[[cron]]\n{text}\n{GOOD}")
    (mistake,) = left_out(tmp_path)
    assert mistake.startswith(f"{path}:{said}")
    assert len(mistake) < 300 + len(str(path))
    assert [entry.name for entry in load({"config": str(tmp_path)}, {}).settings.cron][-1:] == ["good"]


@pytest.mark.parametrize("depth", [100, 600])
def test_args_may_be_nested_as_deep_as_a_push_may(tmp_path: Path, write: Write, depth: int) -> None:
    write(f'[[cron]]\nschedule = "@daily"\n{JOB}args = {"[" * depth}{"]" * depth}')
    try:
        assert bool(left_out(tmp_path)) == (depth > 512)
    except ConfigError as error:  # tomllib itself may give up
        assert "nested too deep" in str(error)  # noqa: PT017
        assert depth > 512


@pytest.mark.parametrize("text", ["cron = 1", "[cron]", "cron = []", "cron = [1]"])
def test_cron_that_is_no_array_of_tables_is_a_problem_of_the_file(tmp_path: Path, write: Write, text: str) -> None:
    write(text)
    with pytest.raises(ConfigError, match="cron must be an array of tables: write"):
        load({"config": str(tmp_path)}, {})


def test_the_place_of_an_entry_makes_it_no_other(tmp_path: Path, write: Write) -> None:
    write(GOOD)
    before: Any = entries(tmp_path)
    write("\n\n" + GOOD)
    assert entries(tmp_path) == before
