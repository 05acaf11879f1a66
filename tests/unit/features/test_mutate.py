"""MUTATE: what a filter finds, and what happens to it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faktory_tw.features.mutate import Glob, Mutation, _expression, _split_at_stars
from faktory_tw.storage.store import Place
from faktory_tw.times import rfc3339
from faktory_tw.wire import CommandError
from tests.unit.doubles import DAY, NOON, Engine, jid_of

TARGETS = {"scheduled": Place.SCHEDULED, "retries": Place.RETRIES, "dead": Place.DEAD}
LATER = rfc3339(NOON + 100)


def filled(engine: Engine, target: str) -> None:
    """Jobs a, b, c and d in a set; a and b are of one type."""
    for letter, jobtype in zip("abcd", ["Mail", "Mail", "Mailer", "<Bulk>"], strict=True):
        job = {"jobtype": jobtype, "args": [letter], "queue": f"q-{letter}", "retry": -1 if target == "dead" else 5}
        jid = engine.push(letter * 8, at=LATER if target == "scheduled" else None, **job)
        if target != "scheduled":
            engine.fetch(f"q-{letter}")
            engine.fail(jid, message=f"failed {letter}")
    engine.commit()
    assert found(engine, target) == "abcd"


def found(engine: Engine, target: str) -> str:
    return "".join(sorted(jid_of(row)[0] for row in engine.rows(TARGETS[target])))


def queued(engine: Engine) -> str:
    return "".join(name[2:] for name, size in engine.manager.queue_sizes().items() if size)


# -- what is done --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_clear_drops_everything_whatever_the_filter(engine: Engine, target: str) -> None:
    filled(engine, target)
    engine.mutate("clear", target, jobtype="Mail")
    assert found(engine, target) == ""
    engine.restart()
    assert found(engine, target) == ""
    assert engine.rows_on_disk("jobs") == engine.rows_on_disk("places") == 0


@pytest.mark.parametrize("target", TARGETS)
def test_discard_drops_what_the_filter_finds_and_all_without_one(engine: Engine, target: str) -> None:
    filled(engine, target)
    engine.mutate("discard", target, jobtype="Mail")
    engine.restart()
    assert found(engine, target) == "cd"
    engine.mutate("discard", target)
    engine.restart()
    assert found(engine, target) == ""
    assert engine.rows_on_disk() == 0


@pytest.mark.parametrize("target", TARGETS)
def test_requeue_enqueues_now_what_the_filter_finds(engine: Engine, target: str) -> None:
    filled(engine, target)
    engine.clock.advance(50)
    engine.mutate("requeue", target, jids=["bbbbbbbb", "dddddddd"])
    assert (found(engine, target), queued(engine)) == ("ac", "bd")
    engine.restart()
    assert (found(engine, target), queued(engine)) == ("ac", "bd")
    job = engine.fetch("q-d")
    assert job is not None
    assert (job["jid"], job["args"], job["enqueued_at"]) == ("dddddddd", ["d"], rfc3339(NOON + 50))
    assert ("failure" in job) == (target != "scheduled")


@pytest.mark.parametrize("target", ["scheduled", "retries"])
def test_kill_moves_what_the_filter_finds_to_the_dead_for_180_days(engine: Engine, target: str) -> None:
    filled(engine, target)
    failures = {jid_of(row): row.failure for row in engine.rows(TARGETS[target])}
    engine.mutate("kill", target, jobtype="Mail*")
    assert (found(engine, target), found(engine, "dead")) == ("d", "abc")
    engine.restart()
    assert (found(engine, target), found(engine, "dead")) == ("d", "abc")
    assert [row.failure for row in engine.rows(Place.DEAD)] == [failures[letter * 8] for letter in "abc"]
    engine.pass_time(180 * DAY - 1)
    assert found(engine, "dead") == "abc"
    engine.pass_time(1)
    assert found(engine, "dead") == ""


def test_kill_all_kills_all_and_enqueues_nothing(engine: Engine) -> None:
    filled(engine, "retries")
    engine.mutate("kill", "retries")
    assert (found(engine, "dead"), queued(engine)) == ("abcd", "")


def test_killing_the_dead_leaves_them_as_they_are(engine: Engine) -> None:
    filled(engine, "dead")
    engine.mutate("kill", "dead")
    assert found(engine, "dead") == "abcd"


def test_requeued_jobs_keep_their_order_and_priority(engine: Engine) -> None:
    for number, priority in enumerate([5, 9, 5, 1]):
        engine.push(at=rfc3339(NOON + 100 - number), priority=priority)
    engine.mutate("requeue", "scheduled")
    expected = ["job-0002", "job-0003", "job-0001", "job-0004"]
    engine.restart()
    assert engine.jids() == expected


def test_a_requeued_dead_job_has_no_retries_left(engine: Engine) -> None:
    jid = engine.push(retry=0)
    engine.push("mortal-1", retry=-1)
    engine.jids()
    engine.fail(jid)
    engine.fail("mortal-1")
    engine.mutate("requeue", "dead")
    engine.jids()
    engine.fail("mortal-1")
    [row] = engine.rows(Place.DEAD)
    assert json.loads(row.failure)["retry_count"] == 1


def test_a_large_set_is_gone_through_in_slices(engine: Engine) -> None:
    for _ in range(1700):
        engine.push(at=LATER)
    steps = Mutation(b'{"cmd":"requeue","target":"scheduled"}').steps(engine.manager)
    sizes = [engine.sizes()["scheduled"] for _ in steps]
    assert len(sizes) == 7
    assert sizes == sorted(sizes, reverse=True)
    assert max(before - after for before, after in zip([1700, *sizes], sizes, strict=False)) <= 250
    assert engine.sizes() == {"scheduled": 0, "queued": 1700, "working": 0, "retries": 0, "dead": 0}


def test_jobs_that_leave_and_enter_between_two_slices_do_no_harm(engine: Engine) -> None:
    for _ in range(1200):
        engine.push(at=LATER)
    steps = Mutation(b'{"cmd":"discard","target":"scheduled","filter":{"jobtype":"Work"}}').steps(engine.manager)
    next(steps)
    engine.push("sooner-1", at=rfc3339(NOON + 1))
    engine.pass_time(1)
    entries = engine.manager.walk(Place.SCHEDULED, None, 300)
    for entry in entries:
        engine.manager.edits.discard(Place.SCHEDULED, entry)
    for _ in steps:
        pass
    assert engine.sizes() == {"scheduled": 0, "queued": 1, "working": 0, "retries": 0, "dead": 0}


# -- what is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "letters"),
    [
        ({}, "abcd"),
        ({"jids": [], "regexp": "", "jobtype": ""}, "abcd"),
        ({"jids": None, "regexp": None, "jobtype": None}, "abcd"),
        ({"jids": ["aaaaaaaa", "unknown"]}, "a"),
        ({"jids": ["aaaa"]}, ""),
        ({"jids": ["bbbbbbbb"], "jobtype": "Nothing", "regexp": "nothing"}, "b"),
        ({"jobtype": "Mail"}, "ab"),
        ({"jobtype": "Mail*"}, "abc"),
        ({"jobtype": "mail"}, ""),
        ({"jobtype": "Mai"}, ""),
        ({"jobtype": "\\u003cBulk\\u003e"}, ""),
        ({"jobtype": "\\\\u003cBulk\\\\u003e"}, "d"),
        ({"regexp": "*"}, "abcd"),
        ({"regexp": "aaaaaaaa"}, ""),
        ({"regexp": "*aaaaaaaa*"}, "a"),
        ({"regexp": '{*"args":\\["[ab]"\\]*}'}, "ab"),
        ({"regexp": '*"queue":"q-[^abc]"*'}, "d"),
        ({"regexp": '*"jobtype":"Mail[a-z]?"*'}, "c"),
        ({"regexp": "*q-*", "jobtype": "Mailer"}, "c"),
        ({"regexp": "*q-a*", "jobtype": "Mailer"}, ""),
    ],
)
def test_a_filter_finds(engine: Engine, wanted: dict[str, object], letters: str) -> None:
    filled(engine, "scheduled")
    engine.mutate("discard", "scheduled", **wanted)
    assert found(engine, "scheduled") == "".join(letter for letter in "abcd" if letter not in letters)


def test_a_regexp_looks_into_the_failure_too(engine: Engine) -> None:
    filled(engine, "retries")
    engine.mutate("discard", "retries", regexp='*"failure":{*"message":"failed [bc]"*')
    assert found(engine, "retries") == "ad"


def test_a_jid_may_belong_to_several_jobs(engine: Engine) -> None:
    for number in range(3):
        engine.push("same-jid", at=rfc3339(NOON + 10 + number))
    engine.push("other-jid", at=LATER)
    engine.mutate("requeue", "scheduled", jids=["same-jid"])
    assert engine.jids() == ["same-jid"] * 3


# -- the request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "invalid JSON: "),
        (b"{", "invalid JSON: "),
        (b"[]", "invalid JSON: "),
        (b'{"cmd":1}', "invalid JSON: "),
        (b'{"cmd":"clear","target":"dead","filter":[]}', "invalid JSON: "),
        (b'{"cmd":"clear","target":"dead","filter":{"jids":"x"}}', "invalid JSON: "),
        (b'{"cmd":"clear","target":"dead","filter":{"jobtype":"\xff"}}', "invalid JSON: "),
        (b"{}", "unknown mutate operation"),
        (b"null", "unknown mutate operation"),
        (b'{"cmd":"explode","target":"dead"}', "unknown mutate operation"),
        (b'{"cmd":"Clear","target":"dead"}', "unknown mutate operation"),
        (b'{"cmd":"clear"}', "invalid target for mutation command"),
        (b'{"cmd":"clear","target":"queues"}', "invalid target for mutation command"),
        (b'{"cmd":"clear","target":"working"}', "invalid target for mutation command"),
    ],
)
def test_a_request_that_is_none_is_refused(text: bytes, told: str) -> None:
    with pytest.raises(CommandError) as refused:
        Mutation(text)
    assert str(refused.value).startswith(told)


def test_keys_in_any_case_nulls_unknown_keys_and_spaces_are_allowed(engine: Engine) -> None:
    filled(engine, "scheduled")
    text = b' { "CMD" : "discard" , "Target" : "scheduled" , "other" : 1 , "filter" : { "jids" : [ "cccccccc" ] , "regexp" : null } } '
    for _ in Mutation(text).steps(engine.manager):
        pass
    assert found(engine, "scheduled") == "abd"


# -- globs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("abc", ["abc"], ["", "ab", "abcd", "xabc", "ABC"]),
        ("", [""], ["a"]),
        ("*", ["", "a", "a\nb"], []),
        ("**", ["", "abc"], []),
        ("a*", ["a", "ab"], ["", "ba"]),
        ("*a", ["a", "ba", "aa"], ["", "ab"]),
        ("a*a", ["aa", "aba", "aaa"], ["a", "ab"]),
        ("*a*b*", ["ab", "xaxbx", "aab"], ["ba", "a", "b"]),
        ("a*ab", ["aab", "aabab", "axab"], ["ab", "aba"]),
        ("?", ["a", "\n", "*"], ["", "ab"]),
        ("a?c*", ["abc", "a.cd"], ["ac", "abd"]),
        ("[abc]", ["a", "b", "c"], ["d", "", "ab"]),
        ("[a-c]x", ["ax", "bx", "cx"], ["dx", "-x"]),
        ("[c-a]", ["a", "b", "c"], ["d"]),
        ("[^a-c]", ["d", "-", "^"], ["a", "b", ""]),
        ("[a-]", ["a", "-"], ["b"]),
        ("[]", [], ["", "a", "]"]),
        ("x[]*", [], ["x", "xy", "x]"]),
        ("[\\]]", ["]"], ["\\", "a"]),
        ("\\*", ["*"], ["a", "\\*", ""]),
        ("\\a\\?", ["a?"], ["ab", "\\a\\?"]),
        ("\\\\", ["\\"], ["\\\\"]),
        (".+(x)|$^{1}", [".+(x)|$^{1}"], ["a+(x)|$^{1}", ""]),
        ("[.]", ["."], ["a"]),
        ("[&&a]", ["&", "a"], ["b"]),
        ("a b", ["a b"], ["a\tb"]),
        ("[a", ["[a"], ["a", "["]),
        ("[?*[a", ["[x[a", "[xyz[a"], ["[[a", "xy[a"]),
        ("[a\\]?", ["[a]x"], ["a", "ax", "[a]"]),
        ("[a][b", ["a[b"], ["ab", "[a][b"]),
        ("[[[a]", ["[", "a"], ["[[a]", "[[["]),
        ("[a\\", ["[a\\"], ["a", "[a"]),
        ("[^]", ["a", "]", "^"], ["", "ab"]),
        ("a??b*", ["axyb", "axybc"], ["axb", "axyzb"]),
        ("*a???", ["axyz", "aaaaa"], ["axy", "axyzv"]),
    ],
)
def test_a_glob_matches_the_whole_text(pattern: str, matching: list[str], other: list[str]) -> None:
    glob = Glob(pattern)
    assert [text for text in matching + other if glob.matches(text.encode())] == matching


def test_an_escaped_hyphen_is_no_range() -> None:
    glob = Glob("[a\\-z]")
    assert [char for char in "abz-" if glob.matches(char.encode())] == ["a", "z", "-"]


def redis_glob(pattern: bytes, text: bytes) -> bool:
    """The documented meaning, by trying every possibility."""
    if not pattern:
        return not text
    if pattern[:1] == b"*":
        return any(redis_glob(pattern[1:], text[start:]) for start in range(len(text) + 1))
    char, length = pattern[:1], 1
    if char == b"\\" and len(pattern) > 1:
        char, length = pattern[1:2], 2
    elif char == b"?":
        char = text[:1]
    return bool(text) and text[:1] == char and redis_glob(pattern[length:], text[1:])


@given(st.text("ab*?\\", max_size=8), st.text("ab*\\", max_size=8))
@example("\\", "\\")
@example("*\\", "a\\")
def test_a_glob_without_brackets_is_what_redis_takes_it_for(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text.encode()) == redis_glob(pattern.encode(), text.encode())


@given(st.text(max_size=12), st.binary(max_size=12))
def test_any_pattern_can_be_matched_with_any_text(pattern: str, text: bytes) -> None:
    assert Glob(pattern).matches(text) in (True, False)


@given(st.text(min_size=1, max_size=6))
def test_a_text_in_escapes_matches_itself_alone(text: str) -> None:
    glob = Glob("*" + re.sub(r"([\\*?\[\]])", r"\\\1", text) + "*")
    data = text.encode()
    assert glob.matches(b"before" + data + b"after")
    assert glob.matches(data)
    assert not glob.matches(data[:-1])


def test_many_stars_do_not_multiply_the_work() -> None:
    """This ends at once, or not in the lifetime of the machine."""
    glob = Glob("*a" * 30 + "b")
    assert not glob.matches(b"a" * 1000)
    assert glob.matches(b"a" * 999 + b"b")


@pytest.mark.parametrize("name", ["regexp", "jobtype"])
def test_a_pattern_of_more_than_a_kibibyte_is_refused(name: str) -> None:
    def request(pattern: str) -> bytes:
        return json.dumps({"cmd": "kill", "target": "dead", "filter": {name: pattern}}).encode()

    Mutation(request("[" * 1024))
    Mutation(request("é" * 512))
    for pattern in ("[" * 1025, "é" * 513):
        with pytest.raises(CommandError, match=f"^{name} is too long, max size is 1024 bytes$"):
            Mutation(request(pattern))


def test_many_question_marks_are_one_step_of_a_pattern() -> None:
    assert _expression(_split_at_stars(b"?" * 1000 + b"a")[0]) == b".{1000}a"
    assert not Glob("*" + "?" * 1000 + "b*").matches(b"a" * 100_000)
    assert Glob("*" + "?" * 1000 + "b*").matches(b"a" * 100_000 + b"bc")


def test_brackets_that_are_not_closed_are_gone_through_once() -> None:
    """This ends at once; a scan to the end for each of them would not."""
    [part] = _split_at_stars(b"[" * 300_000)
    assert part == [rb"\["] * 300_000
