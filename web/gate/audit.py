"""The lines of the log that say who changed what through the web, and who was refused.

A name is what somebody called themselves, and a forwarded address is what a proxy, or anybody, has told: both are cut,
quoted and shown as such. No password, token or job is in these lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

if TYPE_CHECKING:
    from ..visit import Visit

_MOST_CHARACTERS = 200
_FIELDS = ("jid", "wid", "queue")  # which the log has fields of its own for


class Audit:
    """Writes these lines to a log."""

    def __init__(self, log: Logger) -> None:
        self._log = log

    def changed(self, visit: Visit, what: str, facts: dict[str, Any]) -> None:
        """A change was made, and is on disk."""
        self._log.info(
            "Web UI: {what}{told}, by {who}",
            what=what,
            told="".join(f", {name} {_shown(value)}" for name, value in facts.items() if value is not None),
            who=_who(visit),
            **{name: str(facts[name])[:_MOST_CHARACTERS] for name in _FIELDS if facts.get(name) is not None},
            user=visit.user,
            client=visit.address,
            role=visit.role.name.lower(),
        )

    def failed(self, visit: Visit, what: str, facts: dict[str, Any], reason: str) -> None:
        """A change was begun, and ended before it was complete."""
        self.changed(visit, f"could not complete: {what}", {**facts, "reason": reason})

    def refused(self, visit: Visit, status: int, reason: str) -> None:
        """A change was refused: it was forged, or somebody may not make it."""
        self._log.warn(
            "Web UI: refused {method} {path} ({status}: {reason}), by {who}",
            method=_cut(visit.method),
            path=_shown(visit.path),
            status=status,
            reason=reason,
            who=_who(visit),
            user=visit.user,
            client=visit.address,
            role=visit.role.name.lower(),
        )


def _who(visit: Visit) -> str:
    forwarded = visit.header("X-Forwarded-For")
    told = f", forwarded for {_shown(forwarded)}" if forwarded else ""
    user = _shown(visit.user) if visit.user else "-"
    return f"{user} ({visit.role.name.lower()}) at {visit.address}{told}"


def _shown(value: object) -> str:
    """A value in a line: numbers as they are, texts in quotes, with nothing that a terminal would obey."""
    if isinstance(value, (int, float)):
        return str(value)
    return repr(_cut(str(value)))


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
