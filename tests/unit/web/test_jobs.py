"""What a job looks like on a page: short, readable, and harmless whatever is in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faktory_tw.features.search import JobRow, Place
from web.content import jobs

NOW = 1_790_000_000.0


def row(place: Place = Place.QUEUED, failure: bytes = b"", args: bytes = b"[1]", **fields: object) -> JobRow:
    """A row of the store; `fields` are those of the job."""
    job = {"jid": "jid-00001", "jobtype": "work", "queue": "default", **fields}
    body = json.dumps(job)[:-1].encode() + b',"args":%b}' % args
    return JobRow(
        id=7,
        queue="default",
        priority=5,
        place=place,
        position=7,
        at=None if place is Place.QUEUED else NOW,
        enqueued_at=NOW,
        failure=failure,
        wid="",
        reserved_at=None,
        body=body,
    )


def test_arguments_in_a_list_are_cut_to_so_many_characters():
    shown = jobs.line(row(args=json.dumps(["x" * 5000]).encode()))
    assert shown.args_cut
    assert shown.args == '["' + "x" * 1022 + "…"
    whole = jobs.line(row(args=b'["short"]'))
    assert (whole.args, whole.args_cut) == ('["short"]', False)


def test_arguments_are_cut_between_characters_not_bytes():
    shown = jobs.line(row(args=json.dumps(["😀" * 5000], ensure_ascii=False).encode()))
    assert shown.args == '["' + "😀" * 1022 + "…"


def test_escapes_that_are_cut_are_not_shown_in_part():
    shown = jobs.line(row(args=json.dumps(["😀" * 5000]).encode()))
    assert shown.args == '["' + "😀" * 1022 + "…"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (r'"gr\u00fc\u00dfe"', '"grüße"'),
        (r'"\ud83d\ude00"', '"😀"'),
        (r'"\\u0041"', r'"\\u0041"'),
        (r'"\\\u0041"', r'"\\A"'),
        (r'"\u0022\u005c\u000a"', r'"\u0022\u005c\u000a"'),
        (r'"\u202e\u0000\ufeff"', r'"\u202e\u0000\ufeff"'),
        ('"\u202e"', r'"\u202e"'),
        ('"a\u2028b"', r'"a\u2028b"'),
        (r'"\n\t\/"', r'"\n\t\/"'),
        ('"\u0645\u200c\u06cc"', '"\u0645\u200c\u06cc"'),
        ("[12345678901234567890123,1.10,1e400,-0.0]", "[12345678901234567890123,1.10,1e400,-0.0]"),
    ],
)
def test_json_is_shown_as_it_means_with_nothing_hidden(written, shown):
    assert jobs.legible(written) == shown
    assert json.loads(jobs.legible(written)) == json.loads(written)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_shown_means_the_same(value):
    for ascii_only in (True, False):
        try:
            written = json.dumps(value, ensure_ascii=ascii_only).encode()
            written.decode()
        except UnicodeError:
            continue
        shown, cut = jobs.readable(written)
        assert cut or json.loads(shown) == value


def test_readable_json_is_indented_and_bounded():
    assert jobs.readable(b'[1,{"a":2}]') == ('[\n  1,\n  {\n    "a": 2\n  }\n]', False)
    assert jobs.readable(b"") == ("", False)
    text, cut = jobs.readable(b"[" + b"1," * 100_000 + b"1]")
    assert cut
    assert len(text) <= 64 * 1024 + 1
    text, cut = jobs.readable(b"[" * 500 + b"1," * 20_000 + b"1" + b"]" * 500)
    assert cut
    assert len(text) <= 256 * 1024 + 1


def test_long_names_are_cut():
    shown = jobs.line(row(jid="j" * 100_000, jobtype="t" * 100_000))
    assert len(shown.jid) == len(shown.jobtype) == 200


def test_a_failure_is_shown_short_in_a_list_and_whole_on_the_page():
    failure = json.dumps(
        {"errtype": "Boom", "message": "m" * 5000, "backtrace": ["line"] * 2000, "retry_count": 3, "remaining": 2}
    ).encode()
    shown = jobs.line(row(Place.RETRIES, failure))
    assert (shown.error, shown.retry_count, shown.remaining) == ("Boom", 3, 2)
    assert len(shown.message) == 300
    whole = jobs.details(row(Place.RETRIES, failure))
    assert whole.failure is not None
    assert whole.failure.message == "m" * 5000
    assert len(whole.backtrace) == 1000


def test_times_that_clients_made_up_do_no_harm():
    assert jobs.details(row(created_at="yesterday\u202e")).created_text == "yesterday\\u202e"
    assert jobs.details(row(created_at="2026-11-21T18:17:40Z")).created_at == 1795285060.0


def test_the_form_of_the_wire_has_what_was_pushed_byte_for_byte():
    text = jobs.wire_text(row(Place.RETRIES, b'{"errtype":"Boom"}', args=b"[1e400]"))
    assert b'"args":[1e400]' in text
    assert b'"failure":{"errtype":"Boom"}' in text
    assert text.startswith(b'{"enqueued_at":"')
