"""What the operator says of a queue, as short texts."""

from __future__ import annotations

from faktory_tw.config.policies import QueuePolicy

from ..visit import Visit


def texts(visit: Visit, policy: QueuePolicy) -> list[str]:
    """A text for each thing that is said."""
    gettext, ngettext = visit.gettext, visit.ngettext
    told = []
    if policy.max_size:
        told.append(ngettext("At most %(num)s job", "At most %(num)s jobs", policy.max_size))
    if policy.max_size == 0:
        told.append(gettext("No limit to its length"))
    if policy.retry is not None:
        told.append(_retries(visit, policy.retry))
    if policy.reserve_for is not None:
        told.append(gettext("Reserved for %(time)s") % {"time": visit.language.duration(policy.reserve_for)})
    if policy.priority is not None:
        told.append(gettext("Default priority %(priority)s") % {"priority": visit.language.number(policy.priority)})
    if policy.aging:
        told.append(gettext("One priority higher every %(time)s") % {"time": visit.language.duration(policy.aging)})
    return told


def _retries(visit: Visit, retry: int) -> str:
    if retry > 0:
        return visit.ngettext("%(num)s retry", "%(num)s retries", retry)
    return visit.gettext("Failed jobs are dropped") if retry == 0 else visit.gettext("Failed jobs are dead at once")
