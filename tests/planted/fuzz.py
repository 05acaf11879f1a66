"""Faults in what takes input apart, which the targets of tests/fuzz must notice."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

JOB, PROTOCOL = "core/job.py", "protocol.py"

AREA = Area(
    tests=(
        "tests/fuzz/test_*.py",
        "tests/unit/test_lines.py",
        "tests/unit/test_protocol_sockets.py",
        "tests/unit/test_wire.py",
    ),
    faults=(
        Fault(
            "bytes that are no UTF-8 get into a job",
            JOB,
            "            text.decode()\n        payload",
            "            pass\n        payload",
        ),
        Fault("any depth of nesting is accepted", JOB, "> MAXIMUM_DEPTH and _depth(text)", "> 10**9 and _depth(text)"),
        Fault(
            "the beginning of a line in three pieces is lost",
            PROTOCOL,
            "        self._parts.append(part)\n",
            "        self._parts[1:] = [part]\n",
        ),
        Fault("an error may have several lines", "wire.py", ".translate(_ONE_LINE)", ""),
        Fault(
            "who gives no hash has the right one", "session.py", '(hello.pwdhash or "")', "(hello.pwdhash or expected)"
        ),
        Fault(
            "an update of a track is not on disk",
            "features/tracking.py",
            "        self._enlist(track)\n        self._record(track)\n\n    def _drop",
            "        self._enlist(track)\n\n    def _drop",
        ),
        Fault(
            "a part of a glob is found before the one in front of it",
            "features/mutate.py",
            "part.search(text, end)",
            "part.search(text)",
        ),
        Fault("an offset of a zone counts the wrong way", "times.py", 'if match[8] == "+"', 'if match[8] == "-"'),
        Fault(
            "an entry of a wrong size ends the start with a traceback",
            "core/facts.py",
            ", TypeError, StructError)",
            ", TypeError)",
        ),
        Fault(
            "a backup may be from a year that cannot be written",
            "storage/backup.py",
            "Meta(ge=0, le=LAST_SECOND)",
            "Meta(ge=0)",
        ),
        Fault(
            "a waiting FETCH leaves its connection deaf",
            PROTOCOL,
            "        self._pending = False\n        if self._put_by or",
            "        if self._put_by or",
        ),
        Fault(
            "a queue that was paused goes on after a restart",
            "core/manager.py",
            "self.policies.new_queue(name, floor, paused)",
            "self.policies.new_queue(name, floor)",
        ),
        Fault(
            "a lock is not on disk when its job has another number",
            "features/unique.py",
            "        self._ends.add(lock)\n",
            "        self._ends.add(lock)\n        if lock.job_id > 3:\n            return\n",
        ),
        Fault(
            "short lines are kept one by one, however many", "lines.py", "+ len(lines) <= _FEW", "+ len(lines) <= 10**9"
        ),
        Fault(
            "the system takes megabytes for a client that does not read",
            "sockets.py",
            '        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES),\n',
            "",
        ),
        Fault(
            "Twisted keeps many replies for a client that does not read",
            PROTOCOL,
            "bufferSize = UNREAD_BYTES",
            "bufferSize = 65_536",
        ),
        Fault("an error quotes without end", "wire.py", "len(text) > LONGEST_ERROR", "len(text) > 10**9"),
    ),
)
