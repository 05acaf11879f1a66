"""The places where jobs are, as people call them: their pages, and what can be done to jobs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from faktory_tw.features.search import Place, Where, place_name

from ..answers import NotThere, Refusal
from ..look import links
from ..look.languages import gettext_noop as _

if TYPE_CHECKING:
    from ..visit import Visit


class Kind(NamedTuple):
    """One kind of place. The texts are in English, to be translated where they are shown."""

    name: str
    place: Place
    title: str
    when: str  # what the time of a job says here
    actions: tuple[str, ...]
    nothing: str  # what is told who finds nothing there
    empty: str  # and why that is


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "scheduled",
            Place.SCHEDULED,
            _("Scheduled"),
            _("When"),
            ("retry", "kill", "delete"),
            _("No scheduled jobs"),
            _('A job pushed with "at" in the future is listed here until it is due.'),
        ),
        Kind(
            "retries",
            Place.RETRIES,
            _("Retries"),
            _("Next retry"),
            ("retry", "kill", "delete"),
            _("No retries"),
            _("A job that fails is listed here until its next try."),
        ),
        Kind(
            "dead",
            Place.DEAD,
            _("Dead"),
            _("Died"),
            ("retry", "delete"),
            _("No dead jobs"),
            _("A job that failed too often, or was killed, is kept here for 180 days."),
        ),
        Kind(
            "queued",
            Place.QUEUED,
            _("Queue"),
            _("Enqueued"),
            ("priority", "kill", "delete"),
            _("This queue is empty"),
            _("Jobs that are pushed to it are listed here until a worker fetches them."),
        ),
        Kind("working", Place.WORKING, _("Busy"), _("Started"), (), _("Nothing is being worked"), ""),
    )
}


class Spot(NamedTuple):
    """One place: a set, or one queue."""

    kind: Kind
    queue: str = ""

    @property
    def where(self) -> Where:
        return Where(self.kind.place, self.queue)

    def title(self, visit: Visit) -> str:
        """Its name, for a heading; that of a queue is as it is."""
        return self.queue or visit.gettext(self.kind.title)

    @property
    def page(self) -> tuple[str, dict[str, str]]:
        """Path and fields of its page."""
        return links.queue_page(self.queue) if self.kind.place is Place.QUEUED else (f"/{self.kind.name}", {})

    def url(self, visit: Visit, **query: Any) -> str:
        """Its page, for a link."""
        path, fields = self.page
        return visit.url(path, **fields, **query)

    def address(self, **query: Any) -> str:
        """Its page, for a Redirect."""
        path, fields = self.page
        return links.address(path, **fields, **query)

    def size(self, visit: Visit) -> int:
        """How many jobs are there."""
        return visit.manager.views.size(*self.where)

    def fields(self) -> dict[str, str]:
        """The fields of a form that name it."""
        return {"place": self.kind.name, **({"queue_name": self.queue} if self.queue else {})}


def spot(visit: Visit, name: str, queue: str = "") -> Spot:
    """The place that is named. Raises Refusal when there is none."""
    kind = KINDS.get(name)
    if kind is None or not kind.actions:
        raise Refusal(400, visit.gettext("No such place: %(name)s.") % {"name": name[:100]})
    if kind.place is not Place.QUEUED:
        return Spot(kind)
    if queue not in visit.manager.queues():
        raise NotThere(
            visit.gettext("There is no queue %(name)s. It was removed, or nothing was pushed to it yet.")
            % {"name": queue[:200]}
        )
    return Spot(kind, queue)


def spot_of(place: int, queue: str) -> Spot:
    """Where a job is that is in this place, and belongs to this queue."""
    kind = KINDS[place_name(place)]
    return Spot(kind, queue if kind.place is Place.QUEUED else "")


def spot_of_form(visit: Visit) -> Spot:
    """The place that a form names."""
    return spot(visit, visit.text("place"), visit.text("queue_name"))
