"""Which members of ``custom`` are understood, refused and passed over."""

from __future__ import annotations

import pytest
from msgspec import Raw

from faktory_tw.core.marks import Marks, kept_marks, pushed_marks
from faktory_tw.wire import CommandError


@pytest.mark.parametrize(
    "custom", [b"{}", b'{"locale":"de"}', b'{"unique_for":null,"expires_in":null}', b'{"Unique_for":1}']
)
def test_a_custom_without_a_known_member_has_no_marks(custom: bytes) -> None:
    assert pushed_marks(Raw(custom)) is None
    assert kept_marks(Raw(custom)) is None


@pytest.mark.parametrize("custom", [b"null", b"[1]", b'"unique_for"', b"7"])
def test_what_is_no_object_has_no_marks(custom: bytes) -> None:
    assert pushed_marks(Raw(custom)) is None
    assert kept_marks(Raw(custom)) is None


@pytest.mark.parametrize(
    ("custom", "marks"),
    [
        (b'{"unique_for":60}', Marks(unique_for=60)),
        (b'{"a":[{"unique_for":"no"}],"unique_for":0.5,"unique_until":"start"}', Marks(0.5, "start")),
        (b'{"expires_in":1e3,"unique_until":"success"}', Marks(None, "success", None, 1000)),
        (b'{"expires_at":"2026-11-22T08:00:00Z"}', Marks(expires_at="2026-11-22T08:00:00Z")),
        (b'{"\\u0065xpires_in":3153600000}', Marks(expires_in=3_153_600_000)),
    ],
)
def test_known_members_are_understood(custom: bytes, marks: Marks) -> None:
    assert pushed_marks(Raw(custom)) == marks
    assert kept_marks(Raw(custom)) == marks


@pytest.mark.parametrize("name", ["unique_for", "expires_in"])
@pytest.mark.parametrize("value", ['"60"', "true", "0", "-1", "-0.5", "3153600001", "1e300", "[60]", "{}"])
def test_seconds_that_are_none_are_refused_with_what_to_give(name: str, value: str) -> None:
    said = f"^custom.{name} must be a number of seconds above 0, and 100 years at most$"
    with pytest.raises(CommandError, match=said):
        pushed_marks(Raw(f'{{"expires_at":"x","{name}":{value}}}'.encode()))


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        (b'{"unique_until":"never"}', 'custom.unique_until must be "success" or "start"'),
        (b'{"unique_until":1}', 'custom.unique_until must be "success" or "start"'),
        (b'{"expires_at":1790000000}', 'custom.expires_at must be a time such as "2026-11-22T08:00:00Z"'),
    ],
)
def test_other_members_are_refused_with_what_to_give(custom: bytes, said: str) -> None:
    with pytest.raises(CommandError) as refusal:
        pushed_marks(Raw(custom))
    assert str(refusal.value) == said


def test_what_makes_no_sense_in_a_job_that_is_read_back_is_passed_over_and_the_rest_counts() -> None:
    custom = Raw(b'{"unique_for":"60","expires_in":5,"unique_until":[]}')
    assert kept_marks(custom) == Marks(expires_in=5)
    assert kept_marks(Raw(b'{"unique_for":-1}')) is None
