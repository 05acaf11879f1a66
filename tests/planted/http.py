"""Faults of what comes in over HTTP: turns, places, bounds, refusals that were carried out, texts that become markup."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

WEB = "../web"

AREA = Area(
    tests=(
        "tests/unit/web/test_turns.py",
        "tests/unit/web/test_fuzz.py",
        "tests/unit/web/test_attacks.py",
    ),
    faults=(
        Fault(
            "all that was read from a connection is looked at in one turn",
            f"{WEB}/gate/turns.py",
            "piece = bytes(self._unread[:PIECE_BYTES])\n        del self._unread[:PIECE_BYTES]",
            "piece = bytes(self._unread)\n        self._unread.clear()",
        ),
        Fault(
            "the next request is answered in the same turn",
            f"{WEB}/gate/turns.py",
            "        self._unread[:0] = extra + self.clearLineBuffer()\n",
            "        self._unread[:0] = extra\n",
        ),
        Fault(
            "more is read while something waits to be looked at",
            f"{WEB}/gate/turns.py",
            "        self._tap.hold()\n",
            "",
        ),
        Fault(
            "who takes no answers is answered further",
            f"{WEB}/gate/turns.py",
            "if not self._stands and not self._waitingForTransport:",
            "if not self._stands:",
        ),
        Fault(
            "an answer that nobody takes keeps its connection",
            f"{WEB}/gate/connections.py",
            "            self._end = self.callLater(seconds, self._cut)\n",
            "            str(seconds)\n",
        ),
        Fault(
            "a long answer that is taken slowly is cut",
            f"{WEB}/gate/connections.py",
            "IDLE_SECONDS + self._answer_bytes / BODY_RATE",
            "IDLE_SECONDS",
        ),
        Fault(
            "headers of several lines are put together",
            f"{WEB}/gate/connections.py",
            'if line[:1] in (b" ", b"\\t"):',
            "if line is None:",
        ),
        Fault(
            "silent connections keep others out",
            f"{WEB}/gate/connections.py",
            "            if not self.waiting or self.connections",
            "            if self.waiting or self.connections",
        ),
        Fault(
            "connections that are being closed have no bound",
            f"{WEB}/gate/connections.py",
            " or self.connections >= 2 * MOST_CONNECTIONS",
            "",
        ),
        Fault(
            "who was just answered gives way first",
            f"{WEB}/gate/connections.py",
            "            self.site.waiting.pop(self, None)\n            super().allContentReceived()",
            "            super().allContentReceived()",
        ),
        Fault(
            "a host that is no name is not looked at",
            f"{WEB}/app.py",
            '.partition(":")[0].encode("idna")',
            "",
        ),
        Fault(
            "queues are changed before it is known where to go back to",
            f"{WEB}/pages/queues.py",
            "    back = _back(visit, names, action)  # refused before anything is changed, if it makes no sense\n"
            "    change = QueueChange(visit.manager, action, names, None if newest < 0 else newest)\n",
            "    change = QueueChange(visit.manager, action, names, None if newest < 0 else newest)\n"
            "    await visit.change(change.steps(), action)\n"
            "    back = _back(visit, names, action)\n",
        ),
        Fault(
            "an entry of cron is changed before the page is looked at",
            f"{WEB}/pages/cron.py",
            '    number = visit.number("page", 1, 1, _MOST_PAGES)\n    back = (',
            '    await change(visit, action, name)\n    number = visit.number("page", 1, 1, _MOST_PAGES)\n    back = (',
        ),
        Fault(
            "a page tells the password that was sent",
            f"{WEB}/gate/errors.py",
            "        answer = bare_page(refusal)\n",
            "        answer = bare_page(refusal)\n        answer.body += visit.request.getPassword()\n",
        ),
        Fault(
            "what is shown is not escaped",
            f"{WEB}/look/rendering.py",
            "autoescape=True",
            "autoescape=False",
        ),
        Fault(
            "a form needs no token",
            f"{WEB}/app.py",
            "            security.check_form(visit)\n",
            '            visit.form.pop("token", None)\n',
        ),
    ),
)
