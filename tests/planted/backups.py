"""Faults of backups: the copy, the directory they are in, restoring, and when they are taken."""

from __future__ import annotations

from tests.planted.fault import Area, Fault

BACKUP, SNAPSHOT, REPLACEMENT = "storage/backup.py", "storage/snapshot.py", "storage/replacement.py"
BACKUPS, SQLITE = "backups.py", "storage/sqlite.py"

AREA = Area(
    tests=("tests/unit/test_backups.py", "tests/unit/storage/test_backup*.py", "tests/unit/storage/test_restore.py"),
    faults=(
        # -- the copy --------------------------------------------------------------------------------------------------
        Fault(
            "what is in the journal only is not in a backup",
            SNAPSHOT,
            "        write_rows(connection.execute, left)\n",
            "",
        ),
        Fault(
            "a backup has what was in the journal twice",
            SNAPSHOT,
            '        connection.execute("DELETE FROM journal")\n',
            "",
        ),
        Fault(
            "a damaged database is taken for a good backup",
            SNAPSHOT,
            'if problems != ["ok"]:',
            "if False:",
        ),
        Fault(
            "a database of a newer version is taken for one of this",
            SNAPSHOT,
            "if version > newest:",
            "if False:",
        ),
        Fault(
            "any SQLite database is taken for one of this server",
            SNAPSHOT,
            "if version < 1:",
            "if False:",
        ),
        Fault(
            "everybody may read a backup",
            SNAPSHOT,
            "os.O_CLOEXEC, 0o600)",
            "os.O_CLOEXEC, 0o644)",
        ),
        Fault(
            "a backup begins on a disk that has no room for it",
            SNAPSHOT,
            "if free < size + min_free_bytes:",
            "if False:",
        ),
        Fault(
            "the log that grows during a backup needs no room",
            SNAPSHOT,
            "{target: copy_bytes + log_bytes}",
            "{target: copy_bytes}",
        ),
        Fault(
            "a backup goes on when the disk is nearly full",
            SNAPSHOT,
            "if free_bytes(directory) < self._min_free_bytes:",
            "if False:",
        ),
        Fault(
            "a server that stops waits for the copy",
            SNAPSHOT,
            "if self._abandoned():",
            "if False:",
        ),
        Fault(
            "a server that stops waits for the digest of a backup",
            BACKUP,
            "            if abandoned():",
            "            if False:",
        ),
        Fault(
            "a copy that failed stays on the disk",
            SNAPSHOT,
            "                target.unlink()",
            "                pass",
        ),
        Fault(
            "jobs of removed queues are counted in a backup",
            SNAPSHOT,
            ">= floor",
            "> 0",
        ),
        Fault(
            "a database in use is read as if it were not",
            SNAPSHOT,
            'immutable = "" if _has_log(path) else "&immutable=1"',
            'immutable = "&immutable=1"',
        ),
        # -- the directory ---------------------------------------------------------------------------------------------
        Fault(
            "a backup is listed before it is complete",
            BACKUP,
            'part = directory / f".{path.name}{_PART}"',
            "part = path",
        ),
        Fault(
            "a backup may lose what is known of it",
            BACKUP,
            (
                "                _write_facts(path, facts)\n"
                "                give_to_owner(part, directory)\n"
                "                os.rename(part, path)\n"
            ),
            (
                "                give_to_owner(part, directory)\n"
                "                os.rename(part, path)\n"
                "                _write_facts(path, facts)\n"
            ),
        ),
        Fault(
            "two backups may be written into a directory at once",
            BACKUP,
            "fcntl.LOCK_EX | fcntl.LOCK_NB",
            "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ),
        Fault(
            "a backup that another program changed is taken for good",
            BACKUP,
            "facts.sha256 != _digest(path)",
            "False",
        ),
        Fault(
            "a backup that was cut off is listed as verified",
            BACKUP,
            "facts.size_bytes == size",
            "True",
        ),
        Fault(
            "the newest backup is not the newest when the clock was set back",
            BACKUP,
            "(backup.number, backup.taken_at, backup.name)",
            "(backup.taken_at, backup.name)",
        ),
        Fault(
            "every backup of unknown content is opened to be listed",
            BACKUP,
            "_taken_at(path), size, UNKNOWN_JOBS, False)",
            "_taken_at(path), size, count_jobs(path), False)",
        ),
        Fault(
            "one file that cannot be looked at is in the way of all backups",
            BACKUP,
            "        with suppress(OSError):\n            path = directory / name",
            "        with suppress(ZeroDivisionError):\n            path = directory / name",
        ),
        Fault(
            "a directory with the name of a backup is taken for one",
            BACKUP,
            "if stat.S_ISREG(path.stat().st_mode):",
            "if True:",
        ),
        # -- deleting --------------------------------------------------------------------------------------------------
        Fault(
            "the only good backup is deleted because of its age",
            BACKUP,
            "if not any(backup.verified for backup in kept):",
            "if False:",
        ),
        Fault(
            "all backups are deleted when none is to be kept",
            BACKUP,
            "found[: max(keep, 1)], found[max(keep, 1) :]",
            "found[: keep], found[keep :]",
        ),
        Fault(
            "deleting old backups deletes the one that is being written",
            BACKUP,
            (
                "        with suppress(BackupError), _only_one(directory):  # what is being written is no leftover\n"
                "            _delete_leftovers(directory)"
            ),
            "        _delete_leftovers(directory)",
        ),
        Fault(
            "what a crash left of a backup stays",
            BACKUP,
            '    _delete(*directory.glob(f".faktory-*{_PART}*"))\n',
            "",
        ),
        Fault(
            "what was known of a backup stays when that is gone",
            BACKUP,
            "            _delete(facts)",
            "            pass",
        ),
        # -- restoring -------------------------------------------------------------------------------------------------
        Fault(
            "a restore replaces the database of a running server",
            BACKUP,
            "    lock = DirectoryLock(data_directory)\n",
            (
                "    from types import SimpleNamespace\n"
                "    lock = SimpleNamespace(release=str)\n"
                "    data_directory.mkdir(exist_ok=True)\n"
                '    (data_directory / "lock").touch()\n'
            ),
        ),
        Fault(
            "a restore does not check the backup",
            BACKUP,
            "        verify(backup)\n",
            "        pass\n",
        ),
        Fault(
            "the log of the replaced database stays beside the restored one",
            REPLACEMENT,
            '_REPLACED = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"',
            '_REPLACED = (DATABASE, f"{DATABASE}-shm"',
        ),
        Fault(
            "a crash during a restore leaves no database",
            REPLACEMENT,
            (
                '    os.rename(directory / _UNFINISHED, directory / f"{_DECIDED}{unused}")\n'
                "    sync_directory(directory)\n"
                "    finish_replacement(directory)\n"
            ),
            (
                '    _put_aside(directory, directory / f"replaced-{unused}")\n'
                "    os.rename(directory / _UNFINISHED, directory / DATABASE)\n"
                "    sync_directory(directory)\n"
            ),
        ),
        Fault(
            "a start does not finish a restore",
            SQLITE,
            "            finish_replacement(self.directory)\n",
            "            pass\n",
        ),
        Fault(
            "another restore does not finish the one before",
            BACKUP,
            "        finish_replacement(data_directory)\n",
            "",
        ),
        Fault(
            "a copy that was not restored in full is in the way of the next",
            REPLACEMENT,
            "        leftover.unlink()",
            "        pass",
        ),
        # -- a running server ------------------------------------------------------------------------------------------
        Fault(
            "the log that a backup held is not written back",
            SQLITE,
            "        self._log_was_held = True",
            "        pass",
        ),
        Fault(
            "the log that a backup made grow stays large",
            SQLITE,
            "limit_log(self._writer, held or log_is_long(self.path))",
            "limit_log(self._writer, False)",
        ),
        Fault(
            "two automatic backups in one period",
            BACKUPS,
            "        self._seen.add(period)\n",
            "",
        ),
        Fault(
            "a clock that is set back a day stops the backups for a day",
            BACKUPS,
            "elapsed <= _LONGEST_PERIODS * self._settings.backup_seconds",
            "True",
        ),
        Fault(
            "old backups are never deleted",
            BACKUPS,
            "            if not self._keep_all:",
            "            if False:",
        ),
        Fault(
            "a backup on demand deletes old ones",
            BACKUPS,
            "            if not self._keep_all:",
            "            if True:",
        ),
        Fault(
            "old backups fill the disk as long as no other can be taken",
            BACKUPS,
            "        self._make_room(keep)\n",
            "",
        ),
        Fault(
            "the backups to keep leave no room for the next",
            BACKUPS,
            "not backup.lacks_room(error) or not self._make_room(keep - 1)",
            "True",
        ),
        Fault(
            "a good backup is deleted for one that fails whatever the room",
            BACKUPS,
            "not backup.lacks_room(error) or not self",
            "not self",
        ),
        Fault(
            "backups are listed in the reactor's thread",
            BACKUPS,
            """        self._run_in_thread(look, lambda: done(found, "".join(errors)))""",
            """        look()\n        done(found, "".join(errors))""",
        ),
        Fault(
            "every start takes a backup",
            BACKUPS,
            "        self._seen = {self._period()}",
            "        self._seen = set()",
        ),
        Fault(
            "a backup that failed leaves no error",
            BACKUPS,
            "        self.last_error = attempt.error\n",
            "        self.last_error = ''\n",
        ),
        Fault(
            "the error of a backup stays when the next succeeds",
            BACKUPS,
            "        self.last_error = attempt.error\n",
            "        self.last_error = attempt.error or self.last_error\n",
        ),
        Fault(
            "a second backup on demand begins while one is taken",
            BACKUPS,
            "        if self.running:\n            raise",
            "        if False:\n            raise",
        ),
        Fault(
            "an automatic backup begins while one is taken",
            BACKUPS,
            "        if self.running:\n            self._log.warn",
            "        if False:\n            self._log.warn",
        ),
        Fault(
            "the store does not hear of the end of a backup",
            BACKUPS,
            "        self._released()\n",
            "",
        ),
        Fault(
            "a server that stops leaves its backup running",
            BACKUPS,
            "        self._stopped.set()\n",
            "",
        ),
        Fault(
            "a new period of backups is not kept to",
            BACKUPS,
            "            self._begin_periods()\n\n",
            "            pass\n\n",
        ),
    ),
)
