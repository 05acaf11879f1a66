"""What `check` tells of a configuration: everything that is wrong, and everything that is in effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from faktory_tw.config import check


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """A function that writes a file of the configuration directory."""

    def write(text: str) -> Path:
        path = tmp_path / "conf.d" / "a.toml"
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


def test_a_check_tells_what_is_in_effect_and_where_it_comes_from(tmp_path: Path, write: Callable[[str], Path]) -> None:
    path = write('[faktory]\npassword = "271828"\n[queues]\nmax_size = 7\n[statsd]\ntags = ["a", "b"]')
    checked = check(str(tmp_path), {"FAKTORY_ENV": "production"}, {"log-level": "warn"})
    assert checked.problems == checked.warnings == ()
    rows = {row.key: (row.value, row.origin) for row in checked.rows}
    assert rows["environment"] == ("production", "FAKTORY_ENV")
    assert rows["config_directory"] == (str(tmp_path), "-c")
    assert rows["faktory.password"] == ("********", f"{path}:2")
    assert rows["web.password"] == ("that of clients", "default")
    assert rows["queues.max_size"] == ("7", f"{path}:4")
    assert rows["statsd.tags"] == ("a, b", f"{path}:6")
    assert rows["faktory.log_level"] == ("warn", "--log-level")
    assert rows["faktory.reclaim_dead_workers"] == ("true", "default")
    assert rows["backup.frequency"] == ("3600s", "default")
    assert rows["storage.directory"] == ("/var/lib/faktory/db", "default")
    assert "271828" not in repr(checked)


def test_a_check_tells_what_is_wrong_and_what_is_right_all_the_same(
    tmp_path: Path, write: Callable[[str], Path]
) -> None:
    write("[queues]\nmax_size = -1\nmaximum = 1\n[backup]\nkeep = 2\n[[cron]]")
    checked = check(str(tmp_path), {})
    assert len(checked.problems) == 2
    assert len(checked.left_out) == 1
    rows = {row.key: row.value for row in checked.rows}
    assert (rows["queues.max_size"], rows["backup.keep"]) == ("0", "2")


def test_a_check_without_an_environment_has_nothing_but_that_to_say() -> None:
    checked = check(None, {"FAKTORY_ENV": "nowhere"})
    assert (len(checked.problems), checked.rows) == (1, ())


def test_a_check_looks_where_the_environment_says(tmp_path: Path, write: Callable[[str], Path]) -> None:
    write("[queues]\nmax_size = 7")
    (tmp_path / ".faktory").symlink_to(tmp_path)
    rows = {row.key: row.value for row in check(None, {"HOME": str(tmp_path)}).rows}
    assert rows["queues.max_size"] == "7"
    assert rows["config_directory"] == str(tmp_path / ".faktory")
