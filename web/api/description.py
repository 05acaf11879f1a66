"""The description of the API: ``openapi.json`` for programs, and a page made from it for people."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ..answers import Answer, Page
from ..routes import page, question
from ..visit import Visit

_FILE = Path(__file__).parent.parent / "openapi.json"


@cache
def document() -> dict[str, Any]:
    """The description."""
    found: dict[str, Any] = msgspec.json.decode(_FILE.read_bytes())
    return found


async def show_document(visit: Visit) -> Answer:
    """The file, with the prefix of a reverse proxy in the address of the server."""
    described = {**document(), "servers": [{"url": visit.prefix or "/"}]}
    return Answer(msgspec.json.encode(described), content_type="application/json")


async def show_page(visit: Visit) -> Answer:
    """The same for people."""
    here = f"http://HOST:PORT{visit.prefix}"
    return Page("api.html", api=document(), operations=await visit.ui.load(operations), here=here)


def operations() -> list[dict[str, Any]]:
    """The operations in the order of the file, with the references in their parameters followed."""
    described = document()
    parameters: dict[str, Any] = described["components"]["parameters"]
    found = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            given = [*methods.get("parameters", ()), *operation.get("parameters", ())]
            named = [parameters[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in given]
            found.append({**operation, "path": path, "method": method.upper(), "parameters": named})
    return found


ROUTES = (
    page("/api/", show_page),
    question("/api/openapi.json", show_document),
)
