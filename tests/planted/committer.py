"""Faults of the committer: which thread writes, and when a reply may leave."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

COMMITTER = "committer.py"

AREA = Area(
    tests=(
        "tests/unit/test_committer.py",
        "tests/unit/test_committer_awaiting.py",
        "tests/unit/test_committer_threads.py",
        "tests/unit/test_protocol_replies.py",
    ),
    faults=(
        # -- replies ---------------------------------------------------------------------------------------------------
        Fault(
            "a reply leaves before its batch is on disk",
            COMMITTER,
            "        self._inbox.put(batch)\n",
            "        self._send(self._flying)\n        self._inbox.put(batch)\n",
        ),
        Fault(
            "who waits without a connection is told before the write has returned",
            COMMITTER,
            "        elif self._flying is not None:\n            self._flying[_Awaiting(done)] = []\n",
            "",
        ),
        # -- writing in the reactor's thread ---------------------------------------------------------------------------
        Fault("the reactor's thread writes however many it holds up", COMMITTER, "or self._alone()", "or True"),
        Fault(
            "what the reactor's thread leaves to the other is taken for written",
            COMMITTER,
            "write_at_once(batch):",
            "write_at_once(batch) and False:",
        ),
        Fault(
            "replies leave though the reactor's thread failed to write",
            COMMITTER,
            "            self._lose(error)\n            return True\n",
            "            self._tell(error)\n",
        ),
        Fault("there is no upkeep while the reactor's thread writes", COMMITTER, "self._store.upkeep_due()", "False"),
        Fault("what came meanwhile waits for ever", COMMITTER, "elif self._outbox:", "elif False:"),
        Fault("an idle server leaves the journal as it is", COMMITTER, "self._store.unsealed()", "self._store.batch"),
    ),
)
