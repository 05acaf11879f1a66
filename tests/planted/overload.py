"""Faults that nobody notices until there are thousands of connections, jobs or queues: work that is not cut in slices."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

JOB, SESSION, DUTIES = "core/job.py", "session.py", "core/duties.py"

AREA = Area(
    tests=(
        "tests/unit/core/test_job_pieces.py",
        "tests/unit/core/test_reservations.py",
        "tests/unit/core/test_sweeper.py",
        "tests/unit/core/test_workers.py",
        "tests/unit/test_committer.py",
        "tests/unit/test_poller.py",
        "tests/unit/test_protocol_sockets.py",
        "tests/unit/test_service_duties.py",
        "tests/unit/test_session_commands.py",
    ),
    faults=(
        Fault(
            "the replies of a batch leave for all connections at once",
            "committer.py",
            "        left = MOST_SENT\n",
            "        left = 10**9\n",
        ),
        Fault(
            "replies overtake those of the batch before",
            "committer.py",
            "        self._leaving.append((landed, iter(landed.items())))\n",
            "        self._leaving.appendleft((landed, iter(landed.items())))\n",
        ),
        Fault(
            "what has not left is forgotten when the server closes",
            "committer.py",
            "        if self._leaving:  # first",
            "        if False:  # first",
        ),
        Fault(
            "every flush leaves something to free, were it only of nothing",
            "core/sweeper.py",
            "container for container in containers if container)",
            "container for container in containers)",
        ),
        Fault(
            "who is slow to end the connection may keep it for ever",
            "protocol.py",
            "self.factory.reactor.callLater(LINGER_SECONDS, self._linger_timeout)",
            "None",
        ),
        Fault(
            "each long command has a step in every turn",
            "service.py",
            "                else:\n                    wait(step)\n",
            "                else:\n                    self._reactor.callLater(0, step)\n",
        ),
        Fault(
            "any number of connections is accepted in one go",
            "poller.py",
            "min(self.server.numberAccepts, _MOST_ACCEPTS)",
            "max(self.server.numberAccepts, _MOST_ACCEPTS)",
        ),
        Fault(
            "a late server turns away those who said HELLO in time",
            "protocol.py",
            "        if peek(self._socket):\n",
            "        if peek(None):\n",
        ),
        Fault(
            "a handshake never ends",
            "protocol.py",
            "        if peek(self._socket):\n",
            "        if peek(self._socket) or self._socket:\n",
        ),
        Fault(
            "a long bulk push is split in one go",
            JOB,
            "    if len(text) > _PIECE_BYTES and",
            "    if len(text) > 10**9 and",
        ),
        Fault(
            "a job longer than a piece is read again and again",
            JOB,
            "                size *= 2\n",
            "                size += 1\n",
        ),
        Fault(
            "a comma without a job is let pass in a long bulk push",
            JOB,
            "        if not members and (start, cut) != (1, end):\n",
            "        if not members and (start, cut) == (0, 0):\n",
        ),
        Fault(
            "INFO gathers all queues in one go",
            "server.py",
            "            if ordered:\n                yield\n            ordered.append",
            "            ordered.append",
        ),
        Fault(
            "QUEUE changes all queues in one go",
            SESSION,
            "                if number:\n                    yield\n                change(some)",
            "                if number < 0:\n                    yield\n                change(some)",
        ),
        Fault(
            "a star in the middle of many names is all queues",
            "core/views.py",
            ' else [name for name in names if name != "*"]',
            " else list(names)",
        ),
        Fault(
            "more names than anybody has are told apart before they are refused",
            SESSION,
            '        if argument.count(b" ") > _MOST_QUEUES_CHANGED:\n',
            '        if argument.count(b"  ") > _MOST_QUEUES_CHANGED:\n',
        ),
        Fault(
            "flushed reservations are freed in one go",
            "core/manager.py",
            "        self.sweeper.free(self._queues, *self.working.containers())\n",
            "        self.sweeper.free(self._queues)\n",
        ),
        Fault(
            "all reservations that are over are listed for each slice",
            DUTIES,
            ".expired(self._clock.monotonic(), _SLICE)",
            ".expired(self._clock.monotonic())",
        ),
        Fault(
            "the search for what gone workers hold ends with its first slice",
            DUTIES,
            "            self._orphans.extend(reservation for",
            "            self._searches.popleft()\n            self._orphans.extend(reservation for",
        ),
        Fault(
            "a worker is forgotten before all of its jobs are found",
            DUTIES,
            "        if self._orphans or self._searches:\n",
            "        if self._orphans:\n",
        ),
    ),
)
