"""The newest jobs and those about to be fetched, kept whole in memory up to a number of bytes.

The oldest entry is dropped first. A backlog longer than the cache is read back from disk a few hundred jobs at a time,
which costs little; a short queue that is pushed and fetched all the time never leaves memory.
"""

from __future__ import annotations

from collections import OrderedDict

from faktory_tw.core.job import Job

_JOB_BYTES = 400  # of a cached job, beside its body


class JobCache:
    """Job by id. ``limit_bytes`` bounds bodies and their overhead."""

    __slots__ = ("_jobs", "_bytes", "_limit")

    def __init__(self, limit_bytes: int) -> None:
        self._jobs: OrderedDict[int, Job] = OrderedDict()  # a dict would search for its first entry
        self._bytes = 0
        self._limit = limit_bytes

    def put(self, job: Job) -> None:
        jobs = self._jobs
        jobs[job.id] = job
        self._bytes += len(job.body) + _JOB_BYTES
        while self._bytes > self._limit and len(jobs) > 1:
            _, oldest = jobs.popitem(last=False)
            self._bytes -= len(oldest.body) + _JOB_BYTES

    def pop(self, job_id: int) -> Job | None:
        job = self._jobs.pop(job_id, None)
        if job is not None:
            self._bytes -= len(job.body) + _JOB_BYTES
        return job

    def get(self, job_id: int) -> Job | None:
        return self._jobs.get(job_id)

    def clear(self) -> None:
        self._jobs = OrderedDict()
        self._bytes = 0

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._jobs
