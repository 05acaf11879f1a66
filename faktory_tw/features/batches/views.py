"""A batch as people and programs see it."""

from __future__ import annotations

from typing import Any

import msgspec

from faktory_tw.features.batches.records import COMPLETE, DEATH, KINDS, SUCCESS, Batch, Step
from faktory_tw.times import rfc3339


class BatchView(msgspec.Struct, gc=False):
    """Everything about a batch at one moment. ``total`` is ``pending`` + ``succeeded`` + ``gone``."""

    number: int  # grows with every batch: where a page begins
    bid: str
    parent_bid: str | None
    description: str | None
    created_at: float
    committed: bool  # False: it is open, more jobs may come
    total: int  # members ever pushed
    pending: int  # may still succeed, and have not
    failed: int  # failed and have not succeeded since, the gone included
    gone: int  # deleted, discarded or expired
    succeeded: int
    complete_st: str  # "" waiting, or there is no such callback; "1" enqueued; "2" it succeeded
    success_st: str
    death_st: str
    callbacks: dict[str, str]  # jobtypes by kind
    callback_jids: dict[str, str]  # of those that have been fired
    callback_ids: dict[str, int]  # ids of callback jobs that are there
    children: int  # child batches that are there
    ended_at: float | None
    dropped: bool  # it was not committed in time, and is shown for the sake of its children


class _Callback(msgspec.Struct, gc=False):
    jid: str
    jobtype: str


_decode_callback = msgspec.json.Decoder(_Callback).decode


def failed_count(batch: Batch) -> int:
    """Members that failed and have not succeeded since, the gone included."""
    return batch.gone + (len(batch.failed) if batch.failed else 0)


def view(batch: Batch) -> BatchView:
    """The batch as it is now."""
    told = batch.told()
    callbacks = {kind: _decode_callback(job) for kind, job in told.callbacks.items()}
    fired = [kind for kind, step in zip(KINDS, batch.steps, strict=True) if step != Step.WAITING and kind in callbacks]
    return BatchView(
        number=batch.number,
        bid=batch.bid,
        parent_bid=told.parent_bid,
        description=told.description,
        created_at=told.created_at,
        committed=batch.committed,
        total=batch.total,
        pending=batch.pending,
        failed=failed_count(batch),
        gone=batch.gone,
        succeeded=batch.succeeded,
        complete_st=batch.state(COMPLETE),
        success_st=batch.state(SUCCESS),
        death_st=batch.state(DEATH),
        callbacks={kind: callback.jobtype for kind, callback in callbacks.items()},
        callback_jids={kind: callbacks[kind].jid for kind in fired},
        callback_ids={kind: job_id for kind, job_id in zip(KINDS, batch.jobs, strict=True) if job_id},
        children=batch.children,
        ended_at=batch.at if batch.ended else None,
        dropped=batch.dropped,
    )


def status_json(batch: Batch) -> bytes:
    """What BATCH STATUS tells. Clients know these keys and may refuse others, so a new one is there only if it is used."""
    told = batch.told()
    status: dict[str, Any] = {"bid": batch.bid}
    if told.parent_bid is not None:
        status["parent_bid"] = told.parent_bid
    if told.description is not None:
        status["description"] = told.description
    status.update(
        created_at=rfc3339(told.created_at),
        total=batch.total,
        pending=batch.pending,
        failed=failed_count(batch),
        complete_st=batch.state(COMPLETE),
        success_st=batch.state(SUCCESS),
    )
    if batch.has(DEATH):
        status["death_st"] = batch.state(DEATH)
    return msgspec.json.encode(status)
