"""Style sheets, scripts and icons: who gets them, for how long, and that nothing else can be had by their address."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import Browser, ask
from web.look.assets import FILES, Assets, assets


def test_a_page_names_files_that_are_there(stored_house: House) -> None:
    page = ask(stored_house, "/").page
    assert any(path.endswith("/base.css") for path in page.assets)
    for path in page.assets:
        assert ask(stored_house, path).status == 200, path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("base.css", "text/css; charset=utf-8"),
        ("app.js", "text/javascript; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
        ("site.webmanifest", "application/manifest+json"),
    ],
)
def test_a_file_may_be_kept_for_a_year_because_its_address_changes_with_it(house: House, name: str, kind: str) -> None:
    answer = ask(house, assets().path(name))
    assert answer.body == (FILES / name).read_bytes()
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_the_address_of_another_version_gets_the_present_file_and_may_not_be_kept(house: House) -> None:
    answer = ask(house, "/static/0123456789abcdef/app.js")
    assert answer.body == (FILES / "app.js").read_bytes()
    assert answer.headers["Cache-Control"] == "no-cache"


def test_files_need_no_password(locked_house: House) -> None:
    assert ask(locked_house, assets().path("app.js")).status == 200
    assert ask(locked_house, "/favicon.ico").status == 200


@pytest.mark.parametrize(
    "name",
    [
        "nothing.css",
        "",
        ".",
        "..",
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "%2e%2e%2f%2e%2e%2fsetup.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "app.js/",
        "APP.JS",
        "app.js%00.css",
        "..\\app.py",
    ],
)
def test_nothing_but_the_files_can_be_had(house: House, name: str) -> None:
    answer = ask(house, f"/static/{assets().version}/{name}")
    assert answer.status in (301, 308, 400, 404), answer
    assert b"import" not in answer.body
    assert b"root:" not in answer.body


def test_addresses_have_the_prefix_of_a_proxy(stored_house: House) -> None:
    page = Browser(stored_house, prefix="/jobs").get("/jobs/").page
    assert page.assets
    assert all(path.startswith("/jobs/static/") for path in page.assets)


def test_another_content_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a {}")
    before = Assets(tmp_path).version
    (tmp_path / "a.css").write_text("b {}")
    assert Assets(tmp_path).version != before


def test_what_is_no_asset_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("secret")
    found = Assets(tmp_path)
    assert found.find("notes.txt") is None
    with pytest.raises(KeyError, match=r"notes\.txt"):
        found.path("notes.txt")


def test_scripts_import_files_that_are_there() -> None:
    for path in FILES.glob("*.js"):
        for name in re.findall(r"""from "\./([^"]+)"|^import "\./([^"]+)";""", path.read_text(), flags=re.MULTILINE):
            assert (FILES / (name[0] or name[1])).exists(), f"{path.name}: {name}"


def test_scripts_never_make_markup_of_text_and_load_nothing_from_elsewhere() -> None:
    for path in FILES.glob("*.js"):
        text = path.read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, f"{path.name}: {word}"
        addresses = re.findall(r"https?://[^\"'\s]+", text)
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path.name


def test_every_text_that_scripts_say_is_in_the_page(stored_house: House) -> None:
    told = {
        attributes["data-text"]
        for name, attributes in ask(stored_house, "/").page.elements
        if "data-text" in attributes
    }
    for path in FILES.glob("*.js"):
        for name in re.findall(r'\btext\("([^"]+)"', path.read_text()):
            assert name in told, f"{path.name}: {name}"
