"""Group commit: one writing thread, and the replies that wait for it.

While the thread syncs one batch the reactor goes on and fills the next; all replies whose changes are in a batch leave
together when it is on disk. A batch is sealed when a turn of the reactor is over and the thread is idle, so a lone
connection does not wait for company and fifty share a sync. Changes that nobody waits for (the record of a FETCH, the
scheduler's moves) wait for the next such batch, or for LAZY_SECONDS: often the ACK comes first, and they cost no row.

Between the threads a batch is handed over twice, which costs a lone client a fifth of its time (58 µs until the reactor
has woken up, 29 until the thread has, beside a sync of 150). So the reactor writes it itself where nobody else is held
up by that: when there is one connection only, or when writes do not wait for the disk at all. For ten connections the
gain was an eighth, and a disk that is slow once would then hold up everybody; they are left to the thread.

When a batch cannot be written no reply of it leaves and ``failed`` is called, once; the service then stops the process.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from faktory_tw.poller import ReactorTurns
from faktory_tw.storage.store import Batch, Store, StoreError

LAZY_SECONDS = 0.05
MOST_SENT = 500  # connections that are sent replies in one turn of the reactor
_UPKEEP = Batch(0)  # in the inbox: nothing to write, but upkeep is due

Outbox = dict["Recipient", list[bytes]]


class Condition(NamedTuple):
    """What the committer is doing. ``busy``: the thread works; ``flying``: connections whose replies its batch holds."""

    busy: bool
    broken: bool
    flying: int
    waiting: int  # connections, and others, that wait for the open batch
    held: int  # those replies
    records: int  # in the open batch


class Recipient(Protocol):
    """A connection, as the committer sees it."""

    outbox: Outbox | None

    def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:
        """These replies may leave, in one write."""


class _Awaiting:
    """Somebody without a connection who waits for a batch; see :meth:`Committer.when_written`."""

    def __init__(self, done: Callable[[], None]) -> None:
        self.outbox: Outbox | None = None
        self._done = done

    def send_committed(self, outbox: Outbox, replies: list[bytes]) -> None:  # noqa: ARG002 - a Recipient
        self._done()


class Committer:
    """``seal()`` closes the manager's open batch and returns it; ``store`` writes it.

    ``alone()`` says whether only one client is there, which a slow disk may hold up. ``observe(seconds)`` is told, in
    the reactor's thread, how long each batch took to write and sync.
    """

    def __init__(
        self,
        turns: ReactorTurns,
        store: Store,
        seal: Callable[[], Batch],
        failed: Callable[[Exception], None],
        alone: Callable[[], bool] = lambda: False,
        observe: Callable[[float], None] | None = None,
    ) -> None:
        self._soon = turns.soon
        self._call_from_thread = turns.call_from_thread
        self._store = store
        self._seal = seal
        self._failed = failed
        self._alone = alone
        self._observe = observe
        self._seconds = 0.0  # that the batch took which was written last; set by whichever thread wrote it
        self._outbox: Outbox = {}
        self._flying: Outbox | None = None  # the replies of the batch that is being written
        self._leaving: deque[tuple[Outbox, Iterator[tuple[Recipient, list[bytes]]]]] = deque()  # not all sent yet
        self._leaves = False  # they will be gone on with
        self._busy = False  # the thread has something to do, were it only upkeep
        self._scheduled = False
        self._broken = False  # nothing can be written, or will be
        self._error: Exception | None = None  # why the thread ended before it was told to
        self._told = False
        self._closing: Callable[[], None] | None = None
        self._inbox: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_batches, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hold(self, recipient: Recipient, reply: bytes) -> int:
        """Keep an acknowledgement until the open batch is on disk.

        Returns how many replies of this recipient wait for that batch.
        """
        outbox = self._outbox
        recipient.outbox = outbox
        if not (self._scheduled or self._busy):
            self.commit_soon()
        replies = outbox.get(recipient)
        if replies is None:
            outbox[recipient] = [reply]
            return 1
        replies.append(reply)
        return len(replies)

    def when_written(self, done: Callable[[], None]) -> None:
        """Call ``done`` when all changes recorded so far are on disk; never, if the store fails before.

        It is called in the reactor's thread and after this method has returned, also when there is nothing to write.
        """
        if self._broken:
            return
        if self._store.batch:
            self._outbox[_Awaiting(done)] = []
            self.commit_soon()
        elif self._flying is not None:
            self._flying[_Awaiting(done)] = []
        else:
            self._soon(done)

    def commit_soon(self) -> None:
        """Write the open batch when this turn of the reactor is over, or as soon as the thread is idle again."""
        if not (self._scheduled or self._busy):
            self._scheduled = True
            self._soon(self._turn_over)

    def _turn_over(self) -> None:
        self._scheduled = False
        if not (self._busy or self._broken):
            self._fly()

    def _fly(self) -> None:
        self._busy = True
        self._flying, self._outbox = self._outbox, {}
        batch = self._seal()
        if not self._writes_here() or not self._written_here(batch):
            self._inbox.put(batch)

    def _writes_here(self) -> bool:
        """Whether the reactor's thread may write: nobody but the one who waits is held up."""
        return not self._store.waits_for_disk or self._alone()

    def _written_here(self, batch: Batch) -> bool:
        """Write in the reactor's thread. False: the other one has to do it."""
        began = time.perf_counter()
        try:
            if not self._store.write_at_once(batch):
                return False
        except Exception as error:  # noqa: BLE001 - no reply of this batch may leave
            self._lose(error)
            return True
        self._seconds = time.perf_counter() - began
        landed = self._land()
        self._busy = self._store.upkeep_due()
        if self._busy:
            self._inbox.put(_UPKEEP)
        self._send_and_go_on(landed)
        return True

    def _go_on(self) -> None:
        """Write what came meanwhile, or close."""
        if self._busy:
            return
        if self._closing is not None:
            self._finish()
        elif self._outbox:
            self.commit_soon()

    def condition(self) -> Condition:
        """What is being done, for an operator."""
        return Condition(
            self._busy,
            self._broken,
            len(self._flying or ()),
            len(self._outbox),
            sum(map(len, self._outbox.values())),
            len(self._store.batch),
        )

    def commit_lazily(self) -> None:
        """Called every LAZY_SECONDS: write what nobody waits for."""
        if not (self._busy or self._broken) and self._store.unsealed():
            self._fly()

    def close(self, done: Callable[[], None]) -> None:
        """Write what is left, close the store's writing side, end the thread, then call ``done``."""
        self._closing = done
        self._store.closing = True
        if not self._busy:
            self._finish()

    def _finish(self) -> None:
        if self._leaving:  # first: a job that nobody takes goes back to its queue, and that has to be written
            try:
                self._send_some()
            finally:
                self._finish()
            return
        if not self._broken and (self._outbox or self._store.batch):
            self._fly()
            return
        self._broken = True
        self._inbox.put(None)
        self._thread.join()
        if self._error is not None:
            self._tell(self._error)
        done, self._closing = self._closing, None
        if done is not None:
            done()

    def _written(self) -> None:
        """In the reactor's thread: the batch that flew is on disk, and the thread is idle again."""
        self._busy = False
        landed = self._land()
        if self._outbox and not (self._broken or self._writes_here()):
            self._fly()  # first, so that the thread has something to do while the replies leave
        self._send_and_go_on(landed)

    def _send_and_go_on(self, landed: Outbox) -> None:
        try:
            self._send(landed)
        finally:
            self._go_on()

    def _written_before_upkeep(self) -> None:
        """The same, but the thread goes on with upkeep; :meth:`_idle` follows."""
        self._send(self._land())

    def _idle(self) -> None:
        self._busy = False
        self._go_on()

    def _land(self) -> Outbox:
        landed, self._flying = self._flying, None
        self._store.written()
        if self._observe is not None:
            self._observe(self._seconds)
        return landed or {}

    def _send(self, landed: Outbox) -> None:
        """Send these replies, behind those that have not left yet."""
        self._leaving.append((landed, iter(landed.items())))
        if not self._leaves:
            self._send_some()

    def _send_some(self) -> None:
        """Send to as many as one turn is good for, and go on in the next."""
        self._leaves = False
        failure: Exception | None = None
        left = MOST_SENT
        while self._leaving and left:
            landed, rest = self._leaving[0]
            for recipient, replies in islice(rest, left):
                left -= 1
                try:
                    recipient.send_committed(landed, replies)
                except Exception as error:  # noqa: BLE001 - the others get theirs first
                    failure = error
            if left:
                self._leaving.popleft()
        if self._leaving:
            self._leaves = True
            self._soon(self._send_some)
        if isinstance(failure, StoreError):  # a job that could not be delivered went back, and that asked the disk
            self._lose(failure)
        elif failure is not None:
            raise failure

    def _lose(self, error: Exception) -> None:
        """A batch could not be written: no reply of it leaves, and none of those that follow."""
        self._broken = True
        self._busy = False
        self._flying = None
        self._outbox = {}
        self._tell(error)
        if self._closing is not None:
            self._finish()

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            self._failed(error)

    # -- in the writing thread -----------------------------------------------------------------------------------

    def _write_batches(self) -> None:
        store, call = self._store, self._call_from_thread
        try:
            while True:
                try:
                    batch = self._inbox.get(timeout=store.sync_due_in())
                except Empty:
                    store.sync_late()
                    continue
                if batch is None:
                    break
                if batch is _UPKEEP:
                    store.upkeep()
                    call(self._idle)
                    continue
                began = time.perf_counter()
                store.write(batch)
                self._seconds = time.perf_counter() - began
                if store.upkeep_due():
                    call(self._written_before_upkeep)
                    store.upkeep()
                    call(self._idle)
                else:
                    call(self._written)
            store.finish()
        except BaseException as error:  # noqa: BLE001 - whatever it is, nothing more can be written
            lost = error if isinstance(error, StoreError) else StoreError(f"the writing thread failed: {error!r}")
            self._error = lost
            call(lambda: self._lose(lost))
