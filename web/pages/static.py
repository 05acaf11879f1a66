"""Style sheets, scripts and icons, for everybody: they tell nothing of the server."""

from __future__ import annotations

from ..answers import Answer, NotThere
from ..look.assets import Asset, assets
from ..routes import Role, question
from ..visit import Visit

_FOR_A_YEAR = "public, max-age=31536000, immutable"


async def versioned(_visit: Visit, version: str, name: str) -> Answer:
    """A file under the address that its contents have; another version's address gets the present file, to be asked again."""
    return _answer(name, _FOR_A_YEAR if version == assets().version else "no-cache")


async def favicon(_visit: Visit) -> Answer:
    """What browsers ask for without being told to."""
    return _answer("icon.svg", "public, max-age=86400")


def _answer(name: str, caching: str) -> Answer:
    asset: Asset | None = assets().find(name)
    if asset is None:
        raise NotThere("There is no such file.")
    return Answer(asset.body, content_type=asset.content_type, Cache_Control=caching)


ROUTES = (
    question("/static/<version>/<path:name>", versioned, Role.NOBODY),
    question("/favicon.ico", favicon, Role.NOBODY),
)
