"""``backup``, ``backups`` and ``restore``.

``backup`` and ``backups list`` ask a running server. ``backups verify``, ``backups purge`` and ``restore`` work on the
directory itself, on the machine that has it; a server must not run on a directory that is restored.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from faktory_tw import config
from faktory_tw.console import options as common
from faktory_tw.console.connection import FOREVER, Connection, Refused
from faktory_tw.console.errors import ConsoleError, UsageError
from faktory_tw.console.terminal import Progress, confirmed, duration, out, out_json, plural, size, table
from faktory_tw.storage import backup as storage
from faktory_tw.storage.backup import Backup, BackupError
from faktory_tw.storage.store import StoreError
from faktory_tw.times import parse_rfc3339, rfc3339

_AT_FIRST_SECONDS = 0.5  # a backup that cannot be begun is refused in this time


def add(commands: Any) -> None:
    """The commands."""
    parser = common.command(commands, "backup", _backup, "have a running server make a backup now")
    parser.add_argument("--wait", action="store_true", help="until it is made, and say what it is")
    backups = common.group(commands, "backups", "list, check and delete backups")
    parser = common.command(backups, "list", _list, "list the backups of a running server, or of a directory")
    _add_directory(parser)
    parser = common.command(backups, "verify", _verify, "read a backup and check it", server=False)
    parser.add_argument(
        "name", nargs="?", default="latest", metavar="NAME", help="its name, latest, or a file [latest]"
    )
    _add_directory(parser)
    parser = common.command(backups, "purge", _purge, "delete all backups but the newest", server=False)
    parser.add_argument("--keep", type=common.positive, default=24, metavar="N", help="how many stay [24]")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_directory(parser)
    parser = common.command(
        commands,
        "restore",
        _restore,
        "put a backup in the place of the data of a stopped server",
        description="Put a backup in the place of the data of a stopped server. What is replaced is kept beside it.",
        server=False,
    )
    parser.add_argument("name", metavar="NAME", help="the name of a backup, latest, or a file")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    _add_directory(parser)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--directory", metavar="DIR", help="the data directory [as the server is configured]")
    parser.add_argument("-c", "--config", metavar="DIR", help="the configuration directory [as for the server]")
    parser.add_argument("-e", "--environment", metavar="NAME", help="decides what these are by default")
    parser.add_argument("--backup-directory", metavar="DIR", help="where the backups are [as the server is configured]")


def _configured(options: argparse.Namespace) -> dict[str, config.Row]:
    """The settings of the server, by key, as far as they can be read: a missing password does not matter here."""
    given = {"environment": options.environment, "directory": options.directory}
    found = config.check(options.config, os.environ, given)
    if not found.rows:
        raise UsageError(found.problems[0])
    return {row.key: row for row in found.rows}


def _data_directory(options: argparse.Namespace) -> Path:
    directory = Path(_configured(options)["storage.directory"].value)
    if not directory.is_dir():
        raise ConsoleError(f"there is no directory {directory}; -d names the data directory of the server")
    return directory


def _backup_directory(options: argparse.Namespace) -> Path:
    if options.backup_directory:
        return Path(options.backup_directory).expanduser().absolute()
    row = _configured(options)["backup.directory"]
    return _data_directory(options) / "backups" if row.origin == "default" else Path(row.value)


# -- a running server --------------------------------------------------------------------------------------------------


def _backup(options: argparse.Namespace) -> int:
    with common.connect(options) as connection:
        made = _begin(connection, wait=options.wait)
    if options.json:
        out_json({"begun": True, "backup": made})
    elif made is None:
        out("The backup has begun; backups list shows it when it is made.")
    else:
        out(f"{made['name']}: {plural(made['jobs'])}, {size(made['size_bytes'])}, verified")
    return 0


def _begin(connection: Connection, *, wait: bool) -> dict[str, Any] | None:
    """The backup; None when it is not awaited and takes longer than a moment."""
    began = time.monotonic()
    with Progress("making a backup", None, "s") as progress:

        def meanwhile() -> None:
            seconds = time.monotonic() - began
            if not wait and seconds >= _AT_FIRST_SECONDS:
                raise _Begun
            progress.update(seconds)

        try:
            made: dict[str, Any] = connection.ask("ADMIN BACKUP", {}, seconds=FOREVER, meanwhile=meanwhile)
        except _Begun:
            return None
    return made


class _Begun(Exception):
    """The server has not refused; the backup goes on without us."""


def _list(options: argparse.Namespace) -> int:
    if options.directory or options.backup_directory or options.config:
        found = [backup.told() for backup in _offline(storage.list_backups, _backup_directory(options))]
        last_error = ""
    else:
        with common.connect(options) as connection:
            try:
                state = connection.ask("ADMIN BACKUPS", {})
            except Refused as refusal:
                raise ConsoleError(f"{refusal}; --directory lists those of a data directory") from None
        found, last_error = state["backups"], state["last_error"]
    if options.json:
        out_json({"backups": found, "last_error": last_error})
        return 0
    rows = [
        (
            backup["name"],
            f"{duration(max(time.time() - parse_rfc3339(backup['taken_at']), 0.0))} ago",
            size(backup["size_bytes"]),
            f"{backup['jobs']:,}" if backup["jobs"] >= 0 else "?",
            "yes" if backup["verified"] else "no",
        )
        for backup in found
    ]
    out(*(table(("BACKUP", "TAKEN", "SIZE", "JOBS", "VERIFIED"), rows, right="SIZE JOBS") if rows else ["no backups"]))
    if last_error:
        out(f"The last one failed: {last_error}")
    return 0


# -- a directory -------------------------------------------------------------------------------------------------------


def _offline(work: Any, *arguments: Any, **more: Any) -> Any:
    """Do something on disk; what goes wrong becomes a ConsoleError."""
    try:
        return work(*arguments, **more)
    except (BackupError, StoreError) as error:
        raise ConsoleError(str(error)) from None
    except OSError as error:
        raise ConsoleError(f"{error.strerror or error}: {error.filename}") from None


def _found(options: argparse.Namespace) -> Backup:
    """The backup that is named. A file needs no backup directory; one that is called latest is ``./latest``."""
    path = Path(options.name).expanduser()
    named = os.sep in options.name or not (options.backup_directory or options.name == storage.LATEST)
    directory = path.absolute().parent if named and path.is_file() else _backup_directory(options)
    backup: Backup = _offline(storage.find, directory, options.name)
    return backup


def _verify(options: argparse.Namespace) -> int:
    backup = _found(options)
    with Progress(f"reading {backup.name}", None, "bytes") as progress:
        progress.update(backup.size_bytes)
        backup = _offline(storage.verify, backup.path)
    if options.json:
        out_json(backup.told())
    else:
        out(f"{backup.name} is whole: {plural(backup.jobs)}, {size(backup.size_bytes)}")
    return 0


def _purge(options: argparse.Namespace) -> int:
    directory = _backup_directory(options)
    old = len(_offline(storage.list_backups, directory)) - options.keep
    if old > 0 and not confirmed(f"Delete up to {plural(old, 'backup')} in {directory}?", yes=options.yes):
        return 1
    deleted = [backup.told() for backup in _offline(storage.purge, directory, options.keep)]
    if options.json:
        out_json({"deleted": deleted})
    else:
        out(*(backup["name"] for backup in deleted), f"{plural(len(deleted), 'backup')} deleted")
    return 0


def _restore(options: argparse.Namespace) -> int:
    directory = _data_directory(options)
    backup = _found(options)
    question = (
        f"Put {backup.name}, taken {rfc3339(backup.taken_at)[:19]}Z with {plural(backup.jobs)}, in the place of the data "
        f"in {directory}?"
    )
    if not confirmed(question, yes=options.yes):
        return 1
    with Progress(f"restoring {backup.name}", None, "bytes") as progress:

        def show(written: int, whole: int) -> None:
            progress.total = whole
            progress.update(written)

        restored = _offline(storage.restore, directory, backup.path, time.time(), progress=show)
    kept = restored.kept_aside if restored.kept_aside.exists() else None
    if options.json:
        out_json({"jobs": restored.jobs, "kept_aside": None if kept is None else str(kept)})
    else:
        out(f"{plural(restored.jobs)} restored from {backup.name}.")
        out(f"What was there before is in {kept}." if kept is not None else "There was nothing before.")
    return 0
