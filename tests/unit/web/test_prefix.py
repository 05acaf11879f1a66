"""Behind a reverse proxy with a prefix, and redirects: nobody is sent to an address that is not ours."""

from __future__ import annotations

import pytest

from tests.unit.house import House
from tests.unit.web.browsing import Browser, ask, site_of
from web.answers import Answer, Json, Redirect
from web.gate.prefix import location, prefix_of, without_prefix
from web.routes import form, page
from web.visit import Visit


async def look(visit: Visit) -> Answer:
    return Json({"path": visit.path, "url": visit.url("/queues/x y", page=2), "asset": visit.prefix})


async def send_on(visit: Visit) -> Answer:
    return Redirect(visit.text("to"), visit.text("notice"))


@pytest.fixture
def sending(house: House) -> House:
    site_of(house, (page("/", look), page("/queues", look), page("/faktory/queues", look), form("/send", send_on)))
    return house


@pytest.mark.parametrize("prefix", ["/faktory", "/a/b-c/d_e~1.2", "/x" * 100])
@pytest.mark.parametrize("path", ["/queues", "/"])
def test_a_proxy_may_leave_its_prefix_or_take_it_away(sending: House, prefix: str, path: str) -> None:
    browser = Browser(sending, prefix=prefix)
    wanted = {"path": path, "url": f"{prefix}/queues/x%20y?page=2", "asset": prefix}
    assert browser.get(path).json() == wanted
    assert browser.get(prefix + path).json() == wanted
    assert ask(sending, path, X_Script_Name=prefix + "/").json() == wanted


def test_the_prefix_alone_is_the_first_page(sending: House) -> None:
    assert Browser(sending, prefix="/faktory").get("/faktory").json()["path"] == "/"
    assert Browser(sending, prefix="/faktory").get("/faktory?x=1").json()["path"] == "/"


def test_without_the_header_there_is_no_prefix(sending: House) -> None:
    assert ask(sending, "/queues").json()["url"] == "/queues/x%20y?page=2"
    assert ask(sending, "/queues", X_Script_Name="/").json()["url"] == "/queues/x%20y?page=2"
    assert ask(sending, "/other/queues").status == 404


def test_what_only_begins_like_the_prefix_is_left_as_it_is(sending: House) -> None:
    assert Browser(sending, prefix="/fak").get("/faktory/queues").json()["path"] == "/faktory/queues"
    assert without_prefix(b"/faktory/faktory/x", "/faktory") == b"/faktory/x"


@pytest.mark.parametrize(
    "header",
    [
        "faktory",
        "//evil.example",
        "/\\evil.example",
        "/a//b",
        "/..",
        "/a/../b",
        "/a/./b",
        "/.hidden",
        "/a b",
        "/a?b",
        "/a#b",
        "/%2e%2e",
        '/"onclick="x',
        "/<script>",
        "http://evil.example/",
        "javascript:alert(1)",
        "/é",
        "/a, /b",
        "/" + "x" * 300,
        "/a\r\nX-Script-Name: /b",
    ],
)
def test_a_prefix_that_is_no_plain_path_is_refused(sending: House, header: str) -> None:
    answer = ask(sending, "/queues", X_Script_Name=header, Accept="application/json")
    assert answer.status == 400
    assert answer.json() == {"error": "X-Script-Name, which a reverse proxy sets, must be a path such as /faktory."}


def test_a_prefix_is_plain() -> None:
    assert prefix_of(None) == prefix_of("") == prefix_of(" / ") == ""
    assert prefix_of("/faktory/") == "/faktory"
    with pytest.raises(ValueError, match="must be a path"):
        prefix_of("/a\n")
        prefix_of("/a\nb")


@pytest.mark.parametrize("prefix", ["", "/faktory"])
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/", "/"),
        ("/queues/default?page=2&x=%20", "/queues/default?page=2&x=%20"),
        ("/queues/ünïcode", "/queues/%C3%BCn%C3%AFcode"),
        ('/x?y="<>', "/x?y=%22%3C%3E"),
        ("/x?to=//evil.example", "/x?to=//evil.example"),
        ("/a/../b", "/a/../b"),
    ],
)
def test_a_redirect_leads_to_a_path_of_ours(sending: House, prefix: str, path: str, wanted: str) -> None:
    answer = Browser(sending, prefix=prefix).post("/send", {"to": path})
    assert answer.status == 303
    assert answer.location == prefix + wanted


@pytest.mark.parametrize(
    "path",
    [
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "/\\/evil.example",
        "http://evil.example",
        "evil",
        "",
        "\\",
        "/\t/evil.example",
        "/x y",
        "/a\nb",
        "/\r\nLocation: http://evil.example",
        "javascript:alert(1)",
        "/\0",
    ],
)
def test_a_redirect_to_anywhere_else_is_none(sending: House, path: str, failures: list[str]) -> None:
    answer = Browser(sending).post(
        "/send", {"to": "x" + path if path[:1] in "\t\r\n" else path}, Accept="application/json"
    )
    assert answer.status == 500
    assert answer.headers["Location"] is None
    failures.clear()
    with pytest.raises(ValueError, match="no path of ours"):
        location(path)


def test_a_line_break_in_a_query_stays_in_it(sending: House) -> None:
    answer = Browser(sending).post("/send", {"to": "/x?y=1\r\nSet-Cookie: a=b"})
    assert answer.location == "/x?y=1%0D%0ASet-Cookie:%20a=b"
    assert answer.headers["Set-Cookie"] is None


def test_a_notice_is_asked_for_by_a_name_and_is_not_in_the_address(sending: House) -> None:
    browser = Browser(sending)
    one = browser.post("/send", {"to": "/queues?page=2", "notice": "<b>done</b>"})
    assert one.location.startswith("/queues?page=2&notice=")
    assert "done" not in one.location
    other = browser.post("/send", {"to": "/queues", "notice": "done"})
    assert other.location.startswith("/queues?notice=")
