"""Faults of what is looked for before a database is opened, and while it is read."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

DAMAGE, SQLITE = "storage/damage.py", "storage/sqlite.py"

AREA = Area(
    tests=("tests/unit/storage/test_damage.py",),
    faults=(
        Fault("damage is not looked for", SQLITE, '            check_files(self.path, durability == "commit")\n', ""),
        Fault(
            "the end of the log is believed whatever lies behind it",
            DAMAGE,
            "        if commits > _MOST_UNREADABLE_COMMITS:",
            "        if False:",
        ),
        Fault(
            "what a power cut leaves is taken for damage",
            DAMAGE,
            "_MOST_UNREADABLE_COMMITS = 2",
            "_MOST_UNREADABLE_COMMITS = 1",
        ),
        Fault(
            "what an earlier round of the log left is taken for damage",
            DAMAGE,
            " and frame_salts == salts)",
            ")",
        ),
        Fault(
            "commits that were not synced are taken for damage",
            DAMAGE,
            "    if not every_commit_is_synced:\n        return\n",
            "",
        ),
        Fault("an empty database begins anew", DAMAGE, "    if size == 0 and _was_used(path.parent):", "    if False:"),
        Fault("a log without its database is deleted", DAMAGE, "    if _log_begun(path):", "    if False:"),
        Fault("a log that is missing is not missed", DAMAGE, 'if _size(Path(f"{path}-shm")) is not None', "if False"),
        Fault(
            "a database without anything is a beginning",
            DAMAGE,
            "        if not _holds_tables(path) and",
            "        if False and",
        ),
        Fault("a log that begins with zeros is new", DAMAGE, "        if _holds_anything(log):", "        if False:"),
        Fault("the first lines of the log are believed", DAMAGE, "!= _checksum(first[:24], magic)", "== ()"),
        Fault(
            "damage that is found by a write has no remedy",
            DAMAGE,
            "in (_CORRUPT, _NOT_A_DATABASE) if",
            "in () if",
        ),
        Fault(
            "only the beginning of a log that begins with zeros is looked at",
            DAMAGE,
            "        at += len(block)\n    return False",
            "        break\n    return False",
        ),
        Fault(
            "damage that is found while jobs are loaded is a traceback",
            SQLITE,
            "        except (sqlite3.Error, ValueError) as error:\n            raise unreadable",
            "        except OSError as error:\n            raise unreadable",
        ),
    ),
)
