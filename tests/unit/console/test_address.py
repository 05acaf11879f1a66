"""Which server is meant, and that no password gets into an error."""

from __future__ import annotations

import pytest

from faktory_tw.console.address import Address, AddressError, from_environment, masked, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://example.org", Address("example.org", 7419)),
        ("tcp://:secret@example.org:7420", Address("example.org", 7420, "secret")),
        ("tcp://ann:p%40ss%2Fword@127.0.0.1", Address("127.0.0.1", 7419, "p@ss/word", username="ann")),
        ("tcp+tls://:secret@[::1]:7420/", Address("::1", 7420, "secret", tls=True)),
        ("tcp://:@example.org", Address("example.org", 7419)),
    ],
)
def test_a_url_has_host_port_user_and_password(url: str, address: Address) -> None:
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("tcp://host:7419", "tcp://host:7419"),
        ("host:7419", "host:7419"),
        ("tcp://h:x", "tcp://h:x"),
        ("tcp://[::1]:99999", "tcp://[::1]:99999"),
        ("tcp://:hunter2@host", "tcp://***@host"),
        ("tcp://ann:hunter2@host:x", "tcp://***@host:x"),
        ("tcp://:hunt@er2@host", "tcp://***@host"),
        ("tcp://:hunt/er2@host:70000", "tcp://***@host:70000"),
        ("tcp://:hunt//er2@host", "tcp://***@host"),
        (":hunter2@host", "***@host"),
        ("hunter2@host", "***@host"),
        ("tcp://:hunter2", "tcp://:***"),
        ("tcp://ann:hunter2", "tcp://ann:***"),
        (":hunter2", ":***"),
    ],
)
def test_a_password_is_masked_wherever_it_may_stand(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "http://:hunter2@host",
        "tcp://:hunter2@host:x",
        "tcp://:hunter2@host:70000",
        "tcp://:hunter2",
        "tcp://:hunter2@",
        "tcp://:hun[ter2@h",
        "tcp://:hunter2@[h",
        ":hunter2@host:7419",
    ],
)
@pytest.mark.parametrize("variable", ["", "FAKTORY_URL", "FOO_URL"])
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str, variable: str) -> None:
    environ = {"FAKTORY_PROVIDER": "FOO_URL", "FOO_URL": url} if variable == "FOO_URL" else {variable: url}
    with pytest.raises(AddressError) as refused:
        from_environment(environ) if variable else parse(url)
    said = str(refused.value)
    assert "hunter2" not in said
    assert "ter2" not in said
    assert "is no URL such as tcp://:password@localhost:7419" in said
    assert said.startswith(f"{variable}: " if variable else "'")


def test_an_address_shows_no_password() -> None:
    address = parse("tcp://:hunter2@[::1]")
    assert str(address) == "[::1]:7419"
    assert "hunter2" not in repr(address)


def test_the_environment_says_which_server() -> None:
    assert from_environment({}) == Address("localhost", 7419)
    assert from_environment({"FAKTORY_URL": ""}) == Address("localhost", 7419)
    assert from_environment({"FAKTORY_URL": "tcp://a"}).host == "a"
    both = {"FAKTORY_URL": "tcp://a", "FAKTORY_PROVIDER": "MY_URL", "MY_URL": "tcp://b"}
    assert from_environment(both).host == "b"


def test_a_provider_is_the_name_of_a_variable() -> None:
    with pytest.raises(AddressError, match=r"^FAKTORY_PROVIDER set to invalid value: MY_URL$"):
        from_environment({"FAKTORY_PROVIDER": "MY_URL", "FAKTORY_URL": "tcp://a"})
    with pytest.raises(AddressError) as refused:
        from_environment({"FAKTORY_PROVIDER": "tcp://:hunter2@host"})
    told = "Error: FAKTORY_PROVIDER is not a URL. It is the name of the ENV var that contains the URL:"
    assert str(refused.value).startswith(told)
    assert "hunter2" not in str(refused.value)
