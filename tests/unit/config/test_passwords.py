"""Where passwords come from, and what is said of those that protect nothing or that others can read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faktory_tw.config import (
    ConfigError,
)
from tests.unit.config.test_settings import Load, Write, refusal


def test_the_variable_wins_over_the_files_and_these_over_the_password_file(write: Write, loaded: Load) -> None:
    path = write("  from the file\n", "password")
    assert loaded(environment="production").settings.password == "from the file"
    assert loaded().origins["password"] == f"{path} (named by the configuration directory)"
    write('[faktory]\npassword = "of the key"')
    assert loaded().settings.password == "of the key"
    assert loaded({"FAKTORY_PASSWORD": " as it is "}).settings.password == " as it is "
    assert loaded({"FAKTORY_PASSWORD": ""}).settings.password == "of the key"
    assert loaded({"FAKTORY_PASSWORD": "x"}).origins["password"] == "FAKTORY_PASSWORD"


@pytest.mark.parametrize("key", ["password", "password_file"])
def test_a_password_that_is_a_path_names_a_file(write: Write, loaded: Load, key: str) -> None:
    secret = write("pässword\n", "secret")
    write(f'[faktory]\n{key} = "{secret}"\n[web]\n{key} = "{secret}"')
    settings = loaded(environment="production").settings
    assert (settings.password, settings.web_password) == ("pässword", "pässword")
    assert loaded({"FAKTORY_PASSWORD": str(secret)}).settings.password == "pässword"


def test_a_password_that_no_client_could_send_is_refused(loaded: Load) -> None:
    with pytest.raises(ConfigError, match="FAKTORY_PASSWORD is not UTF-8 text") as refused:
        loaded({"FAKTORY_PASSWORD": "secret\udcff"})
    assert "secret" not in str(refused.value)


def test_the_web_can_have_a_password_of_its_own(write: Write, loaded: Load) -> None:
    write('[web]\npassword = "of the key"')
    assert loaded().settings.web_password == "of the key"
    assert loaded().settings.password is None
    assert loaded({"FAKTORY_WEB_PASSWORD": "variable"}).settings.web_password == "variable"
    assert loaded({"FAKTORY_WEB_PASSWORD": "variable"}).settings.password is None


def test_the_web_password_is_not_that_of_clients(write: Write, loaded: Load) -> None:
    write('[web]\npassword = "of the web"')
    assert "a password is required in staging" in refusal(lambda: loaded(environment="staging"))


def test_the_web_can_have_a_password_for_those_who_only_look(write: Write, loaded: Load) -> None:
    secret = write("lööking\n", "secret")
    path = write(f'[web]\npassword = "all"\nread_only_password = "{secret}"')
    found = loaded()
    assert found.settings.web_read_only_password == "lööking"
    assert found.origins["web_read_only_password"] == f"{secret} (named by {path}:3)"
    assert "lööking" not in repr(found.settings)
    write(f'[web]\npassword = "all"\nread_only_password_file = "{secret}"')
    assert loaded().settings.web_read_only_password == "lööking"
    assert loaded({"FAKTORY_WEB_READ_ONLY_PASSWORD": "variable"}).settings.web_read_only_password == "variable"
    assert loaded({"FAKTORY_PASSWORD": "x"}).settings.web_password == "all"


def test_a_read_only_password_alone_protects_nothing(write: Write, loaded: Load) -> None:
    path = write('[web]\nread_only_password = "looking"')
    text = refusal(loaded)
    assert text.startswith(
        f"web.read_only_password ({path}:2) is set, but no password for those who may change something"
    )
    assert "looking" not in text
    assert loaded({"FAKTORY_PASSWORD": "all"}).settings.web_read_only_password == "looking"
    assert "web.read_only_password (FAKTORY_WEB_READ_ONLY_PASSWORD) is set, but" in refusal(
        lambda: loaded(
            {"FAKTORY_WEB_READ_ONLY_PASSWORD": "other", "FAKTORY_SKIP_PASSWORD": "1"}, environment="production"
        )
    )


@pytest.mark.parametrize(("variable", "key"), [("FAKTORY_PASSWORD", "faktory"), ("FAKTORY_WEB_PASSWORD", "web")])
def test_a_read_only_password_must_be_another_one(loaded: Load, variable: str, key: str) -> None:
    environ = {"FAKTORY_PASSWORD": "all", "FAKTORY_WEB_PASSWORD": "web", "FAKTORY_WEB_READ_ONLY_PASSWORD": "s3cret"}
    text = refusal(lambda: loaded({**environ, variable: "s3cret"}))
    assert f"is the same as {key}.password ({variable}): choose another one" in text
    assert "s3cret" not in text


def test_a_password_that_cannot_be_read_is_the_one_complaint_also_with_a_read_only_one(loaded: Load) -> None:
    text = refusal(lambda: loaded({"FAKTORY_WEB_PASSWORD": "/none", "FAKTORY_WEB_READ_ONLY_PASSWORD": "x"}))
    assert text.startswith("cannot read the password file /none")


def test_a_password_and_a_file_for_it_are_one_too_many(write: Write, loaded: Load) -> None:
    path = write('[web]\npassword = "a"\npassword_file = "/b"')
    assert refusal(loaded) == f"{path}:3: web.password_file and web.password ({path}:2) are both given; keep one"


def test_development_needs_no_password(loaded: Load) -> None:
    assert loaded().settings.password is None


@pytest.mark.parametrize("name", ["staging", "production"])
def test_elsewhere_a_password_is_required(tmp_path: Path, loaded: Load, name: str) -> None:
    text = refusal(lambda: loaded(environment=name))
    assert text.startswith(f"a password is required in {name}: set FAKTORY_PASSWORD")
    assert str(tmp_path / "password") in text
    assert "FAKTORY_SKIP_PASSWORD=1" in text


@pytest.mark.parametrize(
    ("answer", "goes_without"), [("1", True), ("true", True), ("YES", True), ("0", False), ("", False)]
)
def test_production_goes_without_a_password_only_when_it_is_said(loaded: Load, answer: str, goes_without: bool) -> None:
    environ = {"FAKTORY_SKIP_PASSWORD": answer}
    if goes_without:
        assert loaded(environ, environment="production").settings.password is None
    else:
        assert "a password is required" in refusal(lambda: loaded(environ, environment="production"))


def test_skipping_the_password_does_not_skip_one_that_is_there(write: Write, loaded: Load) -> None:
    write("secret", "password")
    assert loaded({"FAKTORY_SKIP_PASSWORD": "1"}, environment="production").settings.password == "secret"


@pytest.mark.parametrize(
    ("name", "said"), [("missing", "No such file"), ("empty", "is empty"), ("bytes", "not UTF-8"), ("", "directory")]
)
def test_a_password_file_that_is_missing_empty_or_no_text_is_the_one_complaint(
    tmp_path: Path, loaded: Load, name: str, said: str
) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    path = tmp_path / name
    text = refusal(lambda: loaded({"FAKTORY_PASSWORD": str(path)}, environment="production"))
    assert text.startswith(f"{'the' if name == 'empty' else 'cannot read the'} password file {path} named by FAKTORY_")
    assert said in text


def test_an_empty_password_file_does_not_open_the_server(write: Write, loaded: Load) -> None:
    write("\n", "password")
    assert "named by the configuration directory is empty" in refusal(loaded)


def test_an_empty_password_in_a_file_is_refused(write: Write, loaded: Load) -> None:
    path = write('[faktory]\npassword = " "')
    said = f"{path}:2: faktory.password must not be empty; leave it out to go without"
    assert refusal(loaded) == refusal(lambda: loaded(environment="production")) == said


@pytest.mark.parametrize(
    "text",
    [
        "[faktory]\npassword = 271828",
        '[faktory]\npassword = ["271828"]',
        '[faktory.password]\nsecret = "271828"',
        '[[faktory]]\npassword = "271828"',
        '[faktory]\npassword_file = "271828"',
        '[faktory]\npasword = "271828"',
        '[faktory]\npassword = "271828" # not closed\nx = [',
        '[faktory]\npassword = "271828"\npassword = "271828"',
    ],
)
def test_no_complaint_repeats_a_password(write: Write, loaded: Load, text: str) -> None:
    path = write(text)
    said = refusal(loaded)
    assert str(path) in said
    assert "271828" not in said


def test_settings_are_shown_without_their_passwords(write: Write, loaded: Load) -> None:
    write('[faktory]\npassword = "271828"\n[web]\npassword = "314159"')
    shown = repr(loaded())
    assert "271828" not in shown
    assert "314159" not in shown


@pytest.mark.parametrize(
    ("mode", "who"), [(0o600, None), (0o400, None), (0o640, "its group"), (0o644, "everybody"), (0o604, "everybody")]
)
def test_a_secret_that_others_can_read_is_pointed_out_with_its_cure(
    write: Write, loaded: Load, mode: int, who: str | None
) -> None:
    write('[faktory]\nmax_connections = 1\n[web]\npassword = "x"', mode=0o600)
    path = write("secret", "password", mode)
    said = f"{who} on this machine can read {path}, which holds a password (mode {mode:04o}): chmod 600 {path}"
    assert loaded().warnings == ((said,) if who else ())


def test_a_file_of_settings_with_a_password_is_a_secret_and_one_without_is_not(write: Write, loaded: Load) -> None:
    write('[faktory]\npassword_file = "/dev/null/x"', mode=0o644)
    assert "everybody" not in refusal(loaded)
    path = write('[faktory]\npassword = "x"', mode=0o644)
    (said,) = loaded().warnings
    assert f"chmod 600 {path}" in said


def test_the_group_may_read_a_secret_of_another_user(
    write: Write, loaded: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write("secret", "password", 0o640)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    assert loaded().warnings == ()
    path.chmod(0o644)
    (said,) = loaded().warnings
    assert said.endswith(f"chmod o-r {path}")
