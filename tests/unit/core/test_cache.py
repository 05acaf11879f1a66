"""Jobs kept in memory up to a number of bytes, and read ahead from disk when they are not."""

from __future__ import annotations

from collections.abc import Sequence

from faktory_tw.core.cache import JobCache
from faktory_tw.core.job import Job
from faktory_tw.storage.store import JobRow, Place
from tests.unit.doubles import MakeEngine

MIB = 1024 * 1024


def job(job_id: int, body_bytes: int = 100) -> Job:
    return Job(job_id, f"job-{job_id:04}", "default", 5, job_id, 25, 0, 0.0, b"", b"x" * body_bytes)


def row(job_id: int, body_bytes: int = 100) -> JobRow:
    body = b'{"jid":"job-%04d","args":["%b"]}' % (job_id, b"x" * body_bytes)
    return JobRow(job_id, "default", 5, int(Place.QUEUED), job_id, None, 0.0, b"", "", None, body)


class Disk:
    """Has every job; remembers what was read."""

    def __init__(self, body_bytes: int = 100) -> None:
        self.body_bytes = body_bytes
        self.reads: list[list[int]] = []

    def __call__(self, ids: Sequence[int]) -> list[JobRow]:
        self.reads.append(list(ids))
        return [row(job_id, self.body_bytes) for job_id in ids]


def test_a_job_is_taken_out_once() -> None:
    cache = JobCache(MIB, Disk())
    cache.put(job(1))
    assert cache.get(1) is not None
    assert cache.get(1) is cache.pop(1)
    assert cache.pop(1) is None
    assert cache.get(1) is None
    assert cache.get(1) is None


def test_the_oldest_jobs_are_dropped_when_the_bytes_are_used_up() -> None:
    cache = JobCache(10_000, Disk())
    for number in range(1, 101):
        cache.put(job(number, 600))
    held = [number for number in range(1, 101) if cache.get(number) is not None]
    assert held == list(range(101 - len(held), 101))
    assert 5 <= len(held) <= 10_000 // 600


def test_bytes_of_jobs_that_were_taken_out_are_free_again() -> None:
    cache = JobCache(10_000, Disk())
    for number in range(1, 10_001):
        cache.put(job(number, 600))
        if number % 2:
            cache.pop(number)
    assert cache.get(10_000) is not None
    assert cache.get(9998) is not None


def test_one_job_larger_than_the_cache_is_kept_until_the_next() -> None:
    cache = JobCache(1000, Disk())
    cache.put(job(1, 5000))
    assert cache.get(1) is not None
    cache.put(job(2, 5000))
    assert cache.get(1) is None
    assert cache.get(2) is not None


def test_a_cleared_cache_is_empty_and_has_all_its_bytes() -> None:
    cache = JobCache(2000, Disk())
    cache.put(job(1, 1000))
    cache.clear()
    assert cache.get(1) is None
    cache.put(job(2, 500))
    cache.put(job(3, 500))
    assert cache.get(2) is not None


def test_what_is_read_ahead_is_what_comes_next_and_is_not_there_yet() -> None:
    disk = Disk()
    cache = JobCache(MIB, disk)
    cache.put(job(2))
    cache.read_ahead(lambda count: list(range(1, 1001))[:count])
    ids = [job_id for block in disk.reads for job_id in block]
    assert ids[:3] == [1, 3, 4]
    assert 200 <= len(ids) <= 300
    assert all(cache.get(number) is not None for number in range(1, len(ids) + 2))


def test_the_next_job_stays_in_the_cache_however_little_fits() -> None:
    disk = Disk(body_bytes=50_000)
    cache = JobCache(60_000, disk)
    cache.read_ahead(lambda count: list(range(1, 1001))[:count])
    assert cache.pop(1) is not None


def test_fewer_large_jobs_are_read_ahead_and_more_small_ones_again() -> None:
    disk = Disk(body_bytes=200_000)
    cache = JobCache(1000, disk)

    def ahead() -> int:
        cache.clear()
        disk.reads.clear()
        cache.read_ahead(lambda count: list(range(1, 1001))[:count])
        return sum(map(len, disk.reads))

    assert max(ahead() for _ in range(10)) * 200_000 < 4 * MIB
    disk.body_bytes = 10
    assert ahead() == ahead() == 256


def test_a_failure_counts_among_the_bytes_of_the_cache_and_is_free_again_with_its_job() -> None:
    cache = JobCache(10_000, Disk())
    for number in range(1, 101):
        failed = job(number)
        failed.failure = b"x" * 2000
        cache.put(failed)
    held = [number for number in range(1, 101) if cache.get(number) is not None]
    assert held == [97, 98, 99, 100]
    for number in held:
        cache.pop(number)
    for number in range(1, 21):
        cache.put(job(number))
    assert cache.get(1) is not None


# -- through the manager -------------------------------------------------------------------------------------------


def test_a_backlog_larger_than_the_cache_comes_back_whole_and_in_order(make_engine: MakeEngine) -> None:
    engine = make_engine(cache_bytes=5000)
    pushed = [engine.push(args=[number, "x" * 50], priority=9 - number % 2) for number in range(300)]
    engine.commit()
    fetched = []
    while (got := engine.fetch()) is not None:
        assert got["args"] == [int(got["jid"][-4:]) - 1, "x" * 50]
        fetched.append(got["jid"])
    assert fetched == pushed[0::2] + pushed[1::2]


def test_a_body_is_found_in_the_open_batch_in_the_sealed_one_and_on_disk(make_engine: MakeEngine) -> None:
    engine = make_engine(cache_bytes=1)
    jids = [engine.push(args=["on disk"]), engine.push(args=["on disk, too"])]
    engine.commit()
    jids += [engine.push(args=["sealed"])]
    sealed = engine.manager.seal()
    jids += [engine.push(args=["open"]), engine.push(args=["cached"])]
    got = [engine.fetch() for _ in jids]
    assert [(one["jid"], one["args"]) for one in got if one is not None] == list(
        zip(jids, [["on disk"], ["on disk, too"], ["sealed"], ["open"], ["cached"]], strict=True)
    )
    engine.store.write(sealed)
    engine.store.written()
    engine.restart()
    assert engine.sizes()["working"] == 5
