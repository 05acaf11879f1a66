"""The colours of both themes have the contrast that WCAG AA asks for: 4.5 for text, 3 for what can be used and for marks."""

from __future__ import annotations

import re

import pytest

from web.look.assets import FILES

_TOKEN = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);")
TOKENS = {name: (light, dark) for name, light, dark in _TOKEN.findall((FILES / "tokens.css").read_text())}
GROUNDS = ("ground", "surface", "sunken", "hover")

TEXTS = [
    *((ink, ground) for ink in ("ink", "soft") for ground in (*GROUNDS, "accent-ground")),
    *((ink, ground) for ink in ("accent", "accent-strong", "danger", "danger-strong") for ground in GROUNDS),
    ("accent", "accent-ground"),
    ("on-accent", "accent"),
    ("on-accent", "accent-strong"),
    ("on-danger", "danger"),
    ("on-danger", "danger-strong"),
    ("danger", "danger-ground"),
    ("danger-strong", "danger-ground"),
    ("ok", "ok-ground"),
    ("ok", "surface"),
    ("warn", "warn-ground"),
    ("warn", "surface"),
]
MARKS = [
    *(("border", ground) for ground in ("ground", "surface")),
    *((mark, ground) for mark in ("accent", "danger") for ground in ("surface", "sunken")),
]


def _luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_reckoned_as_wcag_does() -> None:
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("ink", "ground"), TEXTS)
def test_text_can_be_read(ink: str, ground: str, theme: int) -> None:
    assert _contrast(TOKENS[ink][theme], TOKENS[ground][theme]) >= 4.5


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(("mark", "ground"), MARKS)
def test_what_can_be_used_can_be_seen(mark: str, ground: str, theme: int) -> None:
    assert _contrast(TOKENS[mark][theme], TOKENS[ground][theme]) >= 3


def test_no_other_file_names_a_colour() -> None:
    colour = re.compile(r"#[0-9a-f]{3,8}\b|\b(?:rgba?|hsla?|oklch|light-dark)\(")
    for path in FILES.glob("*.css"):
        if path.name != "tokens.css":
            rules = path.read_text().split("@media print")[0]
            assert not colour.findall(re.sub(r"/\*.*?\*/", "", rules, flags=re.DOTALL)), path.name


def test_every_variable_that_is_used_is_there() -> None:
    defined = set(re.findall(r"(--[a-z0-9-]+):", (FILES / "tokens.css").read_text()))
    for path in FILES.glob("*.css"):
        text = path.read_text()
        missing = set(re.findall(r"var\((--[a-z0-9-]+)", text)) - defined - set(re.findall(r"(--[a-z0-9-]+):", text))
        assert not missing, f"{path.name}: {missing}"
