"""Which sections and keys the files may have; what to say of the others, and what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import Any

from faktory_tw.config.files import Tree, is_array_of_tables
from faktory_tw.config.keys import BY_KEY, SECTIONS, Setting

_ELSEWHERE = ("throttles",)  # sections of tables, read by modules of their own
_KNOWN_SECTIONS = (*SECTIONS, "cron", *_ELSEWHERE)


def check_sections(tree: Tree, problems: list[str]) -> Iterator[tuple[Setting, Any, str]]:
    """Yield the settings that the files have, each with its value, unchecked, and its place ``file:line``.

    What they say of single queues is left to ``policies``.
    """
    for section, content in tree.values.items():
        place = tree.place(section)
        if section == "cron":
            _check_cron(content, place, problems)
        elif section in _ELSEWHERE:
            continue
        elif section not in SECTIONS:
            problems.append(f"{place}: {_unknown_section(section, content)}")
        elif not isinstance(content, dict):
            problems.append(f"{place}: {section} must be a section: write [{section}] and its keys below it")
        else:
            yield from _check_keys(tree, section, content, problems)


def _check_keys(
    tree: Tree, section: str, content: dict[str, Any], problems: list[str]
) -> Iterator[tuple[Setting, Any, str]]:
    for name, value in content.items():
        place = tree.place(section, name)
        setting = BY_KEY.get(f"{section}.{name}")
        if section == "queues" and isinstance(value, dict):
            if setting is not None:
                problems.append(
                    f"{place}: {setting.key} is the setting for all queues: write {name} = … below [queues]; a queue of"
                    " this name can have no table of its own"
                )
        elif setting is not None:
            yield setting, value, place
        else:
            problems.append(f"{place}: {_unknown_key(section, name)}")


def _check_cron(content: Any, place: str, problems: list[str]) -> None:
    if not is_array_of_tables(content):
        problems.append(f"{place}: cron must be an array of tables: write [[cron]], with two brackets, before each")


def _unknown_section(name: str, content: Any) -> str:
    if not isinstance(content, dict) and not is_array_of_tables(content):
        return _outside(name)
    near = nearest(name, _KNOWN_SECTIONS)
    if near:
        return f"unknown section [{name}]; did you mean [{near}]?"
    return f"unknown section [{name}]; the sections are {', '.join(f'[{known}]' for known in _KNOWN_SECTIONS)}"


def _outside(name: str) -> str:
    """What to say of a key before the first section."""
    for section, keys in SECTIONS.items():
        if nearest(name, keys):
            return f"{name} stands outside of every section; write it below [{section}]"
    return f"{name} stands outside of every section, and none has a key of this name"


def _unknown_key(section: str, name: str) -> str:
    near = nearest(name, SECTIONS[section])
    if near and near != name:
        return f"unknown key {name} in [{section}]; did you mean {near}?"
    for other, keys in SECTIONS.items():
        if name in keys:
            return f"unknown key {name} in [{section}]; it belongs below [{other}]"
    known = f"unknown key {name} in [{section}]; its keys are {', '.join(SECTIONS[section])}"
    return f"{known}, and tables such as [queues.mail]" if section == "queues" else known


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The one of the choices that looks most like ``name``, if one does, whatever the case of its letters."""
    spelled = {choice.lower(): choice for choice in choices}
    found = difflib.get_close_matches(name.lower(), spelled, n=1)
    return spelled[found[0]] if found else None
