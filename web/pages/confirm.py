"""Asking before something is destroyed: the page that does it where no script can."""

from __future__ import annotations

from collections.abc import Mapping

from ..answers import Page
from ..visit import Visit

_OURS = ("token", "confirmed")


def confirmation(
    visit: Visit,
    sentence: str,
    label: str,
    back: str = "/",
    detail: str = "",
    fields: Mapping[str, list[str]] | None = None,
) -> Page | None:
    """The page that asks, or None when the answer was yes: to be called by whoever answers the form.

    ``sentence`` is the question, ``label`` the button that means yes, ``detail`` what one should know before. Yes sends the
    same form again, with all of its fields or with ``fields``. ``back`` is where no leads to.
    """
    if visit.text("confirmed"):
        return None
    return question(visit, sentence, label, back, detail, fields)


def question(
    visit: Visit,
    sentence: str,
    label: str,
    back: str = "/",
    detail: str = "",
    fields: Mapping[str, list[str]] | None = None,
) -> Page:
    """The page that asks, also when there was a yes that did not suffice."""
    carried = visit.form if fields is None else fields
    return Page(
        "confirm.html",
        sentence=sentence,
        label=label,
        back=back,
        detail=detail,
        fields=[(name, value) for name, values in carried.items() if name not in _OURS for value in values],
    )
