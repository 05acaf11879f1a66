"""The files that pages load: style sheets, scripts, icons. They are read once, and answered from memory.

All are addressed below one folder that is named by a digest of them all, so a browser may keep them for a year, and
scripts that import each other never meet one of another version. A name is looked up in a table and never becomes a path.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

FILES = Path(__file__).parent.parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


class Asset(NamedTuple):
    """A file's bytes and their type."""

    body: bytes
    content_type: str


class Assets:
    """All files of a directory that are of a known type."""

    def __init__(self, directory: Path = FILES) -> None:
        self._files = {
            path.relative_to(directory).as_posix(): Asset(path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(directory.rglob("*"))
            if path.suffix in _TYPES and path.is_file()
        }
        digest = hashlib.sha256()
        for name, asset in self._files.items():
            digest.update(f"{name}\0{len(asset.body)}\0".encode() + asset.body)
        self.version = digest.hexdigest()[:16]

    def find(self, name: str) -> Asset | None:
        """The file of that name, if there is one."""
        return self._files.get(name)

    def path(self, name: str) -> str:
        """Where a page finds the file. Raises KeyError when there is none."""
        if name not in self._files:
            raise KeyError(f"no file {name!r} in web/static")
        return f"/static/{self.version}/{name}"


@cache
def assets() -> Assets:
    """Those of the pages."""
    return Assets()
