"""The README has the table of all settings, as the code has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from faktory_tw.config import defaults
from faktory_tw.config.keys import SETTINGS
from faktory_tw.config.policies import POLICY_SETTINGS
from faktory_tw.config.table import settings_table

README = Path(__file__).parents[3] / "README.rst"
MARK = ".. settings"
REMEDY = (
    "to renew it: python -c 'from faktory_tw import config; from faktory_tw.config import table; "
    'print(table.settings_table(config.defaults()), end="")\''
)


def table_after_mark(text: str) -> str:
    """Return the table that follows the comment, up to the empty line behind it."""
    assert text.count(f"\n{MARK}\n") == 1, f"README.rst must have the comment {MARK!r} once, before its table; {REMEDY}"
    after = text.split(f"\n{MARK}\n", 1)[1]
    return after.lstrip("\n").split("\n\n", 1)[0] + "\n"


def test_the_readme_has_the_table_of_the_settings() -> None:
    assert table_after_mark(README.read_text("utf-8")) == settings_table(defaults()), REMEDY


def test_the_table_has_a_row_for_every_setting_and_fits_the_page() -> None:
    lines = settings_table(defaults()).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[0] == lines[2] == lines[-1]
    cells = lines[0].split(" ")
    rows: list[list[str]] = []
    for line in lines[3:-1]:
        parts, begin = [], 0
        for width in map(len, cells):
            assert line[begin + width : begin + width + 1] in ("", " "), f"text between two columns: {line}"
            parts.append(line[begin : begin + width].strip())
            begin += width + 1
        if parts[0]:
            rows.append(parts)
        else:
            rows[-1] = [f"{above} {part}".strip() for above, part in zip(rows[-1], parts, strict=True)]
    settings = (*SETTINGS, *POLICY_SETTINGS)
    assert [row[0] for row in rows] == [f"``{each.key}``" if each.key else "(not in files)" for each in settings]
    for setting, row in zip(settings, rows, strict=True):
        assert row[3] == ("yes" if setting.reloads else "no")
        for way in (setting.option and f"``--{setting.option}``", setting.variable and f"``{setting.variable}``"):
            assert way in row[2]


@pytest.mark.parametrize("text", ["no mark", f"\n{MARK}\n\n{MARK}\n"])
def test_a_readme_without_the_mark_or_with_two_is_told_what_to_do(text: str) -> None:
    with pytest.raises(AssertionError, match="settings_table"):
        table_after_mark(text)
