"""What is said of the things that can be done to jobs: on buttons, in questions, and when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..look.languages import gettext_noop as _

if TYPE_CHECKING:
    from ..visit import Visit
    from .places import Kind

DANGEROUS = ("delete", "kill")  # asked again before it is done
STYLES = {"retry": "main", "delete": "danger"}  # of a button; see templates/parts/actions.html
_LABELS = {
    "retry": _("Retry now"),
    "kill": _("Kill"),
    "delete": _("Delete"),
    "priority": _("Set priority"),
}
_LABELS_OF_ALL = {
    "retry": _("Retry all…"),
    "kill": _("Kill all…"),
    "delete": _("Delete all…"),
    "priority": _("Set priority of all…"),
}

_LABELS_OF_FOUND = {
    "retry": _("Retry all found…"),
    "kill": _("Kill all found…"),
    "delete": _("Delete all found…"),
    "priority": _("Set priority of all found…"),
}


def label(visit: Visit, action: str, kind: Kind) -> str:
    """A button for one job, or for those that are checked."""
    if action == "retry" and kind.name == "scheduled":
        return visit.gettext("Add to queue now")
    return visit.gettext(_LABELS[action])


def label_of_all(visit: Visit, action: str, kind: Kind) -> str:
    """A button for all jobs of a place, or all that are found."""
    if action == "retry" and kind.name == "scheduled":
        return visit.gettext("Add all to queue…")
    return visit.gettext(_LABELS_OF_ALL[action])


def label_of_found(visit: Visit, action: str, kind: Kind) -> str:
    """A button for all jobs that a filter finds."""
    if action == "retry" and kind.name == "scheduled":
        return visit.gettext("Add all found to queue…")
    return visit.gettext(_LABELS_OF_FOUND[action])


def question_of_checked(visit: Visit, action: str) -> str:
    """What a browser asks before a form with checked jobs is sent; empty where there is no need to ask."""
    if action == "delete":
        return visit.gettext("Delete the checked jobs? They are gone for ever.")
    return visit.gettext("Move the checked jobs to the dead?") if action == "kill" else ""


def question(visit: Visit, action: str, count: int) -> str:
    """What is asked before it is done."""
    if action == "delete":
        return visit.ngettext("Delete %(num)s job?", "Delete %(num)s jobs?", count)
    if action == "kill":
        return visit.ngettext("Move %(num)s job to the dead?", "Move %(num)s jobs to the dead?", count)
    if action == "retry":
        return visit.ngettext("Add %(num)s job to its queue now?", "Add %(num)s jobs to their queues now?", count)
    return visit.ngettext("Change the priority of %(num)s job?", "Change the priority of %(num)s jobs?", count)


def consent(visit: Visit, action: str, count: int) -> str:
    """The button that says yes to the question; it says once more what will happen."""
    if action == "delete":
        return visit.ngettext("Delete %(num)s job", "Delete %(num)s jobs", count)
    if action == "kill":
        return visit.ngettext("Move %(num)s job to the dead", "Move %(num)s jobs to the dead", count)
    if action == "retry":
        return visit.ngettext("Add %(num)s job to its queue", "Add %(num)s jobs to their queues", count)
    return visit.ngettext("Change the priority of %(num)s job", "Change the priority of %(num)s jobs", count)


def consequence(visit: Visit, action: str) -> str:
    """What somebody should know who is asked."""
    if action == "delete":
        return visit.gettext("Deleted jobs are gone for ever.")
    if action == "kill":
        return visit.gettext("Dead jobs are kept for 180 days and can be retried.")
    if action == "retry":
        return visit.gettext("They go to the end of their queues and are worked as soon as it is their turn.")
    return visit.gettext("They go to the end of the jobs that have this priority.")


def at_work(visit: Visit, action: str) -> str:
    """The heading while it is being done."""
    if action == "delete":
        return visit.gettext("Deleting jobs…")
    if action == "kill":
        return visit.gettext("Moving jobs to the dead…")
    return visit.gettext("Adding jobs to their queues…") if action == "retry" else visit.gettext("Changing priorities…")


def done(visit: Visit, action: str, count: int) -> str:
    """What is told when it is done."""
    if action == "delete":
        return visit.ngettext("%(num)s job was deleted.", "%(num)s jobs were deleted.", count)
    if action == "kill":
        return visit.ngettext("%(num)s job was moved to the dead.", "%(num)s jobs were moved to the dead.", count)
    if action == "retry":
        return visit.ngettext("%(num)s job was added to its queue.", "%(num)s jobs were added to their queues.", count)
    return visit.ngettext("%(num)s job has a new priority.", "%(num)s jobs have a new priority.", count)


def left_alone(visit: Visit, count: int) -> str:
    """What is told of jobs that were not there any more."""
    return visit.ngettext(
        "%(num)s job was left alone: it had gone or moved meanwhile.",
        "%(num)s jobs were left alone: they had gone or moved meanwhile.",
        count,
    )
