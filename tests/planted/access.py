"""Faults of passwords that are tried: who waits, who is turned away, who is let in, and what is remembered."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

ATTEMPTS, PROTOCOL, SESSION, OPERATIONS = "attempts.py", "protocol.py", "session.py", "operations.py"

AREA = Area(
    tests=(
        "tests/unit/test_attempts.py",
        "tests/unit/test_protocol_passwords.py",
        "tests/unit/test_service_passwords.py",
        "tests/unit/web/test_passwords.py",
        "tests/unit/storage/test_database.py",
        "tests/unit/test_tap.py",
        "tests/unit/test_protocol_turns.py",
    ),
    faults=(
        Fault("no wrong password waits", ATTEMPTS, "    if count <= FREE:", "    if True:"),
        Fault(
            "wrong passwords are never forgotten",
            ATTEMPTS,
            "        forgotten = (now - record.at) / FORGET_SECONDS",
            "        forgotten = 0",
        ),
        Fault(
            "a pause saves up wrong passwords",
            ATTEMPTS,
            "max(record.count - forgotten, 0.0)",
            "(record.count - forgotten)",
        ),
        Fault("any number of answers to one address wait", ATTEMPTS, "        record.ends.append(now + delay)\n", ""),
        Fault(
            "a known address is turned away",
            ATTEMPTS,
            "        if address in self._known:\n            return True\n",
            "",
        ),
        Fault("each address of IPv6 is one of its own", ATTEMPTS, "int(address) >> 64 << 64", "int(address)"),
        Fault(
            "addresses are remembered without end",
            ATTEMPTS,
            "        if len(self._records) > MOST_ADDRESSES:\n            self._drop_oldest()\n",
            "",
        ),
        Fault(
            "known addresses are remembered without end",
            ATTEMPTS,
            "            self._known.popitem(last=False)",
            "            pass",
        ),
        Fault("who goes on is pushed out first", ATTEMPTS, "    table.move_to_end(key)\n", ""),
        Fault("each wrong password is a line of the log", ATTEMPTS, "        if record.told:", "        if False:"),
        Fault("many addresses fill the log", ATTEMPTS, "        if self._lines >= MOST_LINES:", "        if False:"),
        Fault("the log does not count who is pushed out", ATTEMPTS, "        self._unnamed += record.untold\n", ""),
        Fault("a right password makes no address known", SESSION, "        server.attempts.succeeded(host)\n", ""),
        Fault(
            "everybody's password is looked at",
            SESSION,
            "        if not server.attempts.admits(host):",
            "        if False:",
        ),
        Fault(
            "a wrong password is answered at once",
            PROTOCOL,
            "            self._refuse_later(refusal)\n            return\n",
            "            pass\n",
        ),
        Fault(
            "an answer that waits is kept when its client leaves",
            PROTOCOL,
            "        self.factory.slowed.discard(self)\n        session,",
            "        session,",
        ),
        Fault(
            "answers that wait take all connections",
            PROTOCOL,
            "return len(self.slowed) * 10 < self.max_connections",
            "return True",
        ),
        Fault(
            "the log has no wrong passwords",
            OPERATIONS,
            'self._log.warn("{sentence}", sentence=sentence, client=address)',
            "pass",
        ),
        Fault(
            "the log never has the rest of the wrong passwords",
            OPERATIONS,
            "        self._server.attempts.tick()\n",
            "",
        ),
        # -- files -----------------------------------------------------------------------------------------------------
        Fault(
            "others can read the reserve",
            "storage/database.py",
            'open(self._path, "wb", opener=_for_nobody_else)',
            'open(self._path, "wb")',
        ),
        Fault("others may write to what is made", "process.py", "os.umask(os.umask(0o077) | 0o022)", "os.umask(0)"),
        # -- the lines of a turn -----------------------------------------------------------------------------------
        Fault(
            "a turn has no end", "fairness.py", "            if self._monotonic() >= until:", "            if False:"
        ),
        Fault(
            "those who have just come have their turn first",
            "fairness.py",
            "            self.most_lines = FEWEST_LINES\n",
            "",
        ),
        Fault(
            "the line is taken for full when it is empty again",
            "fairness.py",
            "                self.most_lines = MOST_LINES\n",
            "                pass\n",
        ),
        Fault(
            "who stood in the line before goes behind the others",
            "fairness.py",
            "again, self._waiting = self._waiting, waiting",
            "again, self._waiting = waiting, self._waiting",
        ),
    ),
)
