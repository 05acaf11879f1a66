"""Wrong passwords, counted for each address, so that trying many of them is slow and harms nobody else.

An address may send a few wrong passwords, as people who mistype do. After that the answer to a wrong one waits, longer
with each, up to some seconds; one is forgotten every FORGET_SECONDS. While MOST_WAITING answers to an address wait, what
else comes from it is turned away before its password is looked at: otherwise who guesses would not wait for answers,
but send thousands at a time and look which of them is answered at once. The places of these answers stay taken when
their client leaves.

A right password is never made to wait. An address that has sent one is known from then on, and is never turned away:
behind a proxy all come from one address, and somebody who guesses there must not lock the others out. So guessing
through a proxy is only slowed down for who waits for the answers. The places of known addresses are kept apart from the
rest, so that nobody without a password can push them out.

An address is an IPv4 address, or the first 64 bits of an IPv6 address: its owner has all that follow. Everything here
is bounded, and an observation costs the same with ten addresses as with ten thousand.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import TypeVar

FREE = 5  # wrong passwords that an address may have sent lately without being slowed down
FORGET_SECONDS = 10.0  # after so long, one of them is forgotten
FIRST_DELAY_SECONDS = 0.25  # of the first that is slowed down; doubled with each that follows
MOST_DELAY_SECONDS = 4.0
MOST_WAITING = 10  # answers to one address that wait
MOST_ADDRESSES = 10_000
LOG_SECONDS = 60.0  # between two lines of the log about one address
MOST_LINES = 30  # about all addresses in that time
_MOST_COUNTED = FREE + 10.0  # so that the worst is forgotten in two and a half minutes
_FORGOTTEN_SECONDS = _MOST_COUNTED * FORGET_SECONDS
_MOST_REMOVED = 1000  # in one turn
_MOST_NAME = 100  # characters of an address that is none of IP

Tell = Callable[[str, "str | None"], None]
_T = TypeVar("_T")


def network_of(host: str) -> str:
    """What counts as one address: ``192.0.2.1``, ``2001:db8:0:1::/64``, or the name of what is no address of IP."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:_MOST_NAME]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
        address = address.ipv4_mapped
    return str(address)


class _Record:
    """What is known of an address that has sent wrong passwords."""

    __slots__ = ("count", "at", "ends", "untold", "told")

    def __init__(self, now: float) -> None:
        self.count = 0.0  # of wrong passwords that are not forgotten
        self.at = now  # when it was counted
        self.ends: list[float] = []  # when the answers that wait will be sent
        self.untold = 0  # wrong passwords that no line of the log has told of
        self.told = False  # the log will have a line about the others in a while

    def waiting(self, now: float) -> int:
        """How many answers wait."""
        if self.ends:
            self.ends = [end for end in self.ends if end > now]
        return len(self.ends)


class Attempts:
    """The wrong passwords at one door, which is named in the log. ``monotonic`` tells the time in seconds.

    ``tell(sentence, address)`` writes to the log; the address is None when several are meant. :meth:`tick` is to be
    called about every second.
    """

    def __init__(self, monotonic: Callable[[], float], door: str) -> None:
        self.tell: Tell = _say_nothing
        self._monotonic = monotonic
        self._door = door
        self._records: OrderedDict[str, _Record] = OrderedDict()  # the one that failed last is the last
        self._known: OrderedDict[str, None] = OrderedDict()
        self._to_tell: deque[tuple[float, str]] = deque()  # when to look what else has come from an address
        self._lines = 0  # of the log in this minute
        self._lines_from = float("-inf")
        self._unnamed = 0  # wrong passwords of which only their number will be told

    def admits(self, host: str) -> bool:
        """Whether a password from there is to be looked at."""
        address = network_of(host)
        if address in self._known:
            return True
        record = self._records.get(address)
        return record is None or record.waiting(self._monotonic()) < MOST_WAITING

    def succeeded(self, host: str) -> None:
        """A right password came from there. It must be one that gives all that the door has to give."""
        _remember(self._known, network_of(host), None)
        if len(self._known) > MOST_ADDRESSES:
            self._known.popitem(last=False)

    def failed(self, host: str) -> float:
        """A wrong password came from there. Returns how many seconds the answer has to wait."""
        now, address = self._monotonic(), network_of(host)
        record = self._records.get(address) or _Record(now)
        _remember(self._records, address, record)
        if len(self._records) > MOST_ADDRESSES:
            self._drop_oldest()
        forgotten = (now - record.at) / FORGET_SECONDS
        record.count = min(max(record.count - forgotten, 0.0) + 1, _MOST_COUNTED)
        record.at = now
        self._note(address, record, now)
        delay = _delay(record.count)
        if not delay or record.waiting(now) >= MOST_WAITING:
            return 0.0
        record.ends.append(now + delay)
        return delay

    def tick(self) -> None:
        """Write what is due to the log, and forget addresses that have sent nothing wrong for long."""
        now = self._monotonic()
        while self._to_tell and self._to_tell[0][0] <= now:
            self._tell_more(self._to_tell.popleft()[1], now)
        if self._unnamed and now - self._lines_from >= LOG_SECONDS:
            count, self._unnamed = self._unnamed, 0
            self._say(f"{_more(count)} at {self._door}, from addresses that are too many to name", None, now)
        for _ in range(_MOST_REMOVED):
            oldest = next(iter(self._records.values()), None)
            if oldest is None or oldest.at + _FORGOTTEN_SECONDS > now:
                break
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        record = self._records.popitem(last=False)[1]
        self._unnamed += record.untold

    # -- the log -------------------------------------------------------------------------------------------------

    def _note(self, address: str, record: _Record, now: float) -> None:
        if record.told:
            record.untold += 1
        elif self._say(f"Wrong password at {self._door} from {address}", address, now):
            record.told = True
            self._to_tell.append((now + LOG_SECONDS, address))
        else:
            self._unnamed += 1

    def _tell_more(self, address: str, now: float) -> None:
        record = self._records.get(address)
        if record is None:
            return
        count, record.untold = record.untold, 0
        if not count:
            record.told = False
        elif self._say(f"{_more(count)} at {self._door} from {address}", address, now):
            self._to_tell.append((now + LOG_SECONDS, address))
        else:
            record.told = False
            self._unnamed += count

    def _say(self, sentence: str, address: str | None, now: float) -> bool:
        """Write a line, unless there were enough of them lately."""
        if now - self._lines_from >= LOG_SECONDS:
            self._lines_from, self._lines = now, 0
        if self._lines >= MOST_LINES:
            return False
        self._lines += 1
        self.tell(sentence, address)
        return True


def _delay(count: float) -> float:
    """How long the answer waits when so many wrong passwords are remembered."""
    if count <= FREE:
        return 0.0
    delay: float = FIRST_DELAY_SECONDS * 2 ** (count - FREE - 1)
    return min(max(delay, FIRST_DELAY_SECONDS), MOST_DELAY_SECONDS)


def _more(count: int) -> str:
    return "1 more wrong password" if count == 1 else f"{count} more wrong passwords"


def _remember(table: OrderedDict[str, _T], key: str, value: _T) -> None:
    """Put something at the end of a table, where the newest are."""
    table[key] = value
    table.move_to_end(key)


def _say_nothing(sentence: str, address: str | None) -> None:
    """Stands for a log where there is none."""
