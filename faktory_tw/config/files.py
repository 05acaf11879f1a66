"""The files ``conf.d/*.toml`` of a configuration directory, read into one tree in which every value knows its line.

``tomllib`` says what the files hold but not where, and an administrator who is told "unknown key" wants the file and the
line. So the text of a file is cut into statements here, and each is given to ``tomllib`` by itself for its name.

The files add up as if they were one, in alphabetical order: a table or key that is in two of them is a mistake that
names both places; arrays of tables (``[[cron]]``) are put behind each other.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]

Keys = tuple[str | int, ...]  # the way to a value: names of tables and keys, and indices in arrays of tables

# What may hide a newline or a bracket; on a valid document the first alternative that matches is the right one.
_TOKEN = re.compile(
    r"""
      \"{3} (?:\\. | [^\\])*? \"{3,5}    # strings of several lines; they may end in quotes of their own
    | '{3} .*? '{3,5}
    | " (?:\\. | [^"\\\n])* "
    | ' [^'\n]* '
    | \#[^\n]*
    | [\[{] | [\]}] | \n
    """,
    re.DOTALL | re.VERBOSE,
)
_PLACE = re.compile(r"(?P<reason>.*) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)", re.DOTALL)
_TWICE = re.compile(r"Cannot declare \((?P<names>.*?),?\) twice")


class Document:
    """One file. ``values`` is what it holds; ``headers`` the lines of its ``[tables]``, by their keys."""

    def __init__(self, path: Path, text: str) -> None:
        """Raises ValueError or RecursionError when the text is not TOML."""
        self.path = path
        self.values: dict[str, Any] = tomllib.loads(text)
        self.headers: dict[Keys, int] = {}
        self._lines: dict[Keys, int] = {}
        self._counts: dict[Keys, int] = {}  # of the tables in an array so far
        self._table: Keys = ()
        for number, statement in _statements(text.replace("\r\n", "\n")):
            self._locate(number, tomllib.loads(statement), is_header=statement.lstrip().startswith("["))

    def line(self, keys: Keys) -> int:
        """The line on which the value begins, or what it is part of."""
        while keys and keys not in self._lines:
            keys = keys[:-1]
        return self._lines.get(keys, 1)

    def _locate(self, number: int, statement: dict[str, Any], *, is_header: bool) -> None:
        if is_header:
            self._table = self._header(number, statement)
        for keys in [self._table] if is_header else _paths(self._table, statement):
            self._lines.setdefault(keys, number)

    def _header(self, number: int, statement: dict[str, Any]) -> Keys:
        keys: Keys = ()
        node: Any = statement
        while node:
            ((name, node),) = node.items()
            keys = (*keys, name)
            if isinstance(node, list):
                self._lines.setdefault(keys, number)
                self._counts[keys] = self._counts.get(keys, 0) + 1
                return (*keys, self._counts[keys] - 1)
            if keys in self._counts:
                keys = (*keys, self._counts[keys] - 1)
        if all(isinstance(name, str) for name in keys):  # inside an array a table is another one each time
            self.headers[keys] = number
        return keys


class Tree:
    """What the files hold together. ``values`` is a dict of dicts; ``documents`` are the files that could be read."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.documents: list[Document] = []
        self._owners: dict[Keys, tuple[Document, Keys]] = {}

    def place(self, *keys: str | int) -> str:
        """Where a value is, as ``file:line``."""
        document, own_keys = self._owner(keys)
        return f"{document.path}:{document.line(own_keys)}"

    def file(self, *keys: str | int) -> Path:
        """The file that has a value."""
        return self._owner(keys)[0].path

    def _owner(self, keys: Keys) -> tuple[Document, Keys]:
        for length in range(len(keys), 0, -1):
            if keys[:length] in self._owners:
                document, own = self._owners[keys[:length]]
                return document, (*own, *keys[length:])
        raise KeyError(keys)

    def add(self, document: Document, problems: list[str]) -> None:
        """Add a file to what is there; what is there already stays and is complained about."""
        for keys, line in document.headers.items():
            for other in self.documents:
                if keys in other.headers:
                    problems.append(
                        f"{document.path}:{line}: the table [{dotted(keys)}] is in {other.path}:{other.headers[keys]}, "
                        "too; write it once"
                    )
        self.documents.append(document)
        self._merge(self.values, document.values, document, (), problems)

    def _merge(
        self, into: dict[str, Any], values: dict[str, Any], document: Document, path: Keys, problems: list[str]
    ) -> None:
        for name, value in values.items():
            keys = (*path, name)
            there = into.get(name)
            if there is None:
                into[name] = value
                self._owners[keys] = (document, keys)
            elif isinstance(there, dict) and isinstance(value, dict):
                self._merge(there, value, document, keys, problems)
            elif is_array_of_tables(there) and is_array_of_tables(value):
                for index in range(len(value)):
                    here = (*keys, len(there) + index)
                    self._owners[here] = (document, (*keys, index))
                into[name] = [*there, *value]
            else:
                where = f"{document.path}:{document.line(keys)}"
                problems.append(f"{where}: {dotted(keys)} is in {self.place(*keys)}, too; write it once")


def dotted(keys: Keys) -> str:
    """Keys as they are written in TOML, without the indices."""
    return ".".join(name for name in keys if isinstance(name, str))


def read(config_directory: Path, problems: list[str]) -> Tree:
    """Read ``conf.d/*.toml``. What is wrong with a file is added to ``problems``; the others are read all the same."""
    tree = Tree()
    directory = config_directory / "conf.d"
    try:
        names = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return tree
    except OSError as error:
        problems.append(f"cannot read the directory {directory}: {error.strerror}")
        return tree
    for name in names:
        if name.endswith(".toml") and not name.startswith("."):  # with a dot: what editors keep beside an open file
            document = _document(directory / name, problems)
            if document is not None:
                tree.add(document, problems)
    return tree


def misplaced(config_directory: Path, *, must_exist: bool) -> list[str]:
    """Warnings of what was probably meant to be read: TOML files beside ``conf.d``, a directory that is not there."""
    try:
        names = sorted(path.name for path in config_directory.iterdir())
    except FileNotFoundError:
        return [f"the configuration directory {config_directory} does not exist"] if must_exist else []
    except OSError:
        return []
    return [
        f"{config_directory / name} is not read: move it to {config_directory / 'conf.d'}"
        for name in names
        if name.endswith(".toml") and not name.startswith(".")
    ]


def _document(path: Path, problems: list[str]) -> Document | None:
    try:
        data = path.read_bytes()
        return Document(path, data.decode("utf-8-sig"))
    except OSError as error:
        problems.append(f"cannot read {path}: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}:{data[: error.start].count(10) + 1}: not UTF-8 text; save the file as UTF-8")
    except RecursionError:
        problems.append(f"{path}: nested too deep")
    except ValueError as error:
        problems.append(_explain(path, data.decode("utf-8-sig"), str(error)))
    return None


def _explain(path: Path, text: str, message: str) -> str:
    """The message of ``tomllib`` in the form ``file:line:column: reason``."""
    found = _PLACE.fullmatch(message)
    if found is None:
        return f"{path}: not TOML: {message}"
    reason = found["reason"]
    twice = _TWICE.fullmatch(reason)
    if twice:
        reason = f"the table [{twice['names'].replace(chr(39), '').replace(', ', '.')}] is in this file twice"
    elif reason == "Cannot overwrite a value":
        reason = "this key is in its table twice"
    else:
        reason = f"not TOML: {reason}"
    if found["line"] is None:
        return f"{path}:{max(len(text.splitlines()), 1)}: {reason} (at the end of the file)"
    return f"{path}:{found['line']}:{found['column']}: {reason}"


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Cut a valid document into its headers and its ``key = value``; with the number of the line that begins each."""
    depth = start = 0
    number = first = 1
    for token in _TOKEN.finditer(text + "\n"):
        sign = token[0]
        if sign in "[{":
            depth += 1
        elif sign in "]}":
            depth -= 1
        number += sign.count("\n")
        if sign == "\n" and depth == 0:
            statement = text[start : token.start()]
            if statement.strip() and not statement.lstrip().startswith("#"):
                yield first, statement
            start, first = token.end(), number


def _paths(table: Keys, value: Any) -> Iterator[Keys]:
    """The keys of everything in the dicts of a statement."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*table, name)
            yield from _paths((*table, name), inner)


def is_array_of_tables(value: Any) -> bool:
    """Whether it was written as ``[[…]]``."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
