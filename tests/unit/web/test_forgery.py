"""Changes that a page of somebody else makes a browser send are refused, and change nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogEvent

from faktory_tw.config import Settings
from tests.unit.house import House
from tests.unit.web.browsing import HOST, TOKEN_COOKIE, Browser, ask, site_of
from tests.unit.web.conftest import PASSWORD, READ_ONLY_PASSWORD
from web.answers import Answer, Json
from web.gate.forgery import Tokens
from web.routes import command, form, page, preference
from web.visit import Visit


class Bell:
    """A page that does nothing but count how often it was reached, and one that shows its visitors their token."""

    def __init__(self, house: House) -> None:
        self.rung = 0
        self.fields: dict[str, list[str]] = {}
        routes = (
            form("/ring", self.ring),
            command("/api/ring", self.ring),
            command("/api/bell", self.ring, "DELETE"),
            preference("/prefer", self.ring),
            page("/token", self.show),
        )
        site_of(house, routes)

    async def ring(self, visit: Visit) -> Answer:
        self.rung += 1
        self.fields = visit.form
        return Json({})

    async def show(self, visit: Visit) -> Answer:
        return Json(visit.token)


@pytest.fixture
def bell(guarded_house: House) -> Bell:
    return Bell(guarded_house)


def refused(bell: Bell, answer: Any, status: int = 403) -> bool:
    assert answer.status == status, answer
    assert bell.rung == 0
    return True


# -- tokens ----------------------------------------------------------------------------------------------------------


def test_a_form_of_ours_is_carried_out_and_its_page_never_sees_the_token(guarded_house: House, bell: Bell) -> None:
    assert ask(guarded_house, "/ring", form={"a": "1"}, password=PASSWORD).status == 200
    assert bell.rung == 1
    assert bell.fields == {"a": ["1"]}


def test_a_form_without_a_token_is_refused_and_says_what_to_do(guarded_house: House, bell: Bell) -> None:
    browser = Browser(guarded_house, PASSWORD)
    answer = browser.ask("/ring", form={}, token=False, Accept="application/json")
    assert refused(bell, answer)
    assert "reload the page and try again" in answer.json()["error"]


@pytest.mark.parametrize("token", ["", "x", "0" * 64, "\0", "ünïcode", "\ud800".encode("utf-8", "replace").decode()])
def test_a_form_with_a_wrong_token_is_refused(guarded_house: House, bell: Bell, token: str) -> None:
    browser = Browser(guarded_house, PASSWORD)
    browser.token()
    assert refused(bell, browser.ask("/ring", form={"token": token}, token=False))


def test_the_first_token_counts_and_no_other(guarded_house: House, bell: Bell) -> None:
    browser = Browser(guarded_house, PASSWORD)
    assert refused(bell, browser.ask("/ring", form=[("token", "x"), ("token", browser.token())], token=False))


def test_a_token_without_its_cookie_is_refused(guarded_house: House, bell: Bell) -> None:
    browser = Browser(guarded_house, PASSWORD)
    token = browser.token()
    browser.cookies.clear()
    assert refused(bell, browser.ask("/ring", form={"token": token}, token=False))


@pytest.mark.parametrize("cookie", ["", "x", "A" * 32, "A" * 31, "A" * 33, "%00" * 10])
def test_a_token_of_another_browser_is_refused(guarded_house: House, bell: Bell, cookie: str) -> None:
    browser = Browser(guarded_house, PASSWORD)
    token = browser.token()
    browser.cookies[TOKEN_COOKIE] = cookie
    assert refused(bell, browser.ask("/ring", form={"token": token}, token=False))


def test_a_reader_cannot_give_an_operator_token_and_cookie(guarded_house: House, bell: Bell) -> None:
    reader, operator = Browser(guarded_house, READ_ONLY_PASSWORD), Browser(guarded_house, PASSWORD)
    token = reader.get("/token").json()
    operator.cookies = dict(reader.cookies)
    assert refused(bell, operator.ask("/ring", form={"token": token}, token=False))


def test_somebody_cannot_give_another_token_and_cookie(guarded_house: House, bell: Bell) -> None:
    one, other = Browser(guarded_house, PASSWORD, "one"), Browser(guarded_house, PASSWORD, "other")
    token = one.get("/token").json()
    other.cookies = dict(one.cookies)
    assert refused(bell, other.ask("/ring", form={"token": token}, token=False))
    assert one.ask("/ring", form={"token": token}, token=False).status == 200


def test_a_token_in_the_address_is_none(guarded_house: House, bell: Bell) -> None:
    browser = Browser(guarded_house, PASSWORD)
    assert refused(bell, browser.ask(f"/ring?token={browser.token()}", form={}, token=False))


def test_a_token_of_the_process_before_is_refused(guarded_house: House, bell: Bell) -> None:
    cookie = Tokens().new_cookie()
    browser = Browser(guarded_house, PASSWORD)
    browser.cookies[TOKEN_COOKIE] = cookie
    old = Tokens().token(cookie, browser.user, "operator")
    assert refused(bell, browser.ask("/ring", form={"token": old}, token=False))


def test_choosing_how_to_see_the_pages_needs_a_token_too(guarded_house: House, bell: Bell) -> None:
    reader = Browser(guarded_house, READ_ONLY_PASSWORD)
    assert refused(bell, reader.ask("/prefer", form={}, token=False))
    assert reader.ask("/prefer", form={}).status == 200


def test_a_page_gives_its_browser_a_cookie_that_scripts_and_other_sites_do_not_get(
    guarded_house: House, bell: Bell
) -> None:
    browser = Browser(guarded_house, PASSWORD)
    cookie = browser.get("/token").headers["Set-Cookie"]
    assert cookie.startswith(f"{TOKEN_COOKIE}=")
    parts = [part.lower() for part in cookie.split("; ")[1:]]
    assert "httponly" in parts
    assert "samesite=lax" in parts
    assert "path=/" in parts
    assert "secure" not in parts
    assert browser.get("/token").headers["Set-Cookie"] is None, (
        "a browser keeps its cookie, so that its tabs stay of use"
    )


def test_the_cookie_is_only_sent_over_https_where_the_page_came_so(guarded_house: House, bell: Bell) -> None:
    cookie = Browser(guarded_house, PASSWORD).get("/token", X_Forwarded_Proto="https").headers["Set-Cookie"]
    assert "secure" in cookie.lower().split("; ")


def test_the_cookie_is_that_of_the_prefix(guarded_house: House, bell: Bell) -> None:
    cookie = Browser(guarded_house, PASSWORD, prefix="/faktory").get("/token").headers["Set-Cookie"]
    assert "path=/faktory" in cookie.lower().split("; ")


# -- origins ---------------------------------------------------------------------------------------------------------

ELSEWHERE = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "whatever"},
    {"Sec_Fetch_Site": "cross-site", "Origin": f"http://{HOST}"},
    {"Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://evil.example:7420"},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:74200"},
    {"Origin": f"http://{HOST}.evil.example"},
    {"Origin": f"http://evil.example/{HOST}"},
    {"Origin": f"http://evil.example?{HOST}"},
    {"Origin": f"http://{HOST}@evil.example"},
    {"Origin": f"file://{HOST}"},
    {"Origin": HOST},
    {"Origin": "http://"},
    {"Origin": "http://[::1"},
    {"Origin": f"http://evil.example http://{HOST}"},
    {"Origin": f"http://{HOST}", "Host": ""},
    {"Origin": "http://evil.example", "Host": "evil.example@localhost"},
    {"Origin": f"http://{HOST}", "X_Forwarded_Proto": "https"},
    {"Origin": "http://evil.example", "X_Script_Name": "/evil.example"},
    {"Origin": "http://evil.example", "X_Forwarded_For": "evil.example", "Referer": f"http://{HOST}/"},
]
OURS = [
    {"Sec_Fetch_Site": "same-origin", "Origin": ""},
    {"Sec_Fetch_Site": "same-origin", "Origin": "https://front.example"},
    {"Sec_Fetch_Site": "none", "Origin": ""},
    {"Origin": f"http://{HOST}"},
    {"Origin": f"http://{HOST.upper()}"},
    {"Origin": ""},
    {"Origin": "https://front.example", "Host": "front.example"},
    {"Origin": "https://front.example", "Host": "front.example:443"},
    {"Origin": "http://front.example", "Host": "front.example:80"},
    {"Origin": "https://front.example", "X_Forwarded_Proto": "https", "X_Forwarded_Host": "front.example"},
    {"Origin": "https://front.example", "X_Forwarded_Host": "front.example, inner.example"},
    {"Origin": "http://[::1]:7420", "Host": "[::1]:7420"},
]


def ids(headers: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in headers.items())


@pytest.mark.parametrize("headers", ELSEWHERE, ids=ids)
def test_a_form_that_a_page_from_elsewhere_sends_is_refused(
    guarded_house: House, bell: Bell, headers: dict[str, str]
) -> None:
    wanted = 400 if headers.get("Host") == "" else 403
    answer = ask(guarded_house, "/ring", form={}, password=PASSWORD, **headers)
    assert answer.status in (wanted, 403)
    assert bell.rung == 0


@pytest.mark.parametrize("path", ["/api/ring", "/api/bell"])
@pytest.mark.parametrize("headers", ELSEWHERE, ids=ids)
def test_a_command_that_a_page_from_elsewhere_sends_is_refused(
    guarded_house: House, bell: Bell, headers: dict[str, str], path: str
) -> None:
    method = "POST" if path == "/api/ring" else "DELETE"
    answer = ask(guarded_house, path, method, PASSWORD, json={}, **headers)
    assert answer.status in (400, 403)
    assert bell.rung == 0


@pytest.mark.parametrize("headers", OURS, ids=ids)
def test_what_our_own_pages_send_is_carried_out(guarded_house: House, bell: Bell, headers: dict[str, str]) -> None:
    assert ask(guarded_house, "/ring", form={}, password=PASSWORD, **headers).status == 200
    assert ask(guarded_house, "/api/ring", json={}, password=PASSWORD, **headers).status == 200
    assert ask(guarded_house, "/api/bell", "DELETE", PASSWORD, json={}, **headers).status == 200
    assert bell.rung == 3


def test_two_origins_are_none(guarded_house: House, bell: Bell) -> None:
    browser = Browser(guarded_house, PASSWORD)
    assert refused(bell, browser.post("/ring", Origin=f"http://{HOST}\r\nOrigin: http://evil.example"))
    assert refused(bell, browser.post("/ring", Sec_Fetch_Site="same-origin\r\nSec-Fetch-Site: cross-site"))


def test_nobody_elsewhere_is_told_that_they_may_ask(guarded_house: House, bell: Bell) -> None:
    asked = {"Origin": "http://evil.example", "Access_Control_Request_Method": "DELETE"}
    answer = ask(guarded_house, "/api/bell", "OPTIONS", PASSWORD, **asked)
    assert answer.status == 405
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
    answer = ask(guarded_house, "/token", password=PASSWORD, Origin="http://evil.example")
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


# -- names -----------------------------------------------------------------------------------------------------------


def developing(house: House, environment: str = "development") -> Bell:
    house.server.settings = Settings(environment, Path("/data"), Path("/conf"), None)
    return Bell(house)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7420", "localhost.evil.example", "1.2.3.4.evil.example."]
)
def test_a_name_that_was_made_to_lead_here_changes_nothing_where_there_is_no_password(house: House, host: str) -> None:
    bell = developing(house)
    answer = ask(house, "/api/ring", json={}, Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")
    assert refused(bell, answer)
    assert "Set a password" in answer.json()["error"]
    assert refused(bell, ask(house, "/ring", form={}, Host=host, Origin=f"http://{host}"))
    house.server.web_password = "secret"
    assert ask(house, "/api/ring", json={}, Host=host, Origin=f"http://{host}", password="secret").status == 200


@pytest.mark.parametrize("path", ["/", "/queues", "/api/jobs", "/debug.txt", "/nowhere"])
def test_a_name_that_was_made_to_lead_here_reads_nothing_where_there_is_no_password(house: House, path: str) -> None:
    house.server.settings = Settings("development", Path("/data"), Path("/conf"), None)
    answer = ask(house, path, Host="evil.example")
    assert answer.status == 403
    assert b"Set a password" in answer.body
    assert ask(house, "/health", Host="evil.example").status == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1:7420",
        "[::1]:7420",
        "192.168.1.7",
        "faktory",
        "faktory:7420",
        "jobs.localhost",
        "pc.local",
    ],
)
def test_addresses_and_local_names_are_ours(house: House, host: str) -> None:
    bell = developing(house)
    assert ask(house, "/api/ring", json={}, Host=host, Origin=f"http://{host}").status == 200
    assert bell.rung == 1


def test_elsewhere_than_in_development_a_proxy_may_ask_for_the_password(house: House) -> None:
    bell = developing(house, "production")
    assert ask(house, "/api/ring", json={}, Host="jobs.example", Origin="https://jobs.example").status == 200
    assert bell.rung == 1


# -- types -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"],
)
def test_a_command_is_json_or_refused(guarded_house: House, bell: Bell, given: str) -> None:
    answer = ask(guarded_house, "/api/ring", body=b"{}", password=PASSWORD, Content_Type=given)
    assert refused(bell, answer, 415)
    assert answer.json() == {"error": "Send this as application/json."}
    assert refused(bell, ask(guarded_house, "/api/bell", "DELETE", PASSWORD, body=b"{}", Content_Type=given), 415)


def test_a_post_without_a_body_is_json_all_the_same(guarded_house: House, bell: Bell) -> None:
    assert refused(bell, ask(guarded_house, "/api/ring", "POST", PASSWORD, Content_Length="0"), 415)


def test_a_command_without_a_body_that_no_form_can_send_needs_no_type(guarded_house: House, bell: Bell) -> None:
    assert ask(guarded_house, "/api/bell", "DELETE", PASSWORD).status == 200


def test_json_may_tell_its_character_set(guarded_house: House, bell: Bell) -> None:
    given = "Application/JSON; charset=utf-8"
    assert ask(guarded_house, "/api/ring", body=b"{}", password=PASSWORD, Content_Type=given).status == 200


@pytest.mark.parametrize("given", ["", "text/plain", "application/json", "multipart/form-data; boundary=x"])
def test_a_form_is_urlencoded_or_refused(guarded_house: House, bell: Bell, given: str) -> None:
    browser = Browser(guarded_house, PASSWORD)
    body = f"token={browser.token()}".encode()
    assert refused(bell, browser.ask("/ring", body=body, Content_Type=given), 415)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_what_is_compressed_is_refused(guarded_house: House, bell: Bell, encoding: str) -> None:
    assert refused(bell, ask(guarded_house, "/ring", form={}, password=PASSWORD, Content_Encoding=encoding), 415)
    assert refused(bell, ask(guarded_house, "/api/ring", json={}, password=PASSWORD, Content_Encoding=encoding), 415)
    assert ask(guarded_house, "/ring", form={}, password=PASSWORD, Content_Encoding="identity").status == 200


# -- the log ---------------------------------------------------------------------------------------------------------


def test_what_was_refused_is_in_the_log_without_its_token(
    guarded_house: House, bell: Bell, log_events: list[LogEvent]
) -> None:
    browser = Browser(guarded_house, PASSWORD)
    browser.post("/ring", Sec_Fetch_Site="cross-site")
    Browser(guarded_house, READ_ONLY_PASSWORD).post("/ring")
    lines = [event["log_format"].format(**event) for event in log_events if "refused" in event.get("log_format", "")]
    assert len(lines) == 2
    assert lines[0].startswith("Web UI: refused POST '/ring' (403: This was sent by a page of another site.")
    assert lines[0].endswith("by 'somebody' (operator) at 192.0.2.1")
    assert lines[1].endswith("by 'somebody' (reader) at 192.0.2.1")
    assert browser.token() not in " ".join(lines)
