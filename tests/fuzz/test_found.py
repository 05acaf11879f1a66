"""What fuzzing has found: each input with what it broke, and what holds now."""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS

FACTS = b'{"number":3,"taken_at":1763726400.0,"size_bytes":10,"jobs":5,"sha256":"00"}'


@pytest.mark.parametrize(
    "entry",
    [
        b"unique 00 00",  # a struct of another size
        b"cron 616c6c ff",  # JSON that is none
        b"cron ff6c6c 5b313739303030343030302e302c5b222a222c22555443225d2c66616c73652c66616c73652c332c6e756c6c5d",
        b"batch 6c 00",
        b"track 71 c1",
        b"expires 0000000000000001 00",
    ],
)
def test_an_entry_that_is_not_as_it_was_written_is_refused_at_start_with_a_remedy(entry: bytes) -> None:
    """It ended the start with a traceback."""
    TARGETS["entries"].run(entry)


@pytest.mark.parametrize(
    ("text", "instead"),
    [(b"1763726400.0", b"1e300"), (b"1763726400.0", b"-1e300"), (b":3", b":9223372036854775808"), (b":5", b":-5")],
)
def test_a_backup_is_listed_whatever_stands_beside_it(text: bytes, instead: bytes) -> None:
    """A time beyond what can be written made ADMIN BACKUPS fail, and the page of the backups."""
    TARGETS["facts"].run(FACTS.replace(text, instead))


@pytest.mark.parametrize(
    "line",
    [
        b'ADMIN LIST {"place":"dead","filter":{"%b":1}}' % (b"k" * 70_000),
        b'FAIL {"jid":"%b"}' % (b"j" * 70_000),
        b'PUSH {"jid":"12345678","jobtype":"T","args":[],"at":"%b"}' % ("\u20ac" * 30_000).encode(),
    ],
)
def test_a_refusal_does_not_quote_without_end(line: bytes) -> None:
    """A line of 64 MiB was answered with as much, once for each of its quotes."""
    TARGETS["command"].run(line)
