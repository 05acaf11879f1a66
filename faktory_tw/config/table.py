"""The settings for people: the value that one has when nobody says anything, and the table in the README."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping

from faktory_tw.config.keys import SETTINGS, Setting
from faktory_tw.config.policies import POLICY_SETTINGS


def default_text(setting: Setting, defaults: Mapping[str, object]) -> str:
    """The default of a setting for people; ``defaults`` has the values of ``Settings`` by field."""
    if setting.default:
        return setting.default
    value = defaults[setting.field]
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def settings_table(defaults: Mapping[str, object]) -> str:
    """All settings as a reStructuredText table, 120 columns wide; ``defaults`` as for `default_text`."""
    widths = (32, 19, 60, 6)
    rule = " ".join("=" * width for width in widths)
    lines = [rule, _row(("Key in the files", "Default", "Meaning", "SIGHUP"), widths)[0], rule]
    for setting in (*SETTINGS, *POLICY_SETTINGS):
        ways = [f"-{setting.letter}"] if setting.letter else []
        ways += [f"--{setting.option}"] if setting.option else []
        named = " Option " + ", ".join(f"``{way}``" for way in ways) + "." if ways else ""
        named += f" Variable ``{setting.variable}``." if setting.variable else ""
        cells = (
            f"``{setting.key}``" if setting.key else "(not in files)",
            default_text(setting, defaults),
            _literal(setting.meaning) + named,
            "yes" if setting.reloads else "no",
        )
        lines += _row(cells, widths)
    return "\n".join([*lines, rule]) + "\n"


def _row(cells: tuple[str, ...], widths: tuple[int, ...]) -> list[str]:
    columns = [
        textwrap.wrap(cell, width, break_long_words=False, break_on_hyphens=False) or [""]
        for cell, width in zip(cells, widths, strict=True)
    ]
    height = max(len(column) for column in columns)
    return [
        " ".join(
            (column[line] if line < len(column) else "").ljust(width)
            for column, width in zip(columns, widths, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _literal(text: str) -> str:
    """What is typed as it stands gets the marks of a literal: keys, paths and what is in double quotes."""
    return re.sub(
        r'(?<!\S)((?:\["[^"]*"\]|"[^"]*"|/\w[\w/]*|udp://[\w:]+|[a-z]+\.[a-z_]+))(?=[\s,.;)]|$)', r"``\1``", text
    )
