"""A long PUSHB is split in pieces: the same jobs come of it, and the same is refused, wherever the pieces end."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faktory_tw.core import job as module
from faktory_tw.core.job import parse_jobs
from faktory_tw.wire import CommandError

TRAPS = st.sampled_from(["},{", "}, {", '"},{"', "\\", '\\"', "[", "]", ",", "{", "é"])
NESTED = st.recursive(
    TRAPS | st.integers() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRAPS, inner, max_size=3),
    max_leaves=8,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ": "), (" ,  ", ":"), (",\t", ": ")])


def jobs_of(text: bytes, piece_bytes: int) -> list[tuple[str | None, bytes]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE_BYTES", piece_bytes)
        return [(payload.jid, bytes(payload.args)) for payload in parse_jobs(text)]


@settings(max_examples=60, deadline=None)
@given(
    piece_bytes=st.sampled_from([1, 7, 40, 200]),
    arguments=st.lists(st.lists(NESTED, max_size=3), max_size=6),
    separators=SEPARATORS,
)
def test_every_job_of_a_long_bulk_is_there_once_and_as_it_was(
    piece_bytes: int, arguments: list[list[object]], separators: tuple[str, str]
) -> None:
    jobs = [{"jid": f"job-{number:05d}", "jobtype": "P", "args": args} for number, args in enumerate(arguments)]
    text = f"  {json.dumps(jobs, separators=separators, ensure_ascii=False)}\t"
    expected = [(f"job-{number:05d}", msgspec.json.encode(args)) for number, args in enumerate(arguments)]
    found = jobs_of(text.encode(), piece_bytes)
    assert [(jid, msgspec.json.format(args, indent=-1)) for jid, args in found] == expected


JOB = '{"jid":"12345678","jobtype":"P","args":[]}'


@pytest.mark.parametrize("piece_bytes", [1, 7, 40, 1000])
@pytest.mark.parametrize(
    "text",
    [f"[{JOB},]", f"[{JOB},,{JOB}]", f"[,{JOB}]", f"[{JOB}] [{JOB}]", f"[{JOB}],{JOB}]", f"[{JOB},{JOB}", f"[{JOB},1]",
     f"[{JOB}, {JOB[:-1]}]", f"{JOB},{JOB}]", f'[{JOB},"a,b]', "[1,1,1,1,1,1,1,1]", f"[{JOB}}},{{{JOB}]"],
)  # fmt: skip
def test_what_is_no_array_of_jobs_is_refused_wherever_it_is_cut(text: str, piece_bytes: int) -> None:
    with pytest.raises(CommandError, match=r"JSON|job"):
        jobs_of(text.encode(), piece_bytes)


def test_a_long_bulk_is_split_as_it_is_asked_for() -> None:
    """Splitting all of it at once would take as long as a thousand PUSHes."""
    text = b"[%b]" % b",".join([JOB.encode()] * 50_000)
    sizes: list[int] = []
    decode = module._decode_list

    def counted(piece: bytes) -> object:
        sizes.append(len(piece))
        return decode(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_decode_list", counted)
        jobs = parse_jobs(text)
        next(jobs)
        assert sum(sizes) < 300_000
        assert 1 + sum(1 for _ in jobs) == 50_000
    assert max(sizes) < 300_000
    assert sum(sizes) < len(text) * 1.1, "each is decoded once"


def test_one_job_that_is_longer_than_a_piece_costs_little_more_than_its_length() -> None:
    trap = json.dumps([{"a": 1}] * 100_000, separators=(",", ":")).encode()
    text = b'[{"jid":"12345678","jobtype":"P","args":%b},%b]' % (trap, JOB.encode())
    sizes: list[int] = []
    decode = module._decode_list

    def counted(piece: bytes) -> object:
        sizes.append(len(piece))
        return decode(piece)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_decode_list", counted)
        assert len(list(parse_jobs(text))) == 2
    assert sum(sizes) < 4 * len(text)
