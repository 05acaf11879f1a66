"""The model of a disk without power, on short histories: it has to take away all that a disk may, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.system.disk_model import SECTOR, Chance, Disk, write_image
from tests.system.ledger import Found
from tests.system.recorder import Kind, Record
from tests.system.said import NEVER, Era, Said, Word

ROOT = "/disk"
NOTHING, EVERYTHING = Chance(), Chance(everything=True)


class Story:
    """Records about the file /disk/a, unless told otherwise."""

    def __init__(self, lying: bool = False) -> None:
        self.disk = Disk(Path(ROOT), lying)

    def tell(self, kind: Kind, number: int = 0, data: bytes = b"", *, path: str = "a", inode: int = 1) -> Story:
        self.disk.feed(Record(0, kind, inode, number, f"{ROOT}/{path}", "", data))
        return self

    def rename(self, old: str, new: str) -> Story:
        self.disk.feed(Record(0, Kind.RENAME, 0, 0, f"{ROOT}/{old}", f"{ROOT}/{new}"))
        return self

    def created(self, path: str = "a", inode: int = 1) -> Story:
        return self.tell(Kind.CREATE, path=path, inode=inode)

    def wrote(self, at: int, data: bytes) -> Story:
        return self.tell(Kind.WRITE, at, data)

    def synced(self) -> Story:
        return self.tell(Kind.SYNC_BEGINS, 7).tell(Kind.SYNC_ENDS, 7)

    def synced_directory(self, path: str = "") -> Story:
        whole = f"{ROOT}/{path}".rstrip("/")
        for kind in (Kind.SYNC_BEGINS, Kind.SYNC_ENDS):
            self.disk.feed(Record(0, kind, 99, 8, whole))
        return self

    def left(self, chance: Chance = NOTHING) -> dict[str, bytes | None]:
        return {path.removeprefix(f"{ROOT}/"): data for path, data in self.disk.image(chance).items()}


def test_what_was_not_synced_may_be_there_or_not() -> None:
    story = Story().created().wrote(0, b"one")
    assert story.left() == {}
    assert story.left(EVERYTHING) == {"a": b"one"}


def test_a_synced_file_has_its_contents_and_a_name_only_when_its_directory_is_synced_too() -> None:
    story = Story().created().wrote(0, b"one").synced()
    assert story.left() == {}
    assert story.synced_directory().left() == {"a": b"one"}
    story = Story().created().wrote(0, b"one").synced_directory()
    assert story.left() == {"a": b""}


def test_a_sync_covers_what_was_written_before_it_began() -> None:
    story = Story().created().synced_directory().wrote(0, b"one").tell(Kind.SYNC_BEGINS, 7).wrote(3, b"two")
    assert story.left() == {"a": b""}
    assert story.tell(Kind.SYNC_ENDS, 7).left() == {"a": b"one"}
    assert story.left(EVERYTHING) == {"a": b"onetwo"}


def test_a_disk_that_lies_forgets_everything() -> None:
    assert Story(lying=True).created().wrote(0, b"one").synced().synced_directory().left() == {}


def test_a_truncation_is_a_change_like_any_other() -> None:
    story = Story().created().synced_directory().wrote(0, b"123456").synced().tell(Kind.TRUNCATE, 2)
    assert story.left() == {"a": b"123456"}
    assert story.left(EVERYTHING) == {"a": b"12"}
    assert story.wrote(4, b"x").left(EVERYTHING) == {"a": b"12\0\0x"}


def test_a_write_is_torn_where_sectors_meet_and_nowhere_else() -> None:
    story = Story().created().synced_directory().wrote(0, bytes(4 * SECTOR)).synced().wrote(100, b"x" * 1500)
    seen = set()
    for seed in range(500):
        data = story.left(Chance(random.Random(seed)))["a"]
        assert data is not None
        borders = [n for n in range(1, len(data)) if (data[n] == 0) != (data[n - 1] == 0)]
        assert {n % SECTOR for n in borders} <= {0, 100, 1600 % SECTOR}
        seen.add(data)
    assert len(seen) == 2**4  # four sectors, any of which may be there


def test_names_change_in_order_and_a_sync_of_one_directory_takes_what_came_before_with_it() -> None:
    story = Story().created().tell(Kind.MKDIR, path="d").synced_directory().rename("a", "d/a").created("b", 2)
    images = {tuple(sorted(story.left(Chance(random.Random(seed))))) for seed in range(100)}
    assert images == {("a", "d"), ("d", "d/a"), ("b", "d", "d/a")}
    assert story.synced_directory("d").left() == {"d": None, "d/a": b""}


def test_a_deleted_file_is_gone_when_that_is_synced() -> None:
    story = Story().created().synced_directory().tell(Kind.UNLINK)
    assert story.left() == {"a": b""}
    assert story.synced_directory().left() == {}


def test_a_file_under_the_number_of_a_deleted_one_is_another() -> None:
    story = Story().created().wrote(0, b"old").synced().synced_directory().tell(Kind.UNLINK).created("b")
    assert story.left() == {"a": b"old"}
    assert story.left(EVERYTHING) == {"b": b""}


def test_an_image_becomes_a_directory(tmp_path: Path) -> None:
    data = bytes(100_000) + b"end"
    write_image({"/disk/d": None, "/disk/d/a": data}, ROOT, tmp_path / "cut")
    assert (tmp_path / "cut/d/a").read_bytes() == data


def found(jid: str, failures: int = 0) -> Found:
    return Found(jid, "queued", "default", 5, failures)


@pytest.mark.parametrize(
    ("moment", "rows", "wrong"),
    [
        (5, [], []),  # sent at 4: both are right
        (5, [found("a")], []),
        (3, [found("a")], ["never pushed"]),
        (7, [], ["acknowledged and lost"]),
        (12, [found("a", 1)], []),
        (12, [found("a", 2)], ["FAIL acknowledged and lost, or made up"]),
        (16, [found("a")], ["FAIL acknowledged and lost, or made up"]),
        (22, [], []),
        (27, [found("a", 1)], ["finished and back"]),
        (27, [], []),
    ],
)
def test_what_was_answered_has_to_be_there_and_what_was_sent_may(
    moment: int, rows: list[Found], wrong: list[str]
) -> None:
    words = [Word("PUSH", "a", 4, 6), Word("FAIL", "a", 10, 15), Word("ACK", "a", 20, 25), Word("PUSH", "b", 40, NEVER)]
    complaints = Era(Said(words), 0).complaints(moment, rows)
    assert [complaint.partition(":")[0] for complaint in complaints] == wrong


def test_an_era_begins_with_what_was_there_and_knows_nothing_of_the_time_before() -> None:
    said = Said([Word("PUSH", "old", 1, 2), Word("ACK", "base", 3, 4), Word("ACK", "base2", 12, 13)])
    era = Era(said, 10, base={"base": 1, "base2": 0})
    assert era.complaints(11, [found("base", 1), found("base2")]) == []
    assert era.complaints(14, [found("base", 1)]) == []
    assert len(era.complaints(14, [found("old"), found("base2")])) == 3
    assert (era.acknowledged(14), era.acknowledged(11)) == (1, 0)
