"""Files that hold a password: reading them, and saying when others can read them, too."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_there(path: Path) -> bool:
    """Whether there is such a file. One that cannot even be looked for is: reading it will say why."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_password(path: Path, origin: str) -> str:
    """The text of a file, without white space around it. ``origin`` is who named it.

    ValueError when it cannot be read or is empty; its text never has anything of what the file holds.
    """
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"cannot read the password file {path} named by {origin}: {reason}") from None
    if not text:
        raise ValueError(f"the password file {path} named by {origin} is empty")
    return text


def exposure(path: Path) -> str | None:
    """A warning, if others can read this file with a secret, with the command that ends it; else None.

    A file of another user that the server reads as a member of its group is fine: without the group it could not.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    is_own = status.st_uid == os.geteuid()
    others = stat.S_IRGRP | stat.S_IROTH if is_own else stat.S_IROTH
    if not status.st_mode & others:
        return None
    who = "everybody" if status.st_mode & stat.S_IROTH else "its group"
    cure = f"chmod 600 {path}" if is_own else f"chmod o-r {path}"
    return f"{who} on this machine can read {path}, which holds a password (mode {status.st_mode & 0o777:04o}): {cure}"
