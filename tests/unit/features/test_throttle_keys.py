"""Which value of a job's args is its key."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.config.throttles import Throttle
from faktory_tw.features.throttles.keys import LONGEST_KEY, keys_of, value_at

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("args", "path", "found"),
    [
        ('[{"tenant_id":7}]', "0.tenant_id", "7"),
        ('["a","b"]', "1", "b"),
        ('["a"]', "1", None),
        ("[]", "0", None),
        ("[null]", "0", None),
        ('[{"a":null}]', "0.a", None),
        ('[{"a":{"b":["x"]}}]', "0.a.b.0", "x"),
        ('[{"0":"text"}]', "0.0", "text"),
        ('["\\u00e9"]', "0", "é"),
        ('["é"]', "0", "é"),
        ("[1.0]", "0", "1.0"),
        ("[123456789012345678901234567890]", "0", "123456789012345678901234567890"),
        ("[true]", "0", "true"),
        ("[[1,2]]", "0", "[1,2]"),
        ('["a"]', "a", None),
        ('["a"]', "-1", None),
        ('["a"]', "²", None),
        ('["a"]', "9" * 5000, None),
        ('["a"]', "0.0", None),
        ("[7]", "0.a", None),
        ('{"a":1}', "a", "1"),
        ("", "0", None),
        ("[1", "0", None),
        ('["\\ud800"]', "0", None),
    ],
)
def test_the_key_is_what_stands_at_the_end_of_the_path(args: str, path: str, found: str | None) -> None:
    assert value_at(args.encode(), path.split(".")) == found


def test_of_a_long_key_the_beginning_and_a_hash_are_kept() -> None:
    long, other = "x" * 1_000_000, "x" * 999_999 + "y"
    keys = [value_at(json.dumps([text]).encode(), ["0"]) for text in (long, other, "x" * LONGEST_KEY)]
    assert len(set(keys)) == 3
    assert all(key is not None and len(key) <= LONGEST_KEY for key in keys)


@given(
    args=st.lists(values, max_size=4), path=st.lists(st.sampled_from(["0", "1", "2", "a", ""]), min_size=1, max_size=4)
)
def test_any_args_have_a_key_or_none(args: list[object], path: list[str]) -> None:
    node: object = args
    for name in path:
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        else:
            node = None
    text = json.dumps(args, ensure_ascii=False, separators=(",", ":"))
    found = value_at(text.encode("utf-8", "surrogatepass"), path)
    if isinstance(node, str) and len(node) <= LONGEST_KEY and "\ud800" <= max(node + " ") <= "\udfff":
        return
    if node is None:
        assert found is None
    elif isinstance(node, str) and len(node) <= LONGEST_KEY:
        assert found in (node, None)
    elif isinstance(node, bool):
        assert found == str(node).lower()


def test_a_job_is_meant_by_its_jobtype_and_its_key() -> None:
    body = b'{"jid":"j","jobtype":"Charge","args":["acme"]}'
    throttles = [
        Throttle("a", jobtype="Charge"),
        Throttle("b", jobtype="Mail"),
        Throttle("c", key=("0",)),
        Throttle("d", key=("1",)),
        Throttle("e", jobtype="Mail", key=("0",)),
    ]
    assert keys_of(throttles, body) == ["", None, "acme", None, None]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"jobtype":1}', b"\xff"])
def test_a_body_that_cannot_be_read_is_meant_by_no_throttle(body: bytes) -> None:
    assert keys_of([Throttle("a", jobtype="Charge"), Throttle("c", key=("0",))], body) == [None, None]
