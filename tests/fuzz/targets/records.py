"""What is read back from disk: entries of features, the journal, and what stands beside a backup.

Nobody but the server writes there, but disks lie, and so do administrators with a SQLite shell. A start either refuses
with a StoreError, which names the file and the remedy, or goes on; what was read must not bring it down later.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from faktory_tw.core.manager import JobManager
from faktory_tw.features.standard import standard_features
from faktory_tw.storage import backup
from faktory_tw.storage.journal import decode
from faktory_tw.storage.store import JobRow, Place, StoreError
from faktory_tw.times import LAST_SECOND
from tests.fuzz.cost import limited
from tests.fuzz.memory import Memory, Unwritable, check_batch
from tests.fuzz.targets.wire import STOCK
from tests.fuzz.world import InMemory, World, settings_of
from tests.unit.doubles import FakeClock

KINDS = ("unique", "expires", "track", "result", "batch", "cron", "throttles", "cancel")
_MOST_ENTRIES = 40
_MOST_SLICES = 2000


def entries(data: bytes) -> None:
    """Entries of features: lines with a kind, a key and a value, both in hexadecimal digits."""
    store = Memory()
    for line in data.split(b"\n")[:_MOST_ENTRIES]:
        kind, _, rest = line.decode("ascii", "replace").partition(" ")
        key, _, value = rest.partition(" ")
        try:
            store.put(
                kind if kind in KINDS else KINDS[len(kind) % len(KINDS)], bytes.fromhex(key), bytes.fromhex(value)
            )
        except ValueError:
            continue
    store._rows[1] = JobRow(1, "q", 5, int(Place.QUEUED), 1, None, 1.0, b"", "", None, _BODY)
    store._rows[2] = JobRow(2, "q", 5, int(Place.WORKING), 2, 2e9, 1.0, b"", "w", 1e9, _BODY)
    manager = JobManager(store, FakeClock(), lambda n: 0, None, standard_features())
    manager.facts.configure(settings_of(1))
    try:
        limited(manager.load, len(data))
    except StoreError as error:
        if "restore" not in str(error):
            raise AssertionError(f"refused without a remedy: {error}") from error


_BODY = b'{"jid":"jid-0001","jobtype":"Work","args":[],"custom":{"track":1,"unique_for":60,"bid":"b-1"}}'


def written_entries() -> Iterator[bytes]:
    """What a server writes that is used."""
    storage = InMemory()
    world = World(storage)
    for line in STOCK.split(b"\n"):
        world.talker(line[0] - 48).send(line[1:] + b"\r\n")
        world.settle()
    world.pass_time(4000.0)
    for (kind, key), value in sorted(storage.store._entries.items()):
        yield f"{kind} {key.hex()} {value.hex()}".encode()
    yield b"\n".join(
        f"{kind} {key.hex()} {value.hex()}".encode() for (kind, key), value in storage.store._entries.items()
    )


def journal(data: bytes) -> None:
    """A row of the journal: a batch, or a ValueError."""
    try:
        batch = limited(lambda: decode(data), len(data))
    except ValueError:
        return
    try:
        check_batch(batch)
    except (Unwritable, UnicodeEncodeError):
        return  # a batch that nobody wrote; the database will refuse it, or not


def written_journal() -> Iterator[bytes]:
    """The rows that a server writes."""
    from faktory_tw.storage.journal import encode  # noqa: PLC0415

    storage = InMemory()
    world = World(storage)
    for line in STOCK.split(b"\n"):
        world.talker(line[0] - 48).send(line[1:] + b"\r\n")
    world.settle()
    yield from (encode(batch) for batch in storage.store.writes if not batch.flushed)


def facts(data: bytes) -> None:
    """The file beside a backup: a backup is listed whatever it says."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(prefix="faktory-fuzz-", dir=memory if memory.is_dir() else None))
    try:
        name = "faktory-20251121T120000Z.db"
        (directory / name).write_bytes(b"x" * 10)
        (directory / f"{name}.json").write_bytes(data)
        (found,) = limited(lambda: backup.list_backups(directory), len(data))
        msgspec.json.decode(msgspec.json.encode(found.told()))
        if found.number != _number_in(data):
            raise AssertionError(f"its number is {found.number}, and not {_number_in(data)}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _number_in(text: bytes) -> int:
    """What number a backup has with these facts: 0 when they make no sense."""
    try:
        told = json.loads(text.decode())
        numbers = [told[name] for name in ("number", "size_bytes", "jobs")]
        whole = [int(number) for number in numbers if not isinstance(number, bool) and number == int(number)]
        moment = told["taken_at"]
        sound = len(whole) == 3 and all(0 <= number < 2**63 for number in whole) and 0 <= moment <= LAST_SECOND
        return whole[0] if sound and isinstance(told["sha256"], str) and not isinstance(moment, bool) else 0
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return 0


def written_facts() -> Iterator[bytes]:
    """What stands beside a backup."""
    text = b'{"number":3,"taken_at":1763726400.0,"size_bytes":10,"jobs":5,"sha256":"00"}'
    yield text
    yield text.replace(b"1763726400.0", b"1e300")
    yield text.replace(b"5", b"null")
