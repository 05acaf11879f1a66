"""What people see."""

from __future__ import annotations

import io

import pytest

from faktory_tw.console import terminal
from faktory_tw.console.errors import UsageError
from faktory_tw.console.terminal import Progress, confirmed, duration, plural, printable, size, table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä €", "plain ä €"),
        ("\033[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\tc", "a\\nb\\tc"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202egnp", "\\u202egnp"),
    ],
)
def test_no_job_can_play_with_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert table(("A",), [(text,)])[1] == shown


def test_a_table_is_as_wide_as_its_cells() -> None:
    assert table(("NAME", "JOBS", "X"), [("a", 1, "y"), ("long name", "1,234", "")], right="JOBS") == [
        "NAME        JOBS  X",
        "a              1  y",
        "long name  1,234",
    ]


def test_on_a_terminal_lines_are_cut_to_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "10")
    assert table(("A",), [("0123456789",), ("0123456789x",)])[1:] == ["0123456789", "012345678…"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0, "0 s"),
        (0.44, "0.4 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_400 * 3 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (5 * 2**20, "5.0 MiB"), (3 * 2**40, "3.0 TiB")],
)
def test_a_size_in_words(number: float | None, words: str) -> None:
    assert size(number) == words


def test_one_is_not_many() -> None:
    assert [plural(number) for number in (0, 1, 1234)] == ["0 jobs", "1 job", "1,234 jobs"]


def test_progress_is_a_bar_on_a_terminal_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("faktory_tw.console.terminal.time.monotonic", lambda: now[0])
    shown = Terminal()
    monkeypatch.setattr("sys.stderr", shown)
    with Progress("counting", 200) as progress:
        progress.update(1)
        assert shown.getvalue() == "", "what is done at once needs no bar"
        now[0] = 2.0
        progress.update(50)
        progress.update(60)
        progress.total = None
        now[0] = 3.0
        progress.update(70)
    drawn = shown.getvalue().split("\r\033[K")
    bar = "█" * 8 + "·" * 22
    assert drawn == ["", f"counting {bar}  25% 50 of 200 jobs, 2.0 s", "counting: 70 jobs, 3.0 s", ""]


def test_progress_is_silent_elsewhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_REDRAW_SECONDS", 0.0)
    with Progress("counting", 2) as progress:
        progress.update(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("typed", "word", "agreed"),
    [
        ("y\n", "", True),
        ("YES\n", "", True),
        ("\n", "", False),
        ("", "", False),
        ("no\n", "", False),
        ("flush\n", "flush", True),
        ("y\n", "flush", False),
    ],
)
def test_people_are_asked(monkeypatch: pytest.MonkeyPatch, typed: str, word: str, agreed: bool) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    assert confirmed("Sure?", yes=False, word=word) is agreed


def test_where_nobody_can_be_asked_yes_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert confirmed("Sure?", yes=True)
    with pytest.raises(UsageError, match=r"^Sure\? There is nobody to ask here; --yes goes ahead$"):
        confirmed("Sure?", yes=False)
