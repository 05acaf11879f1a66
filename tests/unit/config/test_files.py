"""The files conf.d/*.toml: which are read, how they add up, and that every complaint names file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faktory_tw.config.files import Document, Tree, read
from faktory_tw.config.policies import QueuePolicy, read_policies
from faktory_tw.config.sections import check_sections

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a file into conf.d."""

    def write(text: str | bytes, name: str = "a.toml") -> Path:
        path = tmp_path / "conf.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def problems_of(directory: Path) -> list[str]:
    problems: list[str] = []
    list(check_sections(read(directory, problems), problems))
    return problems


def found(directory: Path) -> dict[str, Any]:
    problems: list[str] = []
    values = {setting.key: value for setting, value, _ in check_sections(read(directory, problems), problems)}
    assert problems == []
    return values


# -- reading -----------------------------------------------------------------------------------------------------------


def test_without_files_there_is_nothing(tmp_path: Path) -> None:
    assert found(tmp_path) == {}


def test_files_are_read_in_alphabetical_order_and_only_those_of_toml(tmp_path: Path, write: Write) -> None:
    for name in ("b.toml", "a.toml", "10.toml"):
        write(f'[[cron]]\nname = "{name}"', name)
    for name in (".c.toml", "c.toml~", "c.txt", ".#a.toml"):
        write("not toml", name)
    problems: list[str] = []
    tree = read(tmp_path, problems)
    assert [entry["name"] for entry in tree.values["cron"]] == ["10.toml", "a.toml", "b.toml"]
    assert problems == []


def test_different_tables_of_different_files_are_one_configuration(tmp_path: Path, write: Write) -> None:
    write("[queues.mail]\nretry = 1\n[faktory]\nmax_connections = 1")
    write("[queues]\nmax_size = 2\n[queues.other]\nretry = 2", "b.toml")
    assert found(tmp_path) == {"faktory.max_connections": 1, "queues.max_size": 2}
    policies, _ = read_policies(read(tmp_path, []), [])
    assert policies == {"mail": QueuePolicy(retry=1), "other": QueuePolicy(retry=2)}


def test_a_mark_of_the_byte_order_and_lines_of_windows_are_no_mistake(tmp_path: Path, write: Write) -> None:
    path = write(b"\xef\xbb\xbf[queues]\r\n# one\r\nmax_size = 1\r\nother = 2\r\n")
    assert problems_of(tmp_path)[0].startswith(f"{path}:4: unknown key other")


# -- what cannot be read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (b"[faktory\n", "1:9", "not TOML: Expected ']' at the end of a table declaration"),
        (b"[queues]\nmax_size = \n", "2:12", "not TOML: Invalid value"),
        (b"[queues]\nmax_size = 1\nmax_size = 2\n", "3:13", "this key is in its table twice"),
        (b"[queues]\n[web]\n[queues]\n", "3:8", "the table [queues] is in this file twice"),
        (b"[queues.a]\n[web]\n[queues.a]\n", "3:10", "the table [queues.a] is in this file twice"),
        (b"[queues]\nx = [\n1,\n", "3", "not TOML: "),
        (b'[queues]\nx = "\xff"\n', "2", "not UTF-8 text; save the file as UTF-8"),
        (b"x = " + b"[" * 10_000, "", "nested too deep"),
        (b"x = 1" + b"0" * 10_000, "", "not TOML: "),
    ],
)
def test_what_is_no_toml_is_told_with_line_and_column(
    tmp_path: Path, write: Write, text: bytes, place: str, said: str
) -> None:
    path = write(text)
    write("[queues]\nmax_size = 1", "b.toml")
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"{path}:{place}: {said}" if place else f"{path}: {said}")


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path, write: Write) -> None:
    path = write("")
    path.unlink()
    path.mkdir()
    broken = path.with_name("b.toml")
    broken.symlink_to(tmp_path / "nowhere")
    assert problems_of(tmp_path) == [
        f"cannot read {path}: Is a directory",
        f"cannot read {broken}: No such file or directory",
    ]


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "conf.d").write_text("")
    assert problems_of(tmp_path) == [f"cannot read the directory {tmp_path / 'conf.d'}: Not a directory"]


# -- what is there twice -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("\n[queues]\n", "[queues]\n", "{b}:1: the table [queues] is in {a}:2, too; write it once"),
        ("[queues.x]", "#\n[queues.x]", "{b}:2: the table [queues.x] is in {a}:1, too; write it once"),
        ("queues.max_size = 1", "\nqueues.max_size = 2", "{b}:2: queues.max_size is in {a}:1, too; write it once"),
        ("throttles.x = {}", "throttles = 1", "{b}:1: throttles is in {a}:1, too; write it once"),
        ("[[cron]]", "\n[cron]", "{b}:2: cron is in {a}:1, too; write it once"),
    ],
)
def test_what_is_in_two_files_is_refused_and_both_places_named(
    tmp_path: Path, write: Write, first: str, second: str, said: str
) -> None:
    a, b = write(first), write(second, "b.toml")
    assert problems_of(tmp_path) == [said.format(a=a, b=b)]


def test_arrays_of_tables_add_up_with_the_tables_in_them(tmp_path: Path, write: Write) -> None:
    a = write('[[cron]]\nn = 1\n[cron.job]\ntype = "A"\n[[cron]]\nn = 2')
    b = write('[[cron]]\nn = 3\n[cron.job]\ntype = "B"\nargs = [\n1,\n]\n', "b.toml")
    problems: list[str] = []
    tree = read(tmp_path, problems)
    assert problems == []
    assert [entry["n"] for entry in tree.values["cron"]] == [1, 2, 3]
    assert tree.place("cron", 1, "n") == f"{a}:6"
    assert tree.place("cron", 2, "job", "args") == f"{b}:5"
    assert tree.place("cron", 2) == f"{b}:1"
    assert found(tmp_path) == {}


# -- sections and keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[fakotry]", "1: unknown section [fakotry]; did you mean [faktory]?"),
        ("[Queues]", "1: unknown section [Queues]; did you mean [queues]?"),
        ("[crons]", "1: unknown section [crons]; did you mean [cron]?"),
        ("[[backups]]", "1: unknown section [backups]; did you mean [backup]?"),
        ("[xyz]", "1: unknown section [xyz]; the sections are [faktory], [web], [queues], [backup], [storage], "),
        ("\n[faktory]\n\nbindings = 1", "4: unknown key bindings in [faktory]; did you mean binding?"),
        ("[statsd]\nbuffer_size = 1", "2: unknown key buffer_size in [statsd]; did you mean bufferSize?"),
        ("[faktory]\nkeep = 1", "2: unknown key keep in [faktory]; it belongs below [backup]"),
        (
            "[queues]\nbackpressure = 1",
            "2: unknown key backpressure in [queues]; its keys are max_size, and tables such as [queues.mail]",
        ),
        ("binding = 1", "1: binding stands outside of every section; write it below [faktory]"),
        ("maxsize = 1", "1: maxsize stands outside of every section; write it below [queues]"),
        ("xyz = 1", "1: xyz stands outside of every section, and none has a key of this name"),
        ("\nweb = 1", "2: web must be a section: write [web] and its keys below it"),
        ("[[web]]", "1: web must be a section: write [web] and its keys below it"),
        ("[cron]", "1: cron must be an array of tables: write [[cron]], with two brackets, before each"),
    ],
)
def test_a_section_or_key_that_does_not_exist_is_told_with_what_was_meant(
    tmp_path: Path, write: Write, text: str, said: str
) -> None:
    path = write(text)
    (problem,) = problems_of(tmp_path)
    assert problem.startswith(f"{path}:{said}")


# -- lines -------------------------------------------------------------------------------------------------------------

STRANGE = '''\
# [not.a.table]
top = "a [ # \\" b" # [x]
multi = """
[not.a.table]
key = 1 \\""" still
"""" # ends in a quote " [
literal = \'\'\'
'' [ "
\'\'\'
list = [ # [
  "]", ']',
  [1], # ]
]
a."b.c".d = { e = { f = 1 }, g = "}" }

[ table . "quoted # ]" ]
x.y = 1
x.z = 2
[[array]]
[[array.inner]]
k = 1
[[array.inner]]
k = 2
[[array]]
[array.plain]
k = 3
'''


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("top",), 2),
        (("multi",), 3),
        (("literal",), 7),
        (("list",), 10),
        (("list", 1), 10),
        (("a",), 14),
        (("a", "b.c", "d", "e", "f"), 14),
        (("table", "quoted # ]"), 16),
        (("table", "quoted # ]", "x", "y"), 17),
        (("table", "quoted # ]", "x", "z"), 18),
        (("array",), 19),
        (("array", 0), 19),
        (("array", 0, "inner", 0, "k"), 21),
        (("array", 0, "inner", 1, "k"), 23),
        (("array", 1), 24),
        (("array", 1, "plain", "k"), 26),
    ],
)
def test_every_value_knows_the_line_on_which_it_begins(keys: tuple[str | int, ...], line: int) -> None:
    assert Document(Path("x.toml"), STRANGE).line(keys) == line


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("ab_-", min_size=1, max_size=4),
            st.sampled_from(['"x"', "'['", '"""\n[\n"""', "[1,\n2, # ]\n]", "{ a = 1 }", "'''\n#'''", "1979-05-27"]),
            st.sampled_from(["", "\n", "# [x]\n"]),
        ),
        unique_by=lambda part: part[0],
    )
)
def test_lines_are_right_whatever_stands_before(parts: list[tuple[str, str, str]]) -> None:
    text = ""
    lines = {}
    for name, value, between in parts:
        text += between
        lines[name] = text.count("\n") + 1
        text += f"{name} = {value}\n"
    document = Document(Path("x.toml"), text)
    assert {name: document.line((name,)) for name in lines} == lines


def test_a_tree_does_not_know_where_something_is_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        Tree().place("faktory")
