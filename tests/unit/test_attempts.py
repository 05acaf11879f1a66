"""How wrong passwords are counted: what waits, what is turned away, what is forgotten, and what the log has."""

from __future__ import annotations

import pytest

from faktory_tw.attempts import (
    FORGET_SECONDS,
    FREE,
    LOG_SECONDS,
    MOST_ADDRESSES,
    MOST_DELAY_SECONDS,
    MOST_LINES,
    MOST_WAITING,
    Attempts,
    network_of,
)
from tests.unit.doubles import FakeClock

HERE, THERE = "192.0.2.1", "192.0.2.2"


class Door:
    """Attempts with a clock that stands still; ``lines`` has what was logged."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.attempts = Attempts(self.clock.monotonic, "the door")
        self.lines: list[tuple[str, str | None]] = []
        self.attempts.tell = lambda sentence, address: self.lines.append((sentence, address))

    def fail(self, times: int, host: str = HERE) -> list[float]:
        return [self.attempts.failed(host) for _ in range(times)]

    def fill(self, host: str = HERE) -> None:
        """Send wrong passwords until all answers that may wait do so."""
        self.fail(FREE, host)
        assert all(self.fail(MOST_WAITING, host))

    def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.attempts.tick()


@pytest.fixture
def door() -> Door:
    return Door()


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("a Unix socket", "a Unix socket"),
        ("", ""),
        ("x" * 1000, "x" * 100),
    ],
)
def test_an_address_is_one_of_ipv4_or_the_network_of_one_of_ipv6(host: str, network: str) -> None:
    assert network_of(host) == network


def test_all_addresses_of_one_ipv6_network_are_one(door: Door) -> None:
    delays = [door.attempts.failed(f"2001:db8::{number:x}") for number in range(FREE + 1)]
    assert delays[-1] > 0
    assert door.attempts.failed("2001:db8:0:1::1") == 0


# -- delays ------------------------------------------------------------------------------------------------------------


def test_the_first_wrong_passwords_do_not_wait_and_those_after_them_wait_longer_and_longer(door: Door) -> None:
    assert door.fail(FREE) == [0] * FREE
    assert door.fail(6) == [0.25, 0.5, 1, 2, 4, 4]


def test_what_comes_from_one_address_is_not_counted_for_another(door: Door) -> None:
    door.fill(HERE)
    assert door.attempts.failed(THERE) == 0
    assert door.attempts.admits(THERE)


def test_one_wrong_password_is_forgotten_after_another(door: Door) -> None:
    door.fail(FREE)
    door.clock.advance(FORGET_SECONDS)
    assert door.fail(2) == [0, 0.25]


def test_somebody_who_fails_now_and_then_never_waits(door: Door) -> None:
    for _ in range(1000):
        assert door.attempts.failed(HERE) == 0
        door.clock.advance(FORGET_SECONDS)


def test_the_worst_is_forgotten_in_two_and_a_half_minutes(door: Door) -> None:
    door.fail(10_000)
    door.clock.advance(150)
    assert door.attempts.failed(HERE) == 0
    door.clock.advance(3600)
    assert door.fail(FREE + 1)[:FREE] == [0] * FREE, "a pause saves up nothing"


# -- how many wait -----------------------------------------------------------------------------------------------------


def test_while_enough_answers_wait_no_further_password_is_looked_at(door: Door) -> None:
    door.fail(FREE)
    for _ in range(MOST_WAITING):
        assert door.attempts.admits(HERE)
        assert door.attempts.failed(HERE) > 0
    assert not door.attempts.admits(HERE)
    assert door.attempts.admits(THERE)
    door.clock.advance(MOST_DELAY_SECONDS)
    assert door.attempts.admits(HERE)


def test_guessing_is_slow_however_many_connections_are_used(door: Door) -> None:
    tried = 0
    for _ in range(3600):
        for _ in range(100):
            if door.attempts.admits(HERE):
                door.attempts.failed(HERE)
                tried += 1
        door.clock.advance(1)
    assert tried <= 3600 * MOST_WAITING / MOST_DELAY_SECONDS + FREE + 2 * MOST_WAITING


def test_an_address_that_has_sent_a_right_password_is_always_looked_at(door: Door) -> None:
    door.attempts.succeeded(HERE)
    door.fill()
    assert door.attempts.admits(HERE)
    assert door.attempts.failed(HERE) == 0, "no more answers wait than may"
    assert door.attempts.admits(HERE)


def test_a_right_password_frees_nobody_of_the_wrong_ones_before_it(door: Door) -> None:
    door.fail(FREE)
    door.attempts.succeeded(HERE)
    assert door.attempts.failed(HERE) > 0


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_no_more_addresses_are_remembered_than_may_be(door: Door) -> None:
    for number in range(MOST_ADDRESSES + 100):
        door.attempts.failed(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
        door.attempts.succeeded(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
    assert len(door.attempts._records) == MOST_ADDRESSES
    assert len(door.attempts._known) == MOST_ADDRESSES


def test_strangers_cannot_push_out_an_address_that_is_known(door: Door) -> None:
    door.attempts.succeeded(HERE)
    for number in range(MOST_ADDRESSES + 1):
        door.attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    door.fill(HERE)
    assert door.attempts.admits(HERE)


def test_an_address_that_goes_on_is_not_the_first_to_be_pushed_out(door: Door) -> None:
    door.fail(FREE)
    for number in range(MOST_ADDRESSES - 1):
        door.attempts.failed(f"10.0.{number >> 8}.{number & 255}")
        if number == MOST_ADDRESSES // 2:
            assert door.attempts.failed(HERE) > 0
    assert door.attempts.failed(HERE) > 0


def test_addresses_are_forgotten_when_nothing_comes_from_them(door: Door) -> None:
    for number in range(3000):
        door.attempts.failed(f"10.0.{number >> 8}.{number & 255}")
    door.pass_time(200)
    assert not door.attempts._records
    assert not door.attempts._to_tell


# -- the log -----------------------------------------------------------------------------------------------------------


def test_the_first_wrong_password_is_logged_and_then_how_many_more_there_were(door: Door) -> None:
    door.fail(40)
    assert door.lines == [("Wrong password at the door from 192.0.2.1", HERE)]
    door.pass_time(LOG_SECONDS)
    assert door.lines[1:] == [("39 more wrong passwords at the door from 192.0.2.1", HERE)]
    door.pass_time(1000)
    assert len(door.lines) == 2
    door.fail(1)
    assert door.lines[2:] == [("Wrong password at the door from 192.0.2.1", HERE)]


def test_many_addresses_do_not_fill_the_log(door: Door) -> None:
    for number in range(5000):
        door.attempts.failed(f"10.0.{number >> 8}.{number & 255}")
    assert len(door.lines) == MOST_LINES
    door.pass_time(LOG_SECONDS)
    assert door.lines[MOST_LINES:] == [
        (f"{5000 - MOST_LINES} more wrong passwords at the door, from addresses that are too many to name", None)
    ]


def test_no_wrong_password_is_left_out_of_what_the_log_counts(door: Door) -> None:
    for _ in range(400):
        for number in range(40):
            door.attempts.failed(f"10.0.0.{number}")
        door.pass_time(1)
    door.pass_time(3 * LOG_SECONDS)
    told = sum(int(sentence.split()[0]) if sentence[0].isdigit() else 1 for sentence, _ in door.lines)
    assert told == 400 * 40


def test_an_address_that_is_pushed_out_is_told_with_the_others(door: Door) -> None:
    door.fail(10)
    for number in range(MOST_ADDRESSES):
        door.attempts.failed(f"10.0.{number >> 8}.{number & 255}")
    door.pass_time(2 * LOG_SECONDS)
    told = sum(int(sentence.split()[0]) if sentence[0].isdigit() else 1 for sentence, _ in door.lines)
    assert told == 10 + MOST_ADDRESSES
