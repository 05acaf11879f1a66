"""The README keeps up with the program: every option is in it, and every file it names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from faktory_tw.tap import Options

ROOT = Path(__file__).parents[2]
OF_TWISTED = {"help", "version"}


@pytest.fixture(scope="module")
def readme() -> str:
    """The text of the README."""
    return (ROOT / "README.rst").read_text("utf-8")


def options() -> list[str]:
    """Return the long options, without what every Twisted program has."""
    return sorted({name.rstrip("=") for name in Options().longOpt} - OF_TWISTED)


@pytest.mark.parametrize("option", options())
def test_every_option_of_the_command_line_is_in_the_readme(readme: str, option: str) -> None:
    assert re.search(rf"--{option}(?![\w-])", readme), f"README.rst does not explain --{option}"


def test_every_option_in_the_readme_is_one_of_the_command_line(readme: str) -> None:
    """Those of other programs in its examples begin their line: only what follows `faktory` is looked at."""
    shown = {
        option
        for line in readme.splitlines()
        if "faktory" in line and not line.lstrip().startswith(("docker", "curl", "git", "pip", "python"))
        for option in re.findall(r"(?<=faktory ).*", line)
        for option in re.findall(r"(?<![\w-])--([a-z][a-z-]+)", option)
    }
    assert shown - set(options()) - OF_TWISTED == set()


@pytest.mark.parametrize("name", ["FAKTORY_ENV", "FAKTORY_PASSWORD", "FAKTORY_SKIP_PASSWORD"])
def test_every_environment_variable_is_in_the_readme(readme: str, name: str) -> None:
    assert name in readme


def test_every_file_of_the_code_tour_is_there(readme: str) -> None:
    named = set(re.findall(r"(?<![\w/.~-])((?:faktory_tw|web|tests|twisted)/[\w./-]*\w/?)", readme))
    assert any(name.startswith("faktory_tw/") for name in named)
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert missing == []
