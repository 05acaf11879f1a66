"""The newest jobs and those about to be fetched, kept whole in memory up to a number of bytes.

The oldest entry is dropped first. A backlog longer than the cache is read back from disk a few hundred jobs at a time,
which costs little; a short queue that is pushed and fetched all the time never leaves memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

from faktory_tw.core.job import Job, job_of
from faktory_tw.core.slices import Stride
from faktory_tw.storage.store import JobRow

_JOB_BYTES = 400  # of a cached job, beside its body and its failure
_MOST_AHEAD = 256  # jobs read from disk at once


class JobCache:
    """Job by id. ``limit_bytes`` bounds bodies, failures and their overhead; ``read`` is the store's."""

    __slots__ = ("_jobs", "_bytes", "_limit", "_stride")

    def __init__(self, limit_bytes: int, read: Callable[[Sequence[int]], list[JobRow]]) -> None:
        self._stride = Stride(read)
        self._jobs: OrderedDict[int, Job] = OrderedDict()  # a dict would search for its first entry
        self._bytes = 0
        self._limit = limit_bytes

    def put(self, job: Job) -> None:
        jobs = self._jobs
        jobs[job.id] = job
        self._bytes += len(job.body) + _JOB_BYTES
        if job.failure:
            self._bytes += len(job.failure)
        while self._bytes > self._limit and len(jobs) > 1:
            _, oldest = jobs.popitem(last=False)
            self._bytes -= len(oldest.body) + len(oldest.failure) + _JOB_BYTES

    def pop(self, job_id: int) -> Job | None:
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._bytes -= len(job.body) + _JOB_BYTES
            if job.failure:
                self._bytes -= len(job.failure)
        return job

    def get(self, job_id: int) -> Job | None:
        return self._jobs.get(job_id)

    def read_ahead(self, peek: Callable[[int], list[int]]) -> None:
        """Read the jobs at the head of a queue, as many as fit into a few MiB; ``peek(n)`` names the next n."""
        ids = [job_id for job_id in peek(_MOST_AHEAD) if job_id not in self._jobs]
        rows, _ = self._stride.read(ids)
        for row in reversed(rows):  # the first to be fetched is the last to be dropped again
            self.put(job_of(row))

    def clear(self) -> None:
        self._jobs = OrderedDict()
        self._bytes = 0
