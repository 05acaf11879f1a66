"""Filling batches, writing them, and looking at what a crash would leave."""

from __future__ import annotations

from collections.abc import Callable

from faktory_tw.storage.sqlite import SQLiteStore
from faktory_tw.storage.store import JobRecord, Place, PlaceRecord
from tests.unit.doubles import copy_directory

OpenStore = Callable[..., SQLiteStore]


def body_of(job_id: int, text: str = "") -> bytes:
    return b'{"jid":"job-%06d","text":"%b"}' % (job_id, text.encode())


def add(store: SQLiteStore, *ids: int, at: float | None = None, text: str = "", queue: str = "q") -> None:
    for job_id in ids:
        store.batch.add(JobRecord(job_id, queue, 5, at, None if at else 1.5, body_of(job_id, text)))


def move(store: SQLiteStore, job_id: int, place: Place, position: int = 0, failure: bytes = b"") -> None:
    at = 2.5 if place in (Place.RETRIES, Place.DEAD, Place.WORKING) else None
    store.batch.move(PlaceRecord(job_id, int(place), position or job_id, at, 1.5, failure, "w", 3.5))


def commit(store: SQLiteStore) -> None:
    batch = store.seal()
    store.write(batch)
    store.written()


def copied(store: SQLiteStore, name: str) -> SQLiteStore:
    """Another store on a copy of the directory: what a crash now would leave."""
    return SQLiteStore(copy_directory(store.directory, store.directory.with_name(name)), "os")


def ids_on_disk(store: SQLiteStore, name: str) -> list[int]:
    copy = copied(store, name)
    try:
        ids = [job_id for _, _, run in copy.queued() for job_id in run] + [row.id for row in copy.placed()]
        assert [row.id for row in copy.read(ids)] == ids
        return sorted(ids)
    finally:
        copy.finish()
        copy.close()
